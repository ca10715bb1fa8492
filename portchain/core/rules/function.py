"""Rules about port pairs and port pair groups."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from portchain.core.function_kinds import traits_of
from portchain.core.model import (
    FunctionKind,
    HealthCheck,
    HealthCheckParameters,
    Port,
    PortPair,
    PortPairGroup,
)
from portchain.core.rules.classifier import parse_prefix
from portchain.core.rules.violation import Violation, label

MAX_WEIGHT = 65535  # the width of a bucket's weight in OpenFlow
MIN_SECONDS, MAX_SECONDS = 0.1, 3600.0
"""Limits of the times of health checks."""
MOST_RETRIES = 10


def check_port_pair(pair: PortPair, ingress: Port, egress: Port) -> None:
    """Check that two ports can be the ingress and egress of one service function.

    :raises Violation: a port has no device, the ports have different devices, a function that
        needs two ports has one, or the weight is out of range.
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
            f"it is also the ingress port; a function of kind {pair.kind} needs two ports",
        )
    _check_weight(pair)


def check_changed_pair(before: PortPair, after: PortPair) -> None:
    """Check that an update changes no property of a function that flows rely on.

    :raises Violation: the correlation changes, or the weight is out of range.
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
    """Check that the pairs of a group are interchangeable.

    :raises Violation: the pairs differ in correlation or kind, a tap group has several pairs, a
        port range is reversed, a prefix has host bits set, or the health check does not suit the
        functions.
    """
    if group.tap_enabled and len(group.port_pairs) > 1:
        raise Violation("port_pairs", "a group with tap_enabled can have only one port pair")
    for name in ("ingress_n_tuple", "egress_n_tuple"):
        for side in ("source", "destination"):
            _check_n_tuple(f"ppg_n_tuple_mapping: {name}: {side}", getattr(group, name), side)
    _check_health(group)
    if len({pair.kind for pair in group.port_pairs}) > 1:
        raise Violation("port_pairs", "all port pairs of a group must have the same function_kind")
    correlations = {pair.correlation for pair in group.port_pairs}
    if len(correlations) > 1:
        found = ", ".join(sorted(str(correlation).lower() for correlation in correlations))
        raise Violation(
            "port_pairs",
            "all port pairs of a group must have the same correlation in their "
            f"service_function_parameters; these have {found}",
        )


def health_parameters(
    given: Mapping[str, object], known: HealthCheckParameters | None = None
) -> HealthCheckParameters:
    """Return the parameters of a health check, with those that a request leaves out.

    :param given: as in a request: an empty ``destination`` is None.
    :param known: those of the group; None if it is new. Unless it has another ``timeout``, it waits
        for half of the delay.
    """
    values: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if "destination" in given:
        address = values.get("destination")
        values["destination"] = str(ip_address(address)) if address else ""
    before = known or HealthCheckParameters()
    found = replace(before, **values)
    if "timeout" not in values and before.timeout == _usual_timeout(before.delay):
        found = replace(found, timeout=_usual_timeout(found.delay))
    return replace(found, delay=float(found.delay), timeout=float(found.timeout))


def _usual_timeout(delay: float) -> float:
    return max(MIN_SECONDS, delay / 2)


def _check_health(group: PortPairGroup) -> None:
    """Check that a group's health check suits its functions."""
    check, parameters = group.health_check, group.health
    if parameters.timeout > parameters.delay:
        raise Violation(
            "health_check_parameters",
            f"timeout: {parameters.timeout:g} is greater than delay, {parameters.delay:g}; give a "
            "smaller timeout or a greater delay",
        )
    if parameters.destination:
        address = ip_address(parameters.destination)
        if address.is_multicast or address.is_unspecified or address.is_loopback:
            raise Violation(
                "health_check_parameters",
                f"destination: {address} is not the address of one machine on a network; give an "
                "address that packets of the chain go to, or null",
            )
    if group.tap_enabled and check in (HealthCheck.ICMP, HealthCheck.L2):
        raise Violation(
            "health_check",
            f"{check} waits for what functions return, and those of a group with tap_enabled "
            "return nothing; use ping or none",
        )
    if check is HealthCheck.L2:
        for pair in group.port_pairs:
            if pair.kind is not FunctionKind.L2:
                raise Violation(
                    "health_check",
                    f"l2 is for functions that bridge, and port pair {label(pair)} has "
                    f"function_kind {pair.kind}; use icmp or ping",
                )


def _check_n_tuple(where: str, n_tuple: Mapping[str, object], side: str) -> None:
    """Check one side of an n-tuple: the prefix, and the order of the port range."""
    attribute = "port_pair_group_parameters"
    prefix = n_tuple.get(f"{side}_ip_prefix")
    if isinstance(prefix, str):
        parse_prefix(prefix, attribute, f"{where}_ip_prefix: ")
    low, high = (n_tuple.get(f"{side}_port_range_{end}") for end in ("min", "max"))
    if isinstance(low, int) and isinstance(high, int) and low > high:
        raise Violation(
            attribute,
            f"{where}_port_range_min: {low} is greater than {side}_port_range_max, {high}",
        )
