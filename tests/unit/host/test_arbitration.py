"""Chains that cannot be carried out, because of others, of the switch or by themselves: what is done instead, and who wins."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portchain.core.model import HostReport
from portchain.dataplane import transition
from portchain.dataplane.compile import compile_bypass_guard, compile_chain, compile_frame_guard
from portchain.dataplane.pipeline import ODD_GENERATION, TABLES
from portchain.dataplane.plan import Hop
from portchain.rpc.contract import PlanUpdate
from tests.plans import chain, ident, source, switch, target
from tests.unit.host.in_memory_switch import PORTS, MemorySwitch, on_h1, plan, wait


def of(number, *names, hops=2, revision=1, far=False):
    """A chain for the same packets as all others that this makes, of these sources."""
    last = target("c", "h2") if far else target("b", "h1")
    made = chain(
        *([target("a", "h1")], [last])[:hops], name=f"pc{number}", path_id=number, revision=revision
    )
    (path,) = made.paths
    sources = tuple(source(name) for name in names)
    return replace(made, paths=(replace(path, sources=sources),))


def unreadable(plan, *names):
    """The same chain with something that this agent does not know."""
    (path,) = plan.paths
    hop = Hop(1, (target("a", "h1"), target("b", "h1")), lb_fields=("ip_ttl",))
    sources = tuple(source(name) for name in names) or path.sources
    return replace(
        plan, revision=plan.revision + 1, paths=(replace(path, hops=(hop,), sources=sources),)
    )


def held(memory, name):
    """Whether what a port sends goes nowhere."""
    in_port = f"in_port={memory.local.ports[ident(name)].ofport}"
    found = [flow for flow in memory.rules.values() if in_port in flow.key.match]
    return bool(found) and all(flow.actions == "drop" for flow in found)


def errors(reports):
    return {report.chain_id: report.error for report in reports}


def test_chains_that_contradict_each_other_do_not_hold_up_others(memory, reconciler, reports):
    one = plan(1, 1)
    rival = replace(plan(2, 1), paths=one.paths)
    reconciler.synchronise(PlanUpdate((one,)))
    reconciler.update(PlanUpdate((rival, plan(3, 1))))
    assert memory.should_hold(one, plan(3, 1))
    errors = {report.chain_id: report.error for report in reports}
    assert "another port chain" in errors[rival.id]
    assert one.id not in errors[rival.id], "it may be another project's"
    assert errors[plan(3, 1).id] == ""


def test_what_cannot_be_carried_is_held_back_not_let_around(memory, reconciler, reports):
    hop = Hop(1, (target("a", "h1"), target("b", "h1")), lb_fields=("ip_ttl",))
    newer = replace(plan(1, 1), paths=(replace(plan(1, 1).paths[0], hops=(hop,)),))
    reconciler.synchronise(PlanUpdate((newer,)))
    held = compile_bypass_guard(newer, memory.local).flows | compile_frame_guard(memory.local)
    assert set(memory.rules.values()) == held
    assert {flow.key.table for flow in held} & {TABLES["HOP"].number} == set(), (
        "nowhere to go on to"
    )
    assert any("in_port=" in str(flow) and flow.actions == "drop" for flow in held), (
        "but classified"
    )
    reconciler.update(PlanUpdate((plan(1, 2),)))
    wait(reconciler)
    assert memory.should_hold(plan(1, 2))
    reconciler.update(PlanUpdate((replace(newer, revision=3),)))
    wait(reconciler)
    assert memory.should_hold(plan(1, 2)), "what worked stays rather than nothing"


def test_a_later_chain_that_shares_functions_but_not_the_way_is_held_back(
    memory, reconciler, reports
):
    one = chain([target("a", "h1")], [target("b", "h1")], name="pc1", path_id=1)
    elsewhere = (source("vm2"),)
    rival = chain([target("a", "h1")], [target("b", "h1")], name="pc2", path_id=2)
    rival = replace(rival, paths=(replace(rival.paths[0], sources=elsewhere),))
    memory.local = switch("h1", *PORTS, "vm2")
    reconciler.synchronise(PlanUpdate((one, rival)))
    held = compile_bypass_guard(rival, memory.local).flows
    assert held
    assert held < set(memory.rules.values())
    assert "another port chain" in reports[-1].error
    reconciler.update(PlanUpdate(removed=((one.id, 9),)))
    wait(reconciler)
    assert memory.should_hold(rival), "the other chain is gone"
    assert reports[-1].error == ""


def test_a_chain_that_contradicts_itself_says_so(memory, reconciler, reports):
    circle = chain(
        [target("a", "h1")], [target("b", "h1")], [target("a", "h1")], name="pc1", path_id=1
    )
    reconciler.synchronise(PlanUpdate((circle, plan(2, 1))))
    errors = {report.chain_id: report.error for report in reports}
    assert "conflicts with itself" in errors[circle.id]
    assert compile_bypass_guard(circle, memory.local).flows < set(memory.rules.values())
    assert compile_chain(plan(2, 1), memory.local).flows < set(memory.rules.values())


def test_a_failure_of_the_compiler_holds_up_nobody(memory, reconciler, reports, monkeypatch):
    def fails_for_one(flows):
        if any("0x10002" in flow.actions for flow in flows):
            raise ValueError("a rule beyond the declaration")

    monkeypatch.setattr("portchain.dataplane.pipeline.check", fails_for_one)
    reconciler.synchronise(PlanUpdate((plan(2, 1), plan(1, 1))))
    errors = {report.chain_id: report.error for report in reports}
    assert errors == {plan(2, 1).id: "a rule beyond the declaration", plan(1, 1).id: ""}
    assert compile_chain(plan(1, 1), memory.local).flows < set(memory.rules.values())


def test_a_plan_beyond_this_agent_is_reported_and_holds_up_nobody(memory, reconciler, reports):
    hop = Hop(1, (target("a", "h1"), target("b", "h1")), lb_fields=("ip_ttl",))
    newer = replace(plan(2, 1), paths=(replace(plan(2, 1).paths[0], hops=(hop,)),))
    reconciler.synchronise(PlanUpdate((newer, plan(1, 1))))
    assert compile_chain(plan(1, 1), memory.local).flows < set(memory.rules.values())
    errors = {report.chain_id: report.error for report in reports}
    assert "ip_ttl" in errors[newer.id]


def test_rules_for_packets_in_flight_give_way_to_other_chains(memory, reconciler, reports):
    """A classifier that is taken from one chain and given to another, over the same functions."""
    one = plan(1, 1)
    other = replace(plan(2, 1), paths=one.paths)
    reconciler.synchronise(PlanUpdate((one,)))
    reconciler.update(PlanUpdate(removed=((one.id, 2),)))
    reconciler.update(PlanUpdate((other,)))
    assert reports[-1] == HostReport(other.id, 1)
    assert compile_chain(other, memory.local).flows < set(memory.rules.values())
    wait(reconciler)
    assert memory.should_hold(other)


# --- What is held back.


def test_what_is_held_back_follows_the_ports(memory, reconciler):
    memory.local = switch("h1", *PORTS, "vm2")
    one, loser = of(1, "vm"), of(2, "vm2")
    reconciler.synchronise(PlanUpdate((one, loser)))
    assert held(memory, "vm2")
    memory.local = switch("h1", *PORTS, "other", "vm2")
    reconciler.ports_changed([ident("vm2")])
    assert held(memory, "vm2")
    assert not held(memory, "other"), "it has the number that vm2 had"


def test_what_goes_on_by_the_plan_before_follows_the_ports(memory, reconciler, reports):
    old = plan(1, 1)
    reconciler.synchronise(PlanUpdate((old,)))
    reconciler.update(PlanUpdate((unreadable(old, "vm", "vm2"),)))
    wait(reconciler)
    memory.local = switch("h1", *PORTS, "vm2", first=31)
    reconciler.ports_changed([ident("b-out"), ident("vm2")])
    assert compile_chain(old, memory.local).flows < set(memory.rules.values())
    assert held(memory, "vm2"), "the plan before does not know it"
    assert "ip_ttl" in reports[-1].error
    assert not any(f"in_port={port}" in flow.key.match for flow in memory.rules.values() for port in range(11, 20))  # fmt: skip


def test_a_port_that_only_the_plan_before_names_is_looked_at(memory, reconciler):
    old = of(1, "vm")
    reconciler.synchronise(PlanUpdate((old,)))
    (path,) = unreadable(old).paths
    newer = replace(old, revision=2, paths=(replace(path, hops=(Hop(1, (target("d", "h1"),), ("ip_ttl",)),)),))  # fmt: skip
    reconciler.update(PlanUpdate((newer,)))
    wait(reconciler)
    reconciler.update(PlanUpdate((replace(newer, revision=3),)))
    wait(reconciler)
    memory.local = switch("h1", *PORTS, first=31)
    reconciler.ports_changed([ident("a-in")])
    assert compile_chain(old, memory.local).flows < set(memory.rules.values())


def test_only_what_others_hold_is_not_held_back(memory, reconciler):
    memory.local = switch("h1", *PORTS, "vm2")
    one, loser = of(1, "vm"), of(2, "vm", "vm2")
    reconciler.synchronise(PlanUpdate((one, loser)))
    assert compile_chain(one, memory.local).flows < set(memory.rules.values())
    assert held(memory, "vm2")
    reconciler.update(PlanUpdate((replace(of(1), revision=2),)))
    assert held(memory, "vm2") or memory.should_hold(replace(of(1), revision=2), loser)


def test_failed_chains_are_tried_again_when_something_of_theirs_changed(
    memory, reconciler, monkeypatch
):
    tried = []

    def compile_transition(now, local):
        tried.append(now.plan.id)
        return compiled(now, local)

    compiled = transition.compile_transition
    one, loser = of(1, "vm"), of(2, "vm2")
    memory.local = switch("h1", *PORTS, "vm2")
    reconciler.synchronise(PlanUpdate((one, loser, unreadable(plan(4, 1)))))
    monkeypatch.setattr(transition, "compile_transition", compile_transition)
    reconciler.update(PlanUpdate((plan(3, 1),)))
    assert tried == [plan(3, 1).id]
    reconciler.ports_changed([ident("vm2")])
    assert set(tried[1:]) == {loser.id}
    tried.clear()
    reconciler.update(PlanUpdate((replace(one, revision=2),)))
    assert set(tried) == {one.id, loser.id}


# --- Who wins.


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
def test_of_chains_that_come_together_the_lowest_number_wins(memory, reports, order):
    memory.local = switch("h1", *PORTS, "vm1", "vm2", "vm3")
    plans = [of(number, f"vm{number}") for number in order]
    on_h1(memory, reports.extend).synchronise(PlanUpdate(tuple(plans)))
    assert [number for number in order if not errors(reports)[of(number).id]] == [1]


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_until_one_carries_packets_the_lower_number_wins_in_any_order(memory, reports, order):
    """Chains over several hosts, which hear of them in any order."""
    memory.local = switch("h1", *PORTS, "vm1", "vm2")
    reconciler = on_h1(memory, reports.extend)
    reconciler.synchronise(PlanUpdate())
    for number in order:
        made = of(number, f"vm{number}", far=True)
        reconciler.update(PlanUpdate((made,), prepare=frozenset({made.id})))
    assert errors(reports)[of(1).id] == ""
    assert "another port chain" in errors(reports)[of(2).id]


def test_who_carries_packets_does_not_lose_to_who_comes_later(memory, reconciler, reports):
    memory.local = switch("h1", *PORTS, "vm1", "vm2")
    carrying = of(2, "vm2")
    reconciler.synchronise(PlanUpdate((carrying,)))
    reconciler.update(PlanUpdate((of(1, "vm1"),)))
    assert errors(reports)[carrying.id] == ""
    assert "another port chain" in errors(reports)[of(1).id]
    newer = replace(carrying, revision=2)
    reconciler.update(PlanUpdate((newer,)))
    wait(reconciler)
    assert errors(reports)[carrying.id] == "", "nor with its next plan"
    restarted = on_h1(memory, reports.extend)
    assert restarted.synchronise(PlanUpdate((of(1, "vm1"), newer))) is False
    assert errors(reports)[carrying.id] == "", "nor after a restart of the agent"


def test_a_plan_that_comes_into_the_way_of_another_chain_loses(memory, reconciler, reports):
    memory.local = switch("h1", *PORTS, "vm1", "vm2")
    apart = replace(of(1, "vm1"), paths=plan(7, 1).paths)
    carrying = of(2, "vm2")
    reconciler.synchronise(PlanUpdate((apart, carrying)))
    reconciler.update(PlanUpdate((of(1, "vm1", revision=2),)))
    wait(reconciler)
    assert errors(reports)[carrying.id] == ""
    assert "another port chain" in errors(reports)[apart.id]
    assert compile_chain(apart, memory.local).flows < set(memory.rules.values()), "as before"
    assert held(memory, "vm1")


@settings(max_examples=60, deadline=None)
@given(
    st.permutations([of(1, "vm1"), of(2, "vm2"), of(3, "vm1", hops=1), of(4, "vm3"), plan(5, 1)]),
    st.lists(st.sampled_from([1, 2, 3, 4, 5]), max_size=3, unique=True),
)
def test_nothing_goes_around_whoever_wins_and_a_restart_changes_nothing(plans, gone):
    memory, reports = MemorySwitch(), []
    memory.local = switch("h1", *PORTS, "vm1", "vm2", "vm3")
    reconciler = on_h1(memory, reports.extend)
    reconciler.synchronise(PlanUpdate())
    for each in plans:
        reconciler.update(PlanUpdate((each,)))
    for number in gone:
        reconciler.update(PlanUpdate(removed=((ident(f"pc{number}"), 9),)))
    wait(reconciler)
    left = tuple(each for each in plans if each.path_id not in gone)
    places = {(flow.key, flow.actions) for flow in memory.rules.values()}
    for each in left:
        entrance = {flow.key for flow in compile_chain(each, memory.local).classification}
        assert entrance <= memory.rules.keys()
        if not errors(reports)[each.id]:
            assert {(f.key, f.actions) for f in compile_chain(each, memory.local).flows} <= places
    assert any(not errors(reports)[each.id] for each in left) or not left
    before = errors(reports)
    assert on_h1(memory, reports.extend).synchronise(PlanUpdate(left)) is False
    assert errors(reports) == before


# --- What the switch refuses.


def test_a_rule_that_the_switch_refuses_holds_up_no_other_chain(memory, reconciler, reports):
    memory.refused = ("0x10002->reg8",)
    reconciler.synchronise(PlanUpdate(tuple(plan(number, 1) for number in range(1, 8))))
    assert reconciler.is_in_sync
    said = errors(reports)
    assert {chain_id for chain_id, error in said.items() if error} == {plan(2, 1).id}
    assert "OFPBAC_BAD_TYPE" in said[plan(2, 1).id]
    flows = set(memory.rules.values())
    assert all(compile_chain(plan(n, 1), memory.local).flows < flows for n in (1, 3, 4, 5, 6, 7))
    assert compile_bypass_guard(plan(2, 1), memory.local).flows < flows
    memory.refused = ()
    reconciler.reconcile()
    assert errors(reports)[plan(2, 1).id] == ""
    assert memory.should_hold(*(plan(number, 1) for number in range(1, 8)))


def test_a_chain_whose_new_rules_are_refused_goes_on_by_the_plan_before(
    memory, reconciler, reports
):
    old, new = plan(1, 1), replace(plan(1, 2, hops=2), path_id=1 | ODD_GENERATION)
    reconciler.synchronise(PlanUpdate((old,)))
    memory.refused = (f"in_port={memory.local.ports[ident('b-out')].ofport}",)
    reconciler.update(PlanUpdate((new, plan(2, 1))))
    assert compile_chain(old, memory.local).flows < set(memory.rules.values())
    assert compile_chain(plan(2, 1), memory.local).flows < set(memory.rules.values())
    assert "OFPBAC_BAD_TYPE" in errors(reports)[new.id]
    wait(reconciler)
    assert memory.should_hold(old, plan(2, 1))


def test_whose_rules_are_refused_whatever_they_are_has_none(memory, reconciler, reports):
    memory.local = switch("h1", *PORTS, "vm2")
    memory.refused = (f"in_port={memory.local.ports[ident('vm2')].ofport}",)
    reconciler.synchronise(PlanUpdate((of(1, "vm2"), plan(2, 1))))
    assert memory.should_hold(plan(2, 1))
    assert "OFPBAC_BAD_TYPE" in errors(reports)[of(1).id]


def test_a_switch_that_refuses_what_all_need_is_tried_again(memory, reconciler, reports):
    memory.refused = ("mpls",)
    with pytest.raises(RuntimeError):
        reconciler.synchronise(PlanUpdate((plan(1, 1),)))
    assert reports == []
    assert not reconciler.is_in_sync
    memory.refused = ()
    reconciler.reconcile()
    assert memory.should_hold(plan(1, 1))


def test_a_source_that_is_held_back_until_the_switch_does_not_stand_in_another_chains_way(
    memory, reconciler, reports
):
    """A classifier that goes from one chain to another, of which this host hears in the wrong order."""
    one, other = plan(1, 1), of(2, "vm", revision=2, far=True)
    (path,) = other.paths
    other = replace(other, paths=(replace(path, hops=path.hops[1:], classifiers=one.paths[0].classifiers),))  # fmt: skip
    reconciler.synchronise(PlanUpdate((one,)))
    reconciler.update(PlanUpdate((other,), prepare=frozenset({other.id})))
    assert reports[-1] == HostReport(other.id, 2, prepared=True)
    assert compile_chain(one, memory.local).flows < set(memory.rules.values())
    reconciler.update(PlanUpdate(removed=((one.id, 2),)))
    assert held(memory, "vm"), "and now it is held back"
    wait(reconciler)
    assert memory.should_hold(other)
