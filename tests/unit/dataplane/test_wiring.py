"""Flows of br-chain that do not belong to a chain, and what chains do otherwise there."""

from dataclasses import replace

import pytest

from portchain.dataplane import pipeline
from portchain.dataplane.arbitration import FlowArbiter
from portchain.dataplane.compile import compile_chain, compile_frame_guard
from portchain.dataplane.flow import Bridge, Flow
from portchain.dataplane.gates import gate_name, needs_of
from portchain.dataplane.host_switch import FROM_TUNNELS, HostNeeds, LocalSwitch
from portchain.dataplane.pipeline import TABLES, port_label
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.transition import ChainTransition
from tests.plans import GATE, NETWORK, chain, ident, ovn_switch, tap, target

PORTS = ("vm", "a-in", "a-out")
LOCAL = ovn_switch("h1", *PORTS)
PLAN = chain([target("a", "h1")], [target("b", "h2")])
BRIDGING = chain([target("a", "h1", bridges=True)])


def everything(plan: ChainPlan, local: LocalSwitch) -> set[Flow]:
    return {*compile_chain(plan, local).flows, *compile_frame_guard(local)}


@pytest.mark.parametrize("plan", [PLAN, BRIDGING])
def test_all_flows_are_declared_and_on_one_bridge(plan: ChainPlan) -> None:
    flows = everything(plan, LOCAL)
    pipeline.check(flows)
    assert {flow.key.bridge for flow in flows} == {Bridge.INT}


def test_no_flow_of_a_chain_has_the_key_of_a_wire() -> None:
    """A chain with such a flow would fail: the wiring yields to nothing."""
    chains = {f.key for plan in (PLAN, BRIDGING) for f in compile_chain(plan, LOCAL).flows}
    assert chains.isdisjoint(flow.key for flow in compile_frame_guard(LOCAL))


def test_chains_flood_nothing_on_br_chain() -> None:
    compiled = compile_chain(BRIDGING, LOCAL)
    assert compiled.no_flood == frozenset()
    dropped = {word for f in compiled.flows if f.actions == "drop" for word in f.key.match}
    assert dropped >= {f"in_port={number + NETWORK}" for number in (12, 13)}


def test_packets_go_into_the_tunnel_with_two_labels() -> None:
    """As another host sends them into br-tun: both kinds of hosts understand each other."""
    tunnel = LOCAL.tunnels["192.0.2.2"]
    sent = [f for f in compile_chain(PLAN, LOCAL).flows if f.actions.endswith(f"output:{tunnel}")]
    assert sent
    for flow in sent:
        assert flow.actions.count("push_mpls") == 2
        assert str(port_label(target("b", "h2").ingress_mac)) in flow.actions


def test_whole_frames_go_into_the_tunnel_too() -> None:
    old = replace(PLAN, packet_hosts=())
    flows = compile_chain(old, LOCAL).flows
    assert any(f.actions.startswith("encap(mpls)") and "output:102" in f.actions for f in flows)
    assert {flow.key.bridge for flow in flows} == {Bridge.INT}


def test_what_arrives_is_the_same_from_any_tunnel() -> None:
    local = ovn_switch("h2", "b-in", "b-out")
    arriving = {f for f in compile_chain(PLAN, local).flows if "mpls" in f.key.match}
    entering = {f for f in arriving if f.key.table == TABLES["LOCAL_SWITCHING"].number}
    assert entering
    assert all(f"in_port={FROM_TUNNELS}" in flow.key.match for flow in entering)
    wires = {f for f in compile_frame_guard(local) if f"set_field:{FROM_TUNNELS}->" in f.actions}
    assert {word for f in wires for word in f.key.match} >= {"in_port=101", "in_port=103"}


@pytest.mark.parametrize(
    ("plan", "without", "missing"),
    [
        (PLAN, ("vm",), ("vm",)),
        (PLAN, ("vm", "a-out"), ("vm", "a-out")),
        (PLAN, ("a-in",), ()),  # needs no gate
        (BRIDGING, ("a-in", "a-out"), ()),
    ],
)
@pytest.mark.parametrize("which", ["ungated", "unbound"])
def test_the_host_reports_gates_that_are_not_bound(
    which: str, plan: ChainPlan, without: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    local = ovn_switch("h1", *PORTS, **{which: without})
    found = compile_chain(plan, local).missing
    assert len(found) == len(missing)
    for name in missing:
        assert any(ident(name) in text and "gate" in text for text in found)


def test_a_gate_works_while_ovn_says_that_it_is_not_bound() -> None:
    """It says so while ovn-controller restarts. Its flows are still there."""
    unbound = ovn_switch("h1", *PORTS, unbound=PORTS)
    assert compile_frame_guard(unbound) == compile_frame_guard(LOCAL)


def test_nothing_enters_a_chain_without_a_gate() -> None:
    """The flows that hold packets stay, and those that would take them to their gate are gone."""
    flows = compile_frame_guard(ovn_switch("h1", "vm", ungated=("vm",)))
    assert not [flow for flow in flows if flow.key.table == TABLES["TO_CHECKS"].number]
    assert not [flow for flow in flows if str(GATE + 11) in str(flow)]
    held = [f for f in flows if f.key.priority == pipeline.Priority.ENTER]
    assert {flow.key.table for flow in held} == {TABLES[name].number for name in ("HOP", "COPY")}


def test_ports_stay_connected_without_chains() -> None:
    """A port may be on br-chain before its chain, and after it."""
    arbiter = FlowArbiter()
    state = {PLAN.id: ChainTransition(PLAN)}
    for chains in ({}, state, {}):
        arbiter.recompute(chains, [PLAN.id], LOCAL)
        assert set(arbiter.ledger.entries) >= compile_frame_guard(LOCAL)
    assert set(arbiter.ledger.entries) == compile_frame_guard(LOCAL)


def test_no_flow_is_left_without_chains_and_ports() -> None:
    arbiter = FlowArbiter()
    arbiter.recompute({PLAN.id: ChainTransition(PLAN)}, [PLAN.id], LOCAL)
    arbiter.recompute({}, [PLAN.id], ovn_switch("h1"))
    assert set(arbiter.ledger.entries) == set()


def test_a_host_needs_its_own_ports_their_gates_and_ways_to_others() -> None:
    assert needs_of(PLAN, "h1") == HostNeeds(
        frozenset(
            {ident("vm"), ident("a-in"), ident("a-out")}
            | {gate_name(ident("vm")), gate_name(ident("a-out"))}
        ),
        frozenset({"192.0.2.2"}),
    )
    assert needs_of(PLAN, "h3") == HostNeeds(peers=frozenset({"192.0.2.1", "192.0.2.2"}))
    tapped = chain(tap(target("t", "h2")), [target("a", "h1")])
    assert needs_of(tapped, "h2").ports == {ident("t-in")}


def test_a_port_without_a_wire_has_no_flows() -> None:
    unwired = {port_id: replace(port, wire=None) for port_id, port in LOCAL.ports.items()}
    flows = compile_frame_guard(replace(LOCAL, ports=unwired))
    assert flows == compile_frame_guard(replace(LOCAL, ports={}))
    assert compile_chain(PLAN, replace(LOCAL, ports=unwired)).missing == ()


def test_a_host_needs_no_way_to_a_host_without_an_address() -> None:
    without = replace(target("b", "h2"), tunnel_ip="")
    assert needs_of(chain([target("a", "h1")], [without]), "h1").peers == frozenset()


def test_connections_follow_the_ports() -> None:
    arbiter, state = FlowArbiter(), {PLAN.id: ChainTransition(PLAN)}
    other = ovn_switch("h1", *PORTS, "further")
    for local in (LOCAL, other, LOCAL):
        arbiter.recompute(state, [], local)
        assert compile_frame_guard(local) <= set(arbiter.ledger.entries)
        wires = {flow for flow in arbiter.ledger.entries if flow.key.match & {"in_port=14"}}
        assert bool(wires) == (local is other)
