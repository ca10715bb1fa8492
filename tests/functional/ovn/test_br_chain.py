"""Chains on hosts of OVN: real packets, from rows and plans as the server writes them.

Whatever happens, no packet of a chain may arrive that has not visited the functions.
"""

import queue
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress

import pytest
from portchain_lab import layout
from portchain_lab.cloud import ovn
from portchain_lab.observe.capture import Capture
from portchain_lab.observe.traffic import StreamResult
from portchain_lab.waiting import wait_for

from portchain.core.counters import CounterKind
from portchain.core.protocols import UDP
from portchain.dataplane.flow import COOKIE
from portchain.dataplane.gates import gate_name
from portchain.dataplane.interposing import BR_CHAIN, HOLD_SECONDS, network_peer
from portchain.dataplane.tracing.packet import Packet
from portchain.host.live.frame import build
from tests.functional.ovn.cloud import DEADLINE, PORT, Agent, Cloud, running_cloud, visits
from tests.plans import ident

THROUGH = ("a", "f-in", "f-out", "g-in", "g-out", "d")
UNCLASSIFIED = 9001


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """Source and first function on h1, second function and destination on h2."""
    with running_cloud() as one:
        one.add("a", "h1", ("a", "10.0.0.10"))
        one.add("d", "h2", ("d", "10.0.0.13"))
        one.add_function("f", "h1", 20)
        one.add_function("g", "h2", 30)
        one.settle()
        yield one


@pytest.fixture
def chain(cloud: Cloud) -> Iterator[Cloud]:
    """The cloud with a chain through both functions."""
    cloud.realise(cloud.plan("a", "d", "f", "g"))
    # The first packets wait for the addresses of tunnel ends and machines.
    wait_for(lambda: not cloud.paths("a", "d")[0].lost, DEADLINE, "packets to pass the chain")
    yield cloud
    cloud.withdraw()


def around(paths: Iterable[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """The paths of packets that arrived without having visited all functions in order."""
    return {path for path in paths if "d" in path and path != THROUGH}


def test_packets_visit_the_functions(chain: Cloud) -> None:
    result, paths = chain.paths("a", "d")
    assert result.lost == []
    assert paths == {THROUGH}
    result, paths = chain.paths("a", "d", UNCLASSIFIED)
    assert result.lost == []
    assert paths == {("a", "d")}


def test_a_packet_that_enters_a_chain_is_counted_once(chain: Cloud) -> None:
    """Although br-chain looks at it twice: before and behind OVN's checks."""
    result, _ = chain.paths("a", "d")
    assert result.lost == []
    kinds = CounterKind.CLASSIFIED, CounterKind.IN  # of the first function

    def are_counted() -> bool:
        counts = chain.agents["h1"].reconciler.counts_of().items()
        entered, got = (sum(count[0] for one, count in counts if one.kind == k) for k in kinds)
        return got >= result.sent and entered == got

    wait_for(are_counted, DEADLINE, "each packet to be counted once")


def test_a_packet_of_a_live_trace_takes_the_way_of_its_port(chain: Cloud) -> None:
    machine, receiver = chain.machines["a"], chain.machines["d"]
    mac, port = machine.nics[0].mac_address, machine.nics[0].port_id
    vif = chain.agents["h1"].switch.vifs()[port]
    assert vif.has_device
    for number, path in ((PORT, THROUGH[1:]), (UNCLASSIFIED, ("d",))):
        packet = Packet(
            *(mac, receiver.nics[0].mac_address, "IPv4", machine.ip, receiver.ip),
            *(UDP, 40000, number),
        )
        with Capture(chain.machines.values()) as capture:
            vif.take_in(build(packet, bytes(16)))
            capture.wait_until_quiet()
            frames = capture.stop()
        assert visits(frames, number) == {path}


def test_flows_read_back_as_they_were_written(chain: Cloud) -> None:
    for agent in chain.agents.values():
        assert agent.reconciler.reconcile() is False


def test_what_the_source_may_not_send_visits_no_function(chain: Cloud) -> None:
    match = f"inport == @pc_sources && udp.dst == {UNCLASSIFIED - 1}"
    chain.nb("acl-add", "pc_sources", "from-lport", "1001", match, "drop")
    chain.settle()
    _, paths = chain.paths("a", "d")
    assert paths == {("a",)}


def test_what_the_destination_may_not_receive_visits_the_functions_only(chain: Cloud) -> None:
    port = ident("d")
    chain.nb("acl-add", "network", "to-lport", "1001", f'outport == "{port}" && udp', "drop")
    chain.settle()
    _, paths = chain.paths("a", "d")
    chain.nb("acl-del", "network")
    assert paths == {THROUGH[:-1]}


def test_a_source_cannot_spoof(chain: Cloud) -> None:
    """Port security of the source applies before the chain."""
    machine = chain.machines["a"]
    chain.nb("lsp-set-port-security", machine.nics[0].port_id, "fa:16:3e:00:00:01 10.0.0.99")
    chain.settle()
    _, paths = chain.paths("a", "d")
    owned = f"{machine.nics[0].mac_address} {machine.ip}"
    chain.nb("lsp-set-port-security", machine.nics[0].port_id, owned)
    chain.settle()
    assert paths == {("a",)}


@pytest.mark.parametrize(
    ("direction", "port", "dropped"),
    [
        (("from-lport", "inport"), "a", ("a",)),
        (("to-lport", "outport"), "d", THROUGH[:-1]),
        # What functions receive and return passes no table of OVN (docs/ovn.md).
        (("to-lport", "outport"), "f-in", None),
        (("from-lport", "inport"), "f-out", None),
    ],
)
def test_bandwidth_limits_of_neutron_count_packets_of_chains_at_their_ends(
    chain: Cloud, direction: tuple[str, str], port: str, dropped: tuple[str, ...] | None
) -> None:
    where, field = direction
    match = f'{field} == "{ident(port)}"'
    chain.nb("qos-add", "network", where, "2002", match, "rate=8", "burst=8")
    chain.settle()
    result, paths = chain.paths("a", "d")
    chain.nb("qos-del", "network")
    chain.settle()
    assert paths == ({THROUGH} if dropped is None else {THROUGH, dropped})
    assert bool(result.lost) == (dropped is not None)


def test_nothing_is_left_without_a_chain(cloud: Cloud) -> None:
    before = {host: cloud.lab.vsctl(host, "list-ports", "br-int") for host in cloud.agents}
    cloud.realise(cloud.plan("a", "d", "f", "g"))
    cloud.withdraw()
    for host in cloud.agents:
        assert cloud.own_rows(host) == []
        assert cloud.own_flows(host) == []
        assert cloud.lab.vsctl(host, "list-ports", BR_CHAIN) == ""
        assert cloud.lab.vsctl(host, "list-ports", "br-int") == before[host]
    result, paths = cloud.paths("a", "d")
    assert result.lost == []
    assert paths == {("a", "d")}


def test_moving_ports_compares_no_flows_of_the_host(chain: Cloud) -> None:
    """Rows of the ports that are moved, patch ports included, concern the chains of these ports."""
    agent = chain.agents["h1"]
    taps = [layout.tap_name(ident(port)) for port in ("f-in", "f-out")]
    seen = changed_rows(agent)
    agent.set_plans(chain.plan("a", "d", "g", revision=2))
    for _ in range(4):  # flows for packets in flight go, then the ports
        agent.now += HOLD_SECONDS
        agent.reconciler.advance_transitions()
        agent.reconciler.reconcile()
    assert not set(taps) & set(chain.lab.vsctl("h1", "list-ports", BR_CHAIN).split())
    seen |= changed_rows(agent)
    agent.set_plans(chain.plan("a", "d", "f", "g", revision=3))
    assert set(taps) <= set(chain.lab.vsctl("h1", "list-ports", BR_CHAIN).split())
    agent.wait_ready()
    seen |= changed_rows(agent)
    ports = {ident("f-in"), ident("f-out")}
    assert ports | {gate_name(ident("f-out"))} <= seen
    assert "" not in seen, "which compares all flows"


def changed_rows(agent: Agent) -> set[str]:
    """The ports whose rows have changed, as soon as no more do."""
    found: set[str] = set()
    with suppress(queue.Empty):
        while True:
            found.add(agent.events.get(timeout=1))
    return found


def test_ovn_nbctl_finds_the_databases_of_a_lab(cloud: Cloud) -> None:
    """As ``portchain-lab exec`` and ``shell`` run it."""
    tool = ovn.write_tools(cloud.lab.layout) / "ovn-nbctl"
    shown = subprocess.run([tool, "show"], capture_output=True, text=True, check=True)
    assert "(network)" in shown.stdout


def test_operators_read_flows_as_those_of_neutrons_bridges(chain: Cloud) -> None:
    dump = chain.lab.ofctl("h1", "dump-flows", BR_CHAIN, version="OpenFlow13")
    assert f"cookie={COOKIE:#x}" in dump


def during(
    cloud: Cloud, disturb: Callable[[], None], port: int = UNCLASSIFIED - 1
) -> tuple[StreamResult, set[tuple[str, ...]]]:
    """Send datagrams while the agents run and something happens, and until they arrive again.

    :returns: the result, and the paths that the datagrams took.
    """
    with Capture(cloud.machines.values()) as capture, ExitStack() as agents:
        for agent in cloud.agents.values():
            agents.enter_context(agent.running())
        stream = agents.enter_context(cloud.stream("a", "d", port))
        wait_for(lambda: len(stream.result.received) >= 20, DEADLINE, "datagrams to arrive")
        disturb()
        sent = stream.result.sent
        wait_for(
            lambda: sum(number >= sent for number, _ in stream.result.received) >= 20,
            DEADLINE,
            "datagrams to arrive again",
        )
        result = stream.stop()
        frames = capture.stop()
    return result, visits(frames, port)


@pytest.mark.parametrize("host", ["h1", "h2"])
@pytest.mark.parametrize("port", [UNCLASSIFIED - 1, UNCLASSIFIED])
def test_open_vswitch_is_restarted(chain: Cloud, host: str, port: int) -> None:
    def restart() -> None:
        chain.lab.kill("ovs-vswitchd", host)
        chain.lab.start(f"ovs-vswitchd@{host}")

    result, paths = during(chain, restart, port)
    if port != UNCLASSIFIED:
        assert around(paths) == set()
    assert len(result.lost) < result.sent


@pytest.mark.parametrize("host", ["h1", "h2"])
def test_ovn_controller_is_restarted(chain: Cloud, host: str) -> None:
    def restart() -> None:
        chain.lab.kill("ovn-controller", host)
        chain.lab.start(f"ovn-controller@{host}")

    result, paths = during(chain, restart)
    assert around(paths) == set()
    assert len(result.lost) < 100  # a second and a half at most: see the design


def test_the_agents_are_restarted(chain: Cloud) -> None:
    """Nothing is written again, and nothing is lost."""
    before = {host: (chain.own_rows(host), chain.own_flows(host)) for host in chain.agents}
    plan = chain.plan("a", "d", "f", "g")
    stream = chain.stream("a", "d")
    with stream:
        for host in chain.agents:
            agent = chain.new_agent(host)
            agent.switch.restore_wires()
            agent.set_plans(plan)
        result = stream.stop()
    assert result.lost == []
    assert result.sent > 0
    for host, (rows, flows) in before.items():
        assert chain.own_rows(host) == rows
        assert len(chain.own_flows(host)) == len(flows)


def test_ports_of_a_chain_that_went_while_no_agent_ran_are_held(chain: Cloud) -> None:
    """Its functions may hold packets, which flows of br-chain drop when they return."""
    tap = layout.tap_name(ident("f-out"))
    agent = chain.new_agent("h1")
    agent.set_plans()
    assert tap in chain.lab.vsctl("h1", "list-ports", BR_CHAIN).split()
    agent.now += HOLD_SECONDS
    agent.reconciler.reconcile()
    assert tap not in chain.lab.vsctl("h1", "list-ports", BR_CHAIN).split()


def test_the_program_connects_ports(chain: Cloud) -> None:
    """``portchain-ovn-agent``, while its server does not answer."""
    chain.lab.kill("ovs-vswitchd", "h1")
    chain.lab.start("ovs-vswitchd@h1")
    assert chain.own_flows("h1") == []
    with chain.running_program("h1") as program:
        wait_for(lambda: chain.own_flows("h1"), 3 * DEADLINE, "flows that connect ports")
        wait_for(
            lambda: not chain.paths("a", "d", UNCLASSIFIED)[0].lost, DEADLINE, "packets to pass"
        )
        program.terminate()
        assert program.wait(DEADLINE) == 0
    _, paths = chain.paths("a", "d")
    assert around(paths) == set()


def test_nova_plugs_the_source_in_again(chain: Cloud) -> None:
    port = chain.machines["a"].nics[0].port_id
    tap = layout.tap_name(port)

    def plug() -> None:
        chain.lab.vsctl(
            "h1",
            *f"--if-exists del-port {tap} -- add-port br-int {tap} --".split(),
            *f"set interface {tap} external_ids:iface-id={port}".split(),
        )

    _, paths = during(chain, plug)
    assert around(paths) == set()
    assert tap in chain.lab.vsctl("h1", "list-ports", BR_CHAIN).split()


@pytest.mark.parametrize("transactions", range(3))
def test_an_agent_is_killed_while_it_moves_ports(cloud: Cloud, transactions: int) -> None:
    """Another one goes on from there; nothing bypasses the chain in the meantime."""
    plan = cloud.plan("a", "d", "f", "g")
    cloud.add_gates(plan)
    cloud.settle()
    for host in cloud.agents:
        agent = cloud.new_agent(host)
        kill_after(agent.switch, transactions)
        with pytest.raises(KilledError):
            agent.set_plans(plan)
    _, paths = cloud.paths("a", "d")
    assert around(paths) == set()
    for host in cloud.agents:
        cloud.new_agent(host)
    cloud.realise(plan)
    wait_for(lambda: not cloud.paths("a", "d")[0].lost, DEADLINE, "packets to pass the chain")
    result, paths = cloud.paths("a", "d")
    cloud.withdraw()
    assert paths == {THROUGH}
    assert result.lost == []
    assert [cloud.own_rows(host) for host in cloud.agents] == [[], []]


class KilledError(BaseException):
    """Stands for SIGKILL."""


def kill_after(switch: object, transactions: int) -> None:
    """End an agent when it begins the transaction, or the flows, after so many of them."""
    left = iter(range(transactions))
    for name in ("_change", "apply"):
        original = getattr(switch, name)

        def step(*arguments: object, original: Callable[..., None] = original) -> None:
            if next(left, None) is None:
                raise KilledError
            original(*arguments)

        setattr(switch, name, step)


def test_a_host_is_started_while_the_server_is_down(chain: Cloud) -> None:
    """The ports are connected; what belongs to a chain waits for the chains."""
    agent = chain.new_agent("h1")
    chain.lab.kill("ovs-vswitchd", "h1")
    chain.lab.start("ovs-vswitchd@h1")
    agent.switch.restore_wires()
    wait_for(lambda: not chain.paths("a", "d", UNCLASSIFIED)[0].lost, DEADLINE, "packets to pass")
    _, paths = chain.paths("a", "d")
    assert around(paths) == set()
    assert paths == {("a",)}
    assert len(chain.own_rows("h1")) > 0


def test_a_machine_is_stopped_and_started(chain: Cloud) -> None:
    """os-vif does not find a port on br-chain. Nothing of it stays, and OVN unbinds it."""
    machine, agent = chain.machines["a"], chain.agents["h1"]
    (nic,) = machine.nics
    chain.unplug("a")

    def is_gone() -> bool:
        agent.handle_events()
        agent.reconciler.reconcile()
        ports = chain.lab.vsctl("h1", "list-ports", BR_CHAIN)
        return layout.tap_name(nic.port_id) not in ports

    wait_for(is_gone, DEADLINE, "the port to be gone")
    assert network_peer(nic.port_id) not in chain.lab.vsctl("h1", "list-ports", "br-int")
    chain.restart_machine("a")
    agent.wait_ready()
    wait_for(lambda: not chain.paths("a", "d")[0].lost, DEADLINE, "packets to pass the chain")
    _, paths = chain.paths("a", "d")
    assert paths == {THROUGH}


def test_moving_ports_loses_little(cloud: Cloud) -> None:
    """Traffic that is in no chain waits for one transaction of Open vSwitch, each way."""
    wait_for(lambda: not cloud.paths("a", "d", UNCLASSIFIED)[0].lost, DEADLINE, "packets to pass")
    plan = cloud.plan("a", "d", "f", "g")
    cloud.add_gates(plan)
    cloud.settle()

    def move() -> None:
        for agent in cloud.agents.values():
            agent.set_plans(plan)

    result, _ = during(cloud, move, UNCLASSIFIED)
    assert len(result.lost) < 60, "0.3 s"
    back, _ = during(cloud, cloud.withdraw, UNCLASSIFIED)
    assert len(back.lost) < 60
