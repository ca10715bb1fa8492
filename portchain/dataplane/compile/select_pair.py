"""Pair selection: decides which port pair of a group a packet visits.

HOP finds out which selection holds for a packet (``balance.Selections``) and its hash slot,
AFFINITY may know the pair of its flow, and otherwise BALANCE knows which choice each slot has, and
CHOICE which pair that is.
"""

import functools
from collections.abc import Iterator

from portchain.core.counters import CounterKind, DropReason
from portchain.core.protocols import TCP
from portchain.dataplane import balance
from portchain.dataplane.balance import Selection, Selections
from portchain.dataplane.compile import flow_hash
from portchain.dataplane.compile.context import (
    PathOnHost,
    UnsupportedPlanError,
    distinct,
    target_number,
)
from portchain.dataplane.compile.flow_affinity import learning_flow
from portchain.dataplane.compile.flow_hash import FlowKind
from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import build_flow, goto, resubmit, set_field
from portchain.dataplane.pipeline import (
    REG_PAIR_SET,
    REG_PROJECT,
    REG_SLOT,
    REG_SLOT_BITS,
    REG_TARGET,
    Priority,
)
from portchain.dataplane.plan import SUPPORTED_LB_FIELD_SETS, Hop, Target

_OPENING = ("tcp_flags=-fin+syn", "tcp_flags=+syn-rst")
_OPENING_REMEMBERED = "tcp_flags=+syn-urg"

_SLOT_BITS, _CHOICE = f"NXM_NX_{REG_SLOT_BITS.upper()}", f"NXM_NX_{REG_TARGET.upper()}"


def pair_selection_flows(context: PathOnHost, index: int, hop: Hop) -> Iterator[Flow]:
    """Yield the flows that set ``REG_TARGET`` to the pair that a packet visits at hop ``index``.

    A flow with a learned pair visits that pair. Any other flow gets a pair by its hash.

    :raises UnsupportedPlanError: the plan balances by fields that this agent does not know.
    """
    check_supported(hop)
    targets = tuple(distinct(hop.targets))
    position = (context.match_position(index),)
    no_function = context.counter(CounterKind.DROPPED, DropReason.NO_FUNCTION)
    if not targets:
        # Drop: losing a packet is better than letting it bypass the function.
        yield build_flow("HOP", Priority.POSITION, position, counter=no_function)
        return
    selections = _selections(context, index, hop, targets)
    # Learned flows match the slot: it does not depend on the pairs' weights.
    has_slots = len(targets) > 1
    yield from _hop_flows(context, index, hop, selections, has_slots=has_slots)
    if has_slots:
        # Not seeing the ports, the switch cannot tell the flow. Losing a fragment is better than
        # sending it to another pair than the other packets of its flow (docs/decisions/0049).
        lost = context.counter(CounterKind.DROPPED, DropReason.FRAGMENT)
        for words in flow_hash.fragment_matches(_flow_kinds(context, hop)):
            yield build_flow("HOP", Priority.FRAGMENT, (*position, *words), counter=lost)
    for selection in selections.distinct:
        yield from _balance_flows(selection)
        if None in selection.pairs:
            # All pairs are drained. Chains share the flows of the selection: this one counts.
            table = "CHOICE" if selection.planes else "BALANCE"
            yield build_flow(table, Priority.NO_PAIR, position, counter=no_function)


def check_supported(hop: Hop) -> None:
    """Check that this agent can select pairs as a hop says.

    :raises UnsupportedPlanError: the plan balances by fields that this agent does not know.
    """
    if frozenset(hop.lb_fields) not in SUPPORTED_LB_FIELD_SETS:
        msg = f"this agent cannot balance by {', '.join(hop.lb_fields)}"
        raise UnsupportedPlanError(msg)


def affinity_flows(context: PathOnHost, index: int, hop: Hop) -> Iterator[Flow]:
    """Yield the flows that make the switch learn which pair a flow visits at hop ``index``."""
    kinds = tuple(_flow_kinds(context, hop))
    for target in distinct(hop.targets):
        for kind in kinds:
            yield learning_flow(context, index, target, kind, connection=not hop.lb_fields)


def _selections(
    context: PathOnHost, index: int, hop: Hop, targets: tuple[Target, ...]
) -> Selections:
    return balance.selections(
        {target.pair_id: target.weight for target in targets},
        [dict(earlier.weights) for earlier in hop.earlier_pairs],
        [dict(earlier.weights) for earlier in hop.earlier_pairs if earlier.new_flows],
        spans_connections=bool(hop.lb_fields),
        remembering=index in context.remembered,
    )


def _flow_kinds(context: PathOnHost, hop: Hop) -> Iterator[FlowKind]:
    path = context.path
    return flow_hash.flow_kinds(path.classifiers, hop.lb_fields, reverse=path.reverse)


def _hop_flows(
    context: PathOnHost, index: int, hop: Hop, selections: Selections, *, has_slots: bool
) -> Iterator[Flow]:
    """Yield the flows of HOP: they hash the packet and look for a learned pair."""
    position = context.match_position(index)
    path = context.path
    kinds = flow_hash.hashed_kinds(path.classifiers, hop.lb_fields, reverse=path.reverse)
    by_age = index in context.remembered or len(selections.distinct) > 1
    for kind in kinds:
        is_hashed_alone = has_slots and flow_hash.has_ports(kind)
        if not by_age and kind.protocol is not None and not is_hashed_alone:
            continue  # as the packets of all protocols
        hashing = flow_hash.hash_fields(kind.fields, kind.ethertype) if has_slots else ()
        for priority, words, selection in _by_age(context, index, kind, selections):
            onward = (
                set_field(selection.number, REG_PAIR_SET),
                set_field(context.project_number, REG_PROJECT),
                resubmit("AFFINITY"),
                goto("BALANCE"),
            )
            yield build_flow("HOP", priority, (position, *kind.match, *words), *hashing, *onward)


def _by_age(
    context: PathOnHost, index: int, kind: FlowKind, selections: Selections
) -> Iterator[tuple[int, tuple[str, ...], Selection]]:
    """Yield priority and words of the packets of a kind for which each selection holds."""
    if kind.protocol != TCP:
        yield kind.priority, (), selections.others
        return
    yield kind.priority, (), selections.open
    if index in context.remembered or selections.opening != selections.open:
        yield Priority.OPENING, (_opening(context, index),), selections.opening


def _opening(context: PathOnHost, index: int) -> str:
    """Match the first packet of TCP connections.

    The word also names a flag that such a packet never has: another one after each change of the
    group, and of the list of groups. The datapath's entries of before do not match that flag, so
    Open vSwitch deletes them. Otherwise those for SYN and for later packets of one header would
    disagree, and the switch would not learn from them (docs/decisions/0058).
    """
    if index in context.remembered:
        return _OPENING_REMEMBERED
    return _OPENING[(context.generation or 0) % len(_OPENING)]


@functools.lru_cache(maxsize=1024)
def _balance_flows(selection: Selection) -> tuple[Flow, ...]:
    """Return the flows of BALANCE and CHOICE: they map slots to pairs.

    One flow holds what all slots have, instead of a flow for each slot (docs/decisions/0067). All
    hops with the same selection share these flows.
    """
    return tuple(_flows_of_selection(selection))


def _flows_of_selection(selection: Selection) -> Iterator[Flow]:
    match = (f"{REG_PAIR_SET}={selection.number:#x}",)
    no_pair = (*match, f"{REG_TARGET}=0")
    planes, choices = selection.planes, selection.choices
    if planes:
        yield build_flow("BALANCE", Priority.POSITION, no_pair, *_look_up(planes))
    for index, (pair, learns) in enumerate(choices):
        if pair is not None:
            table, words = (
                ("CHOICE", (*match, _is_choice(index))) if planes else ("BALANCE", no_pair)
            )
            target = set_field(target_number(pair), REG_TARGET)
            learn = (resubmit("LEARN_AFFINITY"),) if learns else ()
            yield build_flow(table, Priority.POSITION, words, target, *learn, goto("FORWARD"))
    has_learned_pair = (f"{REG_PAIR_SET}=0",)
    yield build_flow("BALANCE", Priority.POSITION, has_learned_pair, goto("FORWARD"))


def _look_up(planes: tuple[int, ...]) -> Iterator[str]:
    """Yield the actions that write to ``REG_TARGET`` which choice the packet's slot has.

    Table SLOT_BIT writes the lowest bit. So the other bits come first, and are moved up.
    """
    yield f"push:{_SLOT_BITS}[]"
    for bit, plane in reversed(list(enumerate(planes))):
        yield set_field(plane, REG_SLOT_BITS)
        yield resubmit("SLOT_BIT")
        if bit:
            yield f"move:{_CHOICE}[0]->{_CHOICE}[{bit}]"
    yield f"pop:{_SLOT_BITS}[]"
    yield resubmit("CHOICE")


def _is_choice(index: int) -> str:
    return f"{REG_TARGET}={index:#x}" if index else f"{REG_TARGET}=0"


def slot_bit_flows() -> Iterator[Flow]:
    """Yield the flows of SLOT_BIT, which a host needs once."""
    for slot in range(balance.SLOTS):
        match = (f"{REG_SLOT}={slot:#x}" if slot else f"{REG_SLOT}=0",)
        bit = f"move:{_SLOT_BITS}[{slot}]->{_CHOICE}[0]"
        yield build_flow("SLOT_BIT", Priority.POSITION, match, bit)
