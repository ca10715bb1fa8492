"""Counts are read when somebody asks, and a failure to count stops nothing."""

import pytest

from portchain.core.counters import Count, Counter
from portchain.dataplane.flow import Bridge, make_flow
from portchain.host.counter_store import CounterStore
from portchain.host.flow_counters import FlowCounters
from portchain.rpc.contract import PlanUpdate
from tests.plans import ident
from tests.unit.host.in_memory_switch import (
    MemorySwitch,
    let_time_pass,
    plan,
    reconciler_on_h1,
)

COUNTER = Counter("c1", False, "in", "pair")
FLOW = make_flow(Bridge.INT, 152, 10, ["reg8=0x10001"], ["output:2"], counter=COUNTER)


class CountingSwitch(MemorySwitch):
    """Counts what a test says, and how often it is asked."""

    def __init__(self):
        super().__init__()
        self.asked = 0
        self.flows[FLOW.key] = FLOW

    def read_counts(self, keys):
        self.asked += 1
        return super().read_counts(keys)


@pytest.fixture
def counting():
    return CountingSwitch()


def total(counters):
    return counters.totals(["c1"], lambda _: [FLOW])[COUNTER].packets


def test_a_switch_is_not_asked_again_at_once(counting):
    counters = FlowCounters(counting, CounterStore(":memory:"), fresh_seconds=3600)
    counting.counts[FLOW.key] = Count(5, 50)
    assert [total(counters) for _ in range(3)] == [5, 5, 5]
    assert counting.asked == 1
    assert counters.totals(["c2"], lambda _: []) == {}
    assert counting.asked == 2
    always = FlowCounters(counting, CounterStore(":memory:"), fresh_seconds=0)
    assert [total(always) for _ in range(2)] == [5, 5]
    assert counting.asked == 4


def test_a_switch_that_does_not_answer_is_asked_again(counting):
    counters = FlowCounters(counting, CounterStore(":memory:"), fresh_seconds=3600)
    counting.is_down = True
    with pytest.raises(RuntimeError):
        total(counters)
    counting.is_down = False
    counting.counts[FLOW.key] = Count(5, 50)
    assert total(counters) == 5


def test_learned_flows_are_those_of_now(counting):
    """Not kept, and asked for no more often than counts."""
    learned = COUNTER._replace(kind="learned")
    counters = FlowCounters(counting, CounterStore(":memory:"), fresh_seconds=0)
    recent = FlowCounters(counting, CounterStore(":memory:"), fresh_seconds=3600)

    def read(which, place=(0x10001, 7)):
        return which.totals(["c1"], lambda _: [], lambda _: {place: learned}).get(learned)

    counting.learned = {(0x10001, 7): 5, (0x10002, 7): 6}
    assert read(counters) == read(recent) == Count(5)
    assert read(counters, (0x20001, 7)) is None
    counting.learned = {(0x10001, 7): 3}
    assert read(counters) == Count(3)
    assert read(recent) == Count(5)
    assert recent.totals(["c2"], lambda _: []) == {}
    assert read(recent) == Count(5)
    counting.learned = {}
    assert read(counters) is None


def test_flows_are_deleted_although_their_counts_cannot_be_read(counting):
    def fail(_):
        raise RuntimeError("no answer")

    counting.flows.clear()
    counting.read_counts = fail
    reconciler = reconciler_on_h1(counting)
    two, one = plan(1, 1, hops=2), plan(1, 2, hops=1)
    reconciler.synchronise(_update(two))
    reconciler.update(_update(one))
    let_time_pass(reconciler)
    assert counting.holds_exactly(one)


def test_what_flows_count_is_noted_although_the_switch_rejects_others(counting):
    counting.flows.clear()
    reconciler = reconciler_on_h1(counting)
    counting.rejected_words = ("tp_src=2,",)
    reconciler.synchronise(_update(plan(1, 1), plan(2, 1)))
    noted = {flow.key: flow.counter for flow in counting.flows.values() if flow.counter}
    assert {counter.chain_id for counter in noted.values()} == {plan(1, 1).id}
    assert reconciler._counters._store.counters_of(noted) == noted


def test_counts_of_deleted_flows_are_kept_although_the_switch_rejects_others(counting):
    counting.flows.clear()
    reconciler = reconciler_on_h1(counting)
    two = plan(1, 1, hops=2)
    reconciler.synchronise(_update(two))
    for key in counting.flows:
        counting.counts[key] = Count(3, 30)
    second = Counter(two.id, False, "in", ident("b"))
    counting.rejected_words = ("tp_src=2,",)
    reconciler.update(_update(plan(1, 2), plan(2, 1)))
    let_time_pass(reconciler)
    assert counting.holds_exactly(plan(1, 2))
    assert reconciler.counts_of([two.id])[second] == Count(3, 30)


def test_a_deleted_chain_is_forgotten(counting):
    counting.flows.clear()
    reconciler = reconciler_on_h1(counting)
    first = plan(1, 1)
    reconciler.synchronise(_update(first))
    for key in counting.flows:
        counting.counts[key] = Count(1, 10)
    assert reconciler.counts_of([first.id])
    assert reconciler.counts_of([ident("other")]) == {}
    reconciler.update(_update(removed=((first.id, 2**62),)))
    assert reconciler.counts_of() == {}


def _update(*chains, **rest):
    return PlanUpdate(chains, **rest)
