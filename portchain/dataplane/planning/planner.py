"""From a chain's snapshot to what the hosts have to know: a pure function."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from portchain.core import availability
from portchain.core.availability import Availability
from portchain.core.function_kinds import traits_of
from portchain.core.model import (
    ChainSnapshot,
    FlowClassifier,
    Port,
    PortChain,
    PortPairGroup,
)
from portchain.dataplane.pipeline import ODD_GENERATION
from portchain.dataplane.plan import (
    ChainPlan,
    Classifier,
    GraphIngress,
    Hop,
    Path,
    Segment,
    Source,
    Target,
    opposite_field,
)
from portchain.dataplane.planning import headers

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Planned:
    """A chain's plan, and what the ports of the chain mean for its traffic.

    A chain that is DOWN is planned as well: its traffic must be dropped, not bypass the functions.
    """

    plan: ChainPlan
    availability: Availability


def plan_chain(snapshot: ChainSnapshot, tunnel_ips: Mapping[str, str]) -> Planned:
    """Plan a chain for all hosts that take part in it.

    :param tunnel_ips: host -> address of its tunnel end point; hosts without tunnels may be absent.
    """
    chain = snapshot.chain
    forward = _forward(snapshot, tunnel_ips)
    paths = (forward, _reverse(snapshot, forward, tunnel_ips)) if chain.symmetric else (forward,)
    plan = ChainPlan(chain.id, _path_id(chain), chain.revision, paths)
    return Planned(plan, availability.assess(snapshot, same_host=True))


def _path_id(chain: PortChain) -> int:
    return chain.chain_id | (ODD_GENERATION if chain.generation % 2 else 0)


def _forward(snapshot: ChainSnapshot, tunnel_ips: Mapping[str, str]) -> Path:
    chain, ports = snapshot.chain, snapshot.ports
    classifiers = tuple(_classifier(classifier, ports) for classifier in chain.flow_classifiers)
    ways = [headers.along(header, chain.port_pair_groups) for header in classifiers]
    return Path(
        classifiers=classifiers,
        sources=tuple(_ends(snapshot, snapshot.sources, tunnel_ips)),
        hops=tuple(
            Hop(
                group.group_id,
                tuple(_targets(group, ports, tunnel_ips)),
                group.lb_fields,
                tap=group.tap_enabled,
                headers=changed,
            )
            for group, changed in _with_changes(chain.port_pair_groups, ways)
        ),
        entries=tuple(_entry(before, ports, tunnel_ips) for before in snapshot.predecessors),
        branches=bool(snapshot.successors),
    )


def _with_changes(
    hops: Iterable[T], ways: Sequence[list[Classifier]]
) -> Iterator[tuple[T, tuple[Classifier, ...]]]:
    """Each hop with the headers that change there."""
    changed = headers.changes(ways) if ways else itertools.repeat(())
    return zip(hops, changed, strict=False)


def _entry(
    before: PortChain, ports: Mapping[str, Port], tunnel_ips: Mapping[str, str]
) -> GraphIngress:
    """Where a chain ends that comes before in a service graph."""
    group = before.last_group
    last = tuple(_targets(group, ports, tunnel_ips)) if group else ()
    places = {target.pair_id: _egress(target, ports) for target in last}
    routers = (target for target in last if not target.function.keeps_source_mac)
    return GraphIngress(
        path_id=_path_id(before),
        hops=len(before.port_pair_groups),
        senders=tuple(places.values()),
        origins=tuple(places[target.pair_id] for target in routers),
    )


def _egress(target: Target, ports: Mapping[str, Port]) -> Source:
    return Source(
        classifier=0,
        port_id=target.egress_port,
        host=target.host,
        tunnel_ip=target.tunnel_ip,
        mac=target.egress_mac,
        addresses=ports[target.egress_port].fixed_ips,
        segment=target.egress_segment,
    )


def _reverse(snapshot: ChainSnapshot, forward: Path, tunnel_ips: Mapping[str, str]) -> Path:
    """The way of the replies: the same pairs in reverse order, each entered where it was left."""
    groups = snapshot.chain.port_pair_groups
    ways = []
    for classifier, origin in zip(
        forward.classifiers, snapshot.chain.flow_classifiers, strict=True
    ):
        known = origin.logical_destination_port is not None
        sent = replace(
            classifier, source_prefixes=_origins(origin, snapshot.ports), source_port_known=known
        )
        ways.append(headers.back(headers.along(sent, groups), groups))
    return Path(
        classifiers=tuple(way[0] for way in ways),
        sources=tuple(_ends(snapshot, snapshot.destinations, tunnel_ips)),
        hops=tuple(
            replace(_turned(hop), headers=changed)
            for hop, changed in _with_changes(reversed(forward.hops), ways)
        ),
        reverse=True,
    )


def _turned(hop: Hop) -> Hop:
    targets = tuple(
        replace(
            target,
            ingress_port=target.egress_port,
            ingress_mac=target.egress_mac,
            egress_port=target.ingress_port,
            egress_mac=target.ingress_mac,
            ingress_segment=target.egress_segment,
            egress_segment=target.ingress_segment,
        )
        for target in hop.targets
    )
    return replace(hop, targets=targets, lb_fields=tuple(map(opposite_field, hop.lb_fields)))


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
    return _addresses(classifier, ports.get(classifier.logical_destination_port))


def _origins(classifier: FlowClassifier, ports: Mapping[str, Port]) -> tuple[str, ...]:
    """Where replies go to: the source port's addresses if the user named one, else the source prefix."""
    if classifier.logical_source_port is None:
        return (classifier.source_prefix,) if classifier.source_prefix else ()
    return _addresses(classifier, ports.get(classifier.logical_source_port))


def _addresses(classifier: FlowClassifier, port: Port | None) -> tuple[str, ...]:
    """A named port's addresses of the classifier's family, as prefixes.

    None at all must not become "any": then one that no packet carries.
    """
    is_ipv6 = classifier.ethertype == "IPv6"
    own = [ip for ip in (port.fixed_ips if port else ()) if (":" in ip) is is_ipv6]
    bits, nobody = (128, "::/128") if is_ipv6 else (32, "255.255.255.255/32")
    return tuple(f"{ip}/{bits}" for ip in own) or (nobody,)


def _ends(
    snapshot: ChainSnapshot,
    port_ids: Mapping[str, tuple[str, ...]],
    tunnel_ips: Mapping[str, str],
) -> Iterator[Source]:
    for number, classifier in enumerate(snapshot.chain.flow_classifiers):
        for port_id in port_ids.get(classifier.id, ()):
            port = snapshot.ports.get(port_id)
            if port is not None and port.host:
                tunnel_ip = tunnel_ips.get(port.host, "")
                yield Source(
                    number,
                    port_id,
                    port.host,
                    tunnel_ip,
                    port.mac_address,
                    port.fixed_ips,
                    _segment(port),
                )


def _targets(
    group: PortPairGroup, ports: Mapping[str, Port], tunnel_ips: Mapping[str, str]
) -> Iterator[Target]:
    for pair in sorted(group.port_pairs, key=lambda pair: pair.id):
        if availability.why_pair_unavailable(pair, ports, same_host=True):
            continue
        ingress, egress = ports[pair.ingress], ports[pair.egress]
        yield Target(
            pair_id=pair.id,
            host=ingress.host,
            tunnel_ip=tunnel_ips.get(ingress.host, ""),
            ingress_port=pair.ingress,
            ingress_mac=ingress.mac_address,
            egress_port=pair.egress,
            egress_mac=egress.mac_address,
            weight=pair.weight,
            function=traits_of(pair),
            ingress_segment=_segment(ingress),
            egress_segment=_segment(egress),
        )


def _segment(port: Port) -> Segment | None:
    """Where a port is on a physical network; None if it is on a tunnel network or one that ends at its host."""
    if port.segment is None or port.segment.physical_network is None:
        return None
    return Segment(port.segment.physical_network, port.segment.segmentation_id)
