"""At a hop: which of the group's pairs takes the packet."""

from collections.abc import Iterator

from portchain.dataplane import balance
from portchain.dataplane.compile.here import (
    PathHere,
    UnsupportedPlanError,
    distinct,
    target_number,
)
from portchain.dataplane.flow import Flow
from portchain.dataplane.pipeline import REG_SET, REG_TARGET, Priority
from portchain.dataplane.plan import Hop
from portchain.dataplane.write import HASH_FIELDS, goto, rule, set_field


def choose(here: PathHere, index: int, hop: Hop) -> Iterator[Flow]:
    """Write the pair that a packet at hop ``index`` is to visit into ``REG_TARGET``.

    :raises UnsupportedPlanError: the plan balances by fields this agent does not know.
    """
    match = (here.at_step(index),)
    weights = {target.pair_id: target.weight for target in distinct(hop.targets)}
    slots = balance.deal_slots(weights)
    if len(set(slots)) <= 1:
        # Nobody to visit: drop, because a packet that skipped the function would be worse than a lost one.
        number = (set_field(target_number(slots[0]), REG_TARGET),) if slots else ()
        yield rule("HOP", Priority.STEP, match, *number, *((goto("FORWARD"),) if slots else ()))
        return
    set_number = balance.set_number(weights)
    if (fields := HASH_FIELDS.get(frozenset(hop.lb_fields))) is None:
        msg = f"this agent cannot balance by {', '.join(hop.lb_fields)}"
        raise UnsupportedPlanError(msg)
    spread = (
        f"multipath({fields},0,modulo_n,{balance.SLOTS},0,"
        f"NXM_NX_{REG_TARGET.upper()}[0..{balance.SLOTS.bit_length() - 2}])"
    )
    into_set = set_field(set_number, REG_SET)
    yield rule("HOP", Priority.STEP, match, into_set, spread, goto("BALANCE"))
    for slot, pair in enumerate(slots):
        words = (f"{REG_SET}={set_number:#x}", f"{REG_TARGET}={hex(slot) if slot else 0}")
        number = (set_field(target_number(pair), REG_TARGET),)
        yield rule("BALANCE", Priority.STEP, words, *number, goto("FORWARD"))
