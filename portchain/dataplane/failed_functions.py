"""Leaves functions out of plans that have failed since the server planned. Pure.

Hosts hear of a failure before the server has planned again. Until then they select as the server
will: the same pairs, with the same weights (docs/decisions/0072). What a function returns that has
failed stays in the chain.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from portchain.dataplane.plan import ChainPlan, Hop, Target
from portchain.dataplane.transition import ChainTransition


def without_failed(state: ChainTransition, failed: Collection[str]) -> ChainTransition:
    """Return a state whose plans send nothing to some functions.

    :param failed: ids of their pairs.
    """
    if not failed:
        return state
    return replace(
        state,
        plan=state.plan and leave_out(state.plan, failed),
        previous=state.previous and leave_out(state.previous, failed),
        draining=tuple(replace(one, plan=leave_out(one.plan, failed)) for one in state.draining),
    )


def leave_out(plan: ChainPlan, failed: Collection[str]) -> ChainPlan:
    """Return a plan by which nothing is sent to some functions.

    Hops at which hosts wait for the server stay as they are.

    :param failed: ids of the functions' pairs.
    """
    paths = tuple(
        replace(path, hops=hops)
        if (hops := tuple(_leave_out(hop, failed) for hop in path.hops)) != path.hops
        else path
        for path in plan.paths
    )
    return plan if paths == plan.paths else replace(plan, paths=paths)


def _leave_out(hop: Hop, failed: Collection[str]) -> Hop:
    reaction = hop.reaction
    lost = [target for target in hop.targets if target.pair_id in failed]
    if reaction is None or not lost:
        return hop
    left = [target for target in hop.targets if target.pair_id not in failed]
    if len(lost) > reaction.spare:
        left = []
    if not any(target.weight for target in left):
        left = list(_standing_in(left, dict(reaction.standing_by)))
    opens = reaction.opens and not any(target.weight for target in left)
    if opens:
        left = []
    kept = {target.pair_id for target in left}
    gone = (replace(one, weight=0) for one in hop.targets if one.pair_id not in kept)
    return replace(
        hop,
        targets=tuple(left),
        returning=_by_pair((*hop.returning, *gone)),
        passed=opens,
        earlier_pairs=hop.earlier_pairs if left else (),
    )


def _standing_in(targets: Iterable[Target], weights: Mapping[str, int]) -> Iterable[Target]:
    """Return targets, with the backups among them in use."""
    return (
        replace(target, weight=weights.get(target.pair_id, target.weight)) for target in targets
    )


def _by_pair(targets: Iterable[Target]) -> tuple[Target, ...]:
    return tuple(sorted(targets, key=lambda target: target.pair_id))


def pairs_put_back(before: ChainPlan | None, plan: ChainPlan) -> frozenset[str]:
    """Return the pairs that get packets by a plan, and did not by the one before it."""
    if before is None:
        return frozenset()
    return _getting(plan) - _getting(before)


def _getting(plan: ChainPlan) -> frozenset[str]:
    return frozenset(
        target.pair_id for path in plan.paths for hop in path.hops for target in hop.targets
    )


def pairs_reacted_to(plan: ChainPlan) -> frozenset[str]:
    """Return the pairs whose failure changes what hosts do by a plan, before the server's next."""
    return frozenset(
        target.pair_id
        for path in plan.paths
        for hop in path.hops
        if hop.reaction is not None
        for target in hop.targets
    )


def functions_among(plan: ChainPlan, pair_ids: Collection[str], host: str) -> frozenset[str]:
    """Return those of some pairs that get packets by a plan and are on a host."""
    return frozenset(
        target.pair_id
        for path in plan.paths
        for hop in path.hops
        for target in hop.targets
        if target.pair_id in pair_ids and target.host == host
    )
