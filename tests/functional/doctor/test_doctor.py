"""``portchain-doctor`` on a real Open vSwitch that is programmed as by an agent, and then broken.

The message bus is in memory: what the server and the agent say of plans is given.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from portchain.dataplane.flow import COOKIE, Bridge
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.transition import TransitionTimeouts
from portchain.doctor import cli
from portchain.doctor.readers import bus
from portchain.doctor.readers.processes import AgentProcess
from portchain.doctor.snapshot import AgentFacts, PlanFacts
from portchain.host.open_vswitch import OpenVSwitch
from portchain.host.reconciler import Reconciler
from portchain.ovsdb.switch_database import SwitchDatabase
from portchain.rpc import contract
from portchain.rpc.state_codec import AgentState
from tests.functional.vswitch import DATAPATH, DEADLINE, Vswitch, VswitchBridge, running_vswitch
from tests.plans import chain, ident, target

PORTS = ("vm", "a-in", "a-out")
CHAIN = ident("pc1")
UNDERLAY, PEER = "198.51.100.1/24", "198.51.100.2"  # this machine has neither
PLAN: ChainPlan = chain(
    [target("a", "h1")], [replace(target("b", "h2"), tunnel_ip=PEER)], revision=3
)
MTU, TUNNEL_HEADERS = 1500, 58  # of VXLAN over IPv4, with the labels of chains
OURS = f"cookie={COOKIE:#x}"
Change = Callable[["Host"], None]

pytestmark = pytest.mark.skipif(DATAPATH != "userspace", reason="the datapath does not matter")


@dataclass
class Answers:
    """What agent and server say; the agent's process is given, too."""

    plans: tuple[ChainPlan, ...] | None = (PLAN,)
    is_alive: bool = True
    bus_error: str = ""
    sequence: list[Callable[[], None]] = field(default_factory=list)

    def ask(self, host: str, processes: Mapping[int, str]) -> tuple[AgentFacts, PlanFacts]:
        assert host == "h1"
        if self.sequence:
            self.sequence.pop(0)()
        plans = PlanFacts(self.plans) if self.plans else PlanFacts(silence="no answer within 5 s")
        if not self.is_alive:
            return AgentFacts(processes, silence="no answer within 5 s"), plans
        state = AgentState(
            contract.MINOR_VERSION,
            is_in_sync=True,
            compared_seconds=3,
            revisions={CHAIN: 3},
            plans=(PLAN,),
        )
        return AgentFacts(processes, state), plans


class Host:
    """A host with Neutron's bridges, whose switch an agent has programmed."""

    def __init__(self, vswitch: Vswitch) -> None:
        self.vswitch = vswitch
        with vswitch.at_once():
            for name in ("br-int", "br-tun", "br-under"):
                vswitch.add_bridge(name)
            vswitch.add_patch("br-int", "patch-tun", 1, "patch-int")
            vswitch.add_patch("br-tun", "patch-int", 1, "patch-tun")
            for ofport, name in enumerate(PORTS, 11):
                vswitch.add_port("br-int", f"tap-{name}", ofport, "tag=1", "other_config:tag=1")
        for name in PORTS:
            mark = f"external_ids:iface-id={ident(name)}"
            mtu = f"mtu_request={MTU - TUNNEL_HEADERS}"
            vswitch.run("ovs-vsctl", "set", "interface", f"tap-{name}", mark, mtu)
        # Tunnels leave by the bridge's own port, which has the network of their addresses.
        vswitch.appctl("netdev-dummy/ip4addr", "br-under", UNDERLAY)
        vswitch.appctl("ovs/route/add", f"{PEER}/32", "br-under")
        self.add_tunnel()
        self.database = SwitchDatabase(lambda: self.remote, DEADLINE, lambda _: None)
        self.program()

    @property
    def remote(self) -> str:
        return f"unix:{self.vswitch.folder}/db.sock"

    def add_tunnel(self, *options: str) -> None:
        self.vswitch.run(
            "ovs-vsctl", "add-port", "br-tun", "vxlan-2", "--", "set", "interface", "vxlan-2",
            "type=vxlan", f"options:remote_ip={PEER}", "ofport_request=102", *options,
        )  # fmt: skip

    def program(self) -> None:
        """Program the switch as an agent that starts."""
        api = self.database.connect()
        bridges = {Bridge.INT: "br-int", Bridge.TUN: "br-tun"}
        switch = OpenVSwitch(
            host="h1",
            firewall=Firewall.OPENVSWITCH,
            bridges={role: VswitchBridge(self.vswitch, one, api) for role, one in bridges.items()},
            patch_to_tun="patch-tun",
            patch_to_int="patch-int",
        )
        reconciler = Reconciler(switch, "h1", lambda _: None, TransitionTimeouts(0, 0))
        reconciler.synchronise(contract.PlanUpdate(chains=(PLAN,)))

    def vsctl(self, *arguments: str) -> str:
        return self.vswitch.run("ovs-vsctl", *arguments)

    def ofctl(self, command: str, bridge: str, *arguments: str) -> str:
        return self.vswitch.run("ovs-ofctl", "-OOpenFlow14", command, bridge, *arguments)

    def content(self) -> list[str]:
        """Return all that is in the database, but for statistics, and all flows."""
        columns = {
            "Open_vSwitch": "bridges,external_ids,manager_options,next_cfg",
            "Bridge": "name,ports,protocols,controller,flow_tables",
            "Port": "name,interfaces,tag,other_config",
            "Interface": "name,type,options,external_ids",
        }
        rows = [self.vsctl(f"--columns={names}", "list", one) for one, names in columns.items()]
        flows = [self.ofctl("dump-flows", one, "--no-stats") for one in ("br-int", "br-tun")]
        return rows + flows


@dataclass
class Diagnosis:
    status: int
    body: dict[str, Any]
    errors: str

    def finding(self, compared: str) -> dict[str, Any]:
        (one,) = [one for one in self.body["findings"] if compared in one["compared"]]
        return dict(one)


Doctor = Callable[..., Diagnosis]


@pytest.fixture
def host() -> Iterator[Host]:
    with running_vswitch() as vswitch:
        made = Host(vswitch)
        yield made
        made.database.close()


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def doctor(
    host: Host,
    answers: Answers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Doctor:
    """Runs the program in this process, and returns what it has printed."""
    config = tmp_path / "agent.conf"
    config.write_text(
        "[DEFAULT]\nhost = h1\ntransport_url = fake:\n[agent]\ntunnel_types = vxlan\n"
        f"[ovs]\novsdb_connection = {host.remote}\n"
        "[securitygroup]\nfirewall_driver = openvswitch\n"
    )
    process = AgentProcess(os.getpid(), "neutron-openvswitch-agent")
    monkeypatch.setenv("OVS_RUNDIR", str(host.vswitch.folder))
    monkeypatch.setattr(cli, "find_agents", lambda: [process] if answers.is_alive else [])
    monkeypatch.setattr(cli, "_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(bus, "why_unreachable", lambda _: answers.bus_error)
    monkeypatch.setattr(bus, "connect", lambda: None)
    monkeypatch.setattr(bus, "Bus", lambda _: answers)

    def run(*arguments: str) -> Diagnosis:
        options = (f"--config-file={config}", "-f", "json", "--timeout=5", "--settle=1")
        status = cli.run([*options, *arguments])
        printed = capsys.readouterr()
        return Diagnosis(status, json.loads(printed.out or "{}"), printed.err)

    return run


def test_a_healthy_switch_says_nothing_and_stays_as_it_is(host: Host, doctor: Doctor) -> None:
    before = host.content()
    found = doctor()
    assert (found.body["findings"], found.body["unchecked"], found.status) == ([], [], 0)
    assert (found.body["host"], found.body["plans_from"]) == ("h1", "server")
    assert host.content() == before


BROKEN: dict[str, tuple[tuple[str, ...], str, str, str]] = {
    # What is broken -> command, and words of: compared, found, meaning.
    "lost flow": (
        ("ovs-ofctl", "-OOpenFlow14", "del-flows", "br-int", f"{OURS}/-1,table=73"),
        *(f"flows of chain {CHAIN}", "flows are missing"),
        f"packets that port {ident('vm')} sends are not classified here, and bypass the chain",
    ),
    "lost flow to a function": (
        ("ovs-ofctl", "-OOpenFlow14", "del-flows", "br-int", f"{OURS}/-1,table=152"),
        *(f"flows of chain {CHAIN}", "in table 152 (FORWARD) of br-int"),
        f"packets do not get to pair {ident('a')} of hop 1, and are dropped",
    ),
    "altered flow": (
        ("ovs-ofctl", "-OOpenFlow14", "mod-flows", "br-int", f"{OURS}/-1,table=150,actions=drop"),
        *(f"flows of chain {CHAIN}", "flows are not as they should be"),
        "packets are treated in another way than the plan says",
    ),
    "foreign flow": (
        (
            *("ovs-ofctl", "-OOpenFlow14", "add-flow", "br-int"),
            f"{OURS},table=150,priority=10,reg8=0x10042,actions=drop",
        ),
        *("number 66, of a chain that has no plan here", "1 flow that no plan needs"),
        "although no chain asks for that",
    ),
    "foreign flow of no chain": (
        (
            *("ovs-ofctl", "-OOpenFlow14", "add-flow", "br-int"),
            f"{OURS},table=0,priority=7,in_port=11,actions=drop",
        ),
        *("cookie with all plans: no chain", "1 flow that no plan needs"),
        "drop some",
    ),
    "port without an interface": (
        ("ovs-vsctl", "del-port", "br-int", "tap-a-in"),
        *(f"port {ident('a-in')}", "no interface of a bridge has its id"),
        "its function gets no packets",
    ),
    "port that cannot be opened": (
        ("ovs-vsctl", "set", "interface", "tap-a-in", "type=system"),
        *(f"port {ident('a-in')}", "Open vSwitch cannot open interface tap-a-in"),
        "its function gets no packets",
    ),
    "dead VLAN": (
        (
            *("ovs-vsctl", "set", "port", "tap-a-in", "tag=4095"),
            *("--", "clear", "port", "tap-a-in", "other_config"),
        ),
        *(f"port {ident('a-in')}", "has the tag of dead ports (4095)"),
        "Neutron drops all packets of the port",
    ),
    "another VLAN": (
        ("ovs-vsctl", "set", "port", "tap-a-in", "tag=9"),
        *(f"port {ident('a-in')}", "has VLAN tag 9; Neutron's agent has noted 1"),
        "on another network of this host",
    ),
    "no tunnel": (
        ("ovs-vsctl", "del-port", "br-tun", "vxlan-2"),
        *("tunnel to host h2", "this host has none"),
        f"packets of chain {CHAIN} that have to get to host h2 are dropped",
    ),
    "small MTU": (
        ("ovs-vsctl", "set", "interface", "br-under", f"mtu_request={MTU - 1}"),
        *("MTU of the tunnel to host h2", f"has an MTU of {MTU - 1}"),
        f"packets of the chain longer than {MTU - TUNNEL_HEADERS - 1} bytes are lost",
    ),
    "no OpenFlow 1.4": (
        ("ovs-vsctl", "set", "bridge", "br-int", "protocols=OpenFlow10,OpenFlow13"),
        *("versions of OpenFlow of bridge br-int", "it does not answer OpenFlow14"),
        "changes of chains do not come into force",
    ),
    "no br-tun": (
        ("ovs-vsctl", "del-br", "br-tun"),
        *("bridge br-tun", "it does not exist"),
        "packets of chains that go to other hosts by tunnels are dropped",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found(host: Host, doctor: Doctor, name: str) -> None:
    command, compared, what, meaning = BROKEN[name]
    host.vswitch.run(*command)
    found = doctor()
    assert found.status == 1
    one = found.finding(compared)
    assert what in one["found"]
    assert meaning in one["meaning"]
    assert one["action"]


def test_a_dead_switch_is_found(host: Host, doctor: Doctor) -> None:
    host.vswitch.stop_switch()
    found = doctor()
    assert found.status == 1
    assert "does not answer" in found.finding("the switch (ovs-vswitchd)")["found"]
    host.vswitch.start_switch()
    lost = doctor().finding("flows that each host with chains needs")
    assert "are missing" in lost["found"], "a switch that starts has no flow of ours"


@pytest.mark.parametrize(
    ("program", "compared"),
    [("ovsdb-server", "Open vSwitch's database"), ("ovs-vswitchd", "the switch (ovs-vswitchd)")],
)
def test_a_program_that_hangs_is_not_waited_for(
    host: Host, doctor: Doctor, program: str, compared: str
) -> None:
    pid = int((host.vswitch.folder / f"{program}.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        found = doctor()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert found.status == 1
    assert "does not answer" in found.finding(compared)["found"]


def test_a_database_at_another_place_is_found(host: Host, doctor: Doctor, tmp_path: Path) -> None:
    other = tmp_path / "other.conf"
    other.write_text(f"[ovs]\novsdb_connection = unix:{tmp_path}/nowhere.sock\n")
    found = doctor(f"--config-file={other}")
    assert found.status == 1
    assert "nowhere.sock" in found.finding("ovsdb_connection")["found"]
    assert len(found.body["findings"]) == 1, "the rest is read from its local socket"


def test_a_dead_agent_is_found_and_all_else_is_compared(
    host: Host, doctor: Doctor, answers: Answers
) -> None:
    answers.is_alive = False
    found = doctor()
    assert found.status == 1
    assert "no such process" in found.finding("the agent")["found"]
    assert len(found.body["findings"]) == 1
    host.ofctl("del-flows", "br-int", f"{OURS}/-1,table=150")
    lost = doctor().finding(f"flows of chain {CHAIN}")
    assert "start neutron-openvswitch-agent" in lost["action"]


def test_without_the_server_the_agents_plans_are_compared(
    host: Host, doctor: Doctor, answers: Answers
) -> None:
    answers.plans = None
    found = doctor()
    assert (found.status, found.body["findings"]) == (2, [])
    assert found.body["plans_from"] == "agent"
    assert "the server does not answer" in found.body["unchecked"][0]["reason"]
    host.ofctl("del-flows", "br-int", f"{OURS}/-1,table=150")
    assert doctor().status == 1


def test_without_the_message_broker_the_switch_alone_is_checked(
    host: Host, doctor: Doctor, answers: Answers
) -> None:
    answers.bus_error = "the message broker does not answer at 192.0.2.9:5672 (refused)"
    found = doctor()
    assert (found.status, found.body["findings"], found.body["plans_from"]) == (2, [], "")
    assert "flows of chains" in str(found.body["unchecked"])
    host.vsctl("del-br", "br-tun")
    assert doctor().status == 1


def test_what_the_agent_repairs_meanwhile_is_not_wrong(
    host: Host, doctor: Doctor, answers: Answers
) -> None:
    host.ofctl("del-flows", "br-int", f"{OURS}/-1,table=150")
    answers.sequence = [host.program]
    assert (doctor().status, answers.sequence) == (0, [])


def test_only_the_chains_that_are_asked_for_are_shown(host: Host, doctor: Doctor) -> None:
    host.ofctl("del-flows", "br-int", f"{OURS}/-1,table=150")
    assert doctor("--chain", CHAIN).status == 1
    other = doctor("--chain", ident("pc9"))
    assert (other.status, other.body["findings"]) == (0, [])
    assert other.body["notes"] == [f"this host has no part in chain {ident('pc9')}"]


def test_a_failure_of_the_program_is_not_taken_for_one_of_the_host(
    host: Host, doctor: Doctor, answers: Answers
) -> None:
    def fail() -> None:
        raise LookupError("a bug")

    answers.sequence = [fail]
    found = doctor()
    assert found.status == 2
    assert "a bug" in found.errors


def test_a_configuration_that_does_not_exist_is_named(doctor: Doctor) -> None:
    found = doctor("--config-file=/nowhere/agent.conf")
    assert found.status == 2
    assert "/nowhere/agent.conf" in found.errors
    assert "--config-file" in found.errors
