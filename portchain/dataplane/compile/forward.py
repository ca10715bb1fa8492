"""To the chosen function: out of its ingress port here, or to the host where that is."""

from collections.abc import Iterator

from portchain.dataplane.compile import sfc_aware, transport
from portchain.dataplane.compile.context import PathOnHost, target_number
from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import build_flow, goto, set_field
from portchain.dataplane.pipeline import REG_PATH_POSITION, REG_TARGET, Priority, path_position
from portchain.dataplane.plan import Target


def local_delivery_flows(here: PathOnHost, index: int, target: Target) -> Iterator[Flow]:
    """Give packets that are to visit a function on this host to it, whichever host chose it."""
    ingress = here.port(target.ingress_port)
    # A function that cannot hand packets on gets none; a tap does not have to.
    complete = here.path.hops[index].tap or here.port(target.egress_port) is not None
    if ingress is None or not complete:
        return
    chosen = here.chosen(index, target)
    for words, actions in sfc_aware.delivery_variants(here, index, target):
        match = (*chosen, *words)
        yield build_flow("FORWARD", Priority.POSITION, match, *actions, f"output:{ingress.ofport}")
    yield from transport.decapsulation_flows(
        here,
        target,
        set_field(path_position(here.label, index), REG_PATH_POSITION),
        set_field(target_number(target.pair_id), REG_TARGET),
        goto("FORWARD"),
        mac=target.ingress_mac,
        index=index,
        mark=transport.ONWARD,
    )


def tap_copy_flows(here: PathOnHost, index: int, target: Target) -> Iterator[Flow]:
    """Give a tap, here or on another host, a copy of packets that pass it on this host.

    All that is done to the copy stands inside of ``clone``: around a table that encapsulates, Open vSwitch 3.1 does not get the
    packet back as it was (docs/decisions/0013).
    """
    match = (here.at_step(index),)
    if target.weight == 0:
        return
    if target.host != here.switch.host:
        yield from transport.encapsulation_flows(
            here,
            "COPY",
            match,
            target,
            mac=target.ingress_mac,
            index=index,
            mark=transport.ONWARD,
            clone=True,
        )
    elif (ingress := here.port(target.ingress_port)) is not None:
        for words, actions in sfc_aware.delivery_variants(here, index, target):
            copied = ",".join((*actions, f"output:{ingress.ofport}"))
            yield build_flow("COPY", Priority.POSITION, (*match, *words), f"clone({copied})")


def remote_delivery_flows(here: PathOnHost, index: int, target: Target) -> Iterator[Flow]:
    """Send packets that are to visit a function on another host there."""
    yield from transport.encapsulation_flows(
        here,
        "FORWARD",
        here.chosen(index, target),
        target,
        mac=target.ingress_mac,
        index=index,
        mark=transport.ONWARD,
    )
