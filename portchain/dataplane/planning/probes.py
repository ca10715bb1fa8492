"""Decides how hosts check the functions of a chain: what they send, and with which addresses. Pure.

A probe must travel as the chain's packets do: a function that routes sends it out of its egress
port if its destination is there, and takes it from its ingress port if a route to its source leads
back there (reverse path filtering, RFC 3704).

Of chains that share a function, one says how it is checked. So the addresses must not come from the
chain if several projects may use the group: one of them could name a destination that the function
rightly drops, and take it from all others.
"""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from portchain.core.availability import is_checkable
from portchain.core.function_kinds import traits_of
from portchain.core.model import (
    ChainSnapshot,
    FlowClassifier,
    HealthCheck,
    Port,
    PortPair,
    PortPairGroup,
)
from portchain.dataplane.plan import Probe

_Network = IPv4Network | IPv6Network


def probes(snapshot: ChainSnapshot) -> Iterator[Probe]:
    """Yield the health checks of a chain's functions, failed ones included.

    A function is left out if nothing can be sent to it, or no addresses are known for its probes.
    """
    for group in snapshot.chain.port_pair_groups:
        for pair in group.port_pairs if group.health_check is not HealthCheck.NONE else ():
            if not is_checkable(pair, snapshot.ports, same_host=True):
                continue
            addresses = _addresses(snapshot, group, pair)
            if addresses is not None:
                source, destination = addresses
                ingress, egress = (snapshot.ports[one] for one in (pair.ingress, pair.egress))
                yield Probe(
                    pair_id=pair.id,
                    host=ingress.host,
                    ingress_port=pair.ingress,
                    ingress_mac=ingress.mac_address,
                    egress_port=pair.egress,
                    check=group.health_check,
                    function=traits_of(pair),
                    source=source,
                    destination=destination,
                    destination_mac=snapshot.owners.get(egress.network_id, {}).get(destination, ""),
                    parameters=group.health,
                )


def _addresses(
    snapshot: ChainSnapshot, group: PortPairGroup, pair: PortPair
) -> tuple[str, str] | None:
    """Return source and destination of a function's probes; None if there are none for it."""
    ingress, egress = snapshot.ports[pair.ingress], snapshot.ports[pair.egress]
    serves_others = group.shared or group.project_id != snapshot.chain.project_id
    classifiers = () if serves_others else snapshot.chain.flow_classifiers
    taken = _addresses_of(snapshot, group.port_ids if serves_others else None)
    versions = _versions(classifiers, group, ingress)
    match group.health_check:
        case HealthCheck.L2:
            return "", ""
        case HealthCheck.PING:
            own = (one for version in versions for one in ingress.fixed_ips if _is(one, version))
            address = next(own, None)
            return None if address is None else ("", address)
    for version in versions:
        given = group.health.destination
        found = _destinations(snapshot, classifiers, egress, version)
        destination = given or next((one for one in found if one not in taken), "")
        sources = _sources(ingress, version)
        source = next((one for one in sources if one not in {*taken, destination}), "")
        if source and destination:
            return source, destination
    return None


def _versions(
    classifiers: Iterable[FlowClassifier], group: PortPairGroup, ingress: Port
) -> list[int]:
    """Return the versions of IP that probes can have, the best one first."""
    if group.health.destination and group.health_check is HealthCheck.ICMP:
        return [ip_address(group.health.destination).version]
    classified = [int(one.ethertype[-1]) for one in classifiers]
    own = [ip_address(address).version for address in ingress.fixed_ips]
    preferred = [version for version in classified if version in own]
    return list(dict.fromkeys((*preferred, *own, *classified)))


def _sources(ingress: Port, version: int) -> Iterator[str]:
    """Yield addresses to which the function's way leads through its ingress port.

    The gateway's comes first: no function has that, unless it is the gateway itself.
    """
    subnets = [net for net in _networks(ingress.subnets) if net.version == version]
    yield from (one for one in ingress.gateways if any(ip_address(one) in net for net in subnets))
    yield from (str(address) for net in subnets for address in _first_hosts(net))


def _destinations(
    snapshot: ChainSnapshot, classifiers: Sequence[FlowClassifier], egress: Port, version: int
) -> Iterator[str]:
    """Yield addresses that the chain's packets go to, the best one first.

    :param classifiers: those of the chain; none if they must not count.
    """
    matching = [one for one in classifiers if int(one.ethertype[-1]) == version]
    for one in matching:
        yield from _of_port(snapshot, one, version)
    for one in matching:
        yield from _in_prefix(snapshot, one)
    yield from (one for one in egress.gateways if _is(one, version))
    if not classifiers:
        subnets = (net for net in _networks(egress.subnets) if net.version == version)
        yield from (str(_last_host(net)) for net in subnets)


def _of_port(snapshot: ChainSnapshot, classifier: FlowClassifier, version: int) -> Iterator[str]:
    port = snapshot.ports.get(classifier.logical_destination_port or "")
    yield from (one for one in (port.fixed_ips if port else ()) if _is(one, version))


def _in_prefix(snapshot: ChainSnapshot, classifier: FlowClassifier) -> Iterator[str]:
    """Yield addresses in a classifier's destination prefix: those of ports, then the last one."""
    for prefix in _networks(filter(None, [classifier.destination_prefix])):
        if not prefix.prefixlen:
            continue
        for _, port in sorted(snapshot.ports.items()):
            yield from (one for one in port.fixed_ips if _within(one, prefix))
        yield str(_last_host(prefix))


def _last_host(network: _Network) -> object:
    is_whole = network.version == 6 or network.prefixlen >= network.max_prefixlen - 1
    return network[-1] if is_whole else network[-2]


def _first_hosts(network: _Network) -> Iterator[object]:
    """Yield some of a network's host addresses, from the first one on."""
    begins = 0 if network.prefixlen >= network.max_prefixlen - 1 else 1
    for number in range(begins, min(network.num_addresses - begins, 16)):
        yield network[number]


def _addresses_of(snapshot: ChainSnapshot, port_ids: Iterable[str] | None) -> frozenset[str]:
    """Return the addresses of some of a chain's function ports; of all, if it is not said which."""
    wanted = snapshot.chain.function_ports if port_ids is None else port_ids
    ports = (snapshot.ports.get(port_id) for port_id in wanted)
    return frozenset(address for port in ports if port is not None for address in port.fixed_ips)


def _networks(cidrs: Iterable[str]) -> list[_Network]:
    return [ip_network(cidr, strict=False) for cidr in cidrs]


def _within(address: str, network: _Network) -> bool:
    return ip_address(address) in network


def _is(address: str, version: int) -> bool:
    return ip_address(address).version == version
