"""Chains that a host cannot realise: conflicts and precedence, rejected flows, and the fallback.

Tests the arbiter through a reconciler.
"""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portchain.core.model import HostReport
from portchain.dataplane import transition_flows
from portchain.dataplane.arbitration import FlowArbiter
from portchain.dataplane.compile import compile_bypass_guard, compile_chain, compile_frame_guard
from portchain.dataplane.pipeline import ODD_GENERATION, TABLES
from portchain.dataplane.plan import Hop
from portchain.dataplane.transition import ChainTransition
from portchain.rpc.contract import PlanUpdate
from tests.full import examples
from tests.plans import chain, classifier, ident, source, switch, target
from tests.unit.host.in_memory_switch import (
    PORTS,
    MemorySwitch,
    let_time_pass,
    plan,
    reconciler_on_h1,
)


def chain_of(number, *names, hops=2, revision=1, far=False):
    """Return a chain of these sources; all chains from here have the same header fields."""
    last = target("c", "h2") if far else target("b", "h1")
    made = chain(
        *([target("a", "h1")], [last])[:hops], name=f"pc{number}", path_id=number, revision=revision
    )
    (path,) = made.paths
    sources = tuple(source(name) for name in names)
    return replace(made, paths=(replace(path, sources=sources),))


def unsupported(plan, *names):
    """Return the chain with a feature that this agent does not support, at the next revision."""
    (path,) = plan.paths
    hop = Hop(1, (target("a", "h1"), target("b", "h1")), lb_fields=("ip_ttl",))
    sources = tuple(source(name) for name in names) or path.sources
    return replace(
        plan, revision=plan.revision + 1, paths=(replace(path, hops=(hop,), sources=sources),)
    )


def is_dropped(memory, name):
    """Return whether the switch drops everything that a port sends."""
    in_port = f"in_port={memory.local.ports[ident(name)].ofport}"
    found = [flow for flow in memory.flows.values() if in_port in flow.key.match]
    return bool(found) and all(flow.actions == "drop" for flow in found)


def errors(reports):
    return {report.chain_id: report.error for report in reports}


def test_conflicting_chains_do_not_affect_others(memory, reconciler, reports):
    one = plan(1, 1)
    rival = replace(plan(2, 1), paths=one.paths)
    reconciler.synchronise(PlanUpdate((one,)))
    reconciler.update(PlanUpdate((rival, plan(3, 1))))
    assert memory.holds_exactly(one, plan(3, 1))
    errors = {report.chain_id: report.error for report in reports}
    assert "another port chain" in errors[rival.id]
    assert one.id not in errors[rival.id], "the message must not name a chain of another project"
    assert errors[plan(3, 1).id] == ""


def test_bypass_guard_drops_traffic_of_unsupported_plan(memory, reconciler, reports):
    hop = Hop(1, (target("a", "h1"), target("b", "h1")), lb_fields=("ip_ttl",))
    newer = replace(plan(1, 1), paths=(replace(plan(1, 1).paths[0], hops=(hop,)),))
    reconciler.synchronise(PlanUpdate((newer,)))
    guard = compile_bypass_guard(newer, memory.local).flows | compile_frame_guard(memory.local)
    assert set(memory.flows.values()) == guard
    assert {flow.key.table for flow in guard} & {TABLES["HOP"].number} == set(), (
        "no flow leads into the chain"
    )
    assert any("in_port=" in str(flow) and flow.actions == "drop" for flow in guard), (
        "but traffic is classified"
    )
    reconciler.update(PlanUpdate((plan(1, 2),)))
    let_time_pass(reconciler)
    assert memory.holds_exactly(plan(1, 2))
    reconciler.update(PlanUpdate((replace(newer, revision=3),)))
    let_time_pass(reconciler)
    assert memory.holds_exactly(plan(1, 2)), "existing steering is kept"


def test_by_a_plan_of_before_functions_return_no_more_than_by_the_latest(memory, reconciler):
    """An owner of a chain could make its plans fail, to keep addresses that are others' by now."""
    before, after = ("10.0.0.10/32", "10.0.0.11/32", "10.0.9.0/24"), ("10.0.0.10/32", "10.0.9.7/32")
    one = returning(chain([target("a", "h1")]), before)
    reconciler.synchronise(PlanUpdate((one,)))
    for latest, expected in ((after, after), (None, before)):  # an older server does not say
        reconciler.update(PlanUpdate((returning(unsupported(one), latest),)))
        let_time_pass(reconciler)
        checks, wanted = (
            {flow for flow in flows if flow.key.table == TABLES["RETURNED"].number}
            for flows in (
                memory.flows.values(),
                compile_chain(returning(one, expected), memory.local).flows,
            )
        )
        assert checks == wanted != set()


def returning(plan, sources):
    """Return a plan with what its functions may return."""
    (path,) = plan.paths
    hops = tuple(replace(hop, returned_sources=sources) for hop in path.hops)
    return replace(plan, paths=(replace(path, hops=hops),))


def test_traffic_of_conflicting_later_chain_is_dropped(memory, reconciler, reports):
    one = chain([target("a", "h1")], [target("b", "h1")], name="pc1", path_id=1)
    elsewhere = (source("vm2"),)
    rival = chain([target("a", "h1")], [target("b", "h1")], name="pc2", path_id=2)
    rival = replace(rival, paths=(replace(rival.paths[0], sources=elsewhere),))
    memory.local = switch("h1", *PORTS, "vm2")
    reconciler.synchronise(PlanUpdate((one, rival)))
    guard = compile_bypass_guard(rival, memory.local).flows
    assert guard
    assert guard < set(memory.flows.values())
    assert "another port chain" in reports[-1].error
    reconciler.update(PlanUpdate(removed=((one.id, 9),)))
    let_time_pass(reconciler)
    assert memory.holds_exactly(rival), "the other chain is deleted"
    assert reports[-1].error == ""


def test_chain_that_conflicts_with_itself_is_reported(memory, reconciler, reports):
    loop = chain(
        [target("a", "h1")], [target("b", "h1")], [target("a", "h1")], name="pc1", path_id=1
    )
    reconciler.synchronise(PlanUpdate((loop, plan(2, 1))))
    errors = {report.chain_id: report.error for report in reports}
    assert "conflicts with itself" in errors[loop.id]
    assert compile_bypass_guard(loop, memory.local).flows < set(memory.flows.values())
    assert compile_chain(plan(2, 1), memory.local).flows < set(memory.flows.values())


def test_compiler_failure_does_not_affect_other_chains(memory, reconciler, reports, monkeypatch):
    def fails_for_one(flows):
        if any("0x10002" in flow.actions for flow in flows):
            raise ValueError("a flow beyond the declaration")

    monkeypatch.setattr("portchain.dataplane.pipeline.check", fails_for_one)
    reconciler.synchronise(PlanUpdate((plan(2, 1), plan(1, 1))))
    errors = {report.chain_id: report.error for report in reports}
    assert errors == {plan(2, 1).id: "a flow beyond the declaration", plan(1, 1).id: ""}
    assert compile_chain(plan(1, 1), memory.local).flows < set(memory.flows.values())


def test_unsupported_plan_is_reported_and_does_not_affect_others(memory, reconciler, reports):
    hop = Hop(1, (target("a", "h1"), target("b", "h1")), lb_fields=("ip_ttl",))
    newer = replace(plan(2, 1), paths=(replace(plan(2, 1).paths[0], hops=(hop,)),))
    reconciler.synchronise(PlanUpdate((newer, plan(1, 1))))
    assert compile_chain(plan(1, 1), memory.local).flows < set(memory.flows.values())
    errors = {report.chain_id: report.error for report in reports}
    assert "ip_ttl" in errors[newer.id]


def test_flows_of_draining_plans_yield_to_other_chains(memory, reconciler, reports):
    """A classifier moves from one chain to another through the same functions."""
    one = plan(1, 1)
    other = replace(plan(2, 1), paths=one.paths)
    reconciler.synchronise(PlanUpdate((one,)))
    reconciler.update(PlanUpdate(removed=((one.id, 2),)))
    reconciler.update(PlanUpdate((other,)))
    assert reports[-1] == HostReport(other.id, 1)
    assert compile_chain(other, memory.local).flows < set(memory.flows.values())
    let_time_pass(reconciler)
    assert memory.holds_exactly(other)


# --- Bypass guards and fallback.


def test_bypass_guard_follows_the_ports(memory, reconciler):
    memory.local = switch("h1", *PORTS, "vm2")
    one, loser = chain_of(1, "vm"), chain_of(2, "vm2")
    reconciler.synchronise(PlanUpdate((one, loser)))
    assert is_dropped(memory, "vm2")
    memory.local = switch("h1", *PORTS, "other", "vm2")
    reconciler.ports_changed([ident("vm2")])
    assert is_dropped(memory, "vm2")
    assert not is_dropped(memory, "other"), "it has the OpenFlow port that vm2 had"


def test_fallback_follows_the_ports(memory, reconciler, reports):
    old = plan(1, 1)
    reconciler.synchronise(PlanUpdate((old,)))
    reconciler.update(PlanUpdate((unsupported(old, "vm", "vm2"),)))
    let_time_pass(reconciler)
    memory.local = switch("h1", *PORTS, "vm2", first=31)
    reconciler.ports_changed([ident("b-out"), ident("vm2")])
    assert compile_chain(old, memory.local).flows < set(memory.flows.values())
    assert is_dropped(memory, "vm2"), "it is not a source of the fallback plan"
    assert "ip_ttl" in reports[-1].error
    assert not any(
        f"in_port={port}" in flow.key.match
        for flow in memory.flows.values()
        for port in range(11, 20)
    )


def test_fallback_follows_ports_of_the_fallback_plan_only(memory, reconciler):
    old = chain_of(1, "vm")
    reconciler.synchronise(PlanUpdate((old,)))
    (path,) = unsupported(old).paths
    newer = replace(
        old, revision=2, paths=(replace(path, hops=(Hop(1, (target("d", "h1"),), ("ip_ttl",)),)),)
    )
    reconciler.update(PlanUpdate((newer,)))
    let_time_pass(reconciler)
    reconciler.update(PlanUpdate((replace(newer, revision=3),)))
    let_time_pass(reconciler)
    memory.local = switch("h1", *PORTS, first=31)
    reconciler.ports_changed([ident("a-in")])
    assert compile_chain(old, memory.local).flows < set(memory.flows.values())


def test_bypass_guard_yields_to_other_chains_only(memory, reconciler):
    memory.local = switch("h1", *PORTS, "vm2")
    one, loser = chain_of(1, "vm"), chain_of(2, "vm", "vm2")
    reconciler.synchronise(PlanUpdate((one, loser)))
    assert compile_chain(one, memory.local).flows < set(memory.flows.values())
    assert is_dropped(memory, "vm2")
    reconciler.update(PlanUpdate((replace(chain_of(1), revision=2),)))
    assert is_dropped(memory, "vm2") or memory.holds_exactly(
        replace(chain_of(1), revision=2), loser
    )


def test_failed_chains_are_recomputed_only_after_a_related_change(memory, reconciler, monkeypatch):
    tried = []

    def compile_transition(now, local):
        tried.append(now.plan.id)
        return compiled(now, local)

    compiled = transition_flows.compile_transition
    one, loser = chain_of(1, "vm"), chain_of(2, "vm2")
    memory.local = switch("h1", *PORTS, "vm2")
    reconciler.synchronise(PlanUpdate((one, loser, unsupported(plan(4, 1)))))
    monkeypatch.setattr(transition_flows, "compile_transition", compile_transition)
    reconciler.update(PlanUpdate((plan(3, 1),)))
    assert tried == [plan(3, 1).id]
    reconciler.ports_changed([ident("vm2")])
    assert set(tried[1:]) == {loser.id}
    tried.clear()
    reconciler.update(PlanUpdate((replace(one, revision=2),)))
    assert set(tried) == {one.id, loser.id}


# --- Precedence.


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
def test_lowest_number_has_precedence_among_new_chains(memory, reports, order):
    memory.local = switch("h1", *PORTS, "vm1", "vm2", "vm3")
    plans = [chain_of(number, f"vm{number}") for number in order]
    reconciler_on_h1(memory, reports.extend).synchronise(PlanUpdate(tuple(plans)))
    assert [number for number in order if not errors(reports)[chain_of(number).id]] == [1]


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_older_chain_has_precedence_whatever_its_number(memory, reports, order):
    """After a reboot the switch is empty. Users can choose numbers, but not the serial."""
    memory.local = switch("h1", *PORTS, "vm1", "vm2")
    serials = {1: 9, 2: 3}
    plans = [replace(chain_of(n, f"vm{n}"), serial=serials[n]) for n in order]
    reconciler_on_h1(memory, reports.extend).synchronise(PlanUpdate(tuple(plans)))
    assert [number for number in order if not errors(reports)[chain_of(number).id]] == [2]


def behind_a(number, owner, **changes):
    """A chain whose function ``a`` is also in other chains; it accepts one source there."""
    made = chain_of(number, f"vm{number}")
    (path,) = made.paths
    first, last = path.hops
    hops = (replace(first, accepted_sources=(("10.0.0.10/32",),)), last)
    wanted = (classifier(**changes),)
    path = replace(path, hops=hops, classifiers=wanted)
    return replace(made, paths=(path,), serial=number, owner=owner)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_later_chain_of_another_project_takes_no_packet_of_an_earlier_one(memory, reports, order):
    """The keys of the flows differ: without this rule, the switch would let chance decide."""
    memory.local = switch("h1", *PORTS, "vm1", "vm2")
    chains = {
        1: behind_a(1, "alice"),
        2: behind_a(2, "bob", source_ports=None, destination_prefixes=("10.0.0.0/24",)),
    }
    reconciler = reconciler_on_h1(memory, reports.extend)
    reconciler.synchronise(PlanUpdate(tuple(chains[number] for number in order)))
    assert errors(reports)[chains[1].id] == ""
    assert "another port chain" in errors(reports)[chains[2].id]
    assert is_dropped(memory, "vm2"), "it does not bypass its chain either"
    reconciler.update(PlanUpdate(removed=((chains[1].id, 9),)))
    let_time_pass(reconciler)
    assert errors(reports)[chains[2].id] == ""


def test_chains_of_one_project_may_take_the_same_packets(memory, reports):
    memory.local = switch("h1", *PORTS, "vm1", "vm2")
    chains = (behind_a(1, "alice"), behind_a(2, "alice", source_ports=None))
    reconciler_on_h1(memory, reports.extend).synchronise(PlanUpdate(chains))
    assert set(errors(reports).values()) == {""}


def test_packets_with_other_source_addresses_are_not_taken_from_a_shared_function(memory, reports):
    made = behind_a(1, "alice")
    flows = compile_chain(made, switch("h1", *PORTS, "vm1")).flows
    at_function = [
        flow
        for flow in flows
        if f"in_port={memory.local.ports[ident('a-out')].ofport}" in flow.key.match
        and flow.key.table == TABLES["LOCAL_SWITCHING"].number
    ]
    assert at_function
    assert all("nw_src=10.0.0.10" in flow.key.match for flow in at_function)
    nobody = replace(made.paths[0].hops[0], accepted_sources=((),))
    path = replace(made.paths[0], hops=(nobody, made.paths[0].hops[1]))
    compiled = compile_chain(replace(made, paths=(path,)), switch("h1", *PORTS, "vm1"))
    assert not set(at_function) & compiled.flows


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_lower_number_has_precedence_until_one_chain_sends(memory, reports, order):
    """Chains over several hosts, which receive their plans in any order."""
    memory.local = switch("h1", *PORTS, "vm1", "vm2")
    reconciler = reconciler_on_h1(memory, reports.extend)
    reconciler.synchronise(PlanUpdate())
    for number in order:
        made = chain_of(number, f"vm{number}", far=True)
        reconciler.update(PlanUpdate((made,), prepare=frozenset({made.id})))
    assert errors(reports)[chain_of(1).id] == ""
    assert "another port chain" in errors(reports)[chain_of(2).id]


def test_chain_that_sends_has_precedence_over_later_ones(memory, reconciler, reports):
    memory.local = switch("h1", *PORTS, "vm1", "vm2")
    sending = chain_of(2, "vm2")
    reconciler.synchronise(PlanUpdate((sending,)))
    reconciler.update(PlanUpdate((chain_of(1, "vm1"),)))
    assert errors(reports)[sending.id] == ""
    assert "another port chain" in errors(reports)[chain_of(1).id]
    newer = replace(sending, revision=2)
    reconciler.update(PlanUpdate((newer,)))
    let_time_pass(reconciler)
    assert errors(reports)[sending.id] == "", "also with its next plan"
    restarted = reconciler_on_h1(memory, reports.extend)
    assert restarted.synchronise(PlanUpdate((chain_of(1, "vm1"), newer))) is False
    assert errors(reports)[sending.id] == "", "also after a restart of the agent"


def test_new_plan_yields_to_chain_that_sends(memory, reconciler, reports):
    memory.local = switch("h1", *PORTS, "vm1", "vm2")
    apart = replace(chain_of(1, "vm1"), paths=plan(7, 1).paths)
    sending = chain_of(2, "vm2")
    reconciler.synchronise(PlanUpdate((apart, sending)))
    reconciler.update(PlanUpdate((chain_of(1, "vm1", revision=2),)))
    let_time_pass(reconciler)
    assert errors(reports)[sending.id] == ""
    assert "another port chain" in errors(reports)[apart.id]
    assert compile_chain(apart, memory.local).flows < set(memory.flows.values()), (
        "existing steering is kept"
    )
    assert is_dropped(memory, "vm1")


@settings(max_examples=examples(60), deadline=None)
@given(
    st.permutations(
        [
            chain_of(1, "vm1"),
            chain_of(2, "vm2"),
            chain_of(3, "vm1", hops=1),
            chain_of(4, "vm3"),
            plan(5, 1),
        ]
    ),
    st.lists(st.sampled_from([1, 2, 3, 4, 5]), max_size=3, unique=True),
)
def test_no_bypass_in_any_order_and_restart_changes_nothing(plans, gone):
    memory, reports = MemorySwitch(), []
    memory.local = switch("h1", *PORTS, "vm1", "vm2", "vm3")
    reconciler = reconciler_on_h1(memory, reports.extend)
    reconciler.synchronise(PlanUpdate())
    for each in plans:
        reconciler.update(PlanUpdate((each,)))
    for number in gone:
        reconciler.update(PlanUpdate(removed=((ident(f"pc{number}"), 9),)))
    let_time_pass(reconciler)
    left = tuple(each for each in plans if each.path_id not in gone)
    programmed = {(flow.key, flow.actions) for flow in memory.flows.values()}
    for each in left:
        entrance = {flow.key for flow in compile_chain(each, memory.local).classification}
        assert entrance <= memory.flows.keys()
        if not errors(reports)[each.id]:
            assert {
                (f.key, f.actions) for f in compile_chain(each, memory.local).flows
            } <= programmed
    assert any(not errors(reports)[each.id] for each in left) or not left
    before = errors(reports)
    assert reconciler_on_h1(memory, reports.extend).synchronise(PlanUpdate(left)) is False
    assert errors(reports) == before


# --- Flows that the switch rejects.


def test_rejected_flow_does_not_affect_other_chains(memory, reconciler, reports):
    memory.rejected_words = ("0x10002->reg8",)
    reconciler.synchronise(PlanUpdate(tuple(plan(number, 1) for number in range(1, 8))))
    assert reconciler.is_in_sync
    errors_by_chain = errors(reports)
    assert {chain_id for chain_id, error in errors_by_chain.items() if error} == {plan(2, 1).id}
    assert "OFPBAC_BAD_TYPE" in errors_by_chain[plan(2, 1).id]
    flows = set(memory.flows.values())
    assert all(compile_chain(plan(n, 1), memory.local).flows < flows for n in (1, 3, 4, 5, 6, 7))
    assert compile_bypass_guard(plan(2, 1), memory.local).flows < flows
    memory.rejected_words = ()
    reconciler.reconcile()
    assert errors(reports)[plan(2, 1).id] == ""
    assert memory.holds_exactly(*(plan(number, 1) for number in range(1, 8)))


def test_chain_with_rejected_flows_keeps_its_applied_plan(memory, reconciler, reports):
    old, new = plan(1, 1), replace(plan(1, 2, hops=2), path_id=1 | ODD_GENERATION)
    reconciler.synchronise(PlanUpdate((old,)))
    memory.rejected_words = (f"in_port={memory.local.ports[ident('b-out')].ofport}",)
    reconciler.update(PlanUpdate((new, plan(2, 1))))
    assert compile_chain(old, memory.local).flows < set(memory.flows.values())
    assert compile_chain(plan(2, 1), memory.local).flows < set(memory.flows.values())
    assert "OFPBAC_BAD_TYPE" in errors(reports)[new.id]
    let_time_pass(reconciler)
    assert memory.holds_exactly(old, plan(2, 1))


def test_chain_whose_guard_is_rejected_too_has_no_flows(memory, reconciler, reports):
    memory.local = switch("h1", *PORTS, "vm2")
    memory.rejected_words = (f"in_port={memory.local.ports[ident('vm2')].ofport}",)
    reconciler.synchronise(PlanUpdate((chain_of(1, "vm2"), plan(2, 1))))
    assert memory.holds_exactly(plan(2, 1))
    assert "OFPBAC_BAD_TYPE" in errors(reports)[chain_of(1).id]


def test_rejected_frame_guard_is_retried(memory, reconciler, reports):
    memory.rejected_words = ("mpls",)
    with pytest.raises(RuntimeError):
        reconciler.synchronise(PlanUpdate((plan(1, 1),)))
    assert reports == []
    assert not reconciler.is_in_sync
    memory.rejected_words = ()
    reconciler.reconcile()
    assert memory.holds_exactly(plan(1, 1))


def test_flows_that_all_chains_use_come_before_others_although_some_are_rejected(
    memory, reconciler, monkeypatch
):
    """Without those of SLOT_BIT, BALANCE would send all packets to the first pair."""
    memory.rejected_words = ("0x10002->reg8",)
    shared, balancing = TABLES["SLOT_BIT"].number, TABLES["BALANCE"].number
    present = []
    apply = MemorySwitch.apply

    def noting(self, batch):
        apply(self, batch)
        tables = [key.table for key in self.flows]
        present.append((tables.count(shared), tables.count(balancing)))

    monkeypatch.setattr(MemorySwitch, "apply", noting)
    plans = tuple(
        chain(
            [target("a", "h1"), target("b", "h1")],
            **{"name": f"pc{number}", "path_id": number},
            classifiers=(classifier(source_ports=(number, number)),),
        )
        for number in range(1, 6)
    )
    reconciler.synchronise(PlanUpdate(plans))
    assert all(present[-1])
    assert {bits for bits, sets in present if sets} == {present[-1][0]}


def test_guard_of_new_source_yields_to_another_chain(memory, reconciler, reports):
    """A classifier moves from one chain to another; the host gets the plans in the wrong order."""
    one, other = plan(1, 1), chain_of(2, "vm", revision=2, far=True)
    (path,) = other.paths
    other = replace(
        other, paths=(replace(path, hops=path.hops[1:], classifiers=one.paths[0].classifiers),)
    )
    reconciler.synchronise(PlanUpdate((one,)))
    reconciler.update(PlanUpdate((other,), prepare=frozenset({other.id})))
    assert reports[-1] == HostReport(other.id, 2, prepared=True)
    assert compile_chain(one, memory.local).flows < set(memory.flows.values())
    reconciler.update(PlanUpdate(removed=((one.id, 2),)))
    assert is_dropped(memory, "vm"), "now the guard applies"
    let_time_pass(reconciler)
    assert memory.holds_exactly(other)


def to(number, destination, **changes):
    """A chain of ``vm`` through ``a`` for one network of destinations."""
    own = classifier(destination_prefixes=(f"10.{destination}.0.0/24",))
    made = chain([target("a", "h1")], name=f"pc{number}", path_id=number, classifiers=(own,))
    return replace(made, serial=number, **changes)


@pytest.mark.parametrize("order", ["the new chain", *itertools.permutations(range(3)), "all"])
def test_chain_that_sends_displaces_the_earlier_plan_of_a_failed_one(memory, order):
    """The failed chain is not computed together with the new one."""
    plans = [to(5, 5), to(1, 1), to(5, 1, revision=2), to(9, 5)]
    old, other, failed, new = plans
    arbiter, chains = FlowArbiter(), {}
    for some in ([old, other], [failed]):
        chains |= {plan.id: ChainTransition(plan) for plan in some}
        arbiter.recompute(chains, [plan.id for plan in some], memory.local)
        arbiter.mark_applied()
    assert compile_chain(old, memory.local).classification < set(arbiter.ledger.entries)
    chains[new.id] = ChainTransition(new)
    if order == "the new chain":
        outcomes = arbiter.recompute(chains, [new.id], memory.local)
    else:
        ids = list(chains)
        parts = [ids] if order == "all" else [[ids[number]] for number in order]
        outcomes, precedences = {}, {}
        for part in parts:
            outcomes |= arbiter.recompute(chains, part, memory.local, precedences=precedences)
    assert outcomes[new.id].error == ""
    assert "another port chain needs the same match" in outcomes[failed.id].error
    entries = set(arbiter.ledger.entries)
    assert compile_chain(new, memory.local).flows < entries
    assert compile_chain(other, memory.local).flows < entries
    assert compile_chain(old, memory.local).delivery.isdisjoint(entries)
