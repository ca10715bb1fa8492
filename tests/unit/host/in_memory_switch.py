"""A switch in memory that can lose and reject flows and fail, and a reconciler for it."""

from portchain.core.counters import Count
from portchain.dataplane.compile import compile_chain, compile_frame_guard
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.transition import TransitionTimeouts
from portchain.host.reconciler import Reconciler
from tests.plans import chain, classifier, switch, target

TIMEOUTS = TransitionTimeouts(switch=5, drain=1)
PORTS = ("vm", "a-in", "a-out", "b-in", "b-out")


class MemorySwitch:
    """Implements ``portchain.host.switch.Switch`` without a switch."""

    def __init__(self) -> None:
        self.local: LocalSwitch = switch("h1", *PORTS)
        self.flows = {}
        self.counts = {}
        self.learned = {}
        self.lacks = frozenset()
        self.is_down = False
        self.changes = 0  # flows added or removed
        self.limits = {}
        self.rejected_words = ()  # flows that contain one of these words are rejected

    def provide(self, needs):
        self.needs = needs

    def read_ports(self):
        return self.local

    def dump_entries(self):
        self._answer()
        return list(self.flows.values())

    def read_counts(self, keys):
        self._answer()
        return {key: self.counts.get(key, Count()) for key in keys if key in self.flows}

    def count_learned(self, labels):
        self._answer()
        return self.learned

    def limit_tables(self, limits):
        self._answer()
        self.limits = dict(limits)

    def apply(self, batch):
        self._answer()
        if any(word in str(flow) for flow in batch.put for word in self.rejected_words):
            raise RuntimeError("OFPBAC_BAD_TYPE")
        self.changes += len(batch.put) + len(batch.remove)
        for key in batch.remove:
            self.flows.pop(key, None)
            self.counts.pop(key, None)
        self.flows |= {flow.key: flow for flow in batch.put}

    def _answer(self):
        if self.is_down:
            raise RuntimeError("ovs-vswitchd is not running")

    def holds_exactly(self, *plans):
        """Whether the switch holds the flows of these plans and no other flow."""
        flows = {flow for plan in plans for flow in compile_chain(plan, self.local).flows}
        flows |= compile_frame_guard(self.local) if plans else set()
        return set(self.flows.values()) == flows


def plan(number, revision, hops=1):
    """A chain of one or two functions on this host, whose classifier no other number has."""
    targets = [target("a", "h1")], [target("b", "h1")]
    own = classifier(source_ports=(number, number))
    return chain(
        *targets[:hops], name=f"pc{number}", path_id=number, revision=revision, classifiers=(own,)
    )


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def reconciler_on_h1(memory, report=lambda _: None):
    return Reconciler(memory, "h1", report, TIMEOUTS, Clock())


def let_time_pass(reconciler, seconds=2 * (TIMEOUTS.switch + TIMEOUTS.drain)):
    """Let time pass, and do what the worker's thread would do."""
    end = reconciler._clock.now + seconds
    while (
        left := reconciler.seconds_until_due
    ) is not None and reconciler._clock.now + left <= end:
        reconciler._clock.now += left
        reconciler.advance_transitions()
    reconciler._clock.now = end
