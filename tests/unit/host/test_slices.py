"""Urgent work does not wait for other projects' chains: slices, the lock, and comparisons."""

import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import pytest

from portchain.dataplane import dump as dump_module
from portchain.dataplane.arbitration import FlowArbiter
from portchain.dataplane.compile import compile_chain
from portchain.dataplane.dump import Dump
from portchain.dataplane.flow import Bridge, make_flow
from portchain.dataplane.host_switch import LocalPort
from portchain.dataplane.packed_flows import PackedFlows
from portchain.dataplane.plan import GraphIngress
from portchain.dataplane.transition import ChainTransition, TransitionTimeouts
from portchain.dataplane.work_units import work_units
from portchain.host.priority_lock import PriorityLock
from portchain.host.reconciler import Reconciler
from portchain.rpc.contract import PlanUpdate
from tests.plans import chain, classifier, ident, source, switch, target
from tests.unit.host.in_memory_switch import MemorySwitch, let_time_pass, reconciler_on_h1

PORTS = ("vm", "victim", "a-in", "a-out", "b-in", "b-out")
LONG = 20


class SlowSwitch(MemorySwitch):
    """Takes a millisecond for each flow that changes."""

    def __init__(self):
        super().__init__()
        self.local = switch("h1", *PORTS)
        self.seconds = 0.001
        self.busy = threading.Event()
        self.during_apply = self.during_dump = lambda: None
        self.applied = Counter()

    def apply(self, batch):
        self.busy.set()
        self.during_apply()
        flows = len(batch.put) + len(batch.remove)
        self.applied[threading.current_thread()] += flows
        time.sleep(self.seconds * flows)
        super().apply(batch)

    def dump_entries(self):
        found = super().dump_entries()
        self.during_dump()
        return found


def chain_of(name, number, port, **changes):
    """A chain of its own for a port, through the function ``a`` or, for the victim, ``b``."""
    function = "b" if port == "victim" else "a"
    own = classifier(**{"source_ports": (number, number), **changes})
    return chain([target(function, "h1")], name=name, path_id=number, classifiers=(own,),
                 sources=(source(port, "h1"),))  # fmt: skip


@pytest.fixture
def slow():
    return SlowSwitch()


@pytest.fixture
def reconciler(slow):
    made = Reconciler(slow, "h1", lambda reports: None, TransitionTimeouts(5, 1))
    made.synchronise(PlanUpdate((chain_of("victim's", 1, "victim"),)))
    slow.busy.clear()
    slow.applied.clear()
    return made


MANY = tuple(
    chain_of(f"c{number}", number, "vm", destination_ports=(1, 65534)) for number in range(20, 32)
)


def wait_until(condition):
    deadline = time.monotonic() + LONG
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    return condition()


@contextmanager
def in_a_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(LONG)
    assert not thread.is_alive()


def test_a_port_does_not_wait_for_other_chains(reconciler, slow, monkeypatch):
    """The port comes during the first slice, which is one chain here, and few follow before it."""
    monkeypatch.setattr("portchain.host.reconciler._SLICE_SECONDS", 0)

    def until_somebody_waits():
        assert wait_until(lambda: reconciler._lock._urgent)
        slow.during_apply = lambda: None

    slow.during_apply = until_somebody_waits
    with in_a_thread(lambda: reconciler.update(PlanUpdate(MANY))) as work:
        assert slow.busy.wait(LONG)
        reconciler.ports_changed([ident("victim")])
        before = slow.applied[work]
    assert 0 < before < slow.applied[work] / 4


def test_a_port_without_chains_waits_for_nothing(reconciler, slow):
    """Not even for one slice."""
    returned = threading.Event()
    slow.during_apply = lambda: returned.wait(LONG)
    with in_a_thread(lambda: reconciler.update(PlanUpdate(MANY[:1], ()))):
        assert slow.busy.wait(LONG)
        reconciler.ports_changed([ident("unknown")])
        assert not slow.applied
        returned.set()


def test_a_port_does_not_wait_while_the_switch_is_read(reconciler, slow):
    done = []

    def port_comes():
        thread = threading.Thread(target=lambda: reconciler.ports_changed([ident("victim")]))
        thread.start()
        thread.join(LONG)
        done.append(not thread.is_alive())

    slow.during_dump = port_comes
    reconciler.reconcile()
    assert done == [True]


def test_a_comparison_leaves_what_has_changed_since_it_read_the_switch(reconciler, slow):
    """A chain that comes meanwhile is not programmed twice, and a lost flow is restored."""
    plan = chain_of("meanwhile", 77, "vm")

    def chain_comes():
        slow.during_dump = lambda: None
        reconciler.update(PlanUpdate((plan,)))
        slow.changes = 0

    lost = next(flow for flow in slow.flows.values() if flow.key.table == 152)
    del slow.flows[lost.key]
    slow.during_dump = chain_comes
    assert reconciler.reconcile() is True
    assert slow.changes == 1
    assert slow.flows[lost.key] == lost
    assert reconciler.reconcile() is False


def test_a_comparison_computes_only_what_may_have_changed(reconciler, slow, monkeypatch):
    """The flows of thousands of chains are not computed again every ``sync_interval``."""
    slow.seconds = 0
    reconciler.update(PlanUpdate(MANY[:3]))
    computed = []
    recompute = FlowArbiter.recompute

    def noting(self, chains, changed, *rest):
        computed.extend(changed)
        return recompute(self, chains, changed, *rest)

    monkeypatch.setattr(FlowArbiter, "recompute", noting)
    assert reconciler.reconcile() is False
    assert computed == []
    ports = slow.local.ports
    slow.local = replace(slow.local, ports={**ports, ident("another"): LocalPort(98, 1)})
    reconciler.reconcile()
    assert computed == [], "no chain uses the port"
    slow.local = replace(slow.local, ports={**ports, ident("victim"): LocalPort(99, 1)})
    reconciler.reconcile()
    assert computed == [ident("victim's")]
    computed.clear()
    slow.local = replace(slow.local, patch_to_int=5)
    reconciler.reconcile()
    assert len(computed) == 4
    computed.clear()
    slow.rejected_words = ("reg8=0x10009",)
    rejected = chain_of("rejected", 9, "vm")
    reconciler.update(PlanUpdate((rejected,)))
    computed.clear()
    slow.rejected_words = ()
    assert reconciler.reconcile() is True
    assert computed == [rejected.id], "a chain that failed is tried again"


def test_a_comparison_unpacks_each_changed_chain_once(reconciler, slow, monkeypatch):
    """It holds the lock meanwhile, whatever the number of flows that have changed."""
    slow.seconds = 0
    noted = reconciler._since_verified
    reconciler.update(PlanUpdate(MANY[:3]))
    assert len(noted) > 50
    reconciler.update(PlanUpdate(MANY[3:4]))
    assert reconciler._since_verified is noted, "not copied for each slice"
    unpacked = []
    flows_of = PackedFlows.flows_of
    monkeypatch.setattr(
        PackedFlows,
        "flows_of",
        lambda self, owner: (unpacked.append(owner), flows_of(self, owner))[1],
    )
    assert reconciler.reconcile() is False
    assert {plan.id for plan in MANY[:4]} <= set(unpacked)
    assert len(unpacked) == len(set(unpacked))


@pytest.mark.parametrize("removed", [False, True])
def test_a_comparison_undoes_nothing_that_changes_meanwhile(reconciler, slow, removed):
    """A stray flow becomes a wanted one, or a lost flow of a chain need not come back."""
    slow.seconds = 0
    plan = chain_of("meanwhile", 77, "vm")
    if removed:
        reconciler.update(PlanUpdate((plan,)))
        classifying = (flow for flow in slow.flows.values() if flow.key.table == 73)
        lost = next(flow for flow in classifying if "0x1004d" in flow.actions)
        del slow.flows[lost.key]
        update = PlanUpdate(removed=((plan.id, 9),))
    else:
        wanted = next(iter(compile_chain(plan, slow.local).classification))
        slow.flows[wanted.key] = replace(wanted, actions="drop")
        update = PlanUpdate((plan,))

    def it_changes():
        slow.during_dump = lambda: None
        reconciler.update(update)
        reconciler.advance_transitions()

    slow.during_dump = it_changes
    reconciler.reconcile()
    if removed:
        assert lost.key not in slow.flows
    else:
        assert slow.flows[wanted.key] == wanted


def test_chains_of_a_port_that_was_there_already_are_not_computed_again(
    reconciler, slow, monkeypatch
):
    """Neutron's agent tells of all ports when it starts."""
    computed = []
    recompute = FlowArbiter.recompute

    def noting(self, chains, changed, *rest):
        computed.extend(changed)
        return recompute(self, chains, changed, *rest)

    monkeypatch.setattr(FlowArbiter, "recompute", noting)
    reconciler.ports_changed([ident("victim")])
    assert computed == []
    victim = LocalPort(99, 1, "plugged in again")
    slow.local = replace(slow.local, ports={**slow.local.ports, ident("victim"): victim})
    reconciler.ports_changed([ident("a-in")])
    assert computed == [], "the port's own event comes"
    reconciler.ports_changed([ident("victim")])
    assert computed == [ident("victim's")]


def test_chains_that_use_a_tunnel_are_computed_when_it_comes(reconciler, slow):
    tunnels = slow.local.tunnels
    slow.local = replace(slow.local, tunnels={})
    reconciler.reconcile()
    far = chain([target("far", "h2")], name="far", path_id=3, sources=(source("vm", "h1"),))
    reconciler.update(PlanUpdate((far,)))
    slow.local = replace(slow.local, tunnels=tunnels)
    assert reconciler.reconcile() is True
    assert compile_chain(far, slow.local).flows <= set(slow.flows.values())


class PrintingSwitch(SlowSwitch):
    """Returns what a switch prints, as Open vSwitch does."""

    def __init__(self):
        super().__init__()
        self.seconds = 0
        self.ports_without_flooding = set()

    def dump_entries(self):
        self._answer()
        lines = [
            f" cookie=0x1, table={key.table}, priority={key.priority},"
            f"{','.join(sorted(key.match))} actions={flow.actions}"
            for key, flow in self.flows.items()
            if key.bridge == Bridge.INT
        ]
        other = [flow for key, flow in self.flows.items() if key.bridge == Bridge.TUN]
        assert not [flow for flow in other if flow.key.clause]
        tunnels = [f"{flow.match_text} actions={flow.actions}" for flow in other]
        return Dump({Bridge.INT: "\n".join(lines), Bridge.TUN: "\n".join(tunnels)})


def _drop(flow):
    return replace(flow, actions="drop")


@pytest.mark.parametrize("meanwhile", ["nothing", "change", "removal"])
@pytest.mark.parametrize("damage", ["none", "deleted", "changed", "added", "swapped"])
def test_a_comparison_finds_what_others_have_changed(monkeypatch, damage, meanwhile):
    """Whatever the agent itself has changed since the last comparison."""
    printing = PrintingSwitch()
    reconciler = reconciler_on_h1(printing)
    plans = [chain_of("victim's", 1, "victim"), *MANY[:2]]
    reconciler.synchronise(PlanUpdate(tuple(plans)))
    reconciler.reconcile()
    removed = [flow for flow in printing.flows.values() if "0x10014" in str(flow)]
    if meanwhile == "change":
        reconciler.update(PlanUpdate((chain_of("c3", 33, "vm"),)))
    elif meanwhile == "removal":
        reconciler.update(PlanUpdate(removed=((MANY[0].id, 9),)))
        let_time_pass(reconciler)
        assert not [flow for flow in printing.flows.values() if "0x10014" in str(flow)]
    wanted = dict(printing.flows)
    victim = next(flow for flow in printing.flows.values() if "0x10001" in str(flow))
    if damage in ("deleted", "swapped"):
        del printing.flows[victim.key]
    if damage == "changed":
        printing.flows[victim.key] = _drop(victim)
    if damage == "added":
        printing.flows[removed[0].key] = _drop(removed[0])
    if damage == "swapped":
        # As many lines as there should be: a flow that the agent has removed is back.
        back = removed[0]
        printing.flows[back.key] = back if meanwhile == "removal" else _drop(back)
    parsed = []
    parse = dump_module.parse_flow
    monkeypatch.setattr(
        dump_module, "parse_flow", lambda *words: (parsed.append(1), parse(*words))[1]
    )
    assert reconciler.reconcile() is (damage != "none")
    assert printing.flows == wanted
    if damage == "none":
        assert len(parsed) < len(wanted) / 2, "only what has changed is parsed"
    assert reconciler.reconcile() is False


def test_a_comparison_keeps_nothing_if_another_overtakes_it():
    """What it has read is older than what the other one has left in the switch."""
    printing = PrintingSwitch()
    reconciler = Reconciler(printing, "h1", lambda reports: None, TransitionTimeouts(5, 1))
    reconciler.synchronise(PlanUpdate((chain_of("victim's", 1, "victim"),)))
    reconciler.reconcile()
    before = dict(printing.flows)
    read_ports, dump_entries = printing.read_ports, printing.dump_entries

    def fail():
        printing.read_ports = read_ports
        raise RuntimeError("the database does not answer")

    def overtaken():
        found = dump_entries()
        printing.read_ports, printing.dump_entries = fail, dump_entries
        with pytest.raises(RuntimeError):
            reconciler.update(PlanUpdate(MANY[:1]))
        assert reconciler.reconcile() is True
        return found

    printing.dump_entries = overtaken
    reconciler.reconcile()
    wanted = dict(printing.flows)
    assert wanted.keys() > before.keys()
    printing.flows = before
    assert reconciler.reconcile() is True
    assert printing.flows == wanted


def test_ports_that_could_not_be_evaluated_are_evaluated_again(reconciler, slow, monkeypatch):
    victim = LocalPort(99, 1, "plugged in again")
    slow.local = replace(slow.local, ports={**slow.local.ports, ident("victim"): victim})

    def fail(*_):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(type(slow.local), "changes_since", fail)
        with pytest.raises(MemoryError):
            reconciler.reconcile()
    assert reconciler.reconcile() is True
    flows = compile_chain(chain_of("victim's", 1, "victim"), slow.local).flows
    assert flows <= set(slow.flows.values())


def test_ports_are_urgent(reconciler, monkeypatch):
    used = []
    urgently = PriorityLock.urgently
    monkeypatch.setattr(PriorityLock, "urgently", lambda self: (used.append(1), urgently(self))[1])
    reconciler.ports_changed([ident("victim")])
    assert used == [1]


def test_a_comparison_that_fails_is_repeated(reconciler, slow):
    slow.is_down = True
    with pytest.raises(RuntimeError):
        reconciler.reconcile()
    assert not reconciler.is_in_sync
    slow.is_down = False
    slow.flows.clear()
    assert reconciler.reconcile() is True
    assert reconciler.is_in_sync


def test_slices_lead_to_the_same_flows(slow, reconciler, monkeypatch):
    monkeypatch.setattr("portchain.host.reconciler._SLICE_SECONDS", 0)
    slow.seconds = 0
    reconciler.update(PlanUpdate(MANY))
    at_once = SlowSwitch()
    at_once.seconds = 0
    other = Reconciler(at_once, "h1", lambda reports: None, TransitionTimeouts(5, 1))
    other.synchronise(PlanUpdate((chain_of("victim's", 1, "victim"), *MANY)))
    assert slow.flows == at_once.flows
    assert reconciler.reconcile() is False


def test_foreign_flows_with_our_cookie_are_removed(slow, reconciler):
    stray = make_flow(Bridge.INT, 152, 7, ["reg8=0x9"], [])
    slow.flows[stray.key] = stray
    assert reconciler.reconcile() is True
    assert stray.key not in slow.flows


@pytest.mark.parametrize("words", [[], ["reg8=0x1/0xff"]])
def test_foreign_flows_do_not_stop_what_a_failure_needs(slow, words):
    """A start, and the comparison after an error, read all flows whatever they match."""
    stray = make_flow(Bridge.INT, 152, 7, words, [])
    slow.flows[stray.key] = stray
    made = Reconciler(slow, "h1", lambda reports: None, TransitionTimeouts(5, 1))
    made.synchronise(PlanUpdate((chain_of("victim's", 1, "victim"),)))
    assert stray.key not in slow.flows
    slow.flows[stray.key] = stray
    slow.is_down = True
    with pytest.raises(RuntimeError):
        made.reconcile()
    slow.is_down = False
    assert made.reconcile() is True
    assert stray.key not in slow.flows


# --- The lock.


def test_urgent_work_comes_before_the_next_slice():
    lock, order = PriorityLock(), []
    with lock:
        threads = [threading.Thread(target=_note, args=(lock.urgently, order, "urgent"))]
        threads[0].start()
        time.sleep(0.05)
        threads.append(threading.Thread(target=_note, args=(lock.for_a_slice, order, "slice")))
        threads[1].start()
        time.sleep(0.05)
    for thread in threads:
        thread.join(LONG)
    assert order == ["urgent", "slice"]


def _note(hold, order, name):
    with hold():
        order.append(name)


# --- Units.


def states(*plans):
    return {plan.id: ChainTransition(plan) for plan in plans}


def test_chains_of_a_graph_are_one_unit():
    plans = [chain_of(f"c{number}", number, "vm") for number in (5, 6, 7, 8)]
    entry = GraphIngress(path_id=8, hops=1, senders=(), origins=())
    following = replace(plans[0], paths=(replace(plans[0].paths[0], entries=(entry,)),))
    last = replace(
        plans[2], paths=(replace(plans[2].paths[0], entries=(replace(entry, path_id=5),)),)
    )
    chains = states(following, plans[1], last, plans[3])
    assert work_units(chains, list(chains)) == [
        (plans[0].id, plans[2].id, plans[3].id),
        (plans[1].id,),
    ]


def test_units_have_the_order_of_numbers_whatever_the_message_has():
    plans = [chain_of(f"c{number}", number, "vm") for number in (5, 6, 7, 8)]
    expected = [(plan.id,) for plan in plans]
    assert work_units(states(*plans), [plan.id for plan in reversed(plans)]) == expected
    gone = [f"gone{number}" for number in range(9)]
    assert work_units({}, gone[::-1]) == [(one,) for one in gone]
