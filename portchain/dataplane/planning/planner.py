"""Plans a chain: turns the snapshot of a chain into what its hosts need to know. Pure."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, ip_network
from typing import TypeVar

from portchain.core import availability
from portchain.core.availability import Availability
from portchain.core.function_kinds import traits_of
from portchain.core.model import (
    ChainSnapshot,
    FailureMode,
    HealthCheck,
    OnFailure,
    Port,
    PortChain,
    PortPair,
    PortPairGroup,
)
from portchain.dataplane.pipeline import ODD_GENERATION
from portchain.dataplane.plan import (
    ChainPlan,
    Classifier,
    EarlierPairs,
    GraphIngress,
    Hop,
    Path,
    Reaction,
    Segment,
    Source,
    Target,
    opposite_field,
)
from portchain.dataplane.planning import attribution, headers, probes, spoofing

T = TypeVar("T")

PairHistory = Mapping[str, Sequence[EarlierPairs]]
"""What port pair groups, by id, selected from before their last changes, the oldest first."""

_UNCHANGED: PairHistory = {}


@dataclass(frozen=True, slots=True)
class Planned:
    """A chain's plan, and whether the chain can carry traffic.

    Hosts get the plan of a chain that cannot, too: they drop its traffic, which would otherwise
    bypass the functions.
    """

    plan: ChainPlan
    availability: Availability


def plan_chain(
    snapshot: ChainSnapshot, tunnel_ips: Mapping[str, str], history: PairHistory = _UNCHANGED
) -> Planned:
    """Plan a chain, for all hosts that take part in it.

    :param tunnel_ips: host -> address of its tunnel endpoint; hosts without tunnels may be absent.
    :param history: groups that have not changed lately may be absent.
    """
    chain = snapshot.chain
    state = availability.assess(snapshot, same_host=True, fails_open=True)
    passed = frozenset(group.id for group in state.skipped)
    forward = _with_history(_forward(snapshot, tunnel_ips, passed), chain, history)
    paths = (forward, _reverse(snapshot, forward, tunnel_ips)) if chain.symmetric else (forward,)
    checks = tuple(probes.probes(snapshot))
    watched = {tunnel_ips.get(probe.host, "") for probe in checks}
    plan = ChainPlan(
        chain.id,
        _path_id(chain),
        chain.revision,
        paths,
        serial=chain.serial,
        owner=_owner(chain),
        generation=chain.generation,
        probes=checks,
        watched=tuple(sorted(filter(None, watched))),
    )
    return Planned(plan, state)


def _owner(chain: PortChain) -> str:
    """Return what hosts tell projects apart by: they need not know the project itself."""
    return hashlib.sha256(chain.project_id.encode()).hexdigest()[:15]


def _path_id(chain: PortChain) -> int:
    return chain.chain_id | (ODD_GENERATION if chain.generation % 2 else 0)


def _forward(
    snapshot: ChainSnapshot, tunnel_ips: Mapping[str, str], passed: frozenset[str]
) -> Path:
    """Plan the path of requests.

    :param passed: ids of the groups that fail open, and have.
    """
    chain, ports = snapshot.chain, snapshot.ports
    header_lists = headers.request_headers(chain, ports)
    sources = tuple(_sources(snapshot, snapshot.sources, tunnel_ips))
    accepted = attribution.accepted_sources(snapshot, header_lists, sources)
    path = Path(
        classifiers=_with_ids(chain, header_lists),
        sources=sources,
        hops=tuple(
            replace(
                Hop(group.group_id, (), group.lb_fields)
                if attribution.takes_nothing(chain, group)
                else _hop(group, snapshot, tunnel_ips, passed),
                headers=changed,
                accepted_sources=accepted_here,
                returned_sources=returned,
                returned_macs=macs,
            )
            for (group, accepted_here, returned, macs), changed in _with_changes(
                zip(
                    chain.port_pair_groups,
                    accepted,
                    spoofing.returned_sources(snapshot),
                    spoofing.returned_macs(snapshot),
                    strict=True,
                ),
                header_lists,
            )
        ),
        entries=tuple(
            _graph_ingress(before, snapshot, tunnel_ips) for before in snapshot.predecessors
        ),
        branches=bool(snapshot.successors),
    )
    return _with_networks(path, snapshot)


def _with_ids(
    chain: PortChain, header_lists: Iterable[Sequence[Classifier]]
) -> tuple[Classifier, ...]:
    """Return the header fields at the beginning of a path, with the ids of the classifiers."""
    named = zip(chain.flow_classifiers, header_lists, strict=True)
    return tuple(replace(along_path[0], id=classifier.id) for classifier, along_path in named)


def _with_history(path: Path, chain: PortChain, history: PairHistory) -> Path:
    """Add to each hop what its group selected from before. A tap has no flows that must stay."""
    hops = (
        hop
        if hop.tap
        else replace(hop, earlier_pairs=_earlier_pairs(hop, history.get(group.id, ())))
        for hop, group in zip(path.hops, chain.port_pair_groups, strict=True)
    )
    return replace(path, hops=tuple(hops))


def _earlier_pairs(hop: Hop, history: Sequence[EarlierPairs]) -> tuple[EarlierPairs, ...]:
    """Return the part of a group's history that makes a difference to what the hop selects."""
    if not hop.targets:
        return ()
    present = tuple((target.pair_id, target.weight) for target in hop.targets)
    differing = (number for number, past in enumerate(history, 1) if past.weights != present)
    return tuple(history[: max(differing, default=0)])


def _with_changes(
    hops: Iterable[T], header_lists: Sequence[list[Classifier]]
) -> Iterator[tuple[T, tuple[Classifier, ...]]]:
    """Pair each hop with the header fields behind it; empty if the hop changes none."""
    changed = headers.changes_per_hop(header_lists) if header_lists else itertools.repeat(())
    return zip(hops, changed, strict=False)


def _graph_ingress(
    before: PortChain, snapshot: ChainSnapshot, tunnel_ips: Mapping[str, str]
) -> GraphIngress:
    """Describe the end of a preceding chain in a service graph. None of its groups fails open."""
    group, ports = before.last_group, snapshot.ports
    last = _hop(group, snapshot, tunnel_ips).functions if group else ()
    senders = {target.pair_id: _egress_source(target, ports) for target in last}
    routers = (target for target in last if not target.function.keeps_source_mac)
    return GraphIngress(
        path_id=_path_id(before),
        hops=len(before.port_pair_groups),
        senders=tuple(senders.values()),
        origins=tuple(senders[target.pair_id] for target in routers),
    )


def _egress_source(target: Target, ports: Mapping[str, Port]) -> Source:
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
    """Plan the path of replies: the same pairs in reverse order, ingress and egress swapped."""
    header_lists = headers.headers_of_replies(snapshot.chain, snapshot.ports)
    sources = tuple(_sources(snapshot, snapshot.destinations, tunnel_ips))
    accepted = attribution.accepted_sources(snapshot, header_lists, sources, reverse=True)
    path = Path(
        classifiers=_with_ids(snapshot.chain, header_lists),
        sources=tuple(
            replace(source, forwarded=tuple(_forwarded(snapshot, source))) for source in sources
        ),
        hops=tuple(
            replace(
                _reversed_hop(hop, snapshot.ports),
                headers=changed,
                accepted_sources=accepted_here,
                returned_sources=returned,
                returned_macs=macs,
            )
            for (hop, accepted_here, returned, macs), changed in _with_changes(
                zip(
                    reversed(forward.hops),
                    accepted,
                    spoofing.returned_sources(snapshot, reverse=True),
                    spoofing.returned_macs(snapshot, reverse=True),
                    strict=True,
                ),
                header_lists,
            )
        ),
        reverse=True,
    )
    return _with_networks(path, snapshot)


def _with_networks(path: Path, snapshot: ChainSnapshot) -> Path:
    """Mark the functions that return packets without a source MAC address on another network.

    Such a function knows the network only by its header: it is where the packets were before it.
    Where no sender is bound, what a function sends must not continue on its own network either.
    """
    ports = snapshot.ports
    senders = (*path.sources, *(origin for entry in path.entries for origin in entry.origins))
    ends = snapshot.destinations if path.reverse else snapshot.sources
    unbound = (*itertools.chain.from_iterable(ends.values()), *snapshot.senders)
    networks = {ports[sender.port_id].network_id for sender in senders}
    networks = networks or {ports[one].network_id for one in unbound if one in ports}
    hops = []
    for hop in path.hops:
        targets, returning = (
            tuple(
                replace(target, off_network=_is_off_network(target, networks, ports))
                for target in functions
            )
            for functions in (hop.targets, hop.returning)
        )
        hops.append(replace(hop, targets=targets, returning=returning))
        routers = [target for target in (*targets, *returning) if target.is_origin]
        if routers and not hop.tap:
            all_route = hop.is_visited and len(routers) == len(hop.functions)
            kept = set() if all_route else networks
            networks = {ports[target.egress_port].network_id for target in routers} | kept
    return replace(path, hops=tuple(hops))


def _is_off_network(target: Target, networks: set[str], ports: Mapping[str, Port]) -> bool:
    function = target.function
    if not function.encapsulation or function.keeps_source_mac or not networks:
        return False
    return networks != {ports[target.egress_port].network_id}


def _reversed_hop(hop: Hop, ports: Mapping[str, Port]) -> Hop:
    targets, returning = (
        tuple(_reversed_target(target, ports) for target in functions)
        for functions in (hop.targets, hop.returning)
    )
    lb_fields = tuple(map(opposite_field, hop.lb_fields))
    return replace(hop, targets=targets, returning=returning, lb_fields=lb_fields)


def _reversed_target(target: Target, ports: Mapping[str, Port]) -> Target:
    return replace(
        target,
        ingress_port=target.egress_port,
        ingress_mac=target.egress_mac,
        egress_port=target.ingress_port,
        egress_mac=target.ingress_mac,
        ingress_segment=target.egress_segment,
        egress_segment=target.ingress_segment,
        return_macs=spoofing.frame_addresses(ports[target.ingress_port]),
    )


def _sources(
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
                    port.addresses,
                    _segment(port),
                    tuple(_broadcasts(port)),
                    further_macs=_further_macs(port),
                    sends_from_any_mac=port.forwards,
                )


def _further_macs(port: Port) -> tuple[str, ...]:
    """Return the MAC addresses of a port's allowed address pairs, except its own."""
    return tuple(sorted({pair.mac_address for pair in port.address_pairs} - {port.mac_address}))


def _forwarded(snapshot: ChainSnapshot, source: Source) -> Iterator[str]:
    """Return the addresses whose packets a router forwards from the ports of a symmetric chain.

    The chain has classified them where they were sent. At the router's port, requests would look
    like replies, and replies would enter the chain a second time.
    """
    router, ports = snapshot.ports[source.port_id], snapshot.ports
    if not router.forwards:
        return
    classifier = snapshot.chain.flow_classifiers[source.classifier].id
    ends = {*snapshot.sources.get(classifier, ()), *snapshot.destinations.get(classifier, ())}
    for end in sorted(ends & ports.keys()):
        if ports[end].network_id != router.network_id and not ports[end].forwards:
            yield from ports[end].addresses


def _hop(
    group: PortPairGroup,
    snapshot: ChainSnapshot,
    tunnel_ips: Mapping[str, str],
    passed: frozenset[str] = frozenset(),
) -> Hop:
    """Return the hop of a group with its functions.

    :param passed: ids of the groups that packets pass.
    """
    ports = snapshot.ports
    members = availability.members_of(group, ports, snapshot.failed, same_host=True)
    functions = {
        pair.id: _target(pair, members.weights.get(pair.id, 0), ports, tunnel_ips)
        for pair in group.port_pairs
        if pair.id in members.weights or pair.id in members.returning
    }
    getting = () if group.id in passed else tuple(members.weights)
    is_checked = group.health_check is not HealthCheck.NONE and not group.tap_enabled
    # With "keep", flows stay at a function that has failed: the server says which.
    reacts = is_checked and group.on_failure is OnFailure.REBALANCE and bool(getting)
    opens = group.failure_mode is FailureMode.OPEN
    standing_by = tuple(sorted(members.standing_by.items()))
    return Hop(
        group.group_id,
        tuple(functions[pair_id] for pair_id in getting),
        group.lb_fields,
        tap=group.tap_enabled,
        returning=tuple(functions[one] for one in sorted(functions.keys() - getting)),
        passed=group.id in passed,
        reaction=Reaction(members.spare, standing_by, opens) if reacts else None,
    )


def _target(
    pair: PortPair, weight: int, ports: Mapping[str, Port], tunnel_ips: Mapping[str, str]
) -> Target:
    ingress, egress = ports[pair.ingress], ports[pair.egress]
    return Target(
        pair_id=pair.id,
        host=ingress.host,
        tunnel_ip=tunnel_ips.get(ingress.host, ""),
        ingress_port=pair.ingress,
        ingress_mac=ingress.mac_address,
        egress_port=pair.egress,
        egress_mac=egress.mac_address,
        weight=weight,
        function=traits_of(pair),
        ingress_segment=_segment(ingress),
        egress_segment=_segment(egress),
        return_macs=spoofing.frame_addresses(egress),
    )


def _broadcasts(port: Port) -> Iterator[str]:
    """Yield the broadcast addresses of a port's subnets; small ones have none (RFC 3021)."""
    for subnet in map(ip_network, port.subnets):
        if isinstance(subnet, IPv4Network) and subnet.num_addresses > 2:
            yield str(subnet.broadcast_address)


def _segment(port: Port) -> Segment | None:
    """Return a port's segment; None if its network is not on a physical network."""
    if port.segment is None or port.segment.physical_network is None:
        return None
    return Segment(port.segment.physical_network, port.segment.segmentation_id)
