"""Forwarding to the selected function: to its ingress port, or to the host that has the port."""

from collections.abc import Iterator

from portchain.core.counters import CounterKind
from portchain.dataplane.compile import rate_limits, sfc_aware, transport
from portchain.dataplane.compile.context import PathOnHost, at, for_target, target_number
from portchain.dataplane.compile.crossing import TO_FUNCTION, Crossing
from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import build_flow, goto, set_field
from portchain.dataplane.host_switch import LocalPort
from portchain.dataplane.pipeline import REG_TARGET, Priority
from portchain.dataplane.plan import Target


def local_delivery_flows(context: PathOnHost, index: int, target: Target) -> Iterator[Flow]:
    """Yield the flows that give packets to a function on this host, whichever host sent them.

    Those of other hosts match flows of their own, which a change leaves alone while packets are in
    flight: the function may have moved on.
    """
    ingress = context.find_port(target.ingress_port)
    is_tap = context.path.hops[index].tap
    # A function whose egress port is missing cannot forward packets, so it gets none.
    can_forward = is_tap or context.find_port(target.egress_port) is not None
    if ingress is None or not can_forward:
        return
    crossing = _crossing(context, index, target)
    positions = [context.position(index)] if context.sends_into(index) and not is_tap else []
    if crossing.senders:
        positions.append(context.arrived_position(index))
    counter = context.counter(CounterKind.IN, target.pair_id)
    for position in positions:
        for words, actions in _delivery_variants(context, index, target, ingress):
            match = (at(position), for_target(target), *words)
            yield build_flow("FORWARD", Priority.POSITION, match, *actions, counter=counter)
    select = set_field(target_number(target.pair_id), REG_TARGET)
    yield from transport.arrival_flows(crossing, select, goto("FORWARD"))


def tap_copy_flows(context: PathOnHost, index: int, target: Target) -> Iterator[Flow]:
    """Yield the flows that copy packets which pass a tap on this host to the tap.

    All actions on the copy are inside ``clone``: Open vSwitch 3.1 does not restore a packet after
    a resubmit to a table that encapsulates it (docs/decisions/0013).
    """
    match = (context.match_position(index),)
    if target.weight == 0:
        return
    if target.host != context.switch.host:
        crossing = _crossing(context, index, target)
        yield from transport.sending_flows(crossing, "COPY", match, clone=True)
    elif (ingress := context.find_port(target.ingress_port)) is not None:
        counter = context.counter(CounterKind.IN, target.pair_id)
        for words, actions in _delivery_variants(context, index, target, ingress):
            copied = f"clone({','.join(actions)})"
            yield build_flow("COPY", Priority.POSITION, (*match, *words), copied, counter=counter)


def _delivery_variants(
    context: PathOnHost, index: int, target: Target, ingress: LocalPort
) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Yield words to match, and the actions that give a packet to a function."""
    metered = rate_limits.received_actions(context.switch, ingress, target.ingress_mac)
    for words, actions in sfc_aware.delivery_variants(context, index, target):
        yield words, (*metered, *actions, f"output:{ingress.ofport}")


def remote_delivery_flows(context: PathOnHost, index: int, target: Target) -> Iterator[Flow]:
    """Yield the flows that send packets for a function on another host to that host."""
    match = context.match_target(index, target)
    yield from transport.sending_flows(_crossing(context, index, target), "FORWARD", match)


def _crossing(context: PathOnHost, index: int, target: Target) -> Crossing:
    return Crossing(context, target, target.ingress_mac, index, TO_FUNCTION)
