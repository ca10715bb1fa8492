"""From a chain's snapshot to what the hosts have to know: a pure function."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from portchain.dataplane.plan import ChainPlan, Classifier, Hop, Source, Target
from portchain.model import ChainSnapshot, FlowClassifier, Port, PortPair, PortPairGroup

NO_LONGER_EXISTS = "no longer exists"


@dataclass(frozen=True, slots=True)
class Planned:
    """A chain's plan, and why it cannot carry traffic at the moment.

    :param obstacle: empty if every hop has a pair that takes traffic and some source is bound. A chain with an obstacle
        is planned all the same: its traffic must be held back, not let around the functions.
    """

    plan: ChainPlan
    obstacle: str = ""


def plan_chain(snapshot: ChainSnapshot, tunnel_ips: Mapping[str, str]) -> Planned:
    """Plan a chain for all hosts that take part in it.

    :param tunnel_ips: host -> address of its tunnel end point; hosts without tunnels may be absent.
    """
    chain = snapshot.chain
    sources = tuple(_sources(snapshot))
    hops = tuple(
        Hop(group.group_id, tuple(_targets(group, snapshot.ports, tunnel_ips)), group.lb_fields)
        for group in chain.port_pair_groups
    )
    plan = ChainPlan(
        id=chain.id,
        path_id=chain.chain_id,
        revision=chain.revision,
        classifiers=tuple(
            _classifier(classifier, snapshot.ports) for classifier in chain.flow_classifiers
        ),
        sources=sources,
        hops=hops,
    )
    return Planned(plan, "; ".join(_obstacles(snapshot, plan)))


def _classifier(classifier: FlowClassifier, ports: Mapping[str, Port]) -> Classifier:
    return Classifier(
        ethertype=classifier.ethertype,
        protocol=classifier.protocol,
        source_ports=classifier.source_ports,
        destination_ports=classifier.destination_ports,
        source_prefixes=(classifier.source_prefix,) if classifier.source_prefix else (),
        destination_prefixes=_destinations(classifier, ports),
        source_port_known=classifier.logical_source_port is not None,
    )


def _destinations(classifier: FlowClassifier, ports: Mapping[str, Port]) -> tuple[str, ...]:
    """The destination prefix, or the destination port's addresses if the user named one."""
    if classifier.logical_destination_port is None:
        return (classifier.destination_prefix,) if classifier.destination_prefix else ()
    port = ports.get(classifier.logical_destination_port)
    return tuple(f"{ip}/{128 if ':' in ip else 32}" for ip in port.fixed_ips) if port else ()


def _sources(snapshot: ChainSnapshot) -> Iterator[Source]:
    for number, classifier in enumerate(snapshot.chain.flow_classifiers):
        for port_id in snapshot.sources.get(classifier.id, ()):
            port = snapshot.ports.get(port_id)
            if port is not None and port.host:
                yield Source(number, port_id, port.host, port.fixed_ips)


def _targets(
    group: PortPairGroup, ports: Mapping[str, Port], tunnel_ips: Mapping[str, str]
) -> Iterator[Target]:
    for pair in sorted(group.port_pairs, key=lambda pair: pair.id):
        if _why_unusable(pair, ports):
            continue
        ingress = ports[pair.ingress]
        yield Target(
            pair_id=pair.id,
            host=ingress.host,
            tunnel_ip=tunnel_ips.get(ingress.host, ""),
            ingress_port=pair.ingress,
            ingress_mac=ingress.mac_address,
            egress_port=pair.egress,
            weight=pair.weight,
        )


def _why_unusable(pair: PortPair, ports: Mapping[str, Port]) -> str:
    """Why a pair cannot take traffic; empty if it can."""
    for side, port_id in (("ingress", pair.ingress), ("egress", pair.egress)):
        port = ports.get(port_id)
        if port is None:
            return f"its {side} port {port_id} {NO_LONGER_EXISTS}"
        if not port.host:
            return f"its {side} port {port.name or port_id} is not bound to a host"
        if not port.plugged:
            return f"its {side} port {port.name or port_id} is DOWN on host {port.host}"
    ingress, egress = ports[pair.ingress], ports[pair.egress]
    if ingress.host != egress.host:
        return f"its ports are on different hosts ({ingress.host}, {egress.host})"
    return ""


def _obstacles(snapshot: ChainSnapshot, plan: ChainPlan) -> Iterator[str]:
    for group, hop in zip(snapshot.chain.port_pair_groups, plan.hops, strict=True):
        if not any(target.weight for target in hop.targets):
            reasons = "; ".join(
                f"{pair.name or pair.id}: {_why_unusable(pair, snapshot.ports) or 'its weight is 0'}"
                for pair in group.port_pairs
            )
            yield f"Port pair group {group.name or group.id} has no pair that takes traffic ({reasons or 'it is empty'})"
    if plan.classifiers and not plan.sources:
        yield "No port whose traffic the flow classifiers name is bound to a host"
