"""The state machine that takes a host from one plan of a chain to the next (docs/decisions/0018).

Hosts receive a new plan at different times, and packets are in flight all the while. Two phases
keep packets from bypassing a function: every host *prepares* to receive packets by the new plan,
then every host *switches* to send by it. Pure: time is an argument.

States, and the flows that br-int has in each. "Transit" flows forward packets that have entered a
chain: they deliver to functions, select pairs and send to other hosts. ``Compiled`` has the names.

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

Transitions. "Ambiguous" means that packets of the two plans cannot be told apart behind some
function or between hosts, see ``_is_ambiguous``. A plan that stops being used drains for
``TransitionTimeouts.switch + drain`` seconds.

========= =============== ========= ==============================================================
State     Event           Next      What happens
========= =============== ========= ==============================================================
any but   ``accept``      PREPARED  if other hosts must be prepared before this one sends
CLOSED                              (a plan that was only prepared starts to drain)
any but   ``accept``      as        if none must: prepared and switched at once
CLOSED                    switched
any but   ``accept``      CLOSED    if frames of both plans would carry the same label
CLOSED
CLOSED    ``accept``      CLOSED    takes the newer plan; the wait starts again
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

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from portchain.dataplane.compile import (
    Compiled,
    UnsupportedPlanError,
    compile_bypass_guard,
    compile_chain,
)
from portchain.dataplane.flow import Flow, FlowKey, NoFlood, SwitchEntry
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.plan import ChainPlan, Path, Target

_FIRST_REVISION = 1
"""Revision of a chain's first plan. A host that first hears of a chain at a later revision has
joined an existing chain."""

_MAX_DRAINING = 8
"""At most this many plans drain at a time. More changes in so short a time cost packets in flight
instead of memory."""


@dataclass(frozen=True, slots=True)
class TransitionTimeouts:
    """How long a host waits during a transition, in seconds.

    :param switch: for the other hosts to be prepared.
    :param drain: for packets in flight to leave the chain.
    """

    switch: float = 5.0
    drain: float = 1.0


class Phase(StrEnum):
    """How far a host is with its latest plan; the states in the module's tables."""

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
    """Take a new plan.

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
        if not _is_ambiguous(state):
            # This host never switched to that plan, but other hosts may send by it.
            draining = _start_to_drain(state.plan, draining, time, timeouts)
    prepared = ChainTransition(plan, Phase.PREPARED, previous, draining, time + timeouts.switch)
    if _reuses_labels(prepared):
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
    if _is_ambiguous(state):
        return replace(state, phase=Phase.CLOSED, deadline=time + timeouts.drain)
    draining = _start_to_drain(state.previous, state.draining, time, timeouts)
    return ChainTransition(state.plan, draining=draining)


def withdraw(state: ChainTransition, time: float, timeouts: TransitionTimeouts) -> ChainTransition:
    """End the host's part in the chain: nothing enters any more, packets in flight go on."""
    if _is_ambiguous(state):
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


# --- What a transition needs.


def _must_wait_for_others(state: ChainTransition, host: str) -> bool:
    """Tell whether this host would send packets that hosts which are not prepared would drop."""
    plan, previous = state.plan, state.previous
    if plan is None or _is_ambiguous(state):
        return True
    if previous is not None and _is_covered_by(plan, previous):
        return False
    return any(_sends_elsewhere(path, host) for path in plan.paths)


def _sends_elsewhere(path: Path, host: str) -> bool:
    # Behind the last hop, a frame may have to return to the host of its origin.
    receivers_of_hop = (*(hop.targets for hop in path.hops), path.origins)
    return any(
        any(sender.host == host for sender in path.senders_into(index))
        and any(receiver.host != host for receiver in receivers)
        for index, receivers in enumerate(receivers_of_hop)
    )


def _is_covered_by(plan: ChainPlan, previous: ChainPlan) -> bool:
    """Tell whether hosts with the previous plan can receive all that is sent by the new one."""
    if plan.path_id != previous.path_id or len(plan.paths) != len(previous.paths):
        return False
    return all(map(_path_is_covered_by, plan.paths, previous.paths))


def _path_is_covered_by(path: Path, previous: Path) -> bool:
    if (path.reverse, len(path.hops)) != (previous.reverse, len(previous.hops)):
        return False
    if (path.entries, path.branches) != (previous.entries, previous.branches):
        return False
    hops_are_covered = all(
        (hop.group_id, hop.tap, hop.headers) == (old.group_id, old.tap, old.headers)
        and set(map(_without_weight, hop.targets)) <= set(map(_without_weight, old.targets))
        for hop, old in zip(path.hops, previous.hops, strict=True)
    )
    return (
        hops_are_covered
        and set(path.classifiers) <= set(previous.classifiers)
        and _sources_by_classifier(path) <= _sources_by_classifier(previous)
    )


def _without_weight(target: Target) -> Target:
    """Return the target with the same weight as all others: only senders depend on weights."""
    return replace(target, weight=1)


def _sources_by_classifier(path: Path) -> set[tuple[object, ...]]:
    """Return the sources with their classifiers, whatever the classifiers' order in the plan."""
    return {
        (path.classifiers[source.classifier], replace(source, classifier=0))
        for source in path.sources
    }


def _is_ambiguous(state: ChainTransition) -> bool:
    """Tell whether packets of two plans can be mistaken for each other, with a bypass as result."""
    return _reuses_labels(state) or any(
        _can_mix_into_bypass(old, new) for _, old, new in _path_pairs(state)
    )


def _reuses_labels(state: ChainTransition) -> bool:
    """Tell whether frames of two plans have the same label but different hops.

    The label has one bit for the generation of the list of groups, so this happens when the list
    changes twice in a short time.
    """
    plan = state.plan
    return plan is not None and any(
        earlier.path_id == plan.path_id and _groups(old) != _groups(new)
        for earlier, old, new in _path_pairs(state)
    )


def _path_pairs(state: ChainTransition) -> Iterator[tuple[ChainPlan, Path, Path]]:
    """Yield each earlier plan with each of its paths beside the latest plan's path."""
    for earlier in state.plans:
        if state.plan is not None and earlier is not state.plan:
            for old, new in zip(earlier.paths, state.plan.paths, strict=False):
                yield earlier, old, new


def _groups(path: Path) -> list[int]:
    return [hop.group_id for hop in path.hops]


def _can_mix_into_bypass(before: Path, after: Path) -> bool:
    """Tell whether packets that travel by a mixture of two paths can bypass a function.

    Groups that both paths share at the start and at the end are harmless: a packet that changes
    paths there visits one or the other variant of the middle. But if a function is in the middle
    of both paths, the packets that it returns may have visited different functions before it.
    """
    old, new = _groups(before), _groups(after)
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    in_both = set(old) & set(new)
    earlier = _groups_of_unaware_pairs(before)
    return any(
        pair in earlier and (group in in_both or earlier[pair] != group)
        for pair, group in _groups_of_unaware_pairs(after).items()
    )


def _groups_of_unaware_pairs(path: Path) -> dict[str, int]:
    """Map SFC-unaware pairs to their groups: a packet that they return does not tell its plan."""
    return {
        target.pair_id: hop.group_id
        for hop in path.hops
        for target in hop.targets
        if not target.function.identifies_chain and not hop.tap
    }


# --- Flows.


@dataclass(frozen=True, slots=True)
class TransitionFlows:
    """The desired entries of a switch for one chain.

    :param flows: of the latest plan and, until the switch, of the previous one.
    :param bypass_guard: flows that drop what would bypass the chain until the switch. They yield to
        other chains' ``flows``.
    :param draining: flows of earlier plans for packets in flight. They yield to all other flows.
    :param no_flood: as in ``Compiled``, for all of these plans.
    :param missing: as in ``Compiled``, for the latest plan.
    """

    flows: frozenset[Flow] = frozenset()
    bypass_guard: frozenset[Flow] = frozenset()
    draining: frozenset[Flow] = frozenset()
    no_flood: frozenset[NoFlood] = frozenset()
    missing: tuple[str, ...] = ()

    @property
    def entries(self) -> frozenset[SwitchEntry]:
        """All entries but those that yield to others."""
        return self.flows | self.no_flood

    @property
    def all_flows(self) -> frozenset[Flow]:
        """All flows, including those that yield."""
        return self.flows | self.bypass_guard | self.draining


def compile_transition(state: ChainTransition, local: LocalSwitch) -> TransitionFlows:
    """Compile the flows of a chain in any state.

    :raises UnsupportedPlanError: as ``compile_chain``.
    """
    new = compile_chain(state.plan, local) if state.plan is not None else Compiled()
    old = _compile_or_guard(state.previous, local) if state.previous is not None else Compiled()
    drained = [_compile_or_guard(each.plan, local) for each in state.draining]
    flows = _main_flows(state, new, old, local)
    # Without flow affinity: connections would go on to pairs that have left the chain.
    closed = state.phase is Phase.CLOSED
    in_flight = _first_wins(*(each.forwarding if closed else each.transit for each in drained))
    taken = {flow.key for flow in flows}
    guard = (flow for flow in _guard_new_sources(state, local) if flow.key not in taken)
    draining = (replace(flow, contestable=False) for flow in in_flight if flow.key not in taken)
    no_flood = new.no_flood.union(old.no_flood, *(each.no_flood for each in drained))
    return TransitionFlows(flows, frozenset(guard), frozenset(draining), no_flood, new.missing)


def _main_flows(
    state: ChainTransition, new: Compiled, old: Compiled, local: LocalSwitch
) -> frozenset[Flow]:
    if state.phase is Phase.SWITCHED:
        return new.flows
    if state.phase is Phase.CLOSED:
        plans = (plan for plan in (state.plan, state.previous) if plan)
        guards = (compile_bypass_guard(plan, local).flows for plan in plans)
        return _first_wins(*guards, old.forwarding)
    if _is_ambiguous(state):
        return old.flows
    # Where both plans have a flow with the same key, the flows differ in where they send packets.
    # Until the switch this host sends by the old plan.
    return _first_wins(old.flows, new.transit, new.affinity)


def _guard_new_sources(state: ChainTransition, local: LocalSwitch) -> frozenset[Flow]:
    """Drop what new sources of an existing chain send, until the switch.

    An example is a virtual machine that has moved to this host: its traffic was in the chain
    before. The traffic of a new classifier was not; it continues without the chain until the
    switch.
    """
    plan, previous = state.plan, state.previous
    if state.phase is not Phase.PREPARED or plan is None:
        return frozenset()
    if previous is None and plan.revision <= _FIRST_REVISION:
        return frozenset()
    known = {
        (path.reverse, classifier)
        for path in (previous.paths if previous is not None else plan.paths)
        for classifier in path.classifiers
    }
    paths = []
    for path in plan.paths:
        is_known = [(path.reverse, classifier) in known for classifier in path.classifiers]
        sources = tuple(source for source in path.sources if is_known[source.classifier])
        paths.append(replace(path, sources=sources, entries=()))
    return compile_bypass_guard(replace(plan, paths=tuple(paths)), local).classification


def compile_fallback(
    state: ChainTransition, applied: ChainPlan | None, local: LocalSwitch
) -> TransitionFlows:
    """Compile the flows of a chain whose latest plan cannot be realised on this host.

    They keep the existing steering. ``compile_bypass_guard`` compiles the flows that drop what
    would bypass the chain meanwhile.

    :param applied: the latest plan that the switch has taken; None if there is none.
    :raises UnsupportedPlanError: as ``compile_chain``.
    """
    return compile_transition(ChainTransition(applied, draining=state.draining), local)


def _compile_or_guard(plan: ChainPlan, local: LocalSwitch) -> Compiled:
    """Compile an earlier plan. This agent may not have supported that one either."""
    try:
        return compile_chain(plan, local)
    except UnsupportedPlanError:
        return compile_bypass_guard(plan, local)


def _first_wins(*groups: Iterable[Flow]) -> frozenset[Flow]:
    """Merge flows; of several with the same key, keep that of the first group."""
    merged: dict[FlowKey, Flow] = {}
    for flows in groups:
        for flow in flows:
            merged.setdefault(flow.key, flow)
    return frozenset(merged.values())
