"""A controller traces packets in a copy of a switch that it reaches over TCP only."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from portchain.controller.switch_copy import SwitchCopy, as_added, copied
from portchain.core.protocols import TCP, UDP
from portchain.dataplane.tracing.packet import Packet
from portchain.dataplane.tracing.steps import Decision, HostTrace, Reach, Start
from portchain.dataplane.transition import TransitionTimeouts
from portchain.host.bridge import UnreachableSwitchError
from portchain.host.reconciler import Reconciler
from portchain.host.tracer import HostTracer
from portchain.rpc.contract import PlanUpdate
from tests.full import in_full
from tests.functional.controller.test_comparison import PLANS
from tests.functional.controller.test_remote_ovn_switch import RemoteOvn
from tests.functional.controller.test_remote_switch import VM, Remote, options, wait_until
from tests.functional.vswitch import running_vswitch
from tests.plans import TUNNEL_IPS, mac

__all__ = ["options"]

(PACKETS,) = in_full([500], [60])
OTHER, OTHER_MAC = "7f2c0f4e-0000-4000-8000-000000000002", "fa:16:3e:00:00:99"
NEUTRON = (
    "table=0,priority=0,actions=goto_table:60",
    "table=60,priority=4,udp,tp_dst=101,actions=meter:7,resubmit(,61)",
    "table=60,priority=3,udp,tp_dst=99,actions=drop",
    "table=60,priority=1,actions=NORMAL",
    "table=61,priority=1,actions=NORMAL",
)


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    """A host with chains, a second port, and a meter as Neutron's QoS has them."""
    with running_vswitch() as vswitch:
        made = Remote(vswitch)
        vswitch.add_port("br-int", "tap2", 6, "tag=7")
        vswitch.run("ovs-vsctl", "set", "interface", "tap2", f"external_ids:iface-id={OTHER}")
        add_tunnels(made, "br-tun", "vxlan")
        made.ofctl("add-meter", "meter=7,pktps,bands=type=drop,rate=5")
        for flow in NEUTRON:
            made.ofctl("add-flow", flow)
        wait_until(lambda: len(made.switch.read_ports().tunnels) == 2)
        wait_until(lambda: OTHER in made.switch.read_ports().ports)
        started(made).synchronise(PlanUpdate(PLANS))
        yield made
        made.switch.close()


def add_tunnels(remote: Remote, bridge: str, kind: str) -> None:
    for number, host in enumerate(("h2", "h3"), 11):
        remote.vswitch.run(
            *("ovs-vsctl", "add-port", bridge, f"to-{host}", "--", "set", "interface"),
            *(f"to-{host}", f"type={kind}", f"ofport_request={number}", "options:key=flow"),
            f"options:remote_ip={TUNNEL_IPS[host]}",
        )


def started(remote: Remote) -> Reconciler:
    return Reconciler(remote.switch, "h1", lambda reports: None, TransitionTimeouts())


class Itself:
    """The switch of the host, asked on the host; implements ``host.tracer.Tracing``."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def appctl(self, command: str, *args: str) -> str:
        return self._remote.vswitch.appctl(command, *args)

    def dump_table(self, bridge: str, table: int) -> str:
        return self._remote.switch.dump_table(bridge, table)


def random_packets(draw: random.Random, count: int) -> Iterator[Packet]:
    """Yield packets that VM sends: in chains, in none, to ports of this host, refused ones."""
    for _ in range(count):
        number = draw.choice((100, 100, 100, 99, 101))
        yield Packet(
            *(mac("vm"), draw.choice((OTHER_MAC, mac("dst"))), "IPv4"),
            *("10.0.0.10", draw.choice(("10.0.0.20", "10.0.0.21"))),
            *(draw.choice((TCP, UDP)), draw.randrange(38, 60), number),
            is_established=draw.random() < 0.5,
        )


def kinds_of(trace: HostTrace) -> str:
    """Name what a host has done with a packet."""
    decisions = {step.decision for step in trace.steps}
    kinds = (Decision.CLASSIFIED, Decision.DROPPED, Decision.NOT_CLASSIFIED)
    return next(str(kind) for kind in kinds if kind in decisions)


def in_any_order(trace: HostTrace) -> HostTrace:
    """Sort what a trace says: each switch has an order of its own in which it floods to ports."""
    steps, exits = sorted(trace.steps, key=repr), sorted(trace.exits, key=repr)
    return replace(trace, steps=tuple(steps), exits=tuple(exits))


def test_a_copy_does_with_packets_what_the_switch_does(remote: Remote) -> None:
    view, seen = remote.switch.view(PLANS), set[str]()
    with remote.switch.tracing() as copy:
        for packet in random_packets(random.Random(20), PACKETS):
            trace = HostTracer(copy).trace(view, Start(port_id=VM), packet)
            in_switch = HostTracer(Itself(remote)).trace(view, Start(port_id=VM), packet)
            assert in_any_order(trace) == in_any_order(in_switch)
            assert trace.steps, packet
            seen.add(kinds_of(trace))
    assert seen == {"CLASSIFIED", "DROPPED", "NOT_CLASSIFIED"}


def test_a_trace_changes_neither_the_switch_nor_its_copy(remote: Remote) -> None:
    before = remote.ofctl("dump-flows", "--no-stats")
    with remote.switch.tracing() as copy:
        assert copy.dump_table("br-int", 60) == remote.switch.dump_table("br-int", 60).replace(
            "meter:7,", ""
        )
        for packet in random_packets(random.Random(1), 5):
            HostTracer(copy).trace(remote.switch.view(PLANS), Start(port_id=VM), packet)
    assert remote.ofctl("dump-flows", "--no-stats") == before


def test_ports_that_are_not_flooded_are_not_flooded_in_the_copy(remote: Remote) -> None:
    def reached() -> set[str]:
        packet = Packet(mac("vm"), mac("dst"), "IPv4", "10.0.0.10", "10.0.0.21", UDP, 38, 101)
        with remote.switch.tracing() as copy:
            trace = HostTracer(copy).trace(remote.switch.view(PLANS), Start(port_id=VM), packet)
        return {way.name for way in trace.exits if way.reach is Reach.PORT}

    assert reached() == {OTHER}
    remote.vswitch.run("ovs-ofctl", "-OOpenFlow10", "mod-port", "br-int", "6", "no-flood")
    excluded = reached()
    remote.vswitch.run("ovs-ofctl", "-OOpenFlow10", "mod-port", "br-int", "6", "flood")
    assert excluded == set()


def test_nothing_is_left_of_a_copy(remote: Remote, tmp_path: Path) -> None:
    copy = SwitchCopy(tmp_path)
    copy.start()
    pids = [int(file.read_text()) for file in tmp_path.glob("*.pid")]
    assert len(pids) == 2
    copy.stop()
    wait_until(lambda: not any(map(is_running, pids)))


def is_running(pid: int) -> bool:
    """Return whether a process has not ended; nobody may have asked yet how it has."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_a_machine_without_open_vswitch_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnreachableSwitchError, match="install Open vSwitch"):
        SwitchCopy(tmp_path).start()


def test_copies_at_the_same_time_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portchain.controller.switch_copy._WAIT_SECONDS", 0.1)
    with copied(()), copied(()), pytest.raises(UnreachableSwitchError, match="other packets"):
        copied(()).__enter__()
    with copied(()):
        pass


@pytest.mark.parametrize(
    ("printed", "added"),
    [
        (" cookie=0x1, table=3, priority=2,ip actions=meter:7,drop", "drop"),
        (" cookie=0x1, table=3, priority=2,ip actions=meter:7", "drop"),
        (" table=3, ip actions=meter:7,resubmit(,4),output:1", "resubmit(,4),output:1"),
    ],
)
def test_meters_are_left_out_of_flows(printed: str, added: str) -> None:
    flow = as_added(f"OFPST_FLOW reply (OF1.4) (xid=0x2):\n{printed}\n")
    assert flow == f"{printed.strip().partition('actions=')[0]}actions={added}\n"


# --- Hosts of OVN.


@pytest.fixture
def ovn() -> Iterator[RemoteOvn]:
    with running_vswitch() as vswitch:
        made = RemoteOvn(vswitch)
        add_tunnels(made, "br-int", "geneve")
        started(made).synchronise(PlanUpdate(PLANS))
        wait_until(lambda: len(made.switch.read_ports().tunnels) == 2)
        started(made).synchronise(PlanUpdate(PLANS))
        yield made
        made.switch.close()


def trace_on(remote: RemoteOvn, source_port: int) -> HostTrace:
    packet = Packet(mac("vm"), mac("dst"), "IPv4", "10.0.0.10", "10.0.0.20", TCP, source_port, 100)
    view = remote.switch.view(PLANS)
    with remote.switch.tracing() as copy:
        return HostTracer(copy).trace(view, Start(port_id=VM), packet)


def test_on_a_host_of_ovn_the_chain_is_traced_and_ovn_is_said_to_be_unseen(ovn: RemoteOvn) -> None:
    trace = trace_on(ovn, 40)
    decisions = [step.decision for step in trace.steps]
    assert decisions == [Decision.CLASSIFIED, Decision.FORWARDED, Decision.SELECTED,
                         Decision.FORWARDED]  # fmt: skip
    assert "not seen from here" in trace.steps[1].reason
    (way,) = trace.exits
    assert (way.reach, way.packet.eth_dst) == (Reach.TUNNEL, mac("dst"))
    trace = trace_on(ovn, 39 + 2 * 60)
    assert [step.decision for step in trace.steps] == [Decision.NOT_CLASSIFIED, Decision.LOST]
    assert "OVN's bridge" in trace.steps[-1].reason
