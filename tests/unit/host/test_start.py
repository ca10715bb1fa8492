"""A start of the agent with many chains: ports wait for their own chains, and nothing else changes.

``Between`` lets ports come between two slices of the start, when another thread can have the lock.
"""

import threading
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portchain.dataplane.arbitration import FlowArbiter
from portchain.dataplane.compile import compile_chain
from portchain.dataplane.ledger import FlowLedger
from portchain.dataplane.plan import GraphIngress
from portchain.host.priority_lock import PriorityLock
from portchain.rpc.contract import PlanUpdate
from tests.full import examples
from tests.plans import chain, classifier, ident, source, switch, target
from tests.unit.host.in_memory_switch import MemorySwitch, let_time_pass, reconciler_on_h1

LONG = 20
VMS = ("vm1", "vm2", "vm3")
FUNCTIONS = ("a", "b", "c")
PORTS = (*VMS, *(f"{name}-{end}" for name in FUNCTIONS for end in ("in", "out")))
MANY = 12


def chain_of(number, vm="vm1", functions="a", *, owner="", port=None, revision=1):
    own = classifier(source_ports=(port or number, port or number))
    made = chain(
        *([target(name, "h1")] for name in functions),
        name=f"pc{number}",
        path_id=number,
        classifiers=(own,),
        revision=revision,
        sources=(source(vm, "h1", "10.0.0.10"),),
    )
    return replace(made, serial=number, owner=owner)


class Between(PriorityLock):
    """Calls something before each slice of work, without the lock."""

    def __init__(self, act):
        super().__init__()
        self.act, self.slices = act, 0

    def for_a_slice(self):
        self.slices += 1
        self.act(self.slices)
        return super().for_a_slice()


@pytest.fixture(autouse=True)
def small_slices(monkeypatch):
    monkeypatch.setattr("portchain.host.reconciler._SLICE_CHAINS", 1)
    monkeypatch.setattr("portchain.host.reconciler._SLICE_SECONDS", 0)


@pytest.fixture
def memory():
    made = MemorySwitch()
    made.local = switch("h1", *PORTS)
    return made


@pytest.fixture
def computed(monkeypatch):
    """Ids of the chains that have been computed, each time that they are."""
    found = []
    recompute = FlowArbiter.recompute

    def noting(self, chains, changed, *rest, **more):
        changed = list(changed)
        found.extend(changed)
        return recompute(self, chains, changed, *rest, **more)

    monkeypatch.setattr(FlowArbiter, "recompute", noting)
    return found


def start(memory, plans, comes, reports=lambda _: None):
    """Start an agent with plans; ``comes`` is called between slices, with their number."""
    reconciler = reconciler_on_h1(memory, reports)
    reconciler._lock = Between(lambda number: comes(reconciler, number))
    changed = reconciler.synchronise(PlanUpdate(tuple(plans)))
    reconciler._lock = PriorityLock()
    return reconciler, changed


def plug(reconciler, vm):
    """Let Neutron's agent wire a port, in its own thread."""
    thread = threading.Thread(target=reconciler.ports_changed, args=([ident(vm)],))
    thread.start()
    thread.join(LONG)
    assert not thread.is_alive()


@pytest.mark.parametrize("switch_has", ["nothing", "flows of other chains", "all flows"])
def test_a_port_waits_for_its_own_chains_only(memory, computed, switch_has):
    """The chains of another machine and other functions are computed later."""
    others = [chain_of(number, "vm1", "a") for number in range(1, MANY)]
    own = chain_of(99, "vm2", "b")
    before = {"nothing": [], "all flows": [*others, own]}.get(switch_has, others)
    if before:
        start(memory, before, lambda *_: None)
    computed.clear()
    seen = []

    def comes(reconciler, number):
        if number == 3:
            plug(reconciler, "vm2")
            seen.append(len(set(computed)))
            assert compile_chain(own, memory.local).flows <= set(memory.flows.values())

    start(memory, [*others, own], comes)
    assert seen
    assert seen[0] <= 4
    assert len(set(computed)) == MANY
    assert memory.holds_exactly(*others, own)


def test_a_start_compares_each_chain_as_seldom_as_possible(memory, monkeypatch):
    """With the flows of others: for the plan, to set it, and for what yields to other chains.

    Changes of the ledger are not looked for, because the whole switch is compared.
    """
    plans = [chain_of(number, "vm1", "a") for number in range(1, MANY)]
    start(memory, plans, lambda *_: None)
    asked, popped = [], []
    conflicts, pop_changes = FlowLedger.conflicts, FlowLedger.pop_changes

    def noting(ledger, owner, entries):
        asked.append(owner)
        return conflicts(ledger, owner, entries)

    monkeypatch.setattr(FlowLedger, "conflicts", noting)
    monkeypatch.setattr(FlowLedger, "pop_changes", lambda one: popped.append(1) or pop_changes(one))
    start(memory, plans, lambda *_: None)
    assert {asked.count(plan.id) for plan in plans} == {2}
    assert not popped


def test_a_port_that_comes_before_the_first_slice_waits_for_its_own_chains(memory, computed):
    others = [chain_of(number, "vm1", "a") for number in range(1, MANY)]
    own = chain_of(99, "vm2", "b")
    start(memory, others, lambda *_: None)
    computed.clear()

    def comes(reconciler, number):
        if number == 1:
            plug(reconciler, "vm2")
            assert computed == [own.id]
            assert compile_chain(own, memory.local).flows <= set(memory.flows.values())

    start(memory, [*others, own], comes)
    assert memory.holds_exactly(*others, own)


def test_what_flows_count_is_noted_if_a_port_comes_first(memory):
    plans = [chain_of(number, "vm1", "a") for number in range(1, MANY)] + [chain_of(99, "vm2", "b")]
    reconciler, _ = start(
        memory, plans, lambda host, number: plug(host, "vm2") if number == 3 else None
    )
    counting = {flow.key: flow.counter for flow in memory.flows.values() if flow.counter}
    assert len({counter.chain_id for counter in counting.values()}) == MANY
    assert reconciler._counters._store.counters_of(counting) == counting


@pytest.mark.parametrize("switch_has", ["nothing", "flows of other chains"])
def test_chains_that_follow_in_a_service_graph_are_there_when_a_port_is_wired(memory, switch_has):
    """Otherwise packets would leave the first chain without a visit to the second."""
    others = [chain_of(number, "vm1", "c") for number in range(1, MANY)]
    first, second = chain_of(50, "vm2", "ab"), chain_of(60, "vm3", "c")
    (path,) = second.paths
    entry = GraphIngress(first.path_id, 2, (source("b-out", "h1"),), (source("vm2", "h1"),))
    second = replace(second, paths=(replace(path, entries=(entry,)),))
    if switch_has != "nothing":
        start(memory, others, lambda *_: None)
    seen = []

    def comes(reconciler, number):
        if number == 3:
            plug(reconciler, "a-in")
            for plan in (first, second):
                assert compile_chain(plan, memory.local).flows <= set(memory.flows.values())
            seen.append(number)

    start(memory, [*others, first, second], comes)
    assert seen
    assert memory.holds_exactly(*others, first, second)


def test_a_chain_whose_plan_another_thread_changes_is_computed_again(memory):
    """The worker accepts an update while Neutron's agent has begun a comparison."""
    plans = [chain_of(number, "vm1", "a") for number in range(1, MANY)]
    changed = chain_of(1, "vm1", "b", revision=2)
    start(memory, plans, lambda *_: None)

    def comes(reconciler, number):
        if number == 6:
            with reconciler._lock:
                reconciler._accept_update(PlanUpdate((changed, chain_of(77, "vm2", "b"))))

    reconciler, _ = start(memory, plans, comes)
    let_time_pass(reconciler)
    assert memory.holds_exactly(changed, *plans[1:], chain_of(77, "vm2", "b"))


def test_a_port_whose_chain_cannot_be_programmed_does_not_stop_the_start(memory):
    plans = [chain_of(number, "vm1", "a") for number in range(1, MANY)]
    rejected = chain_of(99, "vm2", "b")
    start(memory, plans, lambda *_: None)
    memory.rejected_words = ("reg8=0x10063",)
    failed, reports = [], []

    def comes(reconciler, number):
        if number == 3:
            with pytest.raises(RuntimeError):
                reconciler.ports_changed([ident("vm2")])
            failed.append(number)

    start(memory, [*plans, rejected], comes, reports.extend)
    assert failed
    errors = {report.chain_id: report.error for report in reports}
    assert "rejects" in errors[rejected.id]
    assert not any(errors[plan.id] for plan in plans)
    for plan in plans:
        assert compile_chain(plan, memory.local).flows <= set(memory.flows.values())


PLANS = st.builds(
    lambda number, *rest: chain_of(number, *rest[:2], owner=rest[2], port=rest[3]),
    st.integers(1, 9),
    st.sampled_from(VMS),
    st.sampled_from(["a", "b", "ab", "ba", "bc"]),
    st.sampled_from(["", "one", "two"]),
    st.sampled_from([None, None, 7]),  # some chains have the same classifier
)


def by_id(plans):
    return list({plan.id: plan for plan in plans}.values())


class TouchedSwitch(MemorySwitch):
    """Notes which keys changes."""

    def __init__(self):
        super().__init__()
        self.touched = set()

    def apply(self, batch):
        super().apply(batch)
        self.touched.update(flow.key for flow in batch.put)
        self.touched.update(batch.remove)


@settings(max_examples=examples(100), deadline=None)
@given(
    before=st.lists(PLANS, max_size=6),
    changed=st.lists(PLANS, max_size=3),
    events=st.lists(st.tuples(st.integers(1, 8), st.sampled_from(VMS))),
)
@example(
    before=[],
    changed=[chain_of(1, "vm1", "ab", port=7), chain_of(7, "vm3", "a")],
    events=[(1, "vm3")],
)
def test_ports_that_come_meanwhile_make_no_difference(before, changed, events):
    """The same flows, the same reports, and no flow is touched that is as it should be."""
    before = by_id(before)
    after = by_id([*before, *(replace(plan, revision=2) for plan in changed)])

    def run(comes):
        memory, reports = TouchedSwitch(), {}
        memory.local = switch("h1", *PORTS)
        start(memory, before, lambda *_: None)
        found = dict(memory.flows)
        memory.touched.clear()

        def note(some):
            # Of several conflicts, any may be named.
            reports.update((one.chain_id, replace(one, error=one.error[:12])) for one in some)

        reconciler, _ = start(memory, after, comes, note)
        right = {key for key, flow in memory.flows.items() if found.get(key) == flow}
        assert not memory.touched & right
        at_start = dict(memory.flows)
        let_time_pass(reconciler)
        return at_start, dict(memory.flows), reports

    def comes(reconciler, number):
        for when, vm in events:
            if when == number:
                reconciler.ports_changed([ident(vm)])

    assert run(comes) == run(lambda *_: None)
