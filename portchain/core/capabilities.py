"""Capabilities of drivers, and the comparison of requests with them."""

from collections.abc import Iterator
from dataclasses import dataclass

from portchain.core.model import (
    ChainSnapshot,
    FailureMode,
    FlowClassifier,
    HealthCheck,
    OnFailure,
    PortPair,
    PortPairGroup,
)
from portchain.core.rules import Kind, Violation

Subject = FlowClassifier | PortPair | PortPairGroup | ChainSnapshot
"""What the driver manager checks before anything is written."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Features that a driver supports. Requests that need more are rejected before any write.

    :param chain_correlations: supported values of ``chain_parameters.correlation``.
    :param pair_correlations: of ``service_function_parameters.correlation``; None stands for
        SFC-unaware functions.
    :param lb_fields: supported sets of load-balancing fields; the empty set is the whole 5-tuple.
    :param symmetric: chains whose replies visit the same functions in reverse order.
    :param asymmetric: chains whose replies bypass the functions.
    :param n_tuple_mapping: functions that change addresses or ports.
    :param l7_parameters: supported keys of a classifier's ``l7_parameters``.
    :param function_kinds: supported values of a pair's ``function_kind``.
    :param ethertypes: of a classifier's ``ethertype``.
    :param service_graphs: chains that take the traffic of preceding chains.
    :param tap: groups with ``tap_enabled``.
    :param health_checks: supported values of a group's ``health_check``.
    :param failure_modes: of its ``failure_mode``.
    :param member_states: pairs that are administratively down or backups, and groups with a
        ``min_healthy`` or an ``on_failure`` of their own: as ``availability.members_of`` decides.
    """

    chain_correlations: frozenset[str] = frozenset({"mpls"})
    pair_correlations: frozenset[str | None] = frozenset({None})
    lb_fields: frozenset[frozenset[str]] = frozenset({frozenset()})
    symmetric: bool = False
    asymmetric: bool = True
    n_tuple_mapping: bool = False
    l7_parameters: frozenset[str] = frozenset()
    function_kinds: frozenset[str] = frozenset({"l3"})
    ethertypes: frozenset[str] = frozenset({"IPv4"})
    service_graphs: bool = False
    tap: bool = False
    health_checks: frozenset[HealthCheck] = frozenset({HealthCheck.NONE})
    failure_modes: frozenset[FailureMode] = frozenset({FailureMode.CLOSED})
    member_states: bool = False


def check(subject: Subject, capabilities: Capabilities, driver: str) -> None:
    """Check that a driver supports what is about to be written.

    :param driver: the driver's name, for the message.
    :raises Violation: of kind unsupported; names the attribute, the value and the driver.
    """
    for attribute, value in _missing(subject, capabilities):
        raise Violation(
            attribute, f"{value} is not supported by the driver {driver}", Kind.UNSUPPORTED
        )


def _missing(subject: Subject, capabilities: Capabilities) -> Iterator[tuple[str, str]]:
    """Yield each attribute that needs an unsupported capability, with its value."""
    match subject:
        case FlowClassifier():
            yield from _classifier(subject, capabilities)
        case PortPair():
            if subject.correlation not in capabilities.pair_correlations:
                yield "service_function_parameters", f"correlation {subject.correlation}"
            if subject.kind not in capabilities.function_kinds:
                yield "function_kind", subject.kind
            if not capabilities.member_states and not subject.admin_state_up:
                yield "admin_state_up", "false"
            if not capabilities.member_states and subject.backup:
                yield "backup", "true"
        case PortPairGroup():
            yield from _group(subject, capabilities)
        case ChainSnapshot():
            yield from _chain(subject, capabilities)


def _classifier(
    classifier: FlowClassifier, capabilities: Capabilities
) -> Iterator[tuple[str, str]]:
    if classifier.ethertype not in capabilities.ethertypes:
        yield "ethertype", classifier.ethertype
    for key in sorted(set(classifier.l7_parameters) - capabilities.l7_parameters):
        yield "l7_parameters", key


def _group(group: PortPairGroup, capabilities: Capabilities) -> Iterator[tuple[str, str]]:
    if frozenset(group.lb_fields) not in capabilities.lb_fields:
        yield "port_pair_group_parameters", f"lb_fields {', '.join(group.lb_fields)}"
    if not capabilities.n_tuple_mapping and (group.ingress_n_tuple or group.egress_n_tuple):
        yield "port_pair_group_parameters", "ppg_n_tuple_mapping"
    if group.tap_enabled and not capabilities.tap:
        yield "tap_enabled", "true"
    if group.health_check not in capabilities.health_checks:
        yield "health_check", f"health_check {group.health_check}"
    if group.failure_mode not in capabilities.failure_modes:
        yield "failure_mode", f"failure_mode {group.failure_mode}"
    if not capabilities.member_states and group.min_healthy != 1:
        yield "min_healthy", f"min_healthy {group.min_healthy}"
    if not capabilities.member_states and group.on_failure is not OnFailure.REBALANCE:
        yield "on_failure", f"on_failure {group.on_failure}"


def _chain(snapshot: ChainSnapshot, capabilities: Capabilities) -> Iterator[tuple[str, str]]:
    chain = snapshot.chain
    if chain.correlation not in capabilities.chain_correlations:
        yield "chain_parameters", f"correlation {chain.correlation}"
    if chain.symmetric and not capabilities.symmetric:
        yield "chain_parameters", "symmetric true"
    if not chain.symmetric and not capabilities.asymmetric:
        yield "chain_parameters", "symmetric false (replies always return through the chain)"
    if (snapshot.predecessors or snapshot.successors) and not capabilities.service_graphs:
        yield "port_chains", "a service graph"
    # The parts may have been accepted when other drivers were configured.
    pairs = [pair for group in chain.port_pair_groups for pair in group.port_pairs]
    parts: tuple[Subject, ...] = (*chain.flow_classifiers, *chain.port_pair_groups, *pairs)
    for part in parts:
        yield from _missing(part, capabilities)
