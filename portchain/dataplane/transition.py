"""From one plan of a chain to the next: what a host's switch holds meanwhile (docs/decisions/0018). Pure: time is an argument.

A host that gets a new plan goes through these phases, and through the first ones only where it has to::

    PREPARED   the old plan's rules, and beside them those of the new one that carry what has entered. Other hosts may
      |        send by the new plan already; this one still sends by the old
      |  every host is prepared, or this one has waited long enough
      v
    CLOSED     only where packets of both plans could not be told apart: nothing enters, and no function gets any packets
      |  what functions had in hand is out
      v
    SWITCHED   the new plan's rules, and for packets in flight those that carried what had entered by earlier plans
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

_OF_A_NEW_CHAIN = 1
"""The revision of a chain's first plan. A host that knows nothing of a chain with a later one has come to it."""

_MOST_LEAVING = 8
"""So many plans of the past have rules; one more in so short a time costs packets in flight, not memory."""


@dataclass(frozen=True, slots=True)
class TransitionTimeouts:
    """How long a change waits, in seconds.

    :param switch: for other hosts to be prepared.
    :param drain: for packets on their way through a chain.
    """

    switch: float = 5.0
    drain: float = 1.0


class Phase(StrEnum):
    """Where in a change a host is; see above."""

    PREPARED = "prepared"
    CLOSED = "closed"
    SWITCHED = "switched"


@dataclass(frozen=True, slots=True)
class Leaving:
    """A plan of the past by which packets may be under way.

    :param until: when none can be any more.
    """

    plan: ChainPlan
    until: float


@dataclass(frozen=True, slots=True)
class ChainTransition:
    """How one host steers one chain at the moment.

    :param plan: the latest; None when the host has no part in the chain any more.
    :param sending: the plan by which packets enter and go on, until the switch; None if there was none.
    :param leaving: plans of the past, the latest first.
    :param due: when the phase ends by itself; None if it lasts.
    """

    plan: ChainPlan | None
    phase: Phase = Phase.SWITCHED
    sending: ChainPlan | None = None
    leaving: tuple[Leaving, ...] = ()
    due: float | None = None

    @property
    def plans(self) -> Iterator[ChainPlan]:
        """All plans that have rules in the switch."""
        yield from (plan for plan in (self.plan, self.sending) if plan is not None)
        yield from (past.plan for past in self.leaving)

    @property
    def next_deadline(self) -> float | None:
        """When ``advance`` has something to do next; None if never."""
        times = [past.until for past in self.leaving]
        return min((*times, self.due) if self.due is not None else times, default=None)


ABSENT = ChainTransition(None)
"""A host that knows nothing of a chain."""


def accept(
    now: ChainTransition,
    plan: ChainPlan,
    host: str,
    *,
    prepare: bool,
    time: float,
    patience: TransitionTimeouts,
) -> ChainTransition:
    """Take a new plan.

    :param prepare: whether the server says when to switch; otherwise the host does at once.
    """
    others = prepare and not plan.hosts <= {host}
    opens = time + patience.drain + (patience.switch if others else 0)
    if now.phase is Phase.CLOSED:
        return replace(now, plan=plan, due=opens)
    current, leaving = now.plan, now.leaving
    if now.phase is Phase.PREPARED:
        current = now.sending
        if not _is_ambiguous(now):
            # Others may send by the plan that this host was prepared for, whether it ever switched or not.
            leaving = _past(now.plan, leaving, time, patience)
    then = ChainTransition(plan, Phase.PREPARED, current, leaving, time + patience.switch)
    if _reuses_labels(then):
        return replace(then, phase=Phase.CLOSED, due=opens)
    if others and _must_wait_for_others(then, host):
        return then
    return switch(then, time, patience)


def switch(now: ChainTransition, time: float, patience: TransitionTimeouts) -> ChainTransition:
    """Go on: every host is prepared."""
    if now.phase is Phase.CLOSED:
        return replace(now, due=min(now.due or time, time + patience.drain))
    if now.phase is Phase.SWITCHED:
        return now
    if _is_ambiguous(now):
        return replace(now, phase=Phase.CLOSED, due=time + patience.drain)
    return ChainTransition(now.plan, leaving=_past(now.sending, now.leaving, time, patience))


def withdraw(now: ChainTransition, time: float, patience: TransitionTimeouts) -> ChainTransition:
    """The host has no part in the chain any more: nothing enters, what has entered goes its way."""
    if _is_ambiguous(now):
        return ABSENT
    past = _past(now.plan, now.leaving, time, patience)
    return ChainTransition(None, leaving=_past(now.sending, past, time, patience))


def advance(now: ChainTransition, time: float, patience: TransitionTimeouts) -> ChainTransition:
    """Do what is due."""
    leaving = tuple(past for past in now.leaving if past.until > time)
    then = now if len(leaving) == len(now.leaving) else replace(now, leaving=leaving)
    if then.due is None or then.due > time:
        return then
    # When a gap is over, nothing of before is under way.
    return (
        ChainTransition(then.plan) if then.phase is Phase.CLOSED else switch(then, time, patience)
    )


def _past(
    plan: ChainPlan | None, leaving: tuple[Leaving, ...], time: float, patience: TransitionTimeouts
) -> tuple[Leaving, ...]:
    # Another host may take all of its patience before it switches, and what it sends then is under way still.
    if plan is None:
        return leaving
    others = [past for past in leaving if past.plan != plan]
    return (Leaving(plan, time + patience.switch + patience.drain), *others[: _MOST_LEAVING - 1])


# --- What a change needs.


def _must_wait_for_others(then: ChainTransition, host: str) -> bool:
    """Whether a host should not switch before the others are prepared: it would send what they do not know yet."""
    plan, sending = then.plan, then.sending
    if plan is None or _is_ambiguous(then):
        return True
    if sending is not None and _is_covered_by(plan, sending):
        return False
    return any(_sends_elsewhere(path, host) for path in plan.paths)


def _sends_elsewhere(path: Path, host: str) -> bool:
    # After the last hop, frames that go on from their origin may have to be carried back to it.
    stations = (*(hop.targets for hop in path.hops), path.origins)
    return any(
        any(sender.host == host for sender in path.senders_into(index))
        and any(receiver.host != host for receiver in receivers)
        for index, receivers in enumerate(stations)
    )


def _is_covered_by(plan: ChainPlan, before: ChainPlan) -> bool:
    """Whether hosts that know ``before`` are prepared for ``plan``, as far as packets are sent to them."""
    if plan.path_id != before.path_id or len(plan.paths) != len(before.paths):
        return False
    return all(map(_path_is_covered_by, plan.paths, before.paths))


def _path_is_covered_by(path: Path, before: Path) -> bool:
    if (path.reverse, len(path.hops)) != (before.reverse, len(before.hops)):
        return False
    if (path.entries, path.branches) != (before.entries, before.branches):
        return False
    hops_ask_no_more = all(
        (hop.group_id, hop.tap, hop.headers) == (old.group_id, old.tap, old.headers)
        and set(map(_unweighted, hop.targets)) <= set(map(_unweighted, old.targets))
        for hop, old in zip(path.hops, before.hops, strict=True)
    )  # fmt: skip
    return (
        hops_ask_no_more
        and set(path.classifiers) <= set(before.classifiers)
        and _unnumbered(path) <= _unnumbered(before)
    )


def _unweighted(target: Target) -> Target:
    """Weights concern only who sends."""
    return replace(target, weight=1)


def _unnumbered(path: Path) -> set[tuple[object, ...]]:
    """Sources by what their classifiers say, not by their place in the list."""
    return {
        (path.classifiers[source.classifier], replace(source, classifier=0))
        for source in path.sources
    }


def _is_ambiguous(then: ChainTransition) -> bool:
    """Whether packets of two plans could be taken for each other, behind a function or between hosts."""
    return _reuses_labels(then) or any(_contradict(old, new) for _, old, new in _paths(then))


def _reuses_labels(then: ChainTransition) -> bool:
    """Whether frames of two plans have the same label for other hops: the list of groups has changed twice in a short time."""
    plan = then.plan
    return plan is not None and any(
        earlier.path_id == plan.path_id and _groups(old) != _groups(new)
        for earlier, old, new in _paths(then)
    )


def _paths(then: ChainTransition) -> Iterator[tuple[ChainPlan, Path, Path]]:
    """Each earlier plan's paths beside the latest one's."""
    for earlier in then.plans:
        if then.plan is not None and earlier is not then.plan:
            for old, new in zip(earlier.paths, then.plan.paths, strict=False):
                yield earlier, old, new


def _groups(path: Path) -> list[int]:
    return [hop.group_id for hop in path.hops]


def _contradict(before: Path, after: Path) -> bool:
    """Whether some function stands at places in both paths such that a mixture of the two leads around another function.

    What is the same at both ends can be mixed: a packet that changes paths there goes one way or the other through what
    differs. A function in the middle of both is met by packets that have been through different others.
    """
    old, new = _groups(before), _groups(after)
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    moved = set(old) & set(new)
    earlier = _groups_of_unaware(before)
    return any(
        pair in earlier and (group in moved or earlier[pair] != group)
        for pair, group in _groups_of_unaware(after).items()
    )


def _groups_of_unaware(path: Path) -> dict[str, int]:
    """Pair -> group of the functions that hand packets back without a header that says of which plan they are."""
    return {
        target.pair_id: hop.group_id
        for hop in path.hops
        for target in hop.targets
        if not target.function.identifies_chain and not hop.tap
    }


# --- Rules.


@dataclass(frozen=True, slots=True)
class Standing:
    """What the switch is to hold for a chain.

    :param flows: the rules of its plan, and of the one before it until the switch.
    :param held: rules that drop what must not go around it until the switch: they give way to those of other chains.
    :param leaving: those of plans of the past, for packets in flight: they give way to any other rule.
    :param no_flood: as in ``Compiled``, for all of these plans. ``missing``: for the latest.
    """

    flows: frozenset[Flow] = frozenset()
    held: frozenset[Flow] = frozenset()
    leaving: frozenset[Flow] = frozenset()
    no_flood: frozenset[NoFlood] = frozenset()
    missing: tuple[str, ...] = ()

    @property
    def entries(self) -> frozenset[SwitchEntry]:
        """All but what gives way."""
        return self.flows | self.no_flood


def compile_transition(now: ChainTransition, local: LocalSwitch) -> Standing:
    """Compute the rules for a chain in any phase.

    :raises UnsupportedPlanError: as ``compile_chain``.
    """
    new = compile_chain(now.plan, local) if now.plan is not None else Compiled()
    old = _compile_or_guard(now.sending, local) if now.sending is not None else Compiled()
    past = [_compile_or_guard(each.plan, local) for each in now.leaving]
    flows = _flows(now, new, old, local)
    # What is remembered of flows is not kept: they would go on to pairs that have left.
    behind = _first_wins(
        *(each.onward if now.phase is Phase.CLOSED else each.inside for each in past)
    )
    taken = {flow.key for flow in flows}
    held = frozenset(flow for flow in _guard_new_sources(now, local) if flow.key not in taken)
    leaving = (replace(flow, contestable=False) for flow in behind if flow.key not in taken)
    no_flood = new.no_flood.union(old.no_flood, *(each.no_flood for each in past))
    return Standing(flows, held, frozenset(leaving), no_flood, new.missing)


def _flows(
    now: ChainTransition, new: Compiled, old: Compiled, local: LocalSwitch
) -> frozenset[Flow]:
    if now.phase is Phase.SWITCHED:
        return new.flows
    if now.phase is Phase.CLOSED:
        closed = [
            compile_bypass_guard(plan, local).flows for plan in (now.plan, now.sending) if plan
        ]
        return _first_wins(*closed, old.onward)
    if _is_ambiguous(now):
        return old.flows
    # By the old plan, beside which the new one's rules stand ready. What both put in one place differs in where packets are
    # sent, and stays the old one's.
    return _first_wins(old.flows, new.inside, new.memory)


def _guard_new_sources(now: ChainTransition, local: LocalSwitch) -> frozenset[Flow]:
    """Hold back what sources send that have come to a chain which there was before them, e.g. of a machine that has moved here:
    it must not go around until the switch. A classifier that has come takes what went its way without the chain; that goes on.
    """
    plan, sending = now.plan, now.sending
    if now.phase is not Phase.PREPARED or plan is None:
        return frozenset()
    if sending is None and plan.revision <= _OF_A_NEW_CHAIN:
        return frozenset()
    known = {(path.reverse, taken) for path in sending.paths for taken in path.classifiers} if sending else None  # fmt: skip
    paths = []
    for path in plan.paths:
        taken = [known is None or (path.reverse, each) in known for each in path.classifiers]
        sources = tuple(source for source in path.sources if taken[source.classifier])
        paths.append(replace(path, sources=sources, entries=()))
    return compile_bypass_guard(replace(plan, paths=tuple(paths)), local).entrance


def compile_fallback(now: ChainTransition, last: ChainPlan | None, local: LocalSwitch) -> Standing:
    """Compute the flows by which a chain goes on whose latest plan cannot be realised here.

    ``compile_bypass_guard`` compiles those that drop what would bypass the chain then.

    :param last: the latest plan that was carried out; None if there was none.
    :raises UnsupportedPlanError: as ``compile_chain``.
    """
    return compile_transition(ChainTransition(last, leaving=now.leaving), local)


def _compile_or_guard(plan: ChainPlan, local: LocalSwitch) -> Compiled:
    """A plan of before, which may have been one that this agent could not carry out either."""
    try:
        return compile_chain(plan, local)
    except UnsupportedPlanError:
        return compile_bypass_guard(plan, local)


def _first_wins(*choices: Iterable[Flow]) -> frozenset[Flow]:
    """All of the rules; of those with the same key the first."""
    chosen: dict[FlowKey, Flow] = {}
    for flows in choices:
        for flow in flows:
            chosen.setdefault(flow.key, flow)
    return frozenset(chosen.values())
