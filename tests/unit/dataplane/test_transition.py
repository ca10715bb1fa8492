"""Transitions between plans: what hosts wait for, and packets in flight meanwhile."""

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain as chained
from itertools import product
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from portchain.dataplane import pipeline, plan_comparison, transition, transition_flows
from portchain.dataplane.compile import (
    UnsupportedPlanError,
    compile_bypass_guard,
    compile_chain,
    compile_frame_guard,
)
from portchain.dataplane.conjunction import number_of
from portchain.dataplane.failed_functions import leave_out
from portchain.dataplane.flow import Bridge, NoFlood, make_flow
from portchain.dataplane.flow_builder import UNICAST
from portchain.dataplane.pipeline import ODD_GENERATION, TABLES
from portchain.dataplane.plan import ChainPlan, EarlierPairs, Hop, Path, Reaction
from portchain.dataplane.transition import (
    ABSENT,
    ChainTransition,
    DrainingPlan,
    Phase,
    TransitionTimeouts,
)
from portchain.dataplane.transition_flows import TransitionFlows, compile_transition
from tests.ambiguous_flows import ambiguous
from tests.full import examples
from tests.plans import (
    HOSTS,
    TUNNEL_IPS,
    after,
    chain,
    classifier,
    ident,
    source,
    switch,
    tap,
    target,
)
from tests.simulated_network import Host, Packet, move

TIMEOUTS = TransitionTimeouts(switch=5, drain=1, settle=0.5)
SLOWEST_MESSAGE = (TIMEOUTS.switch - TIMEOUTS.drain) / 4  # docs/decisions/0018, "Quick changes"
LONGEST_SERIES = TIMEOUTS.switch - 2 * SLOWEST_MESSAGE  # the last change is complete then, too
LOCAL_A = switch("h1", "vm", "a-in", "a-out")
A, B, C = target("a", "h1"), target("b", "h2"), target("c", "h3")


def accept(now, plan, host, prepare=True, time=0.0):
    return transition.accept(now, plan, host, prepare=prepare, time=time, timeouts=TIMEOUTS)


def switched(plan):
    return ChainTransition(plan)


def drains(plan, since):
    """The plan that has begun to drain at a time."""
    seconds = TIMEOUTS.switch + TIMEOUTS.drain
    return DrainingPlan(plan, since + seconds, leads_until=since + seconds / 2)


# --- When a host waits for others.

OTHER = classifier(destination_ports=(200, 200))
VM = source("vm", "h1", "10.0.0.10")
OLD = chain([A, B], [C])
PAST = EarlierPairs(((A.pair_id, 1),), new_flows=True)
CHANGED, CHANGED_BEFORE = (
    chain(Hop(1, (A, B), earlier_pairs=(past,)), [C])
    for past in (PAST, replace(PAST, new_flows=False))
)
ONE_FAILED = chain(Hop(1, (A,), returning=(B,)), [C])
PASSED = chain(Hop(1, (), returning=(A, B), passed=True), [C])
CASES = [
    ("new chain", None, chain([B]), "h1", Phase.PREPARED),
    ("new chain, host that only returns to Neutron", None, chain([B]), "h2", Phase.SWITCHED),
    ("new chain on one host", None, chain([A]), "h1", Phase.SWITCHED),
    ("pair is removed", OLD, chain([A], [C]), "h1", Phase.SWITCHED),
    ("pair is added", chain([A], [C]), OLD, "h1", Phase.PREPARED),
    ("function fails", OLD, ONE_FAILED, "h1", Phase.SWITCHED),
    ("function comes back", ONE_FAILED, OLD, "h1", Phase.PREPARED),
    ("packets pass a group", OLD, PASSED, "h1", Phase.PREPARED),
    ("packets visit a group again", PASSED, OLD, "h1", Phase.PREPARED),
    ("weights", OLD, chain([replace(A, weight=3), B], [C]), "h1", Phase.SWITCHED),
    ("earlier pairs are forgotten", CHANGED, OLD, "h1", Phase.SWITCHED),
    ("earlier pairs serve no new flows", CHANGED, CHANGED_BEFORE, "h1", Phase.SWITCHED),
    (
        "classifier is added",
        OLD,
        chain([A, B], [C], classifiers=(classifier(), OTHER)),
        "h1",
        Phase.PREPARED,
    ),
    (
        "classifier is removed",
        chain([A, B], [C], classifiers=(classifier(), OTHER)),
        OLD,
        "h1",
        Phase.SWITCHED,
    ),
    ("source is added", OLD, chain([A, B], [C], sources=(VM, source("vm2"))), "h1", Phase.PREPARED),
    (
        "source is removed",
        chain([A, B], [C], sources=(VM, source("vm2"))),
        OLD,
        "h1",
        Phase.SWITCHED,
    ),
    ("pair moves", OLD, chain([A, replace(B, host="h3")], [C]), "h1", Phase.PREPARED),
    ("a host gets packets", replace(OLD, packet_hosts=("h2",)), OLD, "h1", Phase.PREPARED),
    ("a host gets frames", OLD, replace(OLD, packet_hosts=("h2",)), "h1", Phase.SWITCHED),
]


@pytest.mark.parametrize(
    ("before", "plan", "host", "phase"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_host_waits_only_if_others_must_be_prepared(before, plan, host, phase):
    state = accept(switched(before), replace(plan, revision=2), host)
    assert state.phase is phase
    assert (
        accept(switched(before), replace(plan, revision=2), host, prepare=False).phase
        is Phase.SWITCHED
    )


def test_host_switches_at_its_deadline():
    state = accept(switched(chain([A], [C])), replace(OLD, revision=2), "h1")
    assert transition.advance(state, TIMEOUTS.switch - 0.1, TIMEOUTS) == state
    state = transition.advance(state, TIMEOUTS.switch, TIMEOUTS)
    assert (state.phase, state.previous) == (Phase.SWITCHED, None)
    assert [past.plan for past in state.draining] == [chain([A], [C])]
    (past,) = state.draining
    assert (past.delivers, past.until) == (True, 2 * TIMEOUTS.switch + TIMEOUTS.drain)
    state = transition.advance(state, past.until, TIMEOUTS)
    (past,) = state.draining
    assert (past.delivers, past.until) == (False, None), "functions may still hold packets"
    assert transition.advance(state, 1000, TIMEOUTS) == state, "the switch does not answer"
    state = transition.applied(state, 1000, TIMEOUTS)
    assert transition.advance(state, 1001.4, TIMEOUTS) == state
    assert transition.advance(state, 1001.5, TIMEOUTS) == switched(replace(OLD, revision=2))


def test_reversed_order_closes_the_chain():
    turned = replace(chain([A], [C]), path_id=1 | ODD_GENERATION, revision=2)
    (path,) = turned.paths
    turned = replace(turned, paths=(replace(path, hops=tuple(reversed(path.hops))),))
    state = accept(switched(chain([A], [C])), turned, "h3")
    assert state.phase is Phase.PREPARED, "although it sends to Neutron only"
    state = transition.switch(state, 1, TIMEOUTS)
    assert (state.phase, state.next_deadline) == (Phase.CLOSED, None), "not in the switch yet"
    assert state.deadline is None, "no host must be prepared any more"
    assert transition.advance(state, 1000, TIMEOUTS) == state
    state = transition.applied(state, 1000, TIMEOUTS)
    assert transition.applied(state, 1001, TIMEOUTS) == state
    assert transition.advance(state, 1001.4, TIMEOUTS).phase is Phase.CLOSED
    state = transition.advance(state, 1001.5, TIMEOUTS)
    assert (state.phase, state.next_deadline) == (Phase.OPENING, None), "functions are empty"
    state = transition.applied(state, 1002, TIMEOUTS)
    assert transition.advance(state, 1002.4, TIMEOUTS) == state
    assert transition.advance(state, 1002.5, TIMEOUTS) == switched(turned), "nothing is cached"


def test_withdrawn_chain_drains():
    local = switch("h1", "vm", "a-in", "a-out")
    gone = transition.withdraw(switched(OLD), 0, TIMEOUTS)
    compiled = compile_transition(gone, local)
    assert compiled.flows == frozenset()
    assert compiled.draining == compile_chain(OLD, local).transit
    assert not compiled.draining & compile_chain(OLD, local).classification
    gone = transition.advance(gone, gone.next_deadline, TIMEOUTS)
    assert compile_transition(gone, local).draining == compile_chain(OLD, local).forwarding
    gone = transition.applied(gone, 10, TIMEOUTS)
    assert transition.advance(gone, gone.next_deadline, TIMEOUTS) == ABSENT


VM2 = source("vm2", "h1", "10.0.0.11")


def prepared_flows(before, plan):
    """Return the flows of h1 while it is prepared for a plan; two sources are plugged in."""
    local = switch("h1", "vm", "vm2", "a-in", "a-out")
    now = accept(switched(before), replace(plan, revision=2), "h1")
    assert now.phase is Phase.PREPARED
    compiled = compile_transition(now, local)
    return compiled.flows | compiled.bypass_guard, local


def classification(plan, local):
    return compile_chain(plan, local).classification


def test_new_source_of_a_chain_is_dropped_until_the_switch():
    flows, local = prepared_flows(OLD, chain([A, B], [C], sources=(VM, VM2)))
    new = classification(chain([A, B], [C], sources=(VM2,)), local)
    assert new
    assert {replace(flow, actions="drop") for flow in new} < flows
    assert classification(OLD, local) < flows


def test_source_that_moves_to_a_new_host_is_dropped_until_the_switch():
    flows, local = prepared_flows(None, chain([B], [C], sources=(VM,)))
    assert {
        flow for flow in flows if flow.key in {one.key for one in classification(OLD, local)}
    } == {replace(flow, actions="drop") for flow in classification(OLD, local)}


def test_new_source_is_dropped_if_the_order_is_reversed():
    (path,) = chain([A, B], [C], sources=(VM, VM2)).paths
    path = replace(path, hops=tuple(reversed(path.hops)))
    turned = ChainPlan(OLD.id, 1 | ODD_GENERATION, 2, (path,))
    flows, local = prepared_flows(OLD, turned)
    new = classification(chain([A, B], [C], sources=(VM2,)), local)
    assert flows == compile_chain(OLD, local).flows | {replace(f, actions="drop") for f in new}


def test_traffic_of_new_classifier_bypasses_the_chain_until_the_switch():
    sources = (VM, replace(VM, classifier=1), replace(VM2, classifier=1))
    flows, _ = prepared_flows(
        OLD, chain([A, B], [C], classifiers=(classifier(), OTHER), sources=sources)
    )
    assert not any(
        flow.actions == "drop" and flow.key.match >= {"tp_dst=200", UNICAST} for flow in flows
    )


# --- Lists of groups that change quickly.


def listing(generation, *groups):
    """A chain through groups 1, 2, ... of one pair each, as the list of this generation."""
    hops = tuple(Hop(number, (pair,)) for number, pair in groups)
    odd = ODD_GENERATION if generation % 2 else 0
    (path,) = OLD.paths
    path = replace(path, hops=hops)
    return ChainPlan(OLD.id, 1 | odd, generation + 1, (path,), generation=generation)


LISTS = ((1, A), (3, C)), ((1, A), (2, B), (3, C)), ((1, A), (3, C))


def test_two_changes_within_seconds_do_not_close_a_chain():
    state = switched(listing(0, *LISTS[0]))
    for generation in (1, 2):
        state = accept(state, listing(generation, *LISTS[generation]), "h1")
        assert state.phase is Phase.PREPARED
        state = transition.switch(state, 0.1, TIMEOUTS)
        assert state.phase is Phase.SWITCHED
    assert len(state.draining) == 2


@pytest.mark.parametrize("generations", [(None, None), (0, 16)], ids=["older server", "16 lists"])
def test_lists_with_the_same_path_positions_close_a_chain_at_once(generations):
    old, new = generations
    before = replace(listing(0, (1, A), (3, C)), generation=old)
    plan = replace(listing(0, (1, A), (2, B)), generation=new, revision=2)
    assert ChainTransition(plan, previous=before).is_ambiguous
    state = accept(switched(before), plan, "h1", time=3)
    assert (state.phase, state.deadline) == (Phase.CLOSED, 3 + TIMEOUTS.switch)
    state = transition.applied(state, 3, TIMEOUTS)
    assert state.next_deadline == 3 + TIMEOUTS.switch, "other hosts may not be prepared"
    state = transition.switch(state, 4, TIMEOUTS)
    assert state.next_deadline == 3 + TIMEOUTS.drain + TIMEOUTS.settle


def test_sfc_aware_functions_return_the_label_alone():
    aware = target("a", "h1", encapsulation="mpls")
    before, plan = listing(0, (1, aware), (3, C)), listing(2, (1, aware), (2, B))
    assert accept(switched(before), plan, "h1").phase is Phase.CLOSED
    plan = listing(2, (1, A), (2, B))
    assert accept(switched(before), plan, "h1").phase is Phase.PREPARED, "one list has labels"


def test_a_chain_with_too_many_draining_plans_closes():
    state, phases = switched(listing(0, (1, A), (3, C))), []
    for number in range(1, transition.MAX_DRAINING + 3):
        weighted = replace(C, weight=number)
        plan = replace(listing(0, (1, A), (3, weighted)), revision=number + 1)
        state = accept(state, plan, "h3")
        phases.append(state.phase)
    assert phases == [*[Phase.SWITCHED] * transition.MAX_DRAINING, Phase.CLOSED, Phase.CLOSED]
    assert len(state.draining) == transition.MAX_DRAINING, "what functions hold is not forgotten"


def test_host_that_withdraws_while_the_order_changes_takes_back_what_its_functions_hold():
    local = switch("h3", "c-in", "c-out")
    before = listing(0, (1, C), (3, A))
    state = accept(switched(before), listing(1, (3, A), (1, C)), "h3")
    state = transition.withdraw(state, 0, TIMEOUTS)
    old = compile_chain(before, local)
    assert old.forwarding <= compile_transition(state, local).flows
    assert not old.delivery & compile_transition(state, local).flows
    state = transition.applied(state, 5, TIMEOUTS)
    assert transition.advance(state, 6.4, TIMEOUTS) == state
    assert transition.advance(state, 6.5, TIMEOUTS) == ABSENT


def test_a_pair_that_moves_to_a_new_group_makes_plans_ambiguous():
    before, plan = listing(0, (1, A), (3, C)), listing(1, (2, A), (3, C))
    assert ChainTransition(plan, previous=before).is_ambiguous, "a returns packets of both"
    plan = listing(1, (2, B), (3, C))
    assert not ChainTransition(plan, previous=before).is_ambiguous


def test_function_without_egress_port_gets_no_packets_unless_it_is_a_tap():
    local = switch("h1", "vm", "a-in")
    assert compile_chain(chain([A], [C]), local).delivery == frozenset()
    assert compile_chain(chain([B], tap(A), [C]), local).delivery


def test_newer_plan_closes_a_chain_again_that_is_about_to_open():
    state = ChainTransition(listing(1, (3, C), (1, A)), Phase.OPENING, wait_ends=7)
    state = accept(state, listing(2, (1, A), (3, C)), "h1", time=6)
    assert (state.phase, state.plan.revision, state.wait_ends) == (Phase.CLOSED, 3, None)


def test_plan_that_other_hosts_may_send_by_drains_although_this_host_never_switched_to_it():
    first, second, third = (listing(n, *LISTS[n]) for n in range(3))
    state = accept(accept(switched(first), second, "h1", time=1), third, "h1", time=2)
    assert (state.phase, state.plan, state.previous) == (Phase.PREPARED, third, first)
    assert state.draining == (drains(second, since=2),)
    reversed_order = listing(1, *reversed(LISTS[0]))
    state = accept(accept(switched(first), reversed_order, "h1"), third, "h1")
    assert (state.plan, state.previous, state.draining) == (third, first, ()), "nobody sent by it"


def test_host_that_withdraws_before_the_switch_drains_both_plans():
    first, second = listing(0, *LISTS[0]), listing(1, *LISTS[1])
    state = transition.withdraw(accept(switched(first), second, "h1"), 3, TIMEOUTS)
    draining = (drains(first, since=3), drains(second, since=3))
    assert state == ChainTransition(None, draining=draining)


def test_a_plan_that_drains_again_drains_once():
    state = transition.withdraw(switched(OLD), 0, TIMEOUTS)
    state = accept(state, OLD, "h1", prepare=False, time=1)
    state = transition.withdraw(state, 2, TIMEOUTS)
    assert state.draining == (drains(OLD, since=2),)


def test_a_chain_that_was_only_prepared_closes_too_if_too_many_plans_drain():
    weighted = [listing(0, (1, A), (3, replace(C, weight=number))) for number in range(2, 10)]
    draining = tuple(DrainingPlan(plan, 9) for plan in weighted)
    assert len(draining) == transition.MAX_DRAINING
    state = ChainTransition(listing(1, *LISTS[1]), Phase.PREPARED, listing(0, *LISTS[0]), draining)
    one_less = replace(state, draining=draining[1:])
    assert accept(one_less, listing(2, (1, A), (3, B)), "h1", time=4).phase is Phase.PREPARED
    state = accept(state, listing(2, (1, A), (3, B)), "h1", time=4)
    assert (state.phase, state.deadline) == (Phase.CLOSED, 4 + TIMEOUTS.switch)


@pytest.mark.parametrize("phase", [Phase.CLOSED, Phase.OPENING])
def test_a_closed_phase_that_begins_again_still_waits_for_other_hosts(phase):
    state = ChainTransition(OLD, phase, deadline=7, wait_ends=3)
    assert transition.reclose(state) == ChainTransition(OLD, Phase.CLOSED, deadline=7)


def test_only_a_host_that_is_prepared_switches():
    for state in (switched(OLD), ABSENT, ChainTransition(OLD, Phase.OPENING, wait_ends=3)):
        assert transition.switch(state, 1, TIMEOUTS) == state


def test_a_switch_that_has_checked_what_it_cached_needs_no_more_time():
    state = ChainTransition(OLD, Phase.REMEMBERING, draining=(DrainingPlan(CHANGED, 9),))
    state = transition.applied(state, 2, TIMEOUTS)
    assert transition.advance(state, 2.4, TIMEOUTS) == state
    assert transition.advance(state, 2.5, TIMEOUTS) == ChainTransition(OLD, draining=state.draining)


def test_a_draining_plan_knows_all_of_its_ports_that_have_changed():
    state = ChainTransition(None, draining=(DrainingPlan(OLD, 3), DrainingPlan(chain([B]), 4)))
    for name in ("a-in", "unknown", "b-in"):
        state = transition.note_replugged(state, [ident(name)])
    assert [old.replugged for old in state.draining] == [
        {ident("a-in"), ident("b-in")},
        {ident("b-in")},
    ]


def test_a_host_waits_if_it_sends_in_one_direction():
    plan = chain([B])
    replies = replace(plan.paths[0], reverse=True, sources=(source("server", "h3"),))
    assert accept(ABSENT, replace(plan, paths=(*plan.paths, replies)), "h1").phase is Phase.PREPARED


def test_the_plans_of_a_state_are_those_that_have_flows():
    first, second, third = (listing(n, *LISTS[n]) for n in range(3))
    drains = (DrainingPlan(third, 3),)
    state = ChainTransition(second, Phase.PREPARED, first, drains)
    assert list(state.plans) == [second, first, third]
    assert list(ABSENT.plans) == []


def test_plans_that_drain_make_a_later_one_ambiguous_too():
    """Their packets are in flight: functions may return them after the switch."""
    before, plan = listing(0, (1, A), (3, C)), listing(2, (3, C), (1, A))
    state = ChainTransition(plan, Phase.PREPARED, listing(1, (2, B)))
    drains = (DrainingPlan(before, 3),)
    assert not state.is_ambiguous
    assert replace(state, draining=drains).is_ambiguous
    assert not ChainTransition(None, draining=drains).is_ambiguous, "nothing is sent any more"


def test_next_deadline_is_the_earliest_one():
    drains = (DrainingPlan(OLD, 3), DrainingPlan(OLD, None), DrainingPlan(OLD, 4))
    assert ChainTransition(OLD, draining=drains).next_deadline == 3
    for deadline in (2, 7):
        state = ChainTransition(OLD, Phase.PREPARED, draining=drains, deadline=deadline)
        assert state.next_deadline == min(3, deadline)
    assert ChainTransition(OLD, draining=drains[1:2]).next_deadline is None


@pytest.mark.parametrize(
    ("state", "awaits"),
    [
        (ChainTransition(OLD), False),
        (ChainTransition(OLD, Phase.PREPARED, deadline=3), False),
        (ChainTransition(OLD, Phase.CLOSED), True),
        (ChainTransition(OLD, Phase.OPENING), True),
        (ChainTransition(OLD, Phase.REMEMBERING), True),
        (ChainTransition(OLD, Phase.REMEMBERING, wait_ends=3), False),
        (ChainTransition(OLD, Phase.CLOSED, wait_ends=3), False),
        (ChainTransition(OLD, draining=(DrainingPlan(OLD, 3),)), False),
        (ChainTransition(OLD, draining=(DrainingPlan(OLD, 3), DrainingPlan(OLD, None))), True),
    ],
)
def test_times_that_begin_when_the_switch_holds_the_flows(state, awaits):
    assert state.awaits_switch is awaits


def test_new_chain_drops_nothing_until_the_switch():
    state = accept(ABSENT, chain([B], sources=(VM,)), "h1")
    assert state.phase is Phase.PREPARED
    assert compile_transition(state, switch("h1", "vm")).bypass_guard == frozenset()


def test_closed_host_delivers_by_no_draining_plan():
    local = switch("h1", "vm", "a-in", "a-out")
    draining = (DrainingPlan(OLD, 9),)
    closed = ChainTransition(chain([C], [A]), Phase.CLOSED, draining=draining)
    assert not compile_chain(OLD, local).delivery & compile_transition(closed, local).all_flows
    open_ = ChainTransition(chain([C]), draining=draining)
    assert compile_chain(OLD, local).delivery <= compile_transition(open_, local).draining


def test_chain_on_one_host_waits_for_nobody_before_it_closes():
    d = target("d", "h1")
    before, after = listing(0, (1, A), (2, d)), listing(1, (2, d), (1, A))
    state = accept(switched(before), after, "h1")
    assert (state.phase, state.deadline) == (Phase.CLOSED, None)
    state = accept(state, replace(before, revision=3), "h1", time=2)
    assert (state.phase, state.deadline) == (Phase.CLOSED, None), "also by another change"


def test_host_that_sends_to_no_other_host_waits_if_packets_are_ambiguous():
    state = accept(switched(listing(0, (1, C), (3, A))), listing(1, (3, A), (1, C)), "h3")
    assert state.phase is Phase.PREPARED


def test_withdrawal_does_not_open_a_closed_chain():
    state = transition.withdraw(ChainTransition(OLD, Phase.CLOSED, wait_ends=3), 1, TIMEOUTS)
    assert state == ChainTransition(None, Phase.CLOSED)


def test_nothing_drains_any_more_when_a_closed_chain_opens():
    closed = ChainTransition(
        OLD, Phase.CLOSED, draining=(DrainingPlan(OLD, 99),), deadline=2, wait_ends=3
    )
    assert transition.advance(closed, 3, TIMEOUTS) == ChainTransition(OLD, Phase.OPENING)


def test_flows_of_a_closed_chain():
    """Until it opens, packets that functions return follow the previous plan."""
    local = switch("h1", "vm", "vm2", "a-in", "a-out")
    old, new = OLD, chain([C], [A], sources=(VM2,))
    drops = [compile_bypass_guard(plan, local).flows for plan in (old, new)]
    closed = ChainTransition(new, Phase.CLOSED, old)
    flows = compile_transition(closed, local).flows
    assert drops[0] | drops[1] | compile_chain(old, local).forwarding <= flows
    flows = compile_transition(replace(closed, phase=Phase.OPENING), local).flows
    assert drops[0] | drops[1] | compile_chain(new, local).forwarding <= flows
    flows = compile_transition(replace(closed, plan=None), local).flows
    (mark,) = flows - compile_chain(old, local).forwarding
    assert mark.actions == "drop", "for a restarted agent; nothing is classified"
    behind_all_hops = pipeline.path_position(pipeline.path_label(1), pipeline.FIRST_SERVICE_INDEX)
    assert mark.key.match == {
        f"{pipeline.REG_PATH_POSITION}={behind_all_hops:#x}",
        f"{pipeline.REG_TARGET}=0",
    }


def test_all_flows_are_those_of_the_plans_and_those_that_yield():
    parts = [frozenset({flow}) for flow in sorted(compile_chain(OLD, LOCAL_A).flows, key=str)[:3]]
    made = TransitionFlows(*parts, no_flood=frozenset({NoFlood(3)}))
    assert made.all_flows == frozenset().union(*parts)
    assert made.entries == {*parts[0], NoFlood(3)}


@pytest.mark.parametrize("draining", [(), (DrainingPlan(chain([A, B]), 9),)])
def test_what_a_restarted_agent_finds_of_an_unknown_plan_stays_and_yields(draining):
    """Also while nothing else drains. It is no flow that two chains may want."""
    leftover = make_flow(Bridge.INT, 0, 312, ["in_port=99"], [], contestable=True)
    compiled = compile_transition(
        ChainTransition(OLD, draining=draining, leftovers=frozenset({leftover})), LOCAL_A
    )
    assert leftover in compiled.draining
    assert leftover not in compiled.flows
    assert not any(flow.contestable for flow in compiled.draining)
    assert compiled.draining.isdisjoint(compiled.flows)


def test_what_a_host_lacks_is_said_of_the_latest_plan():
    local = switch("h1", "vm", "a-in")
    lacking = compile_chain(OLD, local).missing
    assert lacking
    for draining in ((), (DrainingPlan(chain([B]), 9),)):
        assert compile_transition(ChainTransition(OLD, draining=draining), local).missing == lacking
        changed = ChainTransition(chain([B]), draining=(DrainingPlan(OLD, 9), *draining))
        assert compile_transition(changed, local).missing == ()


def test_prepared_host_sends_by_the_previous_plan_and_takes_frames_of_both():
    local = switch("h1", "vm", "a-in", "a-out")
    before, plan = listing(0, *LISTS[0]), listing(1, *LISTS[1])
    flows = compile_transition(accept(switched(before), plan, "h1"), local).flows
    old, new = compile_chain(before, local), compile_chain(plan, local)
    assert old.flows <= flows
    assert {flow.key for flow in new.transit | new.affinity} <= {flow.key for flow in flows}
    weighted = chain([A, replace(B, weight=3)], [C], sources=(VM, source("vm2")))
    flows = compile_transition(accept(switched(OLD), weighted, "h1"), local).flows
    assert compile_chain(OLD, local).flows <= flows


WIDE = classifier(source_ports=(1, 65534), destination_ports=(1, 65534))


@pytest.mark.parametrize("header", [classifier(), WIDE])
@pytest.mark.parametrize("leads", [True, False])
def test_a_function_that_was_away_returns_packets_by_the_plan_before_until_the_switch(
    header, leads
):
    """Other hosts may not know the latest plan. In the previous one, the function is elsewhere."""
    local = switch("h1", "vm", "a-in", "a-out", "d-in", "d-out")
    away, gone = target("a", "h2"), target("d", "h1")
    before, moved, back = (
        replace(chain(*hops, classifiers=(header,), revision=n), generation=n)
        for n, hops in enumerate((([A, gone], [C]), ([away], [C]), ([A], Hop(5, (B,)))), 1)
    )
    drained = DrainingPlan(before, 9, leads_until=9 if leads else None)
    state = ChainTransition(back, Phase.PREPARED, moved, draining=(drained,), deadline=9)
    assert not state.is_ambiguous
    first, latest = (returned_by_a(compile_chain(plan, local).transit) for plan in (before, back))
    flows = compile_transition(state, local).flows
    new = compile_chain(back, local)
    others = compile_chain(moved, local).flows | new.transit | new.affinity
    assert flows - others == (first - others if leads else set())
    assert first - others
    assert (latest <= flows) is not leads
    assert {flow.key for flow in others} <= {flow.key for flow in flows}


def test_a_packet_goes_on_to_where_its_function_was_until_the_switch():
    """The function has moved since the previous plan, and the packet was sent to it before."""
    local = switch("h1", "vm", "a-in", "a-out", "c-in", "c-out")
    before = chain([A], [target("c", "h1")])
    moved, back = chain([target("a", "h2")], [C], revision=2), chain([A], [C], revision=3)
    drained = DrainingPlan(before, 9, leads_until=9)
    state = ChainTransition(back, Phase.PREPARED, moved, draining=(drained,), deadline=9)

    def ways(flows):
        words = {f"reg8={pipeline.path_position(pipeline.path_label(1), 1, 0):#x}"}
        return {
            flow
            for flow in flows
            if flow.key.table == TABLES["FORWARD"].number and words <= flow.key.match
        }

    by_first, by_latest = (ways(compile_chain(plan, local).transit) for plan in (before, back))
    assert by_first
    assert by_first != by_latest
    assert ways(compile_transition(state, local).flows) == by_first


def returned_by_a(flows):
    """The flows for what function a returns, those of whole conjunctions included."""
    own = {
        flow
        for flow in flows
        if flow.key.table == TABLES["LOCAL_SWITCHING"].number and "in_port=13" in flow.key.match
    }
    numbers = {number_of(flow) for flow in own} - {None}
    return own | {flow for flow in flows if number_of(flow) in numbers}


# A group that changes: the switch learns the pairs of flows from before.


GROWN = after(chain([A, C], [B]), chain([A], [B]))
ONE_PAIR = chain([A], [B])


def hop_flows(flows, position="0x10001"):
    number = TABLES["HOP"].number
    return {f for f in flows if f.key.table == number and f"reg8={position}" in f.key.match}


def test_flows_go_by_the_pairs_of_before_until_cached_decisions_are_checked():
    local = switch("h1", "vm", "a-in", "a-out")
    state = accept(switched(ONE_PAIR), replace(GROWN, revision=2), "h1", prepare=False)
    assert state.phase is Phase.REMEMBERING
    assert state.sends_by_latest
    flows = compile_transition(state, local).flows
    assert flows == compile_chain(state.plan, local, remembered={(False, 0)}).flows
    assert flows != compile_chain(state.plan, local).flows
    assert transition.advance(state, 4, TIMEOUTS) == state, "the switch does not answer"
    state = transition.applied(state, 4, TIMEOUTS)
    assert transition.applied(state, 4.2, TIMEOUTS) == state
    assert transition.advance(state, 4.4, TIMEOUTS) == state
    state = transition.advance(state, 4.5, TIMEOUTS)
    assert state.phase is Phase.SWITCHED
    assert compile_transition(state, local).flows == compile_chain(state.plan, local).flows
    assert [old.plan for old in state.draining] == [ONE_PAIR]


@pytest.mark.parametrize(
    ("before", "plan", "remembers"),
    [
        (ONE_PAIR, GROWN, {(False, 0)}),
        (ONE_PAIR, chain([A, C], [B]), set()),  # the server says nothing of before
        (GROWN, replace(GROWN, revision=2), set()),  # something else has changed
        (GROWN, after(chain([A, C], [B]), ONE_PAIR, new_flows=False), set()),
        (None, GROWN, {(False, 0), (False, 1)}),  # the agent has restarted
        (None, after(chain([A, C], [B]), ONE_PAIR, new_flows=False), set()),
        (GROWN, after(chain([A, replace(C, weight=3)], [B]), ONE_PAIR, GROWN), {(False, 0)}),
        (chain([B], [A]), GROWN, {(False, 0), (False, 1)}),
    ],
)
def test_hops_that_remember(before, plan, remembers):
    assert plan_comparison.hops_with_other_pairs(before, plan) == remembers


def test_prepared_host_selects_pairs_by_the_previous_plan_only():
    """Even where the new plan has a flow for packets that the previous plan has none for."""
    local = switch("h1", "vm", "a-in", "a-out")
    state = accept(switched(ONE_PAIR), replace(GROWN, revision=2), "h1")
    assert state.phase is Phase.PREPARED
    flows = compile_transition(state, local).flows
    assert hop_flows(flows) == hop_flows(compile_chain(ONE_PAIR, local).flows)


@pytest.mark.parametrize("bridges", [False, True])
def test_prepared_host_forwards_what_a_new_classifier_of_the_other_family_matches(bridges):
    """Hosts that have switched already send it: the previous plan has no flows for it."""
    local = switch("h1", "vm", "a-in", "a-out")
    hops = [target("a", "h1", bridges=bridges)], [target("b", "h2", bridges=bridges)]
    ipv6 = classifier(
        ethertype="IPv6", source_prefixes=("fd00::1/128",), destination_prefixes=("fd00::2/128",)
    )
    plan = chain(*hops, classifiers=(classifier(), ipv6), revision=2)
    state = accept(switched(chain(*hops)), plan, "h1")
    assert state.phase is Phase.PREPARED
    transit = compile_chain(plan, local).transit
    assert {flow.key for flow in transit} <= {f.key for f in compile_transition(state, local).flows}


def test_draining_plan_selects_no_pair_where_the_latest_plan_does():
    local = switch("h1", "vm", "a-in", "a-out")
    state = ChainTransition(ONE_PAIR, draining=(DrainingPlan(GROWN, 9),))
    flows = compile_transition(state, local).all_flows
    assert hop_flows(flows) == hop_flows(compile_chain(ONE_PAIR, local).flows)
    assert hop_flows(compile_chain(GROWN, local).flows) - hop_flows(flows)


def test_a_change_while_the_switch_learns_begins_from_the_latest_plan():
    state = accept(switched(ONE_PAIR), replace(GROWN, revision=2), "h1", prepare=False)
    third = replace(ONE_PAIR, revision=3)
    assert accept(state, third, "h1", prepare=False).plan == third
    assert accept(state, replace(GROWN, revision=3), "h1").previous in (None, state.plan)
    assert transition.withdraw(state, 1, TIMEOUTS).phase is Phase.SWITCHED


def test_ports_are_not_flooded_while_any_plan_needs_that():
    local = switch("h1", "vm", "a-in", "a-out")
    bridging = chain([target("a", "h1", bridges=True)], [C])
    needed = compile_chain(bridging, local).no_flood
    assert needed
    for state in (
        ChainTransition(chain([C]), Phase.PREPARED, bridging),
        ChainTransition(chain([C]), draining=(DrainingPlan(bridging, 9),)),
        ChainTransition(bridging),
        ChainTransition(chain([C]), Phase.PREPARED, bridging, (DrainingPlan(chain([B]), 9),)),
    ):
        assert compile_transition(state, local).no_flood == needed


UNSUPPORTED = chain(Hop(1, (A,), lb_fields=("ip_ttl",)))


def test_a_plan_that_this_host_does_not_support_is_replaced_by_one_that_it_has_applied():
    """What drains goes on to drain, and what a plan that failed before lets by stays dropped."""
    leftover = make_flow(Bridge.INT, 0, 312, ["in_port=99"], [])
    accepts = make_flow(Bridge.INT, 148, 10, ["in_port=99"], ["NORMAL"])
    drains = (DrainingPlan(chain([A], [B]), 9),)
    state = ChainTransition(UNSUPPORTED, draining=drains, leftovers=frozenset({leftover}))
    with pytest.raises(UnsupportedPlanError):
        compile_transition(state, LOCAL_A)
    kept = transition_flows.compile_fallback(state, OLD, LOCAL_A)
    assert kept == compile_transition(replace(state, plan=OLD), LOCAL_A)
    assert kept.flows == compile_chain(OLD, LOCAL_A).flows
    assert leftover in kept.draining
    assert len(kept.draining) > 1
    before = replace(state, leftovers=frozenset({leftover, accepts}))
    assert transition_flows.compile_fallback(before, OLD, LOCAL_A) == kept, "others' addresses"
    assert transition_flows.compile_fallback(state, None, LOCAL_A).flows == frozenset()
    guard = compile_bypass_guard(UNSUPPORTED, LOCAL_A).flows
    prepared = ChainTransition(OLD, Phase.PREPARED, UNSUPPORTED)
    assert guard
    assert guard <= compile_transition(prepared, LOCAL_A).flows


@pytest.mark.parametrize("branches_before", [True, False])
@pytest.mark.parametrize("phase", [Phase.PREPARED, Phase.SWITCHED])
@pytest.mark.parametrize("sources", [("10.0.0.10/32",), ("10.0.0.0/24",)])
def test_what_a_checked_function_returns_goes_on_by_one_plan(branches_before, phase, sources):
    """Else packets bypass a chain that has just been put behind this one."""
    function = target("a", "h1", bridges=True)
    before, plan = (
        chain(
            Hop(1, (function,), returned_sources=cidrs, returned_macs=(VM.mac,)), branches=branches
        )
        for branches, cidrs in (
            (branches_before, ("10.0.0.10/32",)),
            (not branches_before, sources),
        )
    )
    plan = replace(plan, revision=2)
    state = ChainTransition(plan, draining=(DrainingPlan(before, 9),))
    if phase is Phase.PREPARED:
        state = ChainTransition(plan, phase, before, deadline=9)
    local = switch("h1", "vm", "a-in", "a-out")
    assert next(ambiguous(compile_transition(state, local).all_flows), None) is None


@pytest.mark.parametrize("kind", [{}, {"bridges": True}, {"encapsulation": "mpls"}], ids=str)
@pytest.mark.parametrize("delivers", [True, False])
def test_a_draining_plan_has_nothing_for_a_port_that_is_plugged_in_again(kind, delivers):
    plan = chain([target("a", "h1", **kind)], [C])
    local = switch("h1", "vm", "a-in", "a-out")
    plugged = {
        ident(name): replace(local.ports[ident(name)], record="2") for name in ("a-in", "a-out")
    }
    again = replace(local, ports={**local.ports, **plugged})
    state = ChainTransition(None, draining=(DrainingPlan(plan, 9, delivers),))
    at_ports = re.compile(r"(in_port=|output:|int port )(12|13)\b")

    def entries(local, state):
        compiled = compile_transition(state, local)
        return [str(entry) for entry in compiled.all_flows | compiled.no_flood]

    assert any(map(at_ports.search, entries(again, state)))
    state = transition.note_replugged(state, again.replugged_since(local))
    assert not any(map(at_ports.search, entries(again, state)))
    live = compile_transition(replace(state, plan=plan), again)
    assert compile_chain(plan, again).entries <= live.entries


# --- Frames between hosts.


def test_a_frame_names_its_list_and_its_hop():
    ttls = [
        pipeline.frame_ttl(generation, index) for generation in range(13) for index in range(16)
    ]
    assert len(set(ttls)) == len(ttls)
    older = {pipeline.frame_ttl(None, index) for index in range(16)}
    assert older == set(range(240, 256)), "the service index"
    assert not older & set(ttls)
    assert min(ttls) > 0


def frames_taken(plan, host="h2"):
    """Return the TTLs of the frames for ``b`` that a host takes."""
    flows = compile_chain(plan, switch(host, "b-in", "b-out")).delivery
    words = {word for flow in flows for word in flow.key.match if word.startswith("mpls_ttl=")}
    return {int(word.removeprefix("mpls_ttl=")) for word in words}


def frames_sent(plan, host="h1"):
    flows = compile_chain(plan, switch(host, "vm", "a-in", "a-out")).forwarding
    actions = [flow.actions for flow in flows if "mpls_ttl" in flow.actions]
    return {int(re.search(r"set_field:(\d+)->mpls_ttl", text)[1]) for text in actions}


def test_a_host_takes_frames_of_its_own_list_and_of_older_agents():
    plan = listing(4, (1, A), (2, B))
    without = replace(plan, generation=None)  # an older agent, or a plan from an older server
    assert frames_sent(plan) < frames_taken(plan)
    assert frames_sent(without) < frames_taken(plan)
    assert frames_taken(without) == set(), "any"


def test_a_host_takes_no_frame_of_another_list_or_for_another_hop():
    taken = frames_taken(listing(4, (1, A), (2, B)))
    assert not taken & frames_sent(listing(2, (1, A), (2, B))), "the same label"
    assert not taken & frames_sent(listing(4, (1, B))), "the pair was in the first group"
    assert not taken & frames_sent(replace(listing(4, (1, B)), generation=None))


# --- Packets in flight.

GROUPS = {
    1: (target("a1", "h1"), target("a2", "h2")),
    2: (target("b1", "h2"), target("b2", "h3")),
    3: (target("c1", "h3"),),
    4: (target("d1", "h1"), target("d2", "h1")),
}
NAMES = {ident(f"{letter}{n}"): f"{letter}{n}" for letter in "abcd" for n in (1, 2)}
GROUP_OF = {NAMES[pair.pair_id]: number for number, pairs in GROUPS.items() for pair in pairs}
# A function that moves is on both hosts for a moment.
PORTS = {
    host: [f"{name}-{end}" for name in NAMES.values() for end in ("in", "out")] for host in HOSTS
}
PORTS["h1"] = ["vm", *PORTS["h1"]]


def moved(pair):
    """The pair on its own host, or on another one."""
    return st.sampled_from([pair.host, *HOSTS]).map(
        lambda host: replace(pair, host=host, tunnel_ip=TUNNEL_IPS[host])
    )


@st.composite
def hops_of(draw, number, failing):
    """A group with some of its pairs; the others have failed or, if all have, packets pass."""
    pairs = GROUPS[number]
    chosen = draw(st.sets(st.sampled_from(range(len(pairs))), min_size=0 if failing else 1))
    found = [draw(moved(pair)) for pair in pairs]
    targets = tuple(found[index] for index in sorted(chosen))
    others = tuple(pair for pair in found if pair not in targets)
    has_failed = failing and (not targets or draw(st.booleans()))
    return Hop(number, targets, returning=others if has_failed else (), passed=not targets)


@st.composite
def plans(draw, revision=1, generation=0, groups=None, failing=False):
    order = groups or draw(st.permutations(list(GROUPS)))[: draw(st.integers(1, 4))]
    hops = [draw(hops_of(number, failing)) for number in order]
    if all(hop.passed for hop in hops):  # else packets would not enter the chain
        hops[0] = draw(hops_of(order[0], failing=False))
    paths = (Path((classifier(),), (source("vm", "h1", "10.0.0.10"),), tuple(hops)),)
    odd = ODD_GENERATION if generation % 2 else 0
    return ChainPlan(ident("pc1"), 1 | odd, revision, paths, generation=generation)


def order_of(plan):
    return [hop.group_id for hop in plan.paths[0].hops]


@st.composite
def histories(draw, length, failing=False):
    """Successive plans of a chain."""
    made = [draw(plans(failing=failing))]
    generation = 0
    while len(made) < length:
        same = draw(st.booleans())
        groups = order_of(made[-1]) if same else None
        plan = draw(plans(revision=len(made) + 1, groups=groups, failing=failing))
        generation += order_of(plan) != order_of(made[-1])
        odd = ODD_GENERATION if generation % 2 else 0
        made.append(replace(plan, path_id=1 | odd, generation=generation))
    return made


def walks(plan: ChainPlan, *others: ChainPlan) -> set[tuple[str, ...]]:
    """Return all walks of a plan: any pair of each group, since pair sets of two plans may mix.

    :param others: plans that it may mix with. A group that packets pass by one may be left out.
    """
    passed = {hop.group_id for one in (plan, *others) for hop in one.paths[0].hops if hop.passed}
    choices = [
        [(NAMES[pair.pair_id],) for pair in GROUPS[number]] + [()] * (number in passed)
        for number in order_of(plan)
    ]
    return {tuple(chained.from_iterable(walk)) for walk in product(*choices)}


def contains(visited: Iterable[str], walk: Iterable[str]) -> bool:
    rest = iter(visited)
    return all(function in rest for function in walk)


class World:
    """Hosts, a server that tells them when to switch, and packets, in a random order."""

    def __init__(self, random: Random, first: ChainPlan | None) -> None:
        self.random, self.time = random, 0.0
        self.hosts = {}
        for name in HOSTS:
            local = switch(name, *PORTS[name])
            self.hosts[name] = Host(
                local, {port: local.ports[ident(port)].ofport for port in PORTS[name]}
            )
        takes_part = {name: first if first and name in first.hosts else None for name in HOSTS}
        self.states = {name: ChainTransition(plan) for name, plan in takes_part.items()}
        self.latest = first
        self.incomplete_since = 0.0
        self.inbox: list[tuple[str, str, ChainPlan, float]] = []
        self.revisions_switched: set[int] = {first.revision} if first else set()
        self.packets: list[Packet] = []
        for name in HOSTS:
            self._install(name)

    def _install(self, name: str) -> None:
        host = self.hosts[name]
        compiled = compile_transition(self.states[name], host.local)
        flows = compiled.all_flows
        host.install(flows | compile_frame_guard(host.local))
        assert next(ambiguous(host.flows), None) is None
        self.states[name] = transition.applied(self.states[name], self.time, TIMEOUTS)

    def notify(self, plan: ChainPlan) -> None:
        """Send a plan to the hosts."""
        if self.latest and self.latest.revision in self.revisions_switched:
            self.incomplete_since = self.time
        # One of several changes is complete within the switch timeout.
        while self.inbox and self.time > self.incomplete_since + LONGEST_SERIES:
            self._receive(self.inbox[0][1])
        before = self.latest.hosts if self.latest else frozenset()
        self._post("prepare", sorted(plan.hosts), plan)
        self._post("remove", sorted(before - plan.hosts), plan)
        self.latest = plan

    def _post(self, kind: str, hosts: Iterable[str], plan: ChainPlan) -> None:
        self.inbox += [(kind, host, plan, self.time) for host in hosts]

    def _receive(self, host: str) -> None:
        # Messages to one host keep their order; the reconciler would ignore late ones.
        message = next(m for m in self.inbox if m[1] == host)
        self.inbox.remove(message)
        kind, _, plan, _ = message
        now = self.states[host]
        if kind == "prepare":
            now = accept(now, plan, host, time=self.time)
        elif kind == "remove":
            now = transition.withdraw(now, self.time, TIMEOUTS)
        elif now.plan is plan:
            now = transition.switch(now, self.time, TIMEOUTS)
        self.states[host] = now
        self._install(host)
        self._tell_to_switch()

    def _tell_to_switch(self) -> None:
        plan = self.latest
        is_prepared = all(self.states[host].plan is plan for host in plan.hosts)
        if is_prepared and plan.revision not in self.revisions_switched:
            self.revisions_switched.add(plan.revision)
            self._post("switch", sorted(plan.hosts), plan)

    def hear(self, host: str, failed: frozenset[str]) -> None:
        """A host hears which functions have failed, whatever plans it has."""
        self.hosts[host].local = replace(self.hosts[host].local, failed=failed)
        self._install(host)

    def send(self) -> None:
        self.packets.append(Packet(self.random.randrange(1000), classifier(), since=self.time))

    def step(self) -> None:
        in_flight = [packet for packet in self.packets if packet.is_in_flight]
        match self.random.choice(["message", "packet", "packet", "send", "time"]):
            case "message" if self.inbox:
                self._receive(self.random.choice([message[1] for message in self.inbox]))
            case "packet" if in_flight:
                move(self.random.choice(in_flight), self.hosts)
            case "send":
                self.send()
            case "time":
                self._pass_time(0.4)

    def _pass_time(self, seconds: float) -> None:
        # Packets are faster than the drain time.
        while self.inbox and self.time + seconds - self.inbox[0][3] > SLOWEST_MESSAGE:
            self._receive(self.inbox[0][1])
        for packet in self.packets:
            while packet.is_in_flight and self.time + seconds - packet.since >= TIMEOUTS.drain:
                move(packet, self.hosts)
        self.time += seconds
        for host, now in self.states.items():
            state = transition.advance(now, self.time, TIMEOUTS)
            if state is not now:
                self.states[host] = state
                self._install(host)

    def finish(self) -> None:
        """Deliver all messages and packets, and let all deadlines pass."""
        while self.inbox:
            self._receive(self.inbox[0][1])
        for _ in range(40):
            self._pass_time(0.5)
        for packet in self.packets:
            while packet.is_in_flight:
                move(packet, self.hosts)


def packets_by_outcome(world: World) -> dict[tuple, list[Packet]]:
    found: dict[tuple, list[Packet]] = {}
    for packet in world.packets:
        found.setdefault(packet.location[:1], []).append(packet)
    return found


@settings(max_examples=examples(60), deadline=None)
@given(histories(2), st.randoms(use_true_random=False))
def test_every_packet_follows_one_plan(history, random):
    old, new = history
    world = World(random, old)
    world.notify(new)
    for _ in range(80):
        world.step()
    world.finish()
    world.send()
    world.finish()
    found = packets_by_outcome(world)
    assert not {("direct",), ("looped",)} & found.keys()
    for packet in found.get(("delivered",), ()):
        assert tuple(packet.visited) in walks(old) | walks(new)
    gap = ChainTransition(new, previous=old).is_ambiguous
    assert gap or ("dropped",) not in found, [packet.location for packet in found[("dropped",)]]
    assert tuple(world.packets[-1].visited) in walks(new)
    for host, now in world.states.items():
        local = world.hosts[host].local
        assert compile_transition(now, local).flows == compile_chain(new, local).flows
        assert compile_transition(now, local).draining == frozenset()


@settings(max_examples=examples(100), deadline=None)
@given(histories(3, failing=True), st.randoms(use_true_random=False))
def test_no_packet_is_lost_or_goes_around_groups_that_work(history, random):
    """Functions fail and come back, and packets pass groups that fail open."""
    world = World(random, history[0])
    for plan in history[1:]:
        world.notify(plan)
        for _ in range(30):
            world.step()
    world.finish()
    world.send()
    world.finish()
    found = packets_by_outcome(world)
    assert not {("direct",), ("looped",)} & found.keys()
    allowed = {walk for plan in history for walk in walks(plan, *history)}
    for packet in found.get(("delivered",), ()):
        assert any(contains(packet.visited, walk) for walk in allowed), packet.visited
    gap = any(
        ChainTransition(new, previous=old).is_ambiguous
        for number, new in enumerate(history)
        for old in history[:number]
    )
    assert gap or ("dropped",) not in found, [packet.location for packet in found[("dropped",)]]
    assert tuple(world.packets[-1].visited) in walks(history[-1])


def reacting(plan: ChainPlan, *, opens: bool) -> ChainPlan:
    """The plan of groups of which hosts leave out functions that have failed."""
    (path,) = plan.paths
    hops = (replace(hop, reaction=Reaction(len(hop.targets), opens=opens)) for hop in path.hops)
    return replace(plan, paths=(replace(path, hops=tuple(hops)),))


@settings(max_examples=examples(100), deadline=None)
@given(
    histories(2, failing=True),
    st.frozensets(st.sampled_from(sorted(NAMES))),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_hosts_leave_out_what_has_failed_one_after_the_other(history, failed, opens, random):
    """Before, while and after the server has them change to another plan."""
    history = [reacting(plan, opens=opens) for plan in history]
    for plan in history:  # else packets would not enter the chain
        assume(any(t.pair_id not in failed for hop in plan.paths[0].hops for t in hop.targets))
    world = World(random, history[0])
    world.notify(history[1])
    for _ in range(20):
        world.hear(random.choice(HOSTS), random.choice([failed, frozenset()]))
        for _ in range(4):
            world.step()
    for host in HOSTS:
        world.hear(host, failed)
    world.finish()
    world.send()
    world.finish()
    found = packets_by_outcome(world)
    assert not {("direct",), ("looped",)} & found.keys()
    effective = [leave_out(plan, failed) for plan in history]
    allowed = {walk for plan in history for walk in walks(plan, *history, *effective)}
    for packet in found.get(("delivered",), ()):
        assert any(contains(packet.visited, walk) for walk in allowed), packet.visited
    assert not {ident(name) for name in world.packets[-1].visited} & failed


@settings(max_examples=examples(40), deadline=None)
@given(plans(failing=True), st.randoms(use_true_random=False))
def test_what_a_failed_function_returns_late_goes_on_in_the_chain(plan, random):
    """A function that hangs holds packets for longer than any plan drains."""
    world = World(random, plan)
    (path,) = plan.paths
    for index, hop in enumerate(path.hops):
        behind = [one.group_id for one in path.hops[index + 1 :] if not one.passed]
        for function in hop.returning:
            name = NAMES[function.pair_id]
            packet = Packet(1, classifier(), ("function", function.host, name, "out"))
            while packet.is_in_flight:
                move(packet, world.hosts)
            assert packet.location == ("delivered",)
            assert [GROUP_OF[one] for one in packet.visited] == behind


@settings(max_examples=examples(40), deadline=None)
@given(plans(), st.randoms(use_true_random=False))
def test_packets_visit_all_or_no_functions_of_a_new_chain(plan, random):
    world = World(random, None)
    world.notify(plan)
    for _ in range(60):
        world.step()
    world.finish()
    found = packets_by_outcome(world)
    assert ("dropped",) not in found, [packet.location for packet in found[("dropped",)]]
    assert all(packet.visited == [] for packet in found.get(("direct",), ()))
    assert all(tuple(packet.visited) in walks(plan) for packet in found.get(("delivered",), ()))


@settings(max_examples=examples(40), deadline=None)
@given(histories(4), st.randoms(use_true_random=False))
def test_no_packet_bypasses_the_chain_in_quick_changes(history, random):
    world = World(random, history[0])
    for plan in history[1:]:
        world.notify(plan)
        for _ in range(25):
            world.step()
    world.finish()
    found = packets_by_outcome(world)
    assert not {("direct",), ("looped",)} & found.keys()
    for packet in found.get(("delivered",), ()):
        assert any(contains(packet.visited, walk) for plan in history for walk in walks(plan)), (
            packet.visited
        )
    gap = any(
        ChainTransition(new, previous=old).is_ambiguous
        for number, new in enumerate(history)
        for old in history[:number]
    )
    assert gap or ("dropped",) not in found, [packet.location for packet in found[("dropped",)]]
