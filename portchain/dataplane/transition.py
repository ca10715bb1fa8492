"""The state machine that moves a host from one plan of a chain to the next (docs/decisions/0018).

Hosts receive a new plan at different times, and packets are in flight all the while. Two phases
keep packets from bypassing a function: every host *prepares* to receive packets by the new plan,
then every host *switches* to send by it. Pure: time is an argument.

States, and the flows that br-int has in each. "Transit" flows forward packets that have entered a
chain: they deliver to functions, select pairs and send to other hosts. ``compile.Compiled`` defines
the groups of flows.

========= ========================================================= ==============================
State     Flows of the latest plan                                  Flows of earlier plans
========= ========================================================= ==============================
ABSENT    none: the host has no part in the chain                   none
PREPARED  transit and affinity, where the previous plan has no      all of the previous plan;
          flow with the same key; drops for new sources. Only       transit of draining plans
          the drops while packets of both plans are ambiguous
CLOSED    drops for everything that would enter                     forwarding, no delivery; drops
                                                                    for what would enter
SWITCHED  all                                                       transit of draining plans
WITHDRAWN none: ``plan`` is None                                    transit of draining plans
========= ========================================================= ==============================

``transition_flows`` compiles these flows.

Transitions. "Ambiguous" means that packets of the two plans cannot be distinguished behind some
function or between hosts, see ``ChainTransition.is_ambiguous``. A plan that stops being used drains
for ``TransitionTimeouts.switch + drain`` seconds.

========= =============== ========= ==============================================================
State     Event           Next      What happens
========= =============== ========= ==============================================================
any but   ``accept``      PREPARED  if other hosts must be prepared before this one sends
CLOSED                              (a plan that was only prepared starts to drain)
any but   ``accept``      as        if none must: prepared and switched at once
CLOSED                    switched
any but   ``accept``      CLOSED    if frames of both plans would carry the same label
CLOSED
CLOSED    ``accept``      CLOSED    accepts the newer plan; the wait starts again
PREPARED  ``switch``      SWITCHED  the previous plan starts to drain
PREPARED  ``switch``      CLOSED    if ambiguous: no packets to functions for ``drain`` seconds
PREPARED  deadline        as switch the host has waited ``TransitionTimeouts.switch`` seconds
CLOSED    ``switch``      CLOSED    shortens the wait to ``drain`` seconds
CLOSED    deadline        SWITCHED  nothing of earlier plans is in flight any more
SWITCHED  ``switch``      SWITCHED  nothing
any       ``withdraw``    WITHDRAWN all plans start to drain
any       ``withdraw``    ABSENT    if ambiguous
SWITCHED  drain time over SWITCHED  the flows of the drained plan go
WITHDRAWN drain time over ABSENT    after the last draining plan
========= =============== ========= ==============================================================
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from portchain.dataplane import plan_comparison
from portchain.dataplane.plan import ChainPlan, Path

_MAX_DRAINING = 8
"""At most this many plans drain at a time. More changes in so short a time cost packets in flight
instead of memory."""


@dataclass(frozen=True, slots=True)
class TransitionTimeouts:
    """Times that a host waits during a transition, in seconds.

    :param switch: for the other hosts to be prepared.
    :param drain: for packets in flight to leave the chain.
    """

    switch: float = 5.0
    drain: float = 1.0


class Phase(StrEnum):
    """The phases of a transition to the latest plan; the states in the module's tables."""

    PREPARED = "prepared"
    CLOSED = "closed"
    SWITCHED = "switched"


@dataclass(frozen=True, slots=True)
class DrainingPlan:
    """An earlier plan by which packets may still be in flight.

    :param until: time after which no packet can be.
    """

    plan: ChainPlan
    until: float


@dataclass(frozen=True, slots=True)
class ChainTransition:
    """The state of one chain on one host.

    :param plan: the latest plan; None if the host has no part in the chain any more.
    :param previous: until the switch, the plan that packets still enter and travel by; None if
        there is none.
    :param draining: earlier plans, the latest first.
    :param deadline: time at which the phase ends by itself; None if it does not.
    """

    plan: ChainPlan | None
    phase: Phase = Phase.SWITCHED
    previous: ChainPlan | None = None
    draining: tuple[DrainingPlan, ...] = ()
    deadline: float | None = None

    @property
    def plans(self) -> Iterator[ChainPlan]:
        """All plans that have flows in the switch."""
        yield from (plan for plan in (self.plan, self.previous) if plan is not None)
        yield from (old.plan for old in self.draining)

    @property
    def next_deadline(self) -> float | None:
        """Time at which ``advance`` has something to do; None if never."""
        times = [old.until for old in self.draining]
        return min((*times, self.deadline) if self.deadline is not None else times, default=None)

    @property
    def is_ambiguous(self) -> bool:
        """Whether packets of two plans can be mistaken for each other and bypass a function."""
        return self.reuses_labels or any(
            plan_comparison.can_mix_into_bypass(old, new) for _, old, new in self._path_pairs()
        )

    @property
    def reuses_labels(self) -> bool:
        """Whether frames of two plans have the same label but different hops.

        The label has one bit for the generation of the list of groups, so this happens when the
        list changes twice in a short time.
        """
        return self.plan is not None and any(
            earlier.path_id == self.plan.path_id
            and plan_comparison.groups(old) != plan_comparison.groups(new)
            for earlier, old, new in self._path_pairs()
        )

    def _path_pairs(self) -> Iterator[tuple[ChainPlan, Path, Path]]:
        """Yield each earlier plan with each of its paths beside the latest plan's path."""
        for earlier in self.plans:
            if self.plan is not None and earlier is not self.plan:
                for old, new in zip(earlier.paths, self.plan.paths, strict=False):
                    yield earlier, old, new


ABSENT = ChainTransition(None)
"""The state of a chain that the host has no part in."""


# --- Events.


def accept(
    state: ChainTransition,
    plan: ChainPlan,
    host: str,
    *,
    prepare: bool,
    time: float,
    timeouts: TransitionTimeouts,
) -> ChainTransition:
    """Accept a new plan.

    :param host: name of this host.
    :param prepare: whether the server coordinates the switch. Otherwise the host does not wait for
        others.
    :param time: now, in seconds.
    """
    has_others = prepare and not plan.hosts <= {host}
    reopens = time + timeouts.drain + (timeouts.switch if has_others else 0)
    if state.phase is Phase.CLOSED:
        return replace(state, plan=plan, deadline=reopens)
    previous, draining = state.plan, state.draining
    if state.phase is Phase.PREPARED:
        previous = state.previous
        if not state.is_ambiguous:
            # This host never switched to that plan, but other hosts may send by it.
            draining = _start_to_drain(state.plan, draining, time, timeouts)
    prepared = ChainTransition(plan, Phase.PREPARED, previous, draining, time + timeouts.switch)
    if prepared.reuses_labels:
        return replace(prepared, phase=Phase.CLOSED, deadline=reopens)
    if has_others and _must_wait_for_others(prepared, host):
        return prepared
    return switch(prepared, time, timeouts)


def switch(state: ChainTransition, time: float, timeouts: TransitionTimeouts) -> ChainTransition:
    """Start to send by the latest plan: every host is prepared for it."""
    if state.phase is Phase.CLOSED:
        return replace(state, deadline=min(state.deadline or time, time + timeouts.drain))
    if state.phase is Phase.SWITCHED:
        return state
    if state.is_ambiguous:
        return replace(state, phase=Phase.CLOSED, deadline=time + timeouts.drain)
    draining = _start_to_drain(state.previous, state.draining, time, timeouts)
    return ChainTransition(state.plan, draining=draining)


def withdraw(state: ChainTransition, time: float, timeouts: TransitionTimeouts) -> ChainTransition:
    """End the host's part in the chain: nothing enters any more, packets in flight go on."""
    if state.is_ambiguous:
        return ABSENT
    draining = _start_to_drain(state.plan, state.draining, time, timeouts)
    return ChainTransition(None, draining=_start_to_drain(state.previous, draining, time, timeouts))


def advance(state: ChainTransition, time: float, timeouts: TransitionTimeouts) -> ChainTransition:
    """Handle every deadline that has passed."""
    draining = tuple(old for old in state.draining if old.until > time)
    if len(draining) != len(state.draining):
        state = replace(state, draining=draining)
    if state.deadline is None or state.deadline > time:
        return state
    if state.phase is Phase.CLOSED:
        # While the chain was closed, all packets of earlier plans have left it.
        return ChainTransition(state.plan)
    return switch(state, time, timeouts)


def _start_to_drain(
    plan: ChainPlan | None,
    draining: tuple[DrainingPlan, ...],
    time: float,
    timeouts: TransitionTimeouts,
) -> tuple[DrainingPlan, ...]:
    if plan is None:
        return draining
    others = [old for old in draining if old.plan != plan]
    # Another host may wait as long as it can before it switches. What it sends until then by the
    # old plan is in flight for the drain time.
    until = time + timeouts.switch + timeouts.drain
    return (DrainingPlan(plan, until), *others[: _MAX_DRAINING - 1])


def _must_wait_for_others(state: ChainTransition, host: str) -> bool:
    """Return whether this host would send packets that hosts which are not prepared would drop."""
    plan, previous = state.plan, state.previous
    if plan is None or state.is_ambiguous:
        return True
    if previous is not None and plan_comparison.is_covered_by(plan, previous):
        return False
    return any(plan_comparison.sends_elsewhere(path, host) for path in plan.paths)
