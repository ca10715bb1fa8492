"""Flow affinity: a flow keeps its pair while the group changes (docs/decisions/0016).

The switch itself learns which pair a flow visits, as flows in table AFFINITY. These are not part
of the desired content of the switch. A learned flow disappears when its traffic has been idle, or
together with the flow in LEARN_AFFINITY that created it. So removing a pair from its group removes
all that was learned about the pair, and a deleted chain leaves nothing behind.
"""

from portchain.core.protocols import TCP
from portchain.dataplane.compile.context import PathOnHost, target_number
from portchain.dataplane.compile.flow_hash import FlowKind
from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import build_flow
from portchain.dataplane.pipeline import (
    LEARNED_POSITION_SHIFT,
    REG_PAIR_SET,
    REG_PATH_POSITION,
    REG_PROJECT,
    REG_SLOT,
    REG_TARGET,
    TABLES,
    Priority,
)
from portchain.dataplane.plan import Target

CONNECTION_IDLE = 7440
"""Idle timeout of TCP connections, in seconds: 2 hours and 4 minutes (RFC 5382, REQ-5)."""

DATAGRAMS_IDLE = 300
"""Idle timeout of other protocols' flows, in seconds (RFC 4787, REQ-5)."""

CLOSED_IDLE = 30
"""Idle timeout of TCP connections that one side has closed, in seconds. It leaves time for the
other side to close, and ends before another connection can have the same header."""


def learning_flow(
    context: PathOnHost, index: int, target: Target, kind: FlowKind, *, connection: bool
) -> Flow:
    """Return the flow that makes the switch learn that a flow visits ``target``.

    :param connection: whether a learned flow is for one connection, whose end the switch can see.
    """
    # The cookie of learned flows names hop and pair. ``delete_learned`` deletes by this cookie.
    cookie = context.position(index) << LEARNED_POSITION_SHIFT | target_number(target.pair_id)
    before = (
        f"table={TABLES['AFFINITY'].number}",
        *_timeouts(kind, connection),
        f"priority={Priority.POSITION}",
        "delete_learned",
        f"cookie={cookie:#x}",
        f"NXM_NX_{REG_PROJECT.upper()}[]",
        f"NXM_NX_{REG_PATH_POSITION.upper()}[]",
        # Registers are compared first. The datapath's entries for other slots then need not match
        # addresses and ports.
        f"NXM_NX_{REG_SLOT.upper()}[]",
    )
    after = (
        f"load:NXM_NX_{REG_TARGET.upper()}[]->NXM_NX_{REG_TARGET.upper()}[]",
        f"load:0->NXM_NX_{REG_PAIR_SET.upper()}[]",
    )
    match = (*context.match_target(index, target), *kind.match)
    actions = (f"learn({','.join((*before, *words, *after))})" for words in kind.learned)
    return build_flow("LEARN_AFFINITY", kind.priority, match, *actions)


def _timeouts(kind: FlowKind, connection: bool) -> tuple[str, ...]:
    if not connection:
        return (f"idle_timeout={CONNECTION_IDLE}",)
    if kind.protocol == TCP:
        return (f"idle_timeout={CONNECTION_IDLE}", f"fin_idle_timeout={CLOSED_IDLE}")
    return (f"idle_timeout={DATAGRAMS_IDLE}",)
