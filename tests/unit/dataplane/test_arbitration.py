"""The arbiter of flows by itself: what it says of chains, and what else it keeps in the switch.

Conflicts and precedence: ``tests/unit/host/test_arbitration.py``.
"""

from dataclasses import replace

import pytest

from portchain.dataplane import pipeline
from portchain.dataplane.arbitration import FRAME_GUARD, FlowArbiter, Outcome
from portchain.dataplane.compile import compile_bypass_guard, compile_chain, compile_frame_guard
from portchain.dataplane.flow import Flow
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.plan import ChainPlan, Hop
from portchain.dataplane.transition import ChainTransition, TransitionTimeouts, accept, withdraw
from tests.plans import chain, classifier, ident, ovn_switch, switch, target

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
        outcomes = self.arbiter.recompute(self.states, chain_ids, self.local)
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
        for name, number, serial in (("c", 5, 3), ("b", 7, 2), ("d", 6, 3), ("a", 8, 4))
    }
    number = new["a"].plan.path_id if new["a"].plan else 0
    states = {**host.states, **new}

    def in_order(*active: int) -> list[str]:
        return host.arbiter.in_order(states, states, LOCAL, active, {})

    assert in_order() == [PLAN.id, "b", "c", "d", "a"]
    assert in_order(number) == [PLAN.id, "a", "b", "c", "d"]
    newer = {**states, PLAN.id: ChainTransition(replace(PLAN, serial=9, revision=2))}
    order = host.arbiter.in_order(newer, newer, LOCAL, [number], {})
    assert order == ["a", PLAN.id, "b", "c", "d"], "it sends by an earlier plan"
    odd = replace(OTHER, id="a", path_id=8 | pipeline.ODD_GENERATION, serial=4)
    states["a"] = ChainTransition(odd)
    assert in_order(8)[1] == "a", "whichever list of groups it follows"
