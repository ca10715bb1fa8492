"""The state machine that moves a host from one plan of a chain to the next.

Hosts receive a new plan at different times, or not at all, and packets are in flight all the while.
Two things keep packets from bypassing a function. Between hosts, a frame names the list of groups
that it follows and its place in the list (``pipeline.frame_ttl``). On each host, this machine keeps
a packet that a function returns from being taken for one of another plan. Neither depends on what
other hosts have heard: waiting for them saves packets, not the order (docs/decisions/0018, 0053).
Pure: time is an argument.

States, and the flows that br-int has in each. "Transit" flows forward packets that have entered a
chain: they deliver to functions, select pairs and send to other hosts. "Forwarding" is transit
without delivery to this host's functions. ``compile.Compiled`` defines the groups of flows.

========= ========================================================= ==============================
State     Flows of the latest plan                                  Flows of earlier plans
========= ========================================================= ==============================
ABSENT    none: the host has no part in the chain                   none
PREPARED  transit and affinity, where neither the previous plan     all of the previous plan;
          nor one that leads has a flow for the same packets;       those of draining plans
          drops for new sources. Only the drops while packets of
          both plans are ambiguous
CLOSED    drops for everything that would enter                     forwarding; drops for what
                                                                    would enter
OPENING   forwarding; drops for everything that would enter         drops for what would enter
REMEMBER- all; but at groups that have changed, flows visit the     those of draining plans
ING       earlier pairs, and the switch learns them
SWITCHED  all                                                       those of draining plans
WITHDRAWN none: ``plan`` is None                                    those of draining plans
========= ========================================================= ==============================

A plan that stops being used drains: it keeps its transit flows for ``switch + drain`` seconds of
``TransitionTimeouts``, because others may send by it until then, and then its forwarding flows for
``drain + settle`` seconds, because functions may hold packets. It has no flows for a port that is
plugged in meanwhile: what is behind that port is another function, or none.

For the first half of ``switch + drain`` seconds, a draining plan leads: its flows precede those of
a plan that the host is only prepared for. A function may move away and come back with the next
plan. Then the previous plan has no flows for what it returns, and other hosts may not know the
latest plan yet (docs/decisions/0018, "Quick changes").

REMEMBERING is for connections that began before the change (docs/decisions/0058). When flows
change, Open vSwitch looks at each entry of its datapath again with the packet that made it. That
can be the first packet of a connection that has long been established, and must not be taken for
the first packet of a new one.

``transition_flows`` compiles these flows.

Transitions. "Ambiguous" means that packets of the two plans cannot be distinguished behind some
function, or have the same label with different hops, see ``ChainTransition.is_ambiguous``. The
times of CLOSED, OPENING and forwarding flows begin when the switch holds the flows: ``applied``.

========= =============== ========= ==============================================================
State     Event           Next      What happens
========= =============== ========= ==============================================================
any other ``accept``      PREPARED  if other hosts must be prepared before this one sends
                                    (a plan that was only prepared starts to drain)
any other ``accept``      as        if none must: prepared and switched at once
                          switched
any other ``accept``      CLOSED    if packets of both plans have the same label, or too many
                                    plans drain
CLOSED,   ``accept``      CLOSED    accepts the newer plan; the wait starts again
OPENING
PREPARED  ``switch``      SWITCHED  the previous plan starts to drain
PREPARED  ``switch``      REMEMBER- as SWITCHED, if the pairs of a group change
                          ING
REMEMBER- wait over       SWITCHED  ``settle`` seconds: what the switch has cached is checked
ING
PREPARED  ``switch``      CLOSED    if ambiguous: no packets to functions any more
PREPARED  deadline        as switch the host has waited ``TransitionTimeouts.switch`` seconds
                                    since the first plan that it has not switched to
CLOSED    ``switch``      CLOSED    does not wait for other hosts any more
CLOSED    wait over       OPENING   ``drain + settle`` seconds: functions hold no packet any more
OPENING   wait over       SWITCHED  ``settle`` seconds: what functions return follows the new plan
SWITCHED  ``switch``      SWITCHED  nothing
any       ``withdraw``    WITHDRAWN all plans start to drain
any       ``withdraw``    CLOSED    if ambiguous; then ABSENT
SWITCHED  drain time over SWITCHED  the flows of the drained plan go
WITHDRAWN drain time over ABSENT    after the last draining plan
========= =============== ========= ==============================================================
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from portchain.dataplane import plan_comparison
from portchain.dataplane.flow import Flow
from portchain.dataplane.plan import ChainPlan, Path

MAX_DRAINING = 8
"""At most this many plans drain at a time. With more changes in so short a time the host closes the
chain for a moment: it loses packets instead of memory."""


@dataclass(frozen=True, slots=True)
class TransitionTimeouts:
    """Times that a host waits during a transition, in seconds.

    :param switch: for the other hosts to be prepared.
    :param drain: for packets in flight to leave the chain.
    :param settle: for the switch to forward by its present flows alone. Open vSwitch's datapath
        caches decisions, and checks them after a change of flows, or when ``max-revalidator`` (by
        default 500 ms) has passed.
    """

    switch: float = 5.0
    drain: float = 1.0
    settle: float = 0.5


class Phase(StrEnum):
    """The phases of a transition to the latest plan; the states in the module's tables."""

    PREPARED = "prepared"
    REMEMBERING = "remembering"
    CLOSED = "closed"
    OPENING = "opening"
    SWITCHED = "switched"


@dataclass(frozen=True, slots=True)
class DrainingPlan:
    """An earlier plan by which packets may still be in flight.

    :param until: time at which the present stage ends; None until the switch holds its flows.
    :param delivers: whether functions still get packets by this plan: the first of two stages.
    :param replugged: ports that were plugged in or unplugged since the plan started to drain.
    :param leads_until: time until which the plan precedes one that the host is only prepared for;
        None if it does not any more.
    """

    plan: ChainPlan
    until: float | None
    delivers: bool = True
    replugged: frozenset[str] = frozenset()
    leads_until: float | None = None


@dataclass(frozen=True, slots=True)
class ChainTransition:
    """The state of one chain on one host.

    :param plan: the latest plan; None if the host has no part in the chain any more.
    :param previous: until the switch, the plan that packets still enter and travel by; None if
        there is none.
    :param draining: earlier plans: those to which this host has switched, the latest first, and
        then those for which it was only prepared, the earliest first. Of two plans that have a
        flow for the same packets, the first counts.
    :param deadline: time until which the host waits for others; None if it does not.
    :param wait_ends: time at which CLOSED, OPENING or REMEMBERING may end; None until the switch
        holds the flows of this phase.
    :param leftovers: flows that drop what functions return by an earlier plan that the agent does
        not know, because it has restarted.
    """

    plan: ChainPlan | None
    phase: Phase = Phase.SWITCHED
    previous: ChainPlan | None = None
    draining: tuple[DrainingPlan, ...] = ()
    deadline: float | None = None
    wait_ends: float | None = None
    leftovers: frozenset[Flow] = frozenset()

    @property
    def plans(self) -> Iterator[ChainPlan]:
        """All plans that have flows in the switch."""
        yield from (plan for plan in (self.plan, self.previous) if plan is not None)
        yield from (old.plan for old in self.draining)

    @property
    def is_closed(self) -> bool:
        """Whether functions of this host get no packets, so that those in flight can leave."""
        return self.phase in (Phase.CLOSED, Phase.OPENING)

    @property
    def sends_by_latest(self) -> bool:
        """Whether packets enter and travel by the latest plan."""
        return self.phase in (Phase.REMEMBERING, Phase.SWITCHED)

    @property
    def remembered_hops(self) -> frozenset[tuple[bool, int]]:
        """The hops at which flows still visit the pairs from before, see ``plan_comparison``."""
        if self.phase is not Phase.REMEMBERING or self.plan is None:
            return frozenset()
        before = self.draining[0].plan if self.draining else None
        return plan_comparison.hops_with_other_pairs(before, self.plan)

    @property
    def next_deadline(self) -> float | None:
        """Time at which ``advance`` has something to do; None if never, or not yet known."""
        times = [old.until for old in self.draining if old.until is not None]
        if self.phase is Phase.PREPARED:
            times += [old.leads_until for old in self.draining if old.leads_until is not None]
        end = self._end_of_phase
        return min((*times, end) if end is not None else times, default=None)

    @property
    def _end_of_phase(self) -> float | None:
        if self.phase is Phase.REMEMBERING:
            return self.wait_ends
        if not self.is_closed:
            return self.deadline
        if self.wait_ends is None:
            return None
        return max(self.wait_ends, self.deadline or self.wait_ends)

    @property
    def awaits_switch(self) -> bool:
        """Whether a time begins when the switch holds the flows of this state."""
        waits = self.is_closed or self.phase is Phase.REMEMBERING
        return (waits and self.wait_ends is None) or any(old.until is None for old in self.draining)

    @property
    def is_ambiguous(self) -> bool:
        """Whether packets of two plans can be mistaken for each other and bypass a function."""
        return self.reuses_labels or any(
            plan_comparison.can_mix_into_bypass(old, new) for _, old, new in self._path_pairs()
        )

    @property
    def reuses_labels(self) -> bool:
        """Whether packets of two plans have the same label or path position but different hops.

        This happens when the list of groups changes twice in a short time and the server is older
        than contract 1.9, or the functions are SFC-aware.
        """
        return self.plan is not None and any(
            plan_comparison.share_positions(earlier, self.plan)
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
    deadline = time + timeouts.switch if has_others else None
    if deadline is not None and state.deadline is not None:
        # However many plans come: the plan that this host sends by drains on others.
        deadline = min(deadline, state.deadline)
    if state.is_closed:
        return _close(replace(state, plan=plan), deadline)
    previous, draining = state.plan, state.draining
    if state.phase is Phase.PREPARED:
        previous = state.previous
        if not state.is_ambiguous:
            draining = _drain_unused(state, time, timeouts)
    draining = tuple(_without_lead(draining, time))
    prepared = ChainTransition(plan, Phase.PREPARED, previous, draining, deadline)
    if prepared.reuses_labels or len(draining) > MAX_DRAINING:
        return _close(prepared, deadline)
    if has_others and _must_wait_for_others(prepared, host):
        return prepared
    return switch(prepared, time, timeouts)


def switch(state: ChainTransition, time: float, timeouts: TransitionTimeouts) -> ChainTransition:
    """Start to send by the latest plan: every host is prepared for it."""
    if state.phase is Phase.CLOSED:
        return replace(state, deadline=None)
    if state.phase is not Phase.PREPARED:
        return state
    draining = _start_to_drain(state.previous, state.draining, time, timeouts)
    if state.is_ambiguous or len(draining) > MAX_DRAINING:
        return _close(state)
    switched = ChainTransition(state.plan, draining=draining)
    remembering = replace(switched, phase=Phase.REMEMBERING)
    return remembering if remembering.remembered_hops else switched


def withdraw(state: ChainTransition, time: float, timeouts: TransitionTimeouts) -> ChainTransition:
    """End the host's part in the chain: nothing enters any more, packets in flight go on."""
    if state.is_closed or state.is_ambiguous:
        return _close(replace(state, plan=None))
    if state.phase is Phase.PREPARED:
        used, draining = state.previous, _drain_unused(state, time, timeouts)
    else:
        used, draining = state.plan, state.draining
    return ChainTransition(None, draining=_start_to_drain(used, draining, time, timeouts))


def applied(state: ChainTransition, time: float, timeouts: TransitionTimeouts) -> ChainTransition:
    """Note that the switch holds the flows of a state: the times that depend on it begin."""
    without_delivery = time + timeouts.drain + timeouts.settle
    draining = tuple(
        replace(old, until=without_delivery) if old.until is None else old for old in state.draining
    )
    wait_ends = state.wait_ends
    if wait_ends is None and state.phase in (Phase.OPENING, Phase.REMEMBERING):
        wait_ends = time + timeouts.settle
    elif wait_ends is None and state.phase is Phase.CLOSED:
        wait_ends = without_delivery
    return replace(state, draining=draining, wait_ends=wait_ends)


def advance(state: ChainTransition, time: float, timeouts: TransitionTimeouts) -> ChainTransition:
    """Handle every deadline that has passed."""
    draining = tuple(_next_stages(state.draining, time))
    if state.phase is Phase.PREPARED:
        draining = tuple(_without_lead(draining, time))
    if draining != state.draining:
        state = replace(state, draining=draining)
    end = state._end_of_phase
    if end is None or end > time:
        return state
    if state.phase is Phase.OPENING:
        return ChainTransition(state.plan)
    if state.phase is Phase.REMEMBERING:
        return replace(state, phase=Phase.SWITCHED, wait_ends=None)
    if state.phase is Phase.CLOSED and state.plan is None:
        return ABSENT
    if state.phase is Phase.CLOSED:
        # No function holds a packet of an earlier plan. But the switch may still have cached where
        # it sends what they return, so they must not get packets before it has forgotten that.
        return replace(state, phase=Phase.OPENING, draining=(), deadline=None, wait_ends=None)
    return switch(state, time, timeouts)


def note_replugged(state: ChainTransition, port_ids: Collection[str]) -> ChainTransition:
    """Note that ports were plugged in or unplugged: draining plans do not apply to them any more.

    Otherwise a port that bridged in a deleted chain, say, would lose the broadcasts of its new VM.
    """
    draining = tuple(
        replace(old, replugged=old.replugged | old.plan.ports.intersection(port_ids))
        for old in state.draining
    )
    return state if draining == state.draining else replace(state, draining=draining)


def reclose(state: ChainTransition) -> ChainTransition:
    """Begin a closed phase again: the switch holds the flows of an earlier plan meanwhile."""
    return _close(state, state.deadline)


def _close(state: ChainTransition, deadline: float | None = None) -> ChainTransition:
    """Stop giving packets to functions.

    :param deadline: time until which to wait for other hosts; None not to.
    """
    return replace(state, phase=Phase.CLOSED, deadline=deadline, wait_ends=None)


def _next_stages(draining: Iterable[DrainingPlan], time: float) -> Iterator[DrainingPlan]:
    """Yield plans that go on to drain, those in the stage that follows included."""
    for old in draining:
        if old.until is None or old.until > time:
            yield old
        elif old.delivers:
            yield replace(old, delivers=False, until=None)


def _without_lead(draining: Iterable[DrainingPlan], time: float) -> Iterator[DrainingPlan]:
    """Yield plans; those that have led for long enough lead no more."""
    for old in draining:
        is_over = old.leads_until is not None and old.leads_until <= time
        yield replace(old, leads_until=None) if is_over else old


def _start_to_drain(
    plan: ChainPlan | None,
    draining: tuple[DrainingPlan, ...],
    time: float,
    timeouts: TransitionTimeouts,
) -> tuple[DrainingPlan, ...]:
    if plan is None:
        return draining
    # Another host may wait as long as it can before it switches. What it sends until then by the
    # old plan is in flight for the drain time.
    seconds = timeouts.switch + timeouts.drain
    drains = DrainingPlan(plan, time + seconds, leads_until=time + seconds / 2)
    return (drains, *(old for old in draining if old.plan != plan))


def _drain_unused(
    state: ChainTransition, time: float, timeouts: TransitionTimeouts
) -> tuple[DrainingPlan, ...]:
    """Let the latest plan drain, to which this host never switched.

    Other hosts may send by it. But some may not even know it, so it comes after the plans that this
    host has switched to, which all hosts know.
    """
    unused, *used = _start_to_drain(state.plan, state.draining, time, timeouts)
    return (*used, unused)


def _must_wait_for_others(state: ChainTransition, host: str) -> bool:
    """Return whether this host would send packets that hosts which are not prepared would drop."""
    plan, previous = state.plan, state.previous
    if plan is None or state.is_ambiguous:
        return True
    if previous is not None and plan_comparison.is_covered_by(plan, previous):
        return False
    return any(plan_comparison.sends_elsewhere(path, host) for path in plan.paths)
