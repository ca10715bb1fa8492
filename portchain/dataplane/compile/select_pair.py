"""At a hop: which of the group's pairs takes the packet."""

from collections.abc import Iterator

from portchain.dataplane import balance
from portchain.dataplane.compile import flow_hash
from portchain.dataplane.compile.context import (
    PathOnHost,
    UnsupportedPlanError,
    distinct,
    target_number,
)
from portchain.dataplane.compile.flow_affinity import learn_flow
from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import build_flow, goto, resubmit, set_field
from portchain.dataplane.pipeline import REG_PAIR_SET, REG_SLOT, REG_TARGET, Priority
from portchain.dataplane.plan import SUPPORTED_LB_FIELD_SETS, Hop


def pair_selection_flows(here: PathOnHost, index: int, hop: Hop) -> Iterator[Flow]:
    """Write the pair that a packet at hop ``index`` is to visit into ``REG_TARGET``.

    A flow that is remembered goes where it went before. Any other is dealt a pair by its hash, and that is remembered.

    :raises UnsupportedPlanError: the plan balances by fields this agent does not know.
    """
    if frozenset(hop.lb_fields) not in SUPPORTED_LB_FIELD_SETS:
        msg = f"this agent cannot balance by {', '.join(hop.lb_fields)}"
        raise UnsupportedPlanError(msg)
    targets = tuple(distinct(hop.targets))
    if not targets:
        # Nobody to visit: drop, because a packet that skipped the function would be worse than a lost one.
        yield build_flow("HOP", Priority.POSITION, (here.at_step(index),))
        return
    weights = {target.pair_id: target.weight for target in targets}
    slots = balance.assign_slots(weights)
    pair_set_number = balance.pair_set_number(weights)
    kinds = tuple(_kinds(here, hop))
    yield from _ask_memory(here, index, hop, kinds, pair_set_number, hashed=len(set(slots)) > 1)
    yield from _deal(pair_set_number, slots)


def affinity_flows(here: PathOnHost, index: int, hop: Hop) -> Iterator[Flow]:
    """Remember what is dealt to flows at hop ``index``."""
    kinds = tuple(_kinds(here, hop))
    for target in distinct(hop.targets):
        for kind in kinds:
            yield learn_flow(here, index, target, kind, connection=not hop.lb_fields)


def _kinds(here: PathOnHost, hop: Hop) -> Iterator[flow_hash.FlowKind]:
    path = here.path
    if hop.lb_fields:
        return flow_hash.by_fields(path.classifiers, hop.lb_fields, reverse=path.reverse)
    return flow_hash.connections(path.classifiers)


def _ask_memory(
    here: PathOnHost,
    index: int,
    hop: Hop,
    kinds: tuple[flow_hash.FlowKind, ...],
    pair_set_number: int,
    *,
    hashed: bool,
) -> Iterator[Flow]:
    match = here.at_step(index)
    then = (set_field(pair_set_number, REG_PAIR_SET), resubmit("AFFINITY"), goto("BALANCE"))
    if hashed and hop.lb_fields:
        for kind in kinds:
            hashing = flow_hash.hash_fields(kind.fields)
            yield build_flow("HOP", kind.priority, (match, *kind.match), *hashing, *then)
        return
    hashing = flow_hash.hash_connection() if hashed else ()
    yield build_flow("HOP", Priority.POSITION, (match,), *hashing, *then)


def _deal(pair_set_number: int, slots: tuple[str, ...]) -> Iterator[Flow]:
    """Deal a pair to flows that are not remembered: the same rules for all hops with this set of weighted pairs."""
    undecided = (f"{REG_PAIR_SET}={pair_set_number:#x}", f"{REG_TARGET}=0")
    hashed = len(set(slots)) > 1
    for slot, pair in enumerate(slots if hashed else slots[:1]):
        slot_word = (f"{REG_SLOT}={hex(slot) if slot else 0}",) if hashed else ()
        target = set_field(target_number(pair), REG_TARGET)
        match = (*undecided, *slot_word)
        yield build_flow(
            "BALANCE", Priority.POSITION, match, target, resubmit("LEARN_AFFINITY"), goto("FORWARD")
        )
    yield build_flow("BALANCE", Priority.POSITION, (f"{REG_PAIR_SET}=0",), goto("FORWARD"))
