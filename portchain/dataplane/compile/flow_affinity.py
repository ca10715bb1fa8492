"""The memory of a hop: flows stay with their pair while the group changes around them (docs/decisions/0016).

The switch itself learns which pair a flow visits, as entries of AFFINITY. They are nobody's desired state: they come with
packets, and go when their flow has been idle, or with the flow of LEARN_AFFINITY that made them.
 So a pair that leaves the group
takes what is remembered of it along, and the last rule of ours to go leaves nothing behind.
"""

from portchain.core.protocols import TCP
from portchain.dataplane.compile.context import PathOnHost, target_number
from portchain.dataplane.compile.flow_hash import FlowKind
from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import build_flow
from portchain.dataplane.pipeline import (
    REG_PAIR_SET,
    REG_PATH_POSITION,
    REG_TARGET,
    TABLES,
    Priority,
    path_position,
)
from portchain.dataplane.plan import Target

CONNECTION_IDLE = 7440
"""Seconds for which an idle TCP connection is remembered: 2 hours and 4 minutes (RFC 5382, REQ-5)."""

DATAGRAMS_IDLE = 300
"""Seconds for flows of other protocols (RFC 4787, REQ-5)."""

CLOSED_IDLE = 30
"""Seconds for a TCP connection that one side has closed: enough for the other to close, and over before the header can be
another connection's."""


def learn_flow(
    here: PathOnHost, index: int, target: Target, kind: FlowKind, *, connection: bool
) -> Flow:
    """Remember that a flow visits ``target``.

    :param connection: whether the flow is one connection, which can be seen to end.
    """
    # All that one pair at one hop is remembered for goes when its rules go.
    owner = path_position(here.label, index) << 32 | target_number(target.pair_id)
    words = (
        f"table={TABLES['AFFINITY'].number}",
        *_timeouts(kind, connection),
        f"priority={Priority.POSITION}",
        "delete_learned",
        f"cookie={owner:#x}",
        f"NXM_NX_{REG_PATH_POSITION.upper()}[]",
        *kind.learned,
        f"load:NXM_NX_{REG_TARGET.upper()}[]->NXM_NX_{REG_TARGET.upper()}[]",
        f"load:0->NXM_NX_{REG_PAIR_SET.upper()}[]",
    )
    match = (*here.chosen(index, target), *kind.match)
    return build_flow("LEARN_AFFINITY", kind.priority, match, f"learn({','.join(words)})")


def _timeouts(kind: FlowKind, connection: bool) -> tuple[str, ...]:
    if not connection:
        return (f"idle_timeout={CONNECTION_IDLE}",)
    if kind.protocol == TCP:
        return (f"idle_timeout={CONNECTION_IDLE}", f"fin_idle_timeout={CLOSED_IDLE}")
    return (f"idle_timeout={DATAGRAMS_IDLE}",)
