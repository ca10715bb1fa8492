"""The arbiter of flows by itself: what it says of chains, and what else it keeps in the switch.

Conflicts and precedence: ``tests/unit/host/test_arbitration.py``.
"""

from dataclasses import replace

import pytest

from portchain.dataplane import arbitration, pipeline
from portchain.dataplane.arbitration import FRAME_GUARD, FlowArbiter, Outcome, Precedences
from portchain.dataplane.compile import (
    Compiled,
    UnsupportedPlanError,
    compile_bypass_guard,
    compile_chain,
    compile_frame_guard,
)
from portchain.dataplane.flow import Flow
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.ledger import FlowConflictError
from portchain.dataplane.plan import ChainPlan, Hop
from portchain.dataplane.transition import ChainTransition, TransitionTimeouts, accept, withdraw
from tests.plans import chain, classifier, ident, ovn_switch, source, switch, target

LOCAL = switch("h1", "vm", "a-in", "a-out", "b-in", "b-out")
COUNTED = classifier(id=ident("fc"))
PLAN = chain([target("a", "h1")], [target("b", "h1")], classifiers=(COUNTED,))
OTHER = chain(
    [target("b", "h1")], name="pc2", path_id=2, classifiers=(classifier(source_ports=(2, 2)),)
)
NEWER = replace(
    chain([target("a", "h1")], classifiers=(COUNTED,), path_id=1 | pipeline.ODD_GENERATION),
    revision=2,
    generation=1,
)
UNKNOWN_FIELD = Hop(1, (target("a", "h1"), target("b", "h1")), lb_fields=("ip_ttl",))


def unsupported(plan: ChainPlan) -> ChainPlan:
    path = replace(plan.paths[0], hops=(UNKNOWN_FIELD,))
    return replace(plan, revision=plan.revision + 1, paths=(path,))


class Host:
    """An arbiter, the states of its chains, and what it says of them."""

    def __init__(self, local: LocalSwitch = LOCAL) -> None:
        self.arbiter, self.local = FlowArbiter(), local
        self.states: dict[str, ChainTransition] = {}
        self.active_at_start: set[int] = set()

    def have(self, *plans: ChainPlan) -> list[Outcome]:
        """Follow plans at once; return the outcome of each."""
        for plan in plans:
            before = self.states.get(plan.id)
            known = TransitionTimeouts()
            self.states[plan.id] = (
                ChainTransition(plan)
                if before is None
                else accept(before, plan, "h1", prepare=False, time=0, timeouts=known)
            )
        outcomes = self.recompute(*(plan.id for plan in plans))
        return [outcomes[plan.id] for plan in plans]

    def recompute(self, *chain_ids: str) -> dict[str, Outcome]:
        outcomes = self.arbiter.recompute(self.states, chain_ids, self.local, self.active_at_start)
        self.arbiter.ledger.pop_changes()
        self.arbiter.mark_applied()
        return outcomes

    def reject(self, owner: str) -> Outcome:
        found = self.arbiter.replace_rejected(self.states, {owner: "bad flow"}, self.local)
        return found[owner.partition("/")[0]]

    def owned(self, owner: str) -> set[object]:
        return set(self.arbiter.ledger.entries_of(owner))

    @property
    def entries(self) -> set[object]:
        return set(self.arbiter.ledger.entries)


# --- What it says of a chain.


def test_a_chain_that_is_realised_has_no_error() -> None:
    (found,) = Host().have(PLAN)
    assert found == Outcome()
    (found,) = Host(switch("h1", "vm", "a-in", "a-out")).have(PLAN)
    assert (found.error, bool(found.missing)) == ("", True)


def test_failures_that_plans_can_cause_are_told_from_bugs(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()
    host.have(PLAN)
    (found,) = host.have(unsupported(OTHER))
    assert (found.is_expected, found.is_unsupported) == (True, True)
    assert "ip_ttl" in found.error
    rival = replace(OTHER, paths=PLAN.paths, revision=3)
    (found,) = host.have(rival)
    assert (found.is_expected, found.is_unsupported) == (True, False)
    assert "another port chain needs the same match" in found.error

    def fail(flows: object) -> None:
        raise ValueError

    monkeypatch.setattr(pipeline, "check", fail)
    (found,) = host.have(NEWER)
    assert (found.is_expected, found.is_unsupported) == (False, False)
    assert found.error == "ValueError()"
    assert host.owned(PLAN.id) == host.owned(f"{PLAN.id}/draining") == set(), "nothing unchecked"
    del host.states[PLAN.id]
    assert len(host.recompute(PLAN.id)[PLAN.id].failures) == 1, "it has no guard that could fail"


def test_a_bug_behind_a_failure_that_a_plan_can_cause_is_told_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(arbitration, "compile_bypass_guard", fail)
    (found,) = Host().have(unsupported(PLAN))
    assert (found.is_expected, found.is_unsupported) == (False, True)
    assert "ip_ttl" in found.error


def test_a_guard_that_conflicts_with_itself_is_a_bug_that_affects_no_other_chain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guard = min(compile_bypass_guard(PLAN, LOCAL).flows, key=str)
    twice = Compiled(classification=frozenset({guard, replace(guard, actions="drop,drop")}))
    host = Host()
    host.states = {OTHER.id: ChainTransition(OTHER), PLAN.id: ChainTransition(unsupported(PLAN))}
    monkeypatch.setattr(arbitration, "compile_bypass_guard", lambda *_: twice)
    outcomes = host.recompute(PLAN.id, OTHER.id)
    assert [type(one) for one in outcomes[PLAN.id].failures] == [
        UnsupportedPlanError,
        FlowConflictError,
    ]
    assert host.owned(f"{PLAN.id}/guard") == set()
    assert outcomes[OTHER.id] == Outcome()


def test_the_applied_plan_is_the_latest_that_the_switch_has_taken() -> None:
    host = Host()
    assert host.arbiter.applied_plan(PLAN.id) is None
    host.have(PLAN)
    host.have(unsupported(PLAN))
    assert host.arbiter.applied_plan(PLAN.id) == PLAN


# --- What it keeps besides the flows of plans.


def test_flows_that_a_host_needs_once_come_with_the_first_chain_and_go_with_the_last() -> None:
    host, guard = Host(), compile_frame_guard(LOCAL)
    host.have(PLAN, OTHER)
    assert host.arbiter.chain_ids == {PLAN.id, OTHER.id}
    assert host.owned(FRAME_GUARD) == guard
    assert set(host.arbiter.entries_of(PLAN.id)) == compile_chain(PLAN, LOCAL).entries | guard
    for plan in (PLAN, OTHER):
        del host.states[plan.id]
        host.recompute(plan.id)
        assert bool(host.owned(FRAME_GUARD)) is bool(host.states)
    assert host.entries == set()
    host.have(PLAN)
    assert host.owned(FRAME_GUARD) == guard


def test_they_follow_the_switch() -> None:
    host = Host()
    host.have(PLAN)
    host.local = replace(LOCAL, patch_to_tun=77)
    host.recompute(OTHER.id)
    assert host.owned(FRAME_GUARD) == compile_frame_guard(host.local)
    assert host.owned(FRAME_GUARD) != compile_frame_guard(LOCAL)


def test_a_host_with_br_chain_needs_them_while_it_has_ports() -> None:
    host = Host(ovn_switch("h1", "vm"))
    host.recompute()
    assert host.owned(FRAME_GUARD) == compile_frame_guard(host.local)
    host.local = replace(host.local, ports={})
    host.recompute()
    assert host.entries == set()


def test_a_chain_fails_that_needs_a_match_which_the_host_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flows = compile_chain(PLAN, LOCAL).flows
    needed = frozenset(replace(flow, actions="drop") for flow in flows if not flow.contestable)
    monkeypatch.setattr(arbitration, "compile_frame_guard", lambda _: needed)
    host = Host()
    (found,) = host.have(PLAN)
    assert found.error
    assert host.owned(FRAME_GUARD) == needed
    assert host.owned(PLAN.id) == set()


@pytest.mark.parametrize("guard_is_first", [True, False])
def test_a_guard_gives_up_only_what_another_chain_needs(guard_is_first: bool) -> None:
    host = Host(switch("h1", "vm", "vm2", "a-in", "a-out", "b-in", "b-out"))
    sources = (source("vm", "h1", "10.0.0.10"), source("vm2", "h1", "10.0.0.11"))
    failed = unsupported(chain([target("a", "h1")], name="pc2", path_id=2, sources=sources))
    guard = compile_bypass_guard(failed, host.local).flows
    for plan in (failed, PLAN) if guard_is_first else (PLAN, failed):
        host.have(plan)
    taken = {flow.key for flow in compile_chain(PLAN, host.local).flows - guard}
    left = {flow for flow in guard if flow.key not in taken}
    assert guard > left > set()
    assert host.owned(f"{failed.id}/guard") == left
    del host.states[PLAN.id]
    host.recompute(PLAN.id)
    assert host.owned(f"{failed.id}/guard") == guard


def test_packets_in_flight_give_way_to_a_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()
    host.have(PLAN)
    host.have(NEWER)
    draining = host.owned(f"{PLAN.id}/draining")
    flows = [one for one in draining if isinstance(one, Flow) and one.actions != "drop"]
    guard = frozenset(replace(flow, actions="drop") for flow in flows[:2])
    monkeypatch.setattr(arbitration, "compile_bypass_guard", lambda *_: Compiled(guard))
    failed = unsupported(OTHER)
    host.have(failed)
    assert host.owned(f"{failed.id}/guard") == guard
    assert host.owned(f"{PLAN.id}/draining") == draining - set(flows[:2])


def test_flows_of_plans_and_of_guards_count() -> None:
    host, failed = Host(), unsupported(PLAN)
    host.have(PLAN)
    counted = {flow for flow in compile_chain(PLAN, LOCAL).flows if flow.counter}
    assert set(host.arbiter.counted_flows(PLAN.id)) == counted
    host = Host()
    host.have(failed)
    guard = compile_bypass_guard(failed, LOCAL).flows
    counted = {flow for flow in guard if flow.counter}
    assert counted
    assert set(host.arbiter.counted_flows(PLAN.id)) == counted
    assert set(host.arbiter.entries_of(PLAN.id)) == guard | compile_frame_guard(LOCAL)


def test_flows_of_a_plan_that_drains_count_and_stay_for_a_failed_chain() -> None:
    host = Host()
    host.have(PLAN)
    host.have(NEWER)
    draining = host.owned(f"{PLAN.id}/draining")
    assert draining
    keys = {flow.key for flow in draining if isinstance(flow, Flow)}
    assert keys <= {flow.key for flow in compile_chain(PLAN, LOCAL).transit}
    assert keys & {flow.key for flow in host.arbiter.counted_flows(PLAN.id)}
    assert set(host.arbiter.entries_of(PLAN.id)) >= draining
    (found,) = host.have(unsupported(NEWER))
    assert found.error
    assert host.owned(f"{PLAN.id}/draining"), "functions may still hold packets"
    assert host.arbiter.chain_ids == {PLAN.id}


def test_a_chain_that_leaves_drains() -> None:
    host = Host()
    host.have(PLAN)
    left = withdraw(host.states[PLAN.id], 0, TransitionTimeouts())
    host.states[PLAN.id] = left
    assert host.recompute(PLAN.id)[PLAN.id] == Outcome()
    assert host.owned(PLAN.id) == set()
    assert host.owned(f"{PLAN.id}/draining")
    assert host.arbiter.applied_plan(PLAN.id) is None


def test_ports_of_functions_stay_without_flooding_while_a_failed_chain_drains() -> None:
    host = Host()
    bridging = chain([target("a", "h1", bridges=True)])
    wanted = compile_chain(bridging, LOCAL).no_flood
    assert wanted
    host.have(bridging)
    host.states[bridging.id] = withdraw(host.states[bridging.id], 0, TransitionTimeouts())
    host.recompute(bridging.id)
    assert host.owned(bridging.id) == wanted
    host.have(unsupported(bridging))
    assert host.owned(f"{bridging.id}/draining")
    assert host.owned(bridging.id) == wanted


def test_a_chain_is_not_computed_again_for_packets_in_flight() -> None:
    """Other chains need matches of its plan that drains."""
    host = Host()
    host.have(PLAN)
    host.have(NEWER)
    draining = host.owned(f"{PLAN.id}/draining")
    hops = ([target("b", "h1")], [target("c", "h2")])
    rival = chain(*hops, name="pc2", path_id=2, sources=(source("vm2", "h1"),))
    host.have(rival)
    assert host.owned(f"{PLAN.id}/draining") < draining
    for revision in (2, 3):
        host.states[rival.id] = ChainTransition(replace(rival, revision=revision))
        assert host.recompute(rival.id).keys() == {rival.id}
        host.recompute(PLAN.id)


# --- Flows that the switch rejects.


def test_a_chain_continues_by_the_plan_before_if_its_latest_one_is_rejected() -> None:
    host = Host()
    host.have(PLAN)
    host.have(NEWER)
    found = host.reject(PLAN.id)
    assert (found.is_unsupported, found.error) == (
        True,
        "the switch rejects a flow of the chain: bad flow",
    )
    assert compile_chain(NEWER, LOCAL).flows <= host.entries, "the switch has taken it once"
    found = host.reject(PLAN.id)
    assert found.error
    assert host.owned(PLAN.id) == set(), "and now that is rejected, too"
    assert host.owned(f"{PLAN.id}/guard") == compile_bypass_guard(NEWER, LOCAL).flows
    host.reject(f"{PLAN.id}/guard")
    assert host.owned(f"{PLAN.id}/guard") == set()
    assert host.recompute(PLAN.id)[PLAN.id] == Outcome(), "it is offered again"
    assert host.owned(PLAN.id) == compile_chain(NEWER, LOCAL).entries


def test_a_chain_does_not_continue_by_a_plan_that_conflicts_with_itself_now() -> None:
    """While one of its ports was not plugged in, it did not."""
    loop = chain([target("a", "h1")], [target("b", "h1")], [target("a", "h1")])
    host = Host(switch("h1", "vm", "a-in", "b-in", "b-out"))
    assert not host.have(loop)[0].error
    host.have(unsupported(loop))
    assert host.owned(loop.id) == compile_chain(loop, host.local).entries
    host.local = LOCAL
    host.recompute(loop.id)
    assert host.owned(loop.id) == set()


def test_a_chain_continues_by_its_plan_although_guards_drop_the_same_packets() -> None:
    host, failed = Host(), unsupported(RIVAL)
    host.have(PLAN)
    host.have(unsupported(PLAN))
    host.reject(PLAN.id)
    host.have(failed)
    guard = host.owned(f"{failed.id}/guard")
    assert guard == compile_bypass_guard(failed, LOCAL).flows
    host.recompute(PLAN.id)
    assert host.owned(PLAN.id) == compile_chain(PLAN, LOCAL).entries
    assert host.owned(f"{failed.id}/guard") < guard


def test_rejected_flows_for_packets_in_flight_are_left_out() -> None:
    host = Host()
    host.have(PLAN)
    host.have(NEWER)
    assert host.reject(f"{PLAN.id}/draining") == Outcome()
    assert host.owned(f"{PLAN.id}/draining") == set()
    assert host.owned(PLAN.id) == compile_chain(NEWER, LOCAL).entries


# --- Order.


def test_chains_are_in_the_order_of_activity_age_and_number() -> None:
    host = Host()
    host.have(replace(PLAN, serial=9))
    new = {
        name: ChainTransition(replace(OTHER, id=name, path_id=number, serial=serial))
        for name, number, serial in (("d", 5, 3), ("b", 7, 2), ("c", 6, 3), ("a", 8, 4))
    }
    number = new["a"].plan.path_id if new["a"].plan else 0
    states = {**host.states, **new}

    def in_order(*active: int) -> list[str]:
        return host.arbiter.in_order(states, states, LOCAL, active, {})

    assert in_order() == [PLAN.id, "b", "d", "c", "a"]
    assert in_order(number) == [PLAN.id, "a", "b", "d", "c"]
    newer = {**states, PLAN.id: ChainTransition(replace(PLAN, serial=9, revision=2))}
    order = host.arbiter.in_order(newer, newer, LOCAL, [number], {})
    assert order == ["a", PLAN.id, "b", "d", "c"], "it sends by an earlier plan"
    odd = replace(OTHER, id="a", path_id=8 | pipeline.ODD_GENERATION, serial=4)
    states["a"] = ChainTransition(odd)
    assert in_order(8)[1] == "a", "whichever list of groups it follows"


RIVAL = replace(OTHER, paths=PLAN.paths, serial=2)


@pytest.mark.parametrize("order", [(PLAN.id, RIVAL.id), (RIVAL.id, PLAN.id)])
def test_chains_that_are_computed_one_after_the_other_can_have_one_order(
    order: tuple[str, ...],
) -> None:
    host = Host()
    precedences: Precedences = {}
    host.states = {plan.id: ChainTransition(plan) for plan in (PLAN, RIVAL)}
    for chain_id in order:
        host.arbiter.recompute(host.states, [chain_id], LOCAL, precedences=precedences)
    assert host.owned(PLAN.id) == compile_chain(PLAN, LOCAL).entries
    assert host.owned(RIVAL.id) == set()


def test_a_chain_fails_if_an_older_one_may_go_on_since_it_has_changed() -> None:
    """The older one has sent packets before a restart, and gave way to a later one after it."""
    host = Host()
    host.active_at_start = {PLAN.path_id}
    host.have(RIVAL)
    host.states |= {PLAN.id: ChainTransition(PLAN)}
    assert host.recompute(PLAN.id)[PLAN.id].error
    host.states |= {RIVAL.id: ChainTransition(replace(RIVAL, revision=2))}
    found = host.recompute(RIVAL.id)
    assert not found[PLAN.id].error
    assert found[RIVAL.id].error
    assert host.owned(PLAN.id) == compile_chain(PLAN, LOCAL).entries


@pytest.mark.parametrize(("before", "latest"), [(PLAN, RIVAL), (RIVAL, PLAN)])
def test_of_failed_chains_with_the_same_match_the_one_that_sent_last_continues(
    before: ChainPlan, latest: ChainPlan
) -> None:
    host = Host()
    for plan in (before, unsupported(before), latest):
        host.have(plan)
    assert host.owned(before.id) == set()
    host.have(unsupported(latest))
    assert host.owned(before.id) == set()
    assert host.owned(latest.id) == compile_chain(latest, LOCAL).entries
    del host.states[latest.id]
    host.recompute(latest.id)
    assert host.owned(before.id) == compile_chain(before, LOCAL).entries


def test_a_failed_chain_continues_again_as_soon_as_nobody_else_needs_its_match() -> None:
    """Its guard is complete all the time: the other chain has other sources."""
    host = Host()
    rival = replace(RIVAL, paths=(replace(PLAN.paths[0], sources=(source("vm2"),)),))
    for plan in (PLAN, unsupported(PLAN), rival):
        host.have(plan)
    assert host.owned(PLAN.id) == set()
    assert host.owned(f"{PLAN.id}/guard") == compile_bypass_guard(PLAN, LOCAL).flows
    del host.states[rival.id]
    host.recompute(rival.id)
    assert host.owned(PLAN.id) == compile_chain(PLAN, LOCAL).entries


def test_of_failed_chains_that_have_both_sent_the_older_one_continues() -> None:
    host = Host()
    host.active_at_start = {PLAN.path_id}
    for plan in (PLAN, unsupported(PLAN), RIVAL, unsupported(RIVAL)):
        host.have(plan)
    assert host.owned(PLAN.id) == compile_chain(PLAN, LOCAL).entries
    assert host.owned(RIVAL.id) == set()
