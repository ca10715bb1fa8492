"""Compares two plans of a chain: how hosts with one plan handle packets of the other. Pure."""

from dataclasses import replace

from portchain.dataplane.pipeline import POSITION_GENERATIONS
from portchain.dataplane.plan import ChainPlan, Hop, Path, Target


def sends_elsewhere(path: Path, host: str) -> bool:
    """Return whether a host sends packets of a path to another host."""
    # Behind the last hop, a frame may have to return to the host of its origin.
    receivers_of_hop = (*(hop.targets for hop in path.hops), path.origins)
    return any(
        any(sender.host == host for sender in path.senders_into(index))
        and any(receiver.host != host for receiver in receivers)
        for index, receivers in enumerate(receivers_of_hop)
    )


def is_covered_by(plan: ChainPlan, previous: ChainPlan) -> bool:
    """Return whether hosts with the previous plan can receive all that is sent by the new one."""
    if plan.path_id != previous.path_id or len(plan.paths) != len(previous.paths):
        return False
    if previous.generation not in (None, plan.generation):
        return False
    # A host says that it accepts packets before its switch has the flows for them. These come with
    # the first plan that says so.
    if not set(plan.packet_hosts) <= set(previous.packet_hosts):
        return False
    return all(map(_path_is_covered_by, plan.paths, previous.paths))


def _path_is_covered_by(path: Path, previous: Path) -> bool:
    if (path.reverse, len(path.hops)) != (previous.reverse, len(previous.hops)):
        return False
    if (path.entries, path.branches) != (previous.entries, previous.branches):
        return False
    hops_are_covered = all(
        (hop.group_id, hop.tap, hop.passed, hop.headers)
        == (old.group_id, old.tap, old.passed, old.headers)
        and set(map(_without_weight, hop.targets)) <= set(map(_without_weight, old.targets))
        and set(map(_without_weight, hop.returning)) <= set(map(_without_weight, old.functions))
        and _accepts_all_sources(previous, old, path, hop)
        and _lets_return(old, hop)
        for hop, old in zip(path.hops, previous.hops, strict=True)
    )
    return (
        hops_are_covered
        and set(path.classifiers) <= set(previous.classifiers)
        and _sources_by_classifier(path) <= _sources_by_classifier(previous)
    )


def _accepts_all_sources(previous: Path, old: Hop, path: Path, hop: Hop) -> bool:
    """Tell whether behind the old hop, packets are accepted from all sources of the new one."""
    if not old.accepted_sources:
        return True
    if not hop.accepted_sources:
        return False
    known = dict(zip(previous.classifiers, old.accepted_sources, strict=True))
    return all(
        set(sources) <= set(known.get(classifier, ()))
        for classifier, sources in zip(path.classifiers, hop.accepted_sources, strict=True)
    )


def _lets_return(old: Hop, hop: Hop) -> bool:
    """Tell whether the old hop accepts all source addresses that the new one does."""
    return all(
        before is None or (after is not None and set(after) <= set(before))
        for before, after in (
            (old.returned_sources, hop.returned_sources),
            (old.returned_macs, hop.returned_macs),
        )
    )


def _without_weight(target: Target) -> Target:
    """Return the target with the same weight as all others: only senders depend on weights."""
    return replace(target, weight=1)


def hops_with_other_pairs(before: ChainPlan | None, plan: ChainPlan) -> frozenset[tuple[bool, int]]:
    """Return the hops whose pairs or weights differ from those of an earlier plan.

    :param before: the plan that a host followed before ``plan``. None if the host does not know it:
        then all hops count whose group has changed within ``new_flow_affinity_time``.
    :returns: for each hop the path's ``reverse`` and the hop's index.
    """
    known = {
        (path.reverse, index, hop.group_id): _weights(hop)
        for path in (before.paths if before else ())
        for index, hop in enumerate(path.hops)
    }
    found = set()
    for path in plan.paths:
        for index, hop in enumerate(path.hops):
            earlier = known.get((path.reverse, index, hop.group_id))
            lately = bool(hop.earlier_pairs) and hop.earlier_pairs[-1].new_flows
            if hop.earlier_pairs and (lately if earlier is None else earlier != _weights(hop)):
                found.add((path.reverse, index))
    return frozenset(found)


def _weights(hop: Hop) -> set[tuple[str, int]]:
    return {(target.pair_id, target.weight) for target in hop.targets if target.weight > 0}


def _sources_by_classifier(path: Path) -> set[tuple[object, ...]]:
    """Return the sources with their classifiers, whatever the classifiers' order in the plan."""
    return {
        (path.classifiers[source.classifier], replace(source, classifier=0))
        for source in path.sources
    }


def groups(path: Path) -> list[int]:
    """Return the numbers of the groups that a path visits."""
    return [hop.group_id for hop in path.hops]


def share_positions(plan: ChainPlan, other: ChainPlan) -> bool:
    """Return whether packets of two lists of groups would have the same path positions."""
    if plan.path_id != other.path_id:
        return False
    if plan.generation is None or other.generation is None:
        return True
    same = (plan.generation - other.generation) % POSITION_GENERATIONS == 0
    # SFC-aware functions return the label alone.
    return same or (_has_aware_pairs(plan) and _has_aware_pairs(other))


def _has_aware_pairs(plan: ChainPlan) -> bool:
    hops = (hop for path in plan.paths for hop in path.hops)
    return any(target.function.encapsulation for hop in hops for target in hop.targets)


def can_mix_into_bypass(before: Path, after: Path) -> bool:
    """Return whether packets that travel by a mixture of two paths can bypass a function.

    Groups that both paths share at the start and at the end are harmless: a packet that changes
    paths there visits one or the other variant of the middle. But if a function is in the middle
    of both paths, the packets that it returns may have visited different functions before it.
    """
    old, new = groups(before), groups(after)
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    earlier = _groups_of_unaware_pairs(before)
    return any(
        pair in earlier and (group in new or earlier[pair] != group)
        for pair, group in _groups_of_unaware_pairs(after).items()
    )


def _groups_of_unaware_pairs(path: Path) -> dict[str, int]:
    """Map SFC-unaware pairs, whose packets do not identify their plan, to their groups."""
    return {
        target.pair_id: hop.group_id
        for hop in path.hops
        for target in hop.functions
        if not target.function.identifies_chain and not hop.tap
    }
