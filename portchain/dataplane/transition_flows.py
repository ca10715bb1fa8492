"""Compiles the flows of a chain in any state of a transition (see ``transition``). Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from portchain.dataplane.compile import (
    Compiled,
    UnsupportedPlanError,
    compile_bypass_guard,
    compile_chain,
)
from portchain.dataplane.conjunction import number_of
from portchain.dataplane.failed_functions import without_failed
from portchain.dataplane.flow import Flow, FlowKey, NoFlood, SwitchEntry
from portchain.dataplane.flow_builder import build_flow
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.match import ip_versions
from portchain.dataplane.pipeline import (
    FIRST_SERVICE_INDEX,
    REG_PATH_POSITION,
    REG_TARGET,
    TABLES,
    Priority,
    path_label,
    path_position,
)
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.returned_rights import within_rights
from portchain.dataplane.transition import ChainTransition, Phase

_RETURNED = TABLES["RETURNED"].number

_FIRST_REVISION = 1
"""Revision of a chain's first plan. A host that first hears of a chain at a later revision has
joined an existing chain."""


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
    state = without_failed(state, local.failed)
    new = Compiled()
    if state.plan is not None:
        new = compile_chain(state.plan, local, remembered=state.remembered_hops)
    old = _compile_or_guard(state.previous, local) if state.previous is not None else Compiled()
    drained = [
        _compile_or_guard(each.plan, local.without_ports(each.replugged)) for each in state.draining
    ]
    # Without flow affinity: connections would go on to pairs that have left the chain.
    in_flight = [
        compiled.transit if each.delivers and not state.is_closed else compiled.forwarding
        for each, compiled in zip(state.draining, drained, strict=True)
    ]
    leading = [
        flows
        for each, flows in zip(state.draining, in_flight, strict=True)
        if each.leads_until is not None
    ]
    flows = _main_flows(state, new, old, leading, local)
    taken = {flow.key for flow in flows}
    guard = (flow for flow in _guard_new_sources(state, local) if flow.key not in taken)
    if not drained and not state.leftovers:
        return TransitionFlows(
            flows, frozenset(guard), no_flood=new.no_flood | old.no_flood, missing=new.missing
        )
    draining = (
        replace(flow, contestable=False)
        for flow in _first_wins(flows, *in_flight, state.leftovers) - flows
    )
    no_flood = new.no_flood.union(old.no_flood, *(each.no_flood for each in drained))
    return TransitionFlows(flows, frozenset(guard), frozenset(draining), no_flood, new.missing)


def _main_flows(
    state: ChainTransition,
    new: Compiled,
    old: Compiled,
    leading: Sequence[frozenset[Flow]],
    local: LocalSwitch,
) -> frozenset[Flow]:
    """Compile the flows that do not yield.

    :param leading: the transit flows of each draining plan that still leads.
    """
    if state.sends_by_latest:
        return new.flows
    if state.is_closed:
        # Nothing would bypass a chain that the host withdraws from.
        plans = [plan for plan in (state.plan, state.previous) if plan]
        guards = (compile_bypass_guard(plan, local).flows for plan in plans if state.plan)
        opening = state.phase is Phase.OPENING
        forwarding = new.forwarding if opening else old.forwarding
        return _first_wins(map(_closing_mark, plans), *guards, forwarding)
    if state.is_ambiguous:
        return old.flows
    # Where two plans have a flow with the same key, the flows differ in where they send packets.
    # Until the switch, other hosts may not know the latest plan. So this host sends by the plan of
    # before and, where that has no flow on this host, by the plans that drain: a function may have
    # moved away and back.
    in_place = _in_place_of(new.transit, leading)
    return _first_wins(old.flows, *in_place, new.transit, new.affinity)


def _in_place_of(
    latest: frozenset[Flow], earlier: Sequence[frozenset[Flow]]
) -> Iterator[list[Flow]]:
    """Yield, of each of some plans, the flows for packets that the latest plan has flows for."""
    if not earlier:
        return
    keys = {flow.key for flow in latest}
    places = {_place(flow.key) for flow in latest} - {None}
    for flows in earlier:
        found = [flow for flow in flows if flow.key in keys or _place(flow.key) in places]
        yield found
        # A part of a conjunction alone would match nothing.
        numbers = {number_of(flow) for flow in found} - {None}
        yield [flow for flow in flows if number_of(flow) in numbers]


def _closing_mark(plan: ChainPlan) -> Flow:
    """Return a flow that no packet matches: it tells a restarted agent that the chain was closed.

    Its position, behind all hops that a chain can have, is not one that any plan has (``resume``).
    """
    position = path_position(path_label(plan.path_id), FIRST_SERVICE_INDEX)
    match = (f"{REG_PATH_POSITION}={position:#x}", f"{REG_TARGET}=0")
    return build_flow("FORWARD", Priority.POSITION, match)


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

    They keep the existing steering, but functions return no more than by the latest plan.
    ``compile_bypass_guard`` compiles the flows that drop what would bypass the chain meanwhile.

    :param applied: the latest plan that the switch has taken; None if there is none.
    :raises UnsupportedPlanError: as ``compile_chain``.
    """
    kept = ChainTransition(applied, draining=state.draining, leftovers=state.leftovers)
    return compile_transition(_within_latest_rights(kept, state.plan), local)


def _within_latest_rights(kept: ChainTransition, latest: ChainPlan | None) -> ChainTransition:
    """Return what a failed chain goes on with; see ``within_rights``.

    Nothing drains to its end while a chain has failed. What is left from before a restart does not
    say which sources it accepts.
    """
    if latest is None:
        return kept
    return replace(
        kept,
        plan=kept.plan and within_rights(kept.plan, latest),
        draining=tuple(replace(one, plan=within_rights(one.plan, latest)) for one in kept.draining),
        leftovers=frozenset(one for one in kept.leftovers if one.key.table != _RETURNED),
    )


def _compile_or_guard(plan: ChainPlan, local: LocalSwitch) -> Compiled:
    """Compile an earlier plan. This agent may not have supported that one either."""
    try:
        return compile_chain(plan, local)
    except UnsupportedPlanError:
        return compile_bypass_guard(plan, local)


def _first_wins(*groups: Iterable[Flow]) -> frozenset[Flow]:
    """Merge flows; of several with the same key, keep that of the first group.

    Flows that decide the same about packets at one path position are kept together: a packet that
    one group has no special flow for must not match one of another group.
    """
    merged: dict[FlowKey, Flow] = {}
    decided: set[frozenset[str]] = set()
    for flows in groups:
        added: set[frozenset[str]] = set()
        for flow in flows:
            decisions = _decisions(flow)
            if decided.isdisjoint(decisions):
                merged.setdefault(flow.key, flow)
                added |= decisions
        decided |= added
    return frozenset(merged.values())


_DECIDING_TABLES = {
    TABLES["HOP"].number: (f"{REG_PATH_POSITION}=",),
    TABLES["COPY"].number: (f"{REG_PATH_POSITION}=",),
    # Packets for a port on this host match one flow, for another host one for each ethertype.
    TABLES["FORWARD"].number: (f"{REG_PATH_POSITION}=", f"{REG_TARGET}="),
    TABLES["REJOIN"].number: (f"{REG_PATH_POSITION}=", "dl_src="),
}


def _decisions(flow: Flow) -> set[frozenset[str]]:
    """Return the words that match what the flow decides about; nothing if its key says all.

    :returns: one set of words for each version of IP.
    """
    place = _place(flow.key)
    return {place | {version} for version in ip_versions(flow.key.match)} if place else set()


def _place(key: FlowKey) -> frozenset[str] | None:
    """Return the words that match where packets are that a flow decides about.

    :returns: None if the flow's key says all.
    """
    prefixes = _DECIDING_TABLES.get(key.table)
    if prefixes is None:
        return None
    words = (word for word in key.match if word.startswith(prefixes))
    return frozenset((f"table={key.table}", *words))
