"""Each check says in plain words what is wrong on a host that is broken in one place."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from portchain.core.counters import Count
from portchain.core.model import PairHealth
from portchain.dataplane.datapath import SEGMENTATION
from portchain.dataplane.flow import Bridge, Flow, FlowKey, make_flow
from portchain.dataplane.host_switch import FlowLimits, PhysicalBridge
from portchain.dataplane.pipeline import TABLES
from portchain.dataplane.plan import ChainPlan, Reaction, Segment
from portchain.doctor import output
from portchain.doctor.checks import context_of, drops
from portchain.doctor.findings import Finding, Report, Severity
from portchain.doctor.snapshot import AgentFacts, BridgeFacts, PlanFacts, Snapshot
from portchain.rpc import contract
from tests.plans import ident, ovn_switch, switch, target
from tests.unit.doctor.hosts import (
    CHAIN,
    EGRESS,
    INGRESS,
    PEER,
    PORTS,
    VM,
    healthy,
    healthy_on_ovn,
    plan,
    report_of,
    with_interface,
    with_state,
    with_switch,
)

Break = Callable[[Snapshot], Snapshot]
STRANGER = make_flow(Bridge.INT, TABLES["HOP"].number, 10, ["reg8=0x10042"], ["drop"])


def without_flows(*tables: str) -> Break:
    """Lose all flows of tables."""
    numbers = {(TABLES[name].bridge, TABLES[name].number) for name in tables}

    def lose(snapshot: Snapshot) -> Snapshot:
        kept = [
            one
            for one in snapshot.switch.entries or ()
            if not isinstance(one, Flow) or (one.key.bridge, one.key.table) not in numbers
        ]
        return with_switch(snapshot, entries=tuple(kept))

    return lose


def with_changed_flow(table: str) -> Break:
    """Have one flow of a table drop its packets."""

    def change(snapshot: Snapshot) -> Snapshot:
        entries = list(snapshot.switch.entries or ())
        one = next(
            one
            for one in entries
            if isinstance(one, Flow) and one.key.table == TABLES[table].number
        )
        entries[entries.index(one)] = replace(one, actions="drop")
        return with_switch(snapshot, entries=tuple(entries))

    return change


def without_tunnel(snapshot: Snapshot) -> Snapshot:
    """Take the tunnel to h2 away, and keep the flows as they should be without it."""
    local = switch("h1", *PORTS)
    tunnels = {address: port for address, port in local.tunnels.items() if address != PEER}
    known = healthy(local=replace(local, tunnels=tunnels))
    return replace(snapshot, switch=known.switch)


def broken_tunnel(snapshot: Snapshot) -> Snapshot:
    """Have Open vSwitch fail to open the tunnel to h2."""
    known = without_tunnel(snapshot)
    broken = [replace(one, ofport=-1, error="no such device") for one in _tunnel_to(PEER)]
    return with_switch(known, interfaces=(*known.switch.interfaces, *broken))


def _tunnel_to(address: str) -> list:
    return [one for one in healthy().switch.interfaces if one.remote_ip == address]


def unplugged(name: str) -> Break:
    """Unplug a port; the flows are as they should be without it."""

    def unplug(snapshot: Snapshot) -> Snapshot:
        left = healthy(local=switch("h1", *(one for one in PORTS if one != name)))
        return replace(snapshot, switch=left.switch)

    return unplug


def lacking(snapshot: Snapshot) -> Snapshot:
    known = healthy(local=replace(switch("h1", *PORTS), lacks=frozenset({SEGMENTATION})))
    return replace(snapshot, switch=known.switch)


def too_large(snapshot: Snapshot) -> Snapshot:
    assert snapshot.switch.local is not None
    return with_switch(snapshot, local=replace(snapshot.switch.local, limits=FlowLimits(chain=5)))


def dead_agent(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, agent=AgentFacts(silence="no answer within 10 s"))


def mute_agent(snapshot: Snapshot) -> Snapshot:
    agent = AgentFacts(snapshot.agent.processes, silence="no answer within 10 s")
    return replace(snapshot, agent=agent)


def newer_on_server(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, plans=PlanFacts((replace(plan(), revision=7),)))


def deleted_on_server(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, plans=PlanFacts(()))


def unbound_gate(snapshot: Snapshot) -> Snapshot:
    known = healthy(local=ovn_switch("h1", *PORTS, unbound=["vm"]))
    return with_switch(snapshot, local=known.switch.local, entries=known.switch.entries)


def failed(snapshot: Snapshot) -> Snapshot:
    reason = "it has not answered 3 probes in a row"
    return with_state(snapshot, health=(PairHealth(ident("a"), False, reason),))


BROKEN: dict[str, tuple[Break, Severity, str, str, str, str]] = {
    # What is broken -> how, severity, and words of: compared, found, meaning, action.
    "no database": (
        lambda one: with_switch(one, database_error="unix:/db.sock: Connection refused"),
        *(Severity.ERROR, "database", "Connection refused", "no port is plugged in or out"),
        "start ovsdb-server",
    ),
    "database at another place": (
        lambda one: with_switch(one, refused_address="tcp:127.0.0.1:6640"),
        *(
            Severity.ERROR,
            "ovsdb_connection",
            "not answer at tcp:127.0.0.1:6640",
            "flows of before",
        ),
        "ovs-vsctl set-manager ptcp:6640:127.0.0.1",
    ),
    "no ovs-vswitchd": (
        lambda one: with_switch(one, daemon_error="connection refused", entries=None),
        *(Severity.ERROR, "ovs-vswitchd", "does not answer", "drops the packets of all others"),
        "start ovs-vswitchd",
    ),
    "no br-tun": (
        lambda one: with_switch(
            one, bridges=(one.switch.bridges[0], BridgeFacts("br-tun", Bridge.TUN, exists=False))
        ),
        *(Severity.ERROR, "bridge br-tun", "does not exist", "go to other hosts by tunnels"),
        "start neutron-openvswitch-agent, which creates it",
    ),
    "no bridge of a physical network": (
        lambda one: with_switch(
            one, bridges=(BridgeFacts("br-ex", Bridge.physical("physnet1"), exists=False),)
        ),
        *(Severity.ERROR, "bridge br-ex", "does not exist", "physical network physnet1"),
        "ovs-vsctl add-br br-ex",
    ),
    "no OpenFlow 1.4": (
        lambda one: with_switch(
            one,
            bridges=(
                BridgeFacts("br-int", Bridge.INT, refusals={"OpenFlow14": "version negotiation"}),
            ),
        ),
        *(Severity.ERROR, "OpenFlow of bridge br-int", "OpenFlow14", "neither read nor write"),
        "ovs-vsctl add bridge br-int protocols OpenFlow14",
    ),
    "dead agent": (
        dead_agent,
        *(Severity.ERROR, "neutron-openvswitch-agent", "no such process", "flows that are lost"),
        "start neutron-openvswitch-agent",
    ),
    "agent that does not answer": (
        mute_agent,
        *(Severity.ERROR, "process 4711", "does not answer on the message broker", "may not come"),
        "extension port_chain",
    ),
    "agent that fails": (
        lambda one: with_state(one, is_in_sync=False, failure="OFPBAC_BAD_TYPE"),
        *(Severity.ERROR, "does it program the switch", "OFPBAC_BAD_TYPE", "flows of before"),
        "see its log",
    ),
    "agent that compares nothing": (
        lambda one: with_state(one, compared_seconds=400),
        *(Severity.WARNING, "when has it compared", "400 s ago", "flows that are lost stay lost"),
        "whether the Neutron server answers",
    ),
    "agent of before an upgrade": (
        lambda one: with_state(one, minor_version=contract.MINOR_VERSION - 1),
        *(Severity.WARNING, "version of the contract", f"1.{contract.MINOR_VERSION - 1}"),
        *("release from before an upgrade", "restart neutron-openvswitch-agent"),
    ),
    "agent with an old plan": (
        newer_on_server,
        *(Severity.ERROR, f"plan of chain {CHAIN}", "has revision 3, the server revision 7"),
        *("as before its last change", "neutron-rpc-server"),
    ),
    "agent without a plan": (
        lambda one: with_state(one, revisions={}),
        *(Severity.ERROR, f"plan of chain {CHAIN}", "has no plan", "as before its last change"),
        "logs of the agent",
    ),
    "agent with a deleted chain": (
        deleted_on_server,
        *(Severity.WARNING, "chains with the server's", CHAIN, "chains that are deleted"),
        "see the agent's log",
    ),
    "failed function": (
        failed,
        *(Severity.WARNING, f"function of pair {ident('a')}", "3 probes in a row"),
        *("gets no packets until it answers again", "virtual machine"),
    ),
    "function that is not plugged in": (
        unplugged("a-in"),
        *(Severity.ERROR, f"port {INGRESS} (ingress port of a function)", "no interface"),
        *("its function gets no packets", "start the virtual machine"),
    ),
    "source that is not plugged in": (
        unplugged("vm"),
        *(Severity.WARNING, f"port {VM} (source)", "no interface", "it sends nothing"),
        "start the virtual machine",
    ),
    "port twice": (
        lambda one: with_switch(
            one,
            interfaces=(
                *one.switch.interfaces,
                replace(one.switch.interfaces[0], name="old", ofport=-1),
            ),
        ),
        *(Severity.WARNING, f"port {VM}", "several interfaces have its id: old, tap-vm"),
        *("flows lead to one of them", "ovs-vsctl del-port"),
    ),
    "port on another bridge": (
        lambda one: with_interface(one, "tap-a-out", bridge="br-test"),
        *(Severity.ERROR, f"port {EGRESS}", "on bridge br-test, and not on br-int"),
        *("its function gets no packets", "plug it in on br-int"),
    ),
    "port that cannot be opened": (
        lambda one: with_interface(
            one, "tap-a-in", ofport=-1, error="could not open network device tap-a-in"
        ),
        *(Severity.ERROR, f"port {INGRESS}", "could not open network device", "gets no packets"),
        "ovs-vsctl del-port tap-a-in",
    ),
    "port that is down": (
        lambda one: with_interface(one, "tap-a-in", link_state="down"),
        *(Severity.ERROR, f"port {INGRESS}", "is down (link_state)", "gets no packets"),
        "ip link set tap-a-in up",
    ),
    "dead VLAN": (
        lambda one: with_interface(one, "tap-a-in", tag=4095, wanted_tag=None),
        *(Severity.ERROR, f"port {INGRESS}", "tag of dead ports (4095)", "drops all packets"),
        "log of neutron-openvswitch-agent",
    ),
    "no VLAN tag": (
        lambda one: with_interface(one, "tap-a-in", tag=None, wanted_tag=None),
        *(Severity.ERROR, f"port {INGRESS}", "no VLAN tag", "drops all packets"),
        "log of neutron-openvswitch-agent",
    ),
    "another VLAN tag": (
        lambda one: with_interface(one, "tap-a-in", tag=2),
        *(Severity.ERROR, f"port {INGRESS}", "tag 2; Neutron's agent has noted 1"),
        *("on another network of this host", "restart neutron-openvswitch-agent"),
    ),
    "no tunnel": (
        without_tunnel,
        *(Severity.ERROR, f"tunnel to host h2 ({PEER})", "this host has none"),
        *(f"packets of chain {CHAIN} that have to get to host h2 are dropped", "l2_population"),
    ),
    "tunnel that cannot be opened": (
        broken_tunnel,
        *(Severity.ERROR, f"tunnel to host h2 ({PEER})", "no such device"),
        *("have to get to host h2 are dropped", "ovs-vswitchd's log"),
    ),
    "tunnel without a link": (
        lambda one: with_interface(one, "vxlan-102", carrier="down"),
        *(Severity.ERROR, "tunnel to host h2", "has no link", "are lost", "look at the network"),
    ),
    "tunnel that BFD finds dead": (
        lambda one: with_interface(one, "vxlan-102", bfd="down"),
        *(Severity.ERROR, "tunnel to host h2", "other end does not answer", "are lost"),
        "look at the network",
    ),
    "small MTU": (
        lambda one: with_interface(one, "vxlan-102", egress_mtu=1507),
        *(Severity.WARNING, "MTU of the tunnel to host h2", "MTU of 1507; packets of 1450 bytes"),
        *("longer than 1449 bytes are lost", "raise the MTU between the hosts to 1508"),
    ),
    "lost flows of an entrance": (
        without_flows("ACCEPT_OR_INGRESS"),
        *(Severity.ERROR, f"flows of chain {CHAIN}", "3 of 23 flows are missing: 3 in table 73"),
        f"packets that port {VM} sends are not classified here, and bypass the chain",
        "run this again after 30 s",
    ),
    "lost flows of a hop": (
        without_flows("HOP"),
        *(Severity.ERROR, f"flows of chain {CHAIN}", "in table 150 (HOP) of br-int"),
        *("packets in front of hop 1 get no function, and are dropped", "compares all flows"),
    ),
    "lost flows to a function": (
        without_flows("FORWARD"),
        *(Severity.ERROR, f"flows of chain {CHAIN}", "in table 152 (FORWARD) of br-int"),
        f"packets do not get to pair {ident('a')} of hop 1, and are dropped",
        "compares all flows",
    ),
    "lost flows behind a function": (
        without_flows("LOCAL_SWITCHING"),
        *(Severity.ERROR, f"flows of chain {CHAIN}", "in table 0 (LOCAL_SWITCHING) of br-int"),
        f"packets that the function of pair {ident('a')} returns at port {EGRESS} do not go on",
        "compares all flows",
    ),
    "lost flows of br-tun": (
        without_flows("TUNNEL_SWITCHING"),
        *(Severity.ERROR, "flows that each host with chains needs", "of br-tun"),
        *("lost on their way from this host to others", "compares all flows"),
    ),
    "changed flow": (
        with_changed_flow("HOP"),
        *(Severity.ERROR, f"flows of chain {CHAIN}", "1 of 23 flows are not as they should be"),
        *("in another way than the plan says", "compares all flows"),
    ),
    "flow of an unknown chain": (
        lambda one: with_switch(one, entries=(*(one.switch.entries or ()), STRANGER)),
        *(Severity.WARNING, "number 66, of a chain that has no plan here", "1 flow that no plan"),
        *("although no chain asks for that", "deletes them"),
    ),
    "chain that is too large": (
        too_large,
        *(Severity.ERROR, f"chain {CHAIN} with what this host can realise", "max_chain_flows"),
        *("would bypass it are dropped", "its flows are not compared"),
    ),
    "datapath that cannot divide packets": (
        lacking,
        *(Severity.WARNING, "features of the datapath", "modprobe mpls_gso", CHAIN),
        "docs/datapaths.md",
    ),
}


def the_finding(report: Report, compared: str, found: str) -> Finding:
    (one,) = [
        one for one in report.findings if compared in one.compared and found in one.found
    ] or pytest.fail(f"no finding about {compared!r}: {report}")
    return one


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_said_in_plain_words(name: str) -> None:
    damage, severity, compared, found, meaning, action = BROKEN[name]
    report = report_of(damage(healthy()))
    one = the_finding(report, compared, found)
    assert one.severity is severity
    assert meaning in one.meaning
    assert action in one.action
    assert report.exit_status == 1


ALONE = set(BROKEN) - {
    # Flows are as before, although what they depend on is not.
    *("no database", "no ovs-vswitchd", "agent with a deleted chain", "chain that is too large"),
    *("no br-tun", "no bridge of a physical network", "lost flows behind a function"),
}


@pytest.mark.parametrize("name", sorted(ALONE))
def test_nothing_else_is_said(name: str) -> None:
    damage, _, compared, found, *_ = BROKEN[name]
    report = report_of(damage(healthy()))
    others = [one for one in report.findings if compared not in one.compared]
    assert the_finding(report, compared, found)
    assert others == []


@pytest.mark.parametrize("snapshot", [healthy(), healthy_on_ovn(), healthy(plans=())])
def test_nothing_is_said_of_a_healthy_host(snapshot: Snapshot) -> None:
    assert report_of(snapshot) == Report()
    assert report_of(snapshot).exit_status == 0


def test_a_provider_network_replaces_a_tunnel() -> None:
    segment = Segment("physnet1", 101)
    there = replace(target("b", "h2"), ingress_segment=segment)
    hops = (plan().paths[0].hops[0], replace(plan().paths[0].hops[1], targets=(there,)))
    plans = [replace(plan(), paths=(replace(plan().paths[0], hops=hops),))]
    without = replace(switch("h1", *PORTS), tunnels={})
    report = report_of(healthy(plans, without))
    assert "nor a bridge to physical network physnet1" in report.findings[0].found
    local = replace(without, physical={"physnet1": PhysicalBridge(5, 1)})
    assert report_of(healthy(plans, local)).findings == ()


def test_an_unbound_gate_is_said() -> None:
    report = report_of(unbound_gate(healthy_on_ovn()))
    one = the_finding(report, f"gate of port {VM}", "has not bound it")
    assert "ovn-controller" in one.action


def test_a_port_that_is_not_on_br_chain_is_said() -> None:
    broken = with_interface(healthy_on_ovn(), "tap-vm", bridge="br-int")
    one = the_finding(report_of(broken), f"port {VM}", "on bridge br-int, and not on br-chain")
    assert "OVN drops those that would bypass one" in one.meaning


def test_a_port_without_a_way_to_its_network_is_said() -> None:
    known = healthy_on_ovn()
    assert known.switch.local is not None
    local = known.switch.local.without_ports([INGRESS])
    report = report_of(with_switch(known, local=local))
    assert the_finding(report, f"port {INGRESS}", "is not connected to its network")


def test_tunnels_of_ovn_itself_do_not_count() -> None:
    known = healthy_on_ovn()
    own = replace(_tunnel_to(PEER)[0], name="ovn-h2-0", bridge="br-int", carrier="down")
    report = report_of(with_switch(known, interfaces=(*known.switch.interfaces, own)))
    assert report == Report()


def test_br_chain_is_missing_only_if_chains_have_ports_here() -> None:
    bridges = (BridgeFacts("br-int", None), BridgeFacts("br-chain", Bridge.INT, exists=False))
    with_chain = with_switch(healthy_on_ovn(), bridges=bridges)
    assert the_finding(report_of(with_chain), "bridge br-chain", "does not exist")
    none = with_switch(healthy(plans=()), bridges=bridges)
    assert report_of(none) == Report()


# What cannot be checked.

NOBODY = "neither the server nor the agent says what the plans are"


def silent_server(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, plans=PlanFacts(silence="no answer within 10 s"))


def no_bus(snapshot: Snapshot) -> Snapshot:
    reason = "the message broker does not answer at 192.0.2.9:5672 (Connection refused)"
    agent = AgentFacts(snapshot.agent.processes, silence=reason)
    return replace(snapshot, plans=PlanFacts(silence=reason), agent=agent, bus_error=reason)


def test_without_the_server_the_plans_of_the_agent_count() -> None:
    report = report_of(silent_server(healthy()))
    assert report.findings == ()
    assert [one.check for one in report.unchecked] == [
        "whether the agent has the plans that the Neutron server has"
    ]
    assert report.exit_status == 2
    damaged = report_of(without_flows("HOP")(silent_server(healthy())))
    assert the_finding(damaged, f"flows of chain {CHAIN}", "are missing")


def test_without_the_broker_plans_are_not_known() -> None:
    report = report_of(no_bus(healthy()))
    assert report.findings == (), "a process of the agent runs"
    assert report.exit_status == 2
    text = " ".join(f"{one.check}: {one.reason}" for one in report.unchecked)
    for check in ("flows of chains", "tunnels", "ports of chains", "functions of this host"):
        assert check in text
    assert NOBODY in text
    assert "192.0.2.9:5672" in text
    assert all(one.action for one in report.unchecked)
    assert "of 1 chain" in report.notes[0]


def test_without_broker_and_process_the_agent_is_dead() -> None:
    broken = no_bus(healthy())
    report = report_of(replace(broken, agent=replace(broken.agent, processes={})))
    assert the_finding(report, "the agent", "no such process runs on this host")


def test_an_agent_of_an_older_release_is_alive() -> None:
    agent = AgentFacts({4711: "neutron-openvswitch-agent"}, silence="older", is_older=True)
    report = report_of(replace(healthy(), agent=agent))
    assert report.findings == ()
    assert "before contract 1.19" in report.unchecked[0].reason


def test_without_the_agent_the_health_of_functions_is_not_known() -> None:
    (unchecked,) = report_of(dead_agent(healthy())).unchecked
    assert "which functions of this host have failed" in unchecked.check


def test_a_datapath_that_cannot_be_asked_is_not_judged() -> None:
    report = report_of(with_switch(healthy(), lacks_error="ovs-appctl has not answered"))
    assert [one.check for one in report.unchecked] == ["features of the datapath"]


def test_without_the_database_only_that_is_said_of_the_switch() -> None:
    broken = with_switch(
        healthy(), database_error="refused", local=None, entries=None, interfaces=(), bridges=()
    )
    report = report_of(broken)
    assert len(report.findings) == 1
    (unchecked,) = report.unchecked
    assert unchecked.reason == "Open vSwitch's database does not answer"


# Findings as a whole.


def test_a_dead_agent_repairs_nothing() -> None:
    report = report_of(without_flows("HOP")(dead_agent(healthy())))
    one = the_finding(report, f"flows of chain {CHAIN}", "are missing")
    assert "start neutron-openvswitch-agent" in one.action
    assert not one.may_pass


def test_what_passes_by_itself_does_not_count() -> None:
    first = report_of(without_flows("HOP")(healthy()))
    assert first.may_pass
    second = report_of(with_interface(healthy(), "tap-a-in", link_state="down"))
    assert second.without_passed(first) == Report()
    assert second.without_passed(second) == second
    lasting = report_of(with_interface(healthy(), "vxlan-102", egress_mtu=1507))
    assert lasting.without_passed(first) == lasting


def test_findings_about_some_chains() -> None:
    broken = no_tunnel_and_old_release()
    assert {one.chain_ids for one in broken.about([CHAIN]).findings} == {(), (CHAIN,)}
    assert {one.chain_ids for one in broken.about([ident("pc9")]).findings} == {()}


def no_tunnel_and_old_release() -> Report:
    return report_of(with_state(without_tunnel(healthy()), minor_version=17))


def test_functions_that_the_agent_leaves_out_are_left_out() -> None:
    """Until the server has planned again, hosts select as its next plan will."""
    spare = target("a2", "h1")
    hops = list(plan().paths[0].hops)
    hops[0] = replace(hops[0], targets=(*hops[0].targets, spare), reaction=Reaction(1))
    plans = [replace(plan(), paths=(replace(plan().paths[0], hops=tuple(hops)),))]
    local = switch("h1", *PORTS, "a2-in", "a2-out")
    failed = frozenset({ident("a")})
    known = healthy(plans, replace(local, failed=failed))
    known = with_switch(known, local=local)
    assert report_of(with_state(known, left_out=failed)).findings == ()
    assert the_finding(report_of(known), f"flows of chain {CHAIN}", "not as they should be")


def test_drops_are_notes() -> None:
    nowhere: ChainPlan = replace(
        plan(),
        paths=(replace(plan().paths[0], hops=(replace(plan().paths[0].hops[0], targets=()),)),),
    )
    snapshot = healthy(plans=[nowhere])
    wanted = context_of(snapshot).desired
    assert wanted is not None
    keys = drops.keys(wanted)
    assert keys
    counts: dict[FlowKey, Count] = {key: Count(2, 200) for key in keys}
    report = report_of(with_switch(snapshot, counts=counts))
    assert report.findings == ()
    text = " ".join(report.notes)
    assert f"chain {CHAIN}: this host has dropped 2 packets" in text
    assert "because the group has no pair that takes packets" in text


def test_output_says_everything(capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = silent_server(with_changed_flow("HOP")(healthy()))
    report = report_of(snapshot)
    output.print_table(report, snapshot)
    text = " ".join(capsys.readouterr().out.replace("|", " ").split())
    for part in ("ERROR", "not as they should be", "UNCHECKED", "1 thing is wrong"):
        assert part in text
    assert output.summary(Report(), healthy()) == (
        "Host h1: nothing is wrong with port chains; it has a part in 1 chain"
    )
    assert '"exit_status": 1' in output.as_json(report, snapshot)
    assert '"plans_from": "agent"' in output.as_json(report, snapshot)
