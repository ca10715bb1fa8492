"""Rules about flow classifiers: valid attributes, and which classifiers overlap."""

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeVar

from portchain.core.model import FlowClassifier, PortRange
from portchain.core.protocols import (
    DHCP_PORTS,
    ICMP,
    ICMPV6,
    IPV6_EXTENSION_HEADERS,
    NEIGHBOUR_DISCOVERY,
    SCTP,
    TCP,
    UDP,
)
from portchain.core.rules.violation import Violation

PROTOCOLS_WITH_PORTS = frozenset({TCP, UDP, SCTP})
MAX_ICMP = 255  # type and code have 8 bits each
ICMP_REPLY_TYPES = {
    ICMP: {0: 8, 8: 0, 13: 14, 14: 13},  # echo and timestamp (RFC 792)
    ICMPV6: {128: 129, 129: 128},  # echo (RFC 4443, section 4)
}
MAX_TRANSPORT_PORT = 65535


_T = TypeVar("_T")
_Network = IPv4Network | IPv6Network


def port_range(low: int | None, high: int | None) -> PortRange | None:
    """Return the range between two optional bounds; None, for any port, if both are missing.

    :param low: first port; missing, it is 0. ``high``: last port; missing, it is 65535.
    """
    if low is None and high is None:
        return None
    return (0 if low is None else low, MAX_TRANSPORT_PORT if high is None else high)


def protocol_of(ethertype: str, protocol: int | None) -> int | None:
    """Return the protocol number that a user means: users call ICMPv6 ``icmp``, too."""
    return ICMPV6 if (ethertype, protocol) == ("IPv6", ICMP) else protocol


def check_flow_classifier(classifier: FlowClassifier) -> None:
    """Check the attributes of a classifier against each other.

    :raises Violation: no packet can have the protocol; a port range is reversed, or the protocol
        has no ports; an ICMP type or code is not possible; it matches nothing but DHCP; a prefix
        has host bits set, or belongs to another address family.
    """
    _check_protocol(classifier)
    if classifier.protocol in ICMP_REPLY_TYPES:
        _check_icmp(classifier)
    else:
        _check_ports("source", classifier.source_ports, classifier.protocol)
        _check_ports("destination", classifier.destination_ports, classifier.protocol)
        _check_no_dhcp(classifier)
    _check_prefix("source_ip_prefix", classifier.source_prefix, classifier.ethertype)
    _check_prefix("destination_ip_prefix", classifier.destination_prefix, classifier.ethertype)


def _check_protocol(classifier: FlowClassifier) -> None:
    """Check that packets of the ethertype can have the protocol.

    IPv6's extension headers (RFC 8200, section 4) are no protocols: switches and endpoints look at
    what follows them. ICMPv6 exists over IPv6 only; switches ignore its types over IPv4.
    """
    if classifier.ethertype == "IPv6" and classifier.protocol in IPV6_EXTENSION_HEADERS:
        raise Violation(
            "protocol",
            f"{classifier.protocol} is an extension header of IPv6, which switches do not match; "
            "classify the protocol that follows it",
        )
    if classifier.ethertype == "IPv4" and classifier.protocol == ICMPV6:
        raise Violation("protocol", f"{ICMPV6} is ICMPv6, which exists with ethertype IPv6 only")


def _check_ports(side: str, ports: PortRange | None, protocol: int | None) -> None:
    if ports is None:
        return
    low, high = ports
    if low > high:
        raise Violation(
            f"{side}_port_range_min", f"{low} is greater than {side}_port_range_max, {high}"
        )
    if protocol not in PROTOCOLS_WITH_PORTS:
        raise Violation(
            f"{side}_port_range_min",
            f"this attribute and {side}_port_range_max need protocol tcp, udp or sctp; with "
            "protocol icmp they are the ICMP type or code",
        )


def _check_no_dhcp(classifier: FlowClassifier) -> None:
    """Check that a classifier matches something else than DHCP."""
    client, server = DHCP_PORTS[classifier.ethertype]
    ports = (classifier.source_ports, classifier.destination_ports)
    ends = ((client, client), (server, server))
    if classifier.protocol == UDP and ports in (ends, ends[::-1]):
        raise Violation(
            "destination_port_range_min",
            f"UDP between the ports {client} and {server} is DHCP, which never enters a chain; "
            "classify other ports",
        )


def _check_icmp(classifier: FlowClassifier) -> None:
    """Check type and code, which ICMP has in the place of ports, as in OpenFlow: one of each."""
    for side, meaning, values in (
        ("source", "type", classifier.source_ports),
        ("destination", "code", classifier.destination_ports),
    ):
        if values is not None and not values[0] == values[1] <= MAX_ICMP:
            raise Violation(
                f"{side}_port_range_min",
                f"with protocol icmp this is the ICMP {meaning}: it must equal "
                f"{side}_port_range_max and be at most {MAX_ICMP}",
            )
    if classifier.source_ports is None:
        if classifier.destination_ports is not None:
            raise Violation(
                "destination_port_range_min",
                "with protocol icmp this attribute and destination_port_range_max are the ICMP "
                "code, which needs an ICMP type in source_port_range_min and source_port_range_max",
            )
    elif classifier.protocol == ICMPV6 and classifier.source_ports[0] in NEIGHBOUR_DISCOVERY:
        raise Violation(
            "source_port_range_min",
            f"ICMPv6 types {NEIGHBOUR_DISCOVERY[0]} to {NEIGHBOUR_DISCOVERY[-1]} are neighbour "
            "discovery, which never enters a chain",
        )


def _check_prefix(attribute: str, prefix: str | None, ethertype: str) -> None:
    if prefix is None:
        return
    network = parse_prefix(prefix, attribute)
    if f"IPv{network.version}" != ethertype:
        raise Violation(attribute, f"{prefix} is not a prefix of ethertype {ethertype}")


def parse_prefix(prefix: str, attribute: str, key: str = "") -> _Network:
    """Return the network that a prefix describes.

    :param attribute: the attribute that contains the prefix, for the message.
    :param key: the key in that attribute, with a colon and a space; empty if there is none.
    :raises Violation: it is no prefix, or has host bits set.
    """
    try:
        network: _Network = ip_network(prefix, strict=False)
    except ValueError as error:
        raise Violation(attribute, f"{key}{error}") from error
    address = prefix.partition("/")[0]
    if ip_address(address) != network.network_address:
        raise Violation(
            attribute, f"{key}{prefix} has host bits set; its network would be {network}"
        )
    return network


def overlap(one: FlowClassifier, other: FlowClassifier) -> bool:
    """Return whether a packet can exist that both classifiers match.

    A classifier without a logical source port matches traffic of its owner's ports only, so
    classifiers of different owners do not overlap then. Neither do classifiers with different
    logical source ports.
    """
    return (
        one.ethertype == other.ethertype
        and _sources_overlap(one, other)
        and _equal_or_any(one.logical_destination_port, other.logical_destination_port)
        and _equal_or_any(one.protocol, other.protocol)
        and _ranges_overlap(one.source_ports, other.source_ports)
        and _ranges_overlap(one.destination_ports, other.destination_ports)
        and _prefixes_overlap(one.source_prefix, other.source_prefix)
        and _prefixes_overlap(one.destination_prefix, other.destination_prefix)
    )


def reply_classifier(classifier: FlowClassifier) -> FlowClassifier:
    """Return the classifier that matches the replies to a classifier's packets."""
    source_ports, destination_ports = reply_ports(
        classifier.protocol, classifier.source_ports, classifier.destination_ports
    )
    return replace(
        classifier,
        source_ports=source_ports,
        destination_ports=destination_ports,
        source_prefix=classifier.destination_prefix,
        destination_prefix=classifier.source_prefix,
        logical_source_port=classifier.logical_destination_port,
        logical_destination_port=classifier.logical_source_port,
    )


def reply_ports(
    protocol: int | None, source: PortRange | None, destination: PortRange | None
) -> tuple[PortRange | None, PortRange | None]:
    """Return the source and destination ports of replies; with ICMP their type and code.

    :param source: source ports, or ICMP type, of the requests. A type without replies is returned
        unchanged.
    :param destination: destination ports, or ICMP code, of the requests.
    """
    if protocol not in ICMP_REPLY_TYPES:
        return destination, source
    if source is None:
        return None, destination
    reply_type = ICMP_REPLY_TYPES[protocol].get(source[0], source[0])
    return (reply_type, reply_type), destination


def _sources_overlap(one: FlowClassifier, other: FlowClassifier) -> bool:
    if one.logical_source_port is None or other.logical_source_port is None:
        return one.project_id == other.project_id
    return one.logical_source_port == other.logical_source_port


def _equal_or_any(one: _T | None, other: _T | None) -> bool:
    return one is None or other is None or one == other


def _ranges_overlap(one: PortRange | None, other: PortRange | None) -> bool:
    return one is None or other is None or (one[0] <= other[1] and other[0] <= one[1])


def _prefixes_overlap(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return True
    first: _Network = ip_network(one)
    second: _Network = ip_network(other)
    # Two prefixes are disjoint unless one contains the other.
    return first.network_address in second or second.network_address in first
