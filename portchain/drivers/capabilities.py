"""Compares what is asked for with what a driver says it can do."""

from collections.abc import Iterator

from portchain.drivers.base import Capabilities
from portchain.model import ChainSnapshot, FlowClassifier, PortPair, PortPairGroup
from portchain.rules import Kind, Violation

Subject = FlowClassifier | PortPair | PortPairGroup | ChainSnapshot
"""What drivers are asked about before anything is written."""


def check(subject: Subject, capabilities: Capabilities, driver: str) -> None:
    """Refuse what a driver cannot do.

    :param driver: the driver's name, for the message.
    :raises Violation: of kind unsupported, naming the attribute, the value and the driver.
    """
    for attribute, value in _missing(subject, capabilities):
        raise Violation(
            attribute, f"{value} is not supported by the driver {driver}", Kind.UNSUPPORTED
        )


def _missing(subject: Subject, capabilities: Capabilities) -> Iterator[tuple[str, str]]:
    """Yield each attribute of the subject that goes beyond the capabilities, with its value."""
    match subject:
        case FlowClassifier():
            yield from _classifier(subject, capabilities)
        case PortPair():
            if subject.correlation not in capabilities.pair_correlations:
                yield "service_function_parameters", f"correlation {subject.correlation}"
            if subject.kind not in capabilities.function_kinds:
                yield "function_kind", subject.kind
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


def _chain(snapshot: ChainSnapshot, capabilities: Capabilities) -> Iterator[tuple[str, str]]:
    chain = snapshot.chain
    if chain.correlation not in capabilities.chain_correlations:
        yield "chain_parameters", f"correlation {chain.correlation}"
    if chain.symmetric and not capabilities.symmetric:
        yield "chain_parameters", "symmetric true"
    if not chain.symmetric and not capabilities.asymmetric:
        yield "chain_parameters", "symmetric false (replies always come back through the chain)"
    if (snapshot.predecessors or snapshot.successors) and not capabilities.service_graphs:
        yield "port_chains", "a service graph"
    # The parts may be older than the drivers that are configured now.
    pairs = [pair for group in chain.port_pair_groups for pair in group.port_pairs]
    parts: tuple[Subject, ...] = (*chain.flow_classifiers, *chain.port_pair_groups, *pairs)
    for part in parts:
        yield from _missing(part, capabilities)
