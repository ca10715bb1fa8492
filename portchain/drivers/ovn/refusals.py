"""What OVN cannot carry, found out before anything is written: pure functions over a chain.

Each refusal names what the user can do instead.
"""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from portchain.core.model import ChainSnapshot, FlowClassifier, Port, PortPair, PortPairGroup
from portchain.core.rules import Kind, Violation, label
from portchain.drivers.ovn import lanes as lanes_of

_NETWORK_TYPE = "geneve"


def check_pair(pair: PortPair) -> None:
    """Refuse a function with a single port.

    :raises Violation: requests would pass it, replies would not find back.
    """
    if pair.ingress == pair.egress:
        raise _refusal(
            "egress",
            "the driver ovn cannot hand packets to a function by one port in both directions; "
            "give the function two ports",
        )


def check_group(group: PortPairGroup) -> None:
    """Refuse more pairs than buckets.

    :raises Violation: says how many there may be.
    """
    takers = [pair for pair in group.port_pairs if pair.weight > 0]
    if len(takers) > lanes_of.BUCKETS:
        raise _refusal(
            "port_pairs",
            f"the driver ovn balances over at most {lanes_of.BUCKETS} pairs of a group; "
            "divide the traffic among several chains",
        )


def check_chain(snapshot: ChainSnapshot) -> None:
    """Refuse what the composition of Northbound rows cannot express.

    :raises Violation: for the first thing that is found.
    """
    for attribute, reason in _reasons(snapshot):
        raise _refusal(attribute, reason)


def _reasons(snapshot: ChainSnapshot) -> Iterator[tuple[str, str]]:
    chain = snapshot.chain
    for group in chain.port_pair_groups:
        check_group(group)
        for pair in group.port_pairs:
            check_pair(pair)
    sources = [
        snapshot.ports[port]
        for ports in snapshot.sources.values()
        for port in ports
        if port in snapshot.ports
    ]
    networks = {port.network_id for port in sources}
    if len(networks) > 1:
        yield (
            "flow_classifiers",
            "the driver ovn takes the traffic of one chain from ports on one network, and these "
            f"are on {len(networks)}; make a chain for each network",
        )
    yield from _twice(snapshot)
    functions = {port for group in chain.port_pair_groups for port in _ports(group)}
    both = sorted(functions & {port.id for port in sources})
    if both:
        yield (
            "flow_classifiers",
            f"the driver ovn cannot take traffic from port {label(snapshot.ports[both[0]])}, "
            "which belongs to a function of the same chain; classify the traffic of another port",
        )
    yield from _routers(sources)
    yield from _segments(sources)
    yield from _between(snapshot, sources)


def _twice(snapshot: ChainSnapshot) -> Iterator[tuple[str, str]]:
    """A port is at one place of a chain."""
    pairs = [pair for group in snapshot.chain.port_pair_groups for pair in group.port_pairs]
    seen: set[str] = set()
    for pair in pairs:
        for port in {pair.ingress, pair.egress} & seen:
            own = (
                port in snapshot.ports
                and snapshot.ports[port].project_id == snapshot.chain.project_id
            )
            which = f"port {label(snapshot.ports[port])}" if own else "a port of another project"
            yield (
                "port_pair_groups",
                f"the driver ovn cannot have packets pass {which} in two port pairs of one chain; use a port for each",
            )
        seen |= {pair.ingress, pair.egress}


def _routers(sources: list[Port]) -> Iterator[tuple[str, str]]:
    """OVN forwards what a router sends without the rows of its port: the chain would get replies
    only.
    """
    for port in sources:
        if port.serves_network:
            yield (
                "flow_classifiers",
                f"the driver ovn cannot take traffic from port {label(port)}, which belongs to a "
                "router or another service of the network; classify the traffic of the virtual "
                "machines behind it, or use hosts of the Open vSwitch agent and the driver ovs",
            )


def _segments(sources: list[Port]) -> Iterator[tuple[str, str]]:
    for port in sources:
        if port.segment is not None and port.segment.network_type != _NETWORK_TYPE:
            yield (
                "flow_classifiers",
                f"the driver ovn carries chains on {_NETWORK_TYPE} networks, and port "
                f"{label(port)} is on one of type {port.segment.network_type}; use a network of "
                f"type {_NETWORK_TYPE}, or hosts of the Open vSwitch agent and the driver ovs",
            )


def _between(snapshot: ChainSnapshot, sources: list[Port]) -> Iterator[tuple[str, str]]:
    """A wire tells requests from replies by whether their destination is a source."""
    for classifier in snapshot.chain.flow_classifiers:
        for port in sources:
            if _is_destination(port, classifier):
                yield (
                    "flow_classifiers",
                    "the driver ovn cannot carry packets from one source of a chain to another, and port "
                    f"{label(port)} is a source to which flow classifier {label(classifier)} sends; narrow "
                    "the sources, and make a chain for each direction in which connections are opened "
                    "(replies come back through the functions anyway)",
                )


def _is_destination(port: Port, classifier: FlowClassifier) -> bool:
    """Whether a classifier that says where packets go names a port, be it as one of many."""
    if classifier.logical_destination_port is not None:
        return classifier.logical_destination_port == port.id
    if classifier.destination_prefix is None:
        return False
    network = ip_network(classifier.destination_prefix)
    return any(ip_address(address) in network for address in port.fixed_ips)


def _ports(group: PortPairGroup) -> set[str]:
    return {port for pair in group.port_pairs for port in (pair.ingress, pair.egress)}


def _refusal(attribute: str, reason: str) -> Violation:
    return Violation(attribute, reason, Kind.UNSUPPORTED)
