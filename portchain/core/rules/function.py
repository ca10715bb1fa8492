"""Port pairs and their groups."""

from collections.abc import Mapping

from portchain.core.function_kinds import traits_of
from portchain.core.model import Port, PortPair, PortPairGroup
from portchain.core.rules.classifier import network_of
from portchain.core.rules.violation import Violation, label

MAX_WEIGHT = 65535  # the width of a bucket's weight in OpenFlow


def check_port_pair(pair: PortPair, ingress: Port, egress: Port) -> None:
    """Check that the two ports can be the two sides of one service function.

    :raises Violation: no device behind a port, two different devices, one port for a function that bridges, weight out of
        range.
    """
    for side, port in (("ingress", ingress), ("egress", egress)):
        if not port.device_id:
            raise Violation(
                side, f"port {label(port)} has no device_id: attach it to an instance first"
            )
    if ingress.device_id != egress.device_id:
        raise Violation(
            "egress",
            f"port {label(egress)} has device_id {egress.device_id}, the ingress port has "
            f"{ingress.device_id}; both must belong to the same device",
        )
    if pair.ingress == pair.egress and not traits_of(pair).allows_single_port:
        raise Violation(
            "egress",
            "it is the ingress port, too; a function of the kind l2 is a bump in the wire, which has two ends",
        )
    _check_weight(pair)


def check_changed_pair(before: PortPair, after: PortPair) -> None:
    """Check that of what a function is like, nothing but its weight changes.

    :raises Violation: its correlation would, or the weight is out of range.
    """
    if after.correlation != before.correlation:
        was = before.correlation or "none"
        raise Violation(
            "service_function_parameters",
            f"correlation is {was} and cannot be changed; create another port pair",
        )
    _check_weight(after)


def _check_weight(pair: PortPair) -> None:
    if not 0 <= pair.weight <= MAX_WEIGHT:
        raise Violation("service_function_parameters", f"weight must be between 0 and {MAX_WEIGHT}")


def check_port_pair_group(group: PortPairGroup) -> None:
    """Check that the pairs of a group are interchangeable, and only one where that means nothing.

    :raises Violation: pairs of different correlation or kind, several pairs in a tap group, a reversed port range, a
        prefix with bits set beyond its length.
    """
    if group.tap_enabled and len(group.port_pairs) > 1:
        raise Violation(
            "port_pairs",
            "a group with tap_enabled takes one port pair: a copy of each packet goes to one observer",
        )
    for name in ("ingress_n_tuple", "egress_n_tuple"):
        for side in ("source", "destination"):
            _check_n_tuple(f"ppg_n_tuple_mapping: {name}: {side}", getattr(group, name), side)
    if len({pair.kind for pair in group.port_pairs}) > 1:
        raise Violation("port_pairs", "all port pairs of a group must have the same function_kind")
    correlations = {pair.correlation for pair in group.port_pairs}
    if len(correlations) > 1:
        kinds = ", ".join(sorted(str(kind).lower() for kind in correlations))
        raise Violation(
            "port_pairs",
            "all port pairs of a group must have the same service_function_parameters "
            f"correlation; these have {kinds}",
        )


def _check_n_tuple(where: str, n_tuple: Mapping[str, object], side: str) -> None:
    """Check what a group's n-tuple says of one side of packets."""
    attribute = "port_pair_group_parameters"
    prefix = n_tuple.get(f"{side}_ip_prefix")
    if isinstance(prefix, str):
        network_of(prefix, attribute, f"{where}_ip_prefix: ")
    low, high = (n_tuple.get(f"{side}_port_range_{end}") for end in ("min", "max"))
    if isinstance(low, int) and isinstance(high, int) and low > high:
        raise Violation(
            attribute,
            f"{where}_port_range_min: {low} is greater than {side}_port_range_max, {high}",
        )
