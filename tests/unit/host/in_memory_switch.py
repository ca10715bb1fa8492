"""A switch in memory that can lose rules, refuse some and fail; and a reconciler that works on it."""

from portchain.dataplane.compile import compile_chain, compile_frame_guard
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.transition import TransitionTimeouts
from portchain.host.reconciler import Reconciler
from tests.plans import chain, classifier, switch, target

PATIENCE = TransitionTimeouts(switch=5, drain=1)
PORTS = ("vm", "a-in", "a-out", "b-in", "b-out")


class MemorySwitch:
    def __init__(self) -> None:
        self.local: LocalSwitch = switch("h1", *PORTS)
        self.rules = {}
        self.broken = False
        self.changes = 0
        self.limits = {}
        self.refused = ()  # words of which none may be in a rule

    def read_ports(self):
        return self.local

    def dump_entries(self):
        self._answer()
        return list(self.rules.values())

    def limit_tables(self, limits):
        self._answer()
        self.limits = dict(limits)

    def apply(self, batch):
        self._answer()
        if any(word in str(flow) for flow in batch.put for word in self.refused):
            raise RuntimeError("OFPBAC_BAD_TYPE")
        self.changes += len(batch.put) + len(batch.remove)
        for key in batch.remove:
            self.rules.pop(key, None)
        self.rules |= {flow.key: flow for flow in batch.put}

    def _answer(self):
        if self.broken:
            raise RuntimeError("ovs-vswitchd is not there")

    def should_hold(self, *plans):
        flows = {flow for plan in plans for flow in compile_chain(plan, self.local).flows}
        flows |= compile_frame_guard(self.local) if plans else set()
        return set(self.rules.values()) == flows


def plan(number, revision, hops=1):
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


def on_h1(memory, report=lambda _: None):
    return Reconciler(memory, "h1", report, PATIENCE, Clock())


def wait(reconciler, seconds=2 * (PATIENCE.switch + PATIENCE.drain)):
    """Let time pass, and the agent's thread do what is due."""
    end = reconciler._clock.now + seconds
    while (
        left := reconciler.seconds_until_due
    ) is not None and reconciler._clock.now + left <= end:
        reconciler._clock.now += left
        reconciler.advance_transitions()
    reconciler._clock.now = end
