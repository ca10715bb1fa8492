"""To the chosen function: out of its ingress port here, or to the host where that is."""

from collections.abc import Iterator

from portchain.dataplane.compile import aware, transport
from portchain.dataplane.compile.here import PathHere, target_number
from portchain.dataplane.flow import Flow
from portchain.dataplane.pipeline import REG_STEP, REG_TARGET, Priority, step
from portchain.dataplane.plan import Target
from portchain.dataplane.write import goto, rule, set_field


def deliver(here: PathHere, index: int, target: Target) -> Iterator[Flow]:
    """Give packets that are to visit a function on this host to it, whichever host chose it."""
    ingress, egress = here.port(target.ingress_port), here.port(target.egress_port)
    if ingress is None or egress is None:
        return
    chosen = here.chosen(index, target)
    for words, actions in aware.give(here, index, target):
        match = (*chosen, *words)
        yield rule("FORWARD", Priority.STEP, match, *actions, f"output:{ingress.ofport}")
    yield from transport.arrive(
        here,
        target,
        set_field(step(here.label, index), REG_STEP),
        set_field(target_number(target.pair_id), REG_TARGET),
        goto("FORWARD"),
        mac=target.ingress_mac,
        index=index,
        mark=transport.ONWARD,
    )


def send(here: PathHere, index: int, target: Target) -> Iterator[Flow]:
    """Send packets that are to visit a function on another host there."""
    yield from transport.carry(
        here,
        "FORWARD",
        here.chosen(index, target),
        target,
        mac=target.ingress_mac,
        index=index,
        mark=transport.ONWARD,
    )
