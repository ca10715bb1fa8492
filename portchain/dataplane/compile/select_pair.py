"""Pair selection: decides which port pair of a group a packet visits."""

from collections.abc import Iterator

from portchain.dataplane import balance
from portchain.dataplane.compile import flow_hash
from portchain.dataplane.compile.context import (
    PathOnHost,
    UnsupportedPlanError,
    distinct,
    target_number,
)
from portchain.dataplane.compile.flow_affinity import learning_flow
from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import build_flow, goto, resubmit, set_field
from portchain.dataplane.pipeline import REG_PAIR_SET, REG_PROJECT, REG_SLOT, REG_TARGET, Priority
from portchain.dataplane.plan import SUPPORTED_LB_FIELD_SETS, Hop


def pair_selection_flows(context: PathOnHost, index: int, hop: Hop) -> Iterator[Flow]:
    """Yield the flows that set ``REG_TARGET`` to the pair that a packet visits at hop ``index``.

    A flow with a learned pair visits that pair. Any other flow gets a pair by its hash, and the
    switch learns that pair.

    :raises UnsupportedPlanError: the plan balances by fields that this agent does not know.
    """
    if frozenset(hop.lb_fields) not in SUPPORTED_LB_FIELD_SETS:
        msg = f"this agent cannot balance by {', '.join(hop.lb_fields)}"
        raise UnsupportedPlanError(msg)
    targets = tuple(distinct(hop.targets))
    if not targets:
        # Drop: losing a packet is better than letting it bypass the function.
        yield build_flow("HOP", Priority.POSITION, (context.match_position(index),))
        return
    weights = {target.pair_id: target.weight for target in targets}
    slots = balance.assign_slots(weights)
    set_number = balance.pair_set_number(weights)
    kinds = tuple(_flow_kinds(context, hop))
    needs_hash = len(set(slots)) > 1
    yield from _hop_flows(context, index, hop, kinds, set_number, needs_hash=needs_hash)
    if len(targets) > 1:
        # Not seeing the ports, the switch cannot tell the flow. Losing a fragment is better than
        # sending it to another pair than the other packets of its flow (docs/decisions/0049).
        for words in flow_hash.fragment_matches(kinds):
            yield build_flow("HOP", Priority.FRAGMENT, (context.match_position(index), *words))
    yield from _balance_flows(set_number, slots)


def affinity_flows(context: PathOnHost, index: int, hop: Hop) -> Iterator[Flow]:
    """Yield the flows that make the switch learn which pair a flow visits at hop ``index``."""
    kinds = tuple(_flow_kinds(context, hop))
    for target in distinct(hop.targets):
        for kind in kinds:
            yield learning_flow(context, index, target, kind, connection=not hop.lb_fields)


def _flow_kinds(context: PathOnHost, hop: Hop) -> Iterator[flow_hash.FlowKind]:
    path = context.path
    if hop.lb_fields:
        return flow_hash.kinds_by_fields(path.classifiers, hop.lb_fields, reverse=path.reverse)
    return flow_hash.connection_kinds(path.classifiers)


def _hop_flows(
    context: PathOnHost,
    index: int,
    hop: Hop,
    kinds: tuple[flow_hash.FlowKind, ...],
    set_number: int,
    *,
    needs_hash: bool,
) -> Iterator[Flow]:
    """Yield the flows of HOP: they hash the packet and look for a learned pair.

    Without a choice of pairs there are the same flows. Otherwise those of a new plan that has one
    could overtake those of the previous plan before the switch (``transition_flows``).
    """
    position = context.match_position(index)
    onward = (
        set_field(set_number, REG_PAIR_SET),
        set_field(context.project_number, REG_PROJECT),
        resubmit("AFFINITY"),
        goto("BALANCE"),
    )
    for kind in kinds:
        if hop.lb_fields:
            hashing = flow_hash.hash_fields(kind.fields)
        elif flow_hash.has_ports(kind):
            hashing = flow_hash.hash_connection()
        else:
            continue  # as all packets without ports
        actions = (*hashing, *onward) if needs_hash else onward
        yield build_flow("HOP", kind.priority, (position, *kind.match), *actions)
    if not hop.lb_fields:
        hashing = flow_hash.hash_addresses() if needs_hash else ()
        yield build_flow("HOP", Priority.POSITION, (position,), *hashing, *onward)


def _balance_flows(set_number: int, slots: tuple[str, ...]) -> Iterator[Flow]:
    """Yield the flows of BALANCE: they map slots to pairs.

    All hops with the same set of weighted pairs share them.
    """
    no_pair = (f"{REG_PAIR_SET}={set_number:#x}", f"{REG_TARGET}=0")
    needs_hash = len(set(slots)) > 1
    for slot, pair in enumerate(slots if needs_hash else slots[:1]):
        slot_word = (f"{REG_SLOT}={hex(slot) if slot else 0}",) if needs_hash else ()
        target = set_field(target_number(pair), REG_TARGET)
        onward = (resubmit("LEARN_AFFINITY"), goto("FORWARD"))
        yield build_flow("BALANCE", Priority.POSITION, (*no_pair, *slot_word), target, *onward)
    has_learned_pair = (f"{REG_PAIR_SET}=0",)
    yield build_flow("BALANCE", Priority.POSITION, has_learned_pair, goto("FORWARD"))
