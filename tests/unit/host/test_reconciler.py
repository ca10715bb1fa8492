"""The reconciler with a switch in memory that can lose flows and fail."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from portchain.core.model import HostReport
from portchain.dataplane.compile import compile_chain
from portchain.dataplane.datapath import SEGMENTATION
from portchain.dataplane.host_switch import FlowLimits
from portchain.dataplane.pipeline import TABLES
from portchain.host.reconciler import Reconciler
from portchain.rpc.contract import PlanUpdate
from tests.full import examples
from tests.plans import chain, ident, switch, target
from tests.unit.host.in_memory_switch import (
    PORTS,
    TIMEOUTS,
    Clock,
    MemorySwitch,
    let_time_pass,
    plan,
    reconciler_on_h1,
)


def test_no_flow_is_removed_before_the_first_answer_of_the_server(memory, reconciler):
    old = compile_chain(plan(1, 1), memory.local).flows
    memory.flows = {flow.key: flow for flow in old}
    reconciler.update(PlanUpdate((plan(2, 1),)))
    reconciler.reconcile()
    reconciler.ports_changed([ident("vm")])
    assert set(memory.flows.values()) == old
    reconciler.synchronise(PlanUpdate((plan(1, 1),)))
    assert memory.holds_exactly(plan(1, 1), plan(2, 1)), (
        "a plan that arrived before the answer counts"
    )


def test_a_restarted_agent_touches_no_correct_flow(memory, reconciler):
    reconciler.synchronise(PlanUpdate((plan(1, 1), plan(2, 1))))
    memory.changes = 0
    restarted = reconciler_on_h1(memory)
    assert restarted.synchronise(PlanUpdate((plan(1, 1), plan(2, 1)))) is False
    assert memory.changes == 0


@pytest.mark.parametrize("limit", [2, -1], ids=["of a part of the plan", "of all of it"])
def test_what_functions_hold_is_dropped_if_a_restarted_agent_has_less_room(memory, limit):
    """It must not go around the functions that follow."""
    two = plan(1, 1, hops=2)
    reconciler_on_h1(memory).synchronise(PlanUpdate((two,)))
    from_a = f"in_port={memory.local.ports[ident('a-out')].ofport}"
    returned = [
        key
        for key, flow in memory.flows.items()
        if key.table == 0 and from_a in key.match and "goto_table" in flow.actions
    ]
    assert returned
    reports = []
    size = len(compile_chain(two, memory.local).entries)
    limits = FlowLimits(chain=limit % size)
    restarted = Reconciler(memory, "h1", reports.extend, TIMEOUTS, Clock(), limits=limits)
    restarted.synchronise(PlanUpdate((two,)))
    for key in returned:
        actions = memory.flows[key].actions
        assert "goto_table" not in actions
        assert "output" not in actions
    let_time_pass(restarted)
    assert "max_chain_flows" in reports[-1].error


def test_an_older_server_takes_the_version_of_a_host_for_a_chain(memory, reconciler):
    """It answers that the host has no part in that chain."""
    reconciler.synchronise(PlanUpdate((plan(1, 1),)))
    memory.changes = 0
    answer = PlanUpdate(removed=(("00000000-0000-0000-0000-000000000000", 13),))
    for _ in range(2):
        assert reconciler.synchronise(answer) is False
    assert memory.changes == 0
    assert reconciler.known_revisions == {plan(1, 1).id: 1}


def test_one_new_chain_changes_only_its_own_flows(memory, reconciler):
    reconciler.synchronise(PlanUpdate(tuple(plan(n, 1) for n in range(1, 30))))
    memory.changes = 0
    reconciler.update(PlanUpdate((plan(99, 1),)))
    alone = compile_chain(plan(99, 1), memory.local).flows
    shared = compile_chain(plan(1, 1), memory.local).flows & alone
    assert memory.changes == len(alone - shared)


def test_tables_are_limited_while_there_are_chains(memory, reconciler):
    reconciler.synchronise(PlanUpdate((plan(1, 1),)))
    assert memory.limits == {TABLES["AFFINITY"].number: TABLES["AFFINITY"].max_flows}
    reconciler.update(PlanUpdate(removed=((plan(1, 1).id, 2),)))
    let_time_pass(reconciler)
    assert memory.limits == {}


@pytest.mark.parametrize("late", [plan(1, 1), plan(1, 2, hops=1)], ids=["older", "same number"])
def test_a_late_message_does_not_restore_an_older_plan(memory, reconciler, late):
    reconciler.synchronise(PlanUpdate((plan(1, 3, hops=2),)))
    reconciler.update(PlanUpdate((late,)))
    assert memory.holds_exactly(plan(1, 3, hops=2))
    reconciler.update(PlanUpdate(removed=((plan(1, 0).id, 2),)))
    assert memory.holds_exactly(plan(1, 3, hops=2))
    reconciler.update(PlanUpdate(removed=((plan(1, 0).id, 3),)))
    reconciler.update(PlanUpdate((plan(1, 3, hops=2),)))
    let_time_pass(reconciler)
    assert memory.holds_exactly()


@pytest.mark.parametrize("sees_it_unplugged", [True, False])
def test_a_port_is_free_as_soon_as_it_is_plugged_in_for_something_else(
    memory, reconciler, sees_it_unplugged
):
    reconciler.synchronise(PlanUpdate((plan(1, 1),)))
    reconciler.update(PlanUpdate(removed=((plan(1, 1).id, 2),)))
    before = memory.local
    held = f"in_port={before.ports[ident('a-out')].ofport},"
    assert any(held in str(flow) for flow in memory.flows.values())
    if sees_it_unplugged:
        memory.local = before.without_ports([ident("a-out")])
        reconciler.ports_changed([ident("a-out")])
    port = replace(before.ports[ident("a-out")], record="2")
    memory.local = replace(before, ports={**before.ports, ident("a-out"): port})
    reconciler.ports_changed([ident("a-out")])
    assert not any(held in str(flow) for flow in memory.flows.values())
    let_time_pass(reconciler)
    assert memory.holds_exactly()


def test_a_port_that_comes_later_completes_the_chain(memory, reconciler, reports):
    memory.local = switch("h1", "vm")
    reconciler.synchronise(PlanUpdate((plan(1, 1),)))
    assert ident("a-in") in reports[-1].missing
    memory.local = switch("h1", *PORTS)
    reconciler.ports_changed([ident("a-in")])
    assert memory.holds_exactly(plan(1, 1))
    assert (reports[-1].missing, reports[-1].error) == ("", "")


def test_what_the_datapath_lacks_is_reported_for_chains_that_need_it(memory, reconciler, reports):
    memory.local = replace(memory.local, lacks=frozenset({SEGMENTATION}))
    near, far = plan(1, 1), replace(chain([target("a", "h2")]), id=ident("far"), path_id=2)
    reconciler.synchronise(PlanUpdate((near, far)))
    said = {report.chain_id: report.warning for report in reports}
    assert said[near.id] == ""
    assert "large TCP packets" in said[far.id]
    # The switch was restarted, with another module of the kernel.
    memory.local = replace(memory.local, lacks=frozenset())
    reports.clear()
    reconciler.reconcile()
    assert [(report.chain_id, report.warning) for report in reports] == [(far.id, "")]


def test_a_source_that_is_not_plugged_in_is_not_missing(memory, reconciler, reports):
    memory.local = switch("h1", *PORTS[1:], first=12)
    reconciler.synchronise(PlanUpdate((plan(1, 1),)))
    assert (reports[-1].missing, reports[-1].error) == ("", "")
    memory.local = switch("h1", *PORTS)
    reconciler.ports_changed([ident("vm")])
    assert memory.holds_exactly(plan(1, 1))


def test_a_tunnel_that_comes_without_an_event_is_found(memory, reconciler, reports):
    remote = chain([target("c", "h2")])
    complete, memory.local = memory.local, replace(memory.local, tunnels={})
    reconciler.synchronise(PlanUpdate((remote,)))
    assert "tunnel" in reports[-1].missing
    assert reconciler.has_incomplete_chains
    memory.local = complete
    reconciler.retry_incomplete()
    assert not reconciler.has_incomplete_chains
    assert memory.holds_exactly(remote)
    assert reports[-1].missing == ""


def test_a_port_of_no_chain_costs_nothing(memory, reconciler):
    reconciler.synchronise(PlanUpdate((plan(1, 1),)))
    memory.is_down = True
    reconciler.ports_changed([ident("stranger")])


def test_a_failed_update_is_repaired_by_the_next_comparison(memory, reconciler, reports):
    reconciler.synchronise(PlanUpdate())
    memory.is_down = True
    with pytest.raises(RuntimeError):
        reconciler.update(PlanUpdate((plan(1, 1),)))
    assert reports == [], "a host reports no revision that it has not applied"
    memory.is_down = False
    reconciler.reconcile()
    assert memory.holds_exactly(plan(1, 1))
    assert [report.revision for report in reports] == [1]


@pytest.mark.parametrize("fails", [False, True], ids=["at once", "once ports can be read"])
def test_an_answer_replaces_lost_messages_about_known_chains(memory, reconciler, reports, fails):
    reconciler.synchronise(PlanUpdate((plan(1, 1), plan(2, 1))))
    answer = PlanUpdate((plan(1, 2, hops=2),), removed=((plan(2, 1).id, 2),))
    if fails:
        with pytest.MonkeyPatch.context() as patch:
            patch.delattr(MemorySwitch, "read_ports")
            with pytest.raises(AttributeError):
                reconciler.synchronise(answer)
        assert not reconciler.is_in_sync, "the worker tries again soon"
        reconciler.reconcile()
    else:
        assert reconciler.synchronise(answer)
    let_time_pass(reconciler)
    assert memory.holds_exactly(plan(1, 2, hops=2))
    assert reports[-1].revision == 2


def test_an_unreadable_plan_is_reported_once_and_flows_stay(memory, reconciler, reports):
    reconciler.synchronise(PlanUpdate((plan(1, 1),)))
    unread = HostReport(plan(1, 2).id, 2, error="this host cannot read the plan: colour")
    for _ in range(2):
        reconciler.update(PlanUpdate((plan(2, 1),), unreadable=(unread,)))
    assert memory.holds_exactly(plan(1, 1), plan(2, 1))
    assert [report for report in reports if report.error] == [unread]


def test_a_removal_that_comes_late_makes_no_report(memory, reconciler, reports):
    reconciler.synchronise(PlanUpdate((plan(1, 5),)))
    before = list(reports)
    reconciler.update(PlanUpdate(removed=((plan(1, 5).id, 3),)))
    memory.is_down = True
    with pytest.raises(RuntimeError):
        reconciler.reconcile()
    memory.is_down = False
    reconciler.reconcile()  # computes all chains again
    assert reports == before
    assert memory.holds_exactly(plan(1, 5))


def elsewhere(revision):
    """A chain whose functions are on another host. Each revision has one more pair."""
    pairs = [target(name, "h2") for name in "cde"[:revision]]
    return chain(pairs, name="pc1", path_id=1, revision=revision)


def prepare(*plans):
    return PlanUpdate(plans, prepare=frozenset(plan.id for plan in plans))


def test_a_host_switches_to_a_new_plan_when_all_hosts_are_prepared(memory, reconciler, reports):
    old, new = elsewhere(1), elsewhere(2)
    reconciler.synchronise(PlanUpdate((old,)))
    reconciler.update(prepare(new))
    assert reports[-1] == HostReport(new.id, 2, prepared=True)
    before = compile_chain(old, memory.local).flows
    assert before < set(memory.flows.values()), "all flows of the old plan"
    reconciler.update(PlanUpdate(switch=((new.id, 1),)))
    assert before < set(memory.flows.values()), "a late message about the old plan"
    reconciler.update(PlanUpdate(switch=((new.id, 2),)))
    assert reports[-1] == HostReport(new.id, 2)
    assert compile_chain(new, memory.local).flows < set(memory.flows.values())
    let_time_pass(reconciler)
    assert memory.holds_exactly(new)


def test_a_new_chain_is_classified_after_the_switch_timeout_at_the_latest(
    memory, reconciler, reports
):
    reconciler.synchronise(PlanUpdate())
    new = elsewhere(1)
    reconciler.update(prepare(new))
    entrance = compile_chain(new, memory.local).classification
    assert not entrance & set(memory.flows.values())
    let_time_pass(reconciler, TIMEOUTS.switch - 1)
    assert not entrance & set(memory.flows.values())
    let_time_pass(reconciler, 1)
    assert memory.holds_exactly(new)
    assert reports[-1] == HostReport(new.id, 1)


def test_a_plan_of_a_server_without_phases_is_switched_to_at_once(memory, reconciler, reports):
    reconciler.synchronise(PlanUpdate((elsewhere(1),)))
    reconciler.update(PlanUpdate((elsewhere(2),)))
    assert reports[-1] == HostReport(elsewhere(2).id, 2)


def test_an_agent_that_starts_during_a_change_switches_at_once(memory, reconciler, reports):
    reconciler.synchronise(prepare(elsewhere(2)))
    assert memory.holds_exactly(elsewhere(2))
    assert reports[-1] == HostReport(elsewhere(2).id, 2)


def test_an_answer_of_the_server_overrides_earlier_messages(memory, reconciler):
    here = plan(1, 3)
    reconciler.synchronise(PlanUpdate())
    reconciler.update(PlanUpdate(removed=((here.id, 3),)))
    reconciler.update(PlanUpdate((here,)))
    assert memory.holds_exactly(), "the message may be older than the removal"
    reconciler.synchronise(PlanUpdate((here,)), reconciler.known_revisions)
    assert memory.holds_exactly(here)
    older = replace(here, revision=2)
    reconciler.synchronise(PlanUpdate((older,)), reconciler.known_revisions)
    assert reconciler.known_revisions == {here.id: 2}, (
        "the server's database was restored from a backup"
    )


def test_a_message_that_overtakes_the_answer_overrides_it(memory, reconciler):
    old = plan(1, 3)
    reconciler.synchronise(PlanUpdate((old,)))
    asked_with = reconciler.known_revisions
    reconciler.update(PlanUpdate((replace(old, revision=5),)))
    reconciler.synchronise(PlanUpdate((replace(old, revision=4),)), asked_with)
    assert reconciler.known_revisions == {old.id: 5}
    asked_with = reconciler.known_revisions
    reconciler.update(PlanUpdate(removed=((old.id, 6),)))
    reconciler.synchronise(PlanUpdate((replace(old, revision=6),)), asked_with)
    assert reconciler.known_revisions == {}


class Life(RuleBasedStateMachine):
    """Messages in any order, damage and failures: a sync always restores the latest plans."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemorySwitch()
        self.reconciler = reconciler_on_h1(self.memory)
        self.latest = {}
        self.sent = []
        self.reconciler.synchronise(PlanUpdate())

    def attempt(self, work):
        try:
            work()
        except RuntimeError:
            assert self.memory.is_down

    @rule(
        number=st.integers(1, 3), hops=st.integers(1, 2), deliver=st.booleans(), steps=st.booleans()
    )
    def change(self, number, hops, deliver, steps):
        revision = (
            self.latest[number].revision + 1 if self.latest.get(number) else len(self.sent) * 10 + 1
        )
        update = PlanUpdate((plan(number, revision, hops),))
        if steps:
            update = replace(update, prepare=frozenset({update.chains[0].id}))
        self.latest[number] = update.chains[0]
        self.sent.append(update)
        if deliver:
            self.attempt(lambda: self.reconciler.update(update))

    @rule(number=st.integers(1, 3))
    def remove(self, number):
        if known := self.latest.pop(number, None):
            self.attempt(
                lambda: self.reconciler.update(PlanUpdate(removed=((known.id, known.revision),)))
            )

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def repeat(self, data):
        update = data.draw(st.sampled_from(self.sent))
        if self.latest.get(update.chains[0].path_id) is not None:
            self.attempt(lambda: self.reconciler.update(update))

    @rule(broken=st.booleans())
    def fail(self, broken):
        self.memory.is_down = broken

    @rule(data=st.data())
    def lose_a_flow(self, data):
        if self.memory.flows:
            del self.memory.flows[data.draw(st.sampled_from(sorted(self.memory.flows, key=str)))]

    @rule()
    def synchronise(self):
        self.memory.is_down = False
        known = self.reconciler.known_revisions
        latest = {p.id: p for p in self.latest.values()}
        removed = tuple((i, revision) for i, revision in known.items() if i not in latest)
        self.reconciler.synchronise(PlanUpdate(tuple(latest.values()), removed))
        let_time_pass(self.reconciler)
        assert self.memory.holds_exactly(*latest.values())

    @invariant()
    def only_ours(self):
        assert len(self.memory.flows) < 500


Life.TestCase.settings = settings(max_examples=examples(40), stateful_step_count=25, deadline=None)
TestLife = Life.TestCase
