"""Flow classifiers: what they may say, and when two of them mean the same packet."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeVar

from portchain.core.model import FlowClassifier, PortRange
from portchain.core.protocols import NEIGHBOUR_DISCOVERY
from portchain.core.rules.violation import Violation, label

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
PROTOCOLS_WITH_PORTS = frozenset({TCP, UDP, SCTP})
MAX_ICMP = 255  # the width of type and code
ICMP_ANSWERS = {
    ICMP: {0: 8, 8: 0, 13: 14, 14: 13},  # echo and timestamp (RFC 792)
    ICMPV6: {128: 129, 129: 128},  # echo (RFC 4443, section 4)
}
MAX_TRANSPORT_PORT = 65535


_T = TypeVar("_T")
_Network = IPv4Network | IPv6Network


def port_range(low: int | None, high: int | None) -> PortRange | None:
    """Return the range two optional bounds describe: a missing bound is open, two missing ones are
    any port.
    """
    if low is None and high is None:
        return None
    return (0 if low is None else low, MAX_TRANSPORT_PORT if high is None else high)


def protocol_of(ethertype: str, protocol: int | None) -> int | None:
    """Return the protocol a user means: ICMP is another one in IPv6, but has the same name."""
    return ICMPV6 if (ethertype, protocol) == ("IPv6", ICMP) else protocol


def check_flow_classifier(classifier: FlowClassifier) -> None:
    """Check the attributes of a classifier against each other.

    :raises Violation: reversed port range, ports without a protocol that has them, an ICMP type or
        code that cannot be, a prefix of the wrong address family or with bits set beyond its length.
    """
    if classifier.protocol in ICMP_ANSWERS:
        _check_icmp(classifier)
    else:
        _check_ports("source", classifier.source_ports, classifier.protocol)
        _check_ports("destination", classifier.destination_ports, classifier.protocol)
    _check_prefix("source_ip_prefix", classifier.source_prefix, classifier.ethertype)
    _check_prefix("destination_ip_prefix", classifier.destination_prefix, classifier.ethertype)


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
            f"it and {side}_port_range_max need protocol tcp, udp or sctp, or icmp, where they are type or code",
        )


def _check_icmp(classifier: FlowClassifier) -> None:
    """Where others have ports ICMP has its type and its code, as in OpenFlow: one of each."""
    for side, meaning, values in (
        ("source", "type", classifier.source_ports),
        ("destination", "code", classifier.destination_ports),
    ):
        if values is not None and not values[0] == values[1] <= MAX_ICMP:
            raise Violation(
                f"{side}_port_range_min",
                f"with protocol icmp this is the ICMP {meaning}, and has to be the same as "
                f"{side}_port_range_max and at most {MAX_ICMP}",
            )
    if classifier.source_ports is None:
        if classifier.destination_ports is not None:
            raise Violation(
                "destination_port_range_min",
                "with protocol icmp it and destination_port_range_max are the ICMP code, which needs "
                "an ICMP type, in source_port_range_min and _max",
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
    network = network_of(prefix, attribute)
    if f"IPv{network.version}" != ethertype:
        raise Violation(attribute, f"{prefix} is not a prefix of ethertype {ethertype}")


def network_of(prefix: str, attribute: str, key: str = "") -> _Network:
    """Return the network that a prefix of an attribute, or of a key of it, stands for."""
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
    """Tell whether a packet can exist that both classifiers match.

    A classifier without a logical source port classifies what its owner's ports send, so it never
    meets one of another owner; two logical source ports that differ never meet either.
    """
    return (
        one.ethertype == other.ethertype
        and _sources_meet(one, other)
        and _same_or_any(one.logical_destination_port, other.logical_destination_port)
        and _same_or_any(one.protocol, other.protocol)
        and _ranges_meet(one.source_ports, other.source_ports)
        and _ranges_meet(one.destination_ports, other.destination_ports)
        and _prefixes_meet(one.source_prefix, other.source_prefix)
        and _prefixes_meet(one.destination_prefix, other.destination_prefix)
    )


def check_overlap(
    classifier: FlowClassifier, others: Iterable[FlowClassifier], attribute: str = "flow_classifier"
) -> None:
    """Refuse a classifier that could match a packet another one matches.

    :raises Violation: naming the other classifier, unless it belongs to another project.
    """
    for other in others:
        if other.id != classifier.id and overlap(classifier, other):
            if other.project_id == classifier.project_id:
                who = f"flow classifier {label(other)}"
            else:
                who = "a flow classifier of another project"
            raise Violation(
                attribute,
                f"{label(classifier)} overlaps with {who}: a packet that both match could enter "
                "only one of their chains. Let them differ in ethertype, protocol, a port range, a "
                "prefix or a logical port",
            )


def turned(classifier: FlowClassifier) -> FlowClassifier:
    """The classifier of the replies to what a classifier matches."""
    source_ports, destination_ports = answering(
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


def answering(
    protocol: int | None, source: PortRange | None, destination: PortRange | None
) -> tuple[PortRange | None, PortRange | None]:
    """What replies have in the place of source and destination ports or, with ICMP, of type and code.

    :param source: of the requests; ``destination`` likewise. An ICMP type that has no replies stays as it is.
    """
    if protocol not in ICMP_ANSWERS:
        return destination, source
    if source is None:
        return None, destination
    answer = ICMP_ANSWERS[protocol].get(source[0], source[0])
    return (answer, answer), destination


def _sources_meet(one: FlowClassifier, other: FlowClassifier) -> bool:
    if one.logical_source_port is None or other.logical_source_port is None:
        return one.project_id == other.project_id
    return one.logical_source_port == other.logical_source_port


def _same_or_any(one: _T | None, other: _T | None) -> bool:
    return one is None or other is None or one == other


def _ranges_meet(one: PortRange | None, other: PortRange | None) -> bool:
    return one is None or other is None or (one[0] <= other[1] and other[0] <= one[1])


def _prefixes_meet(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return True
    first: _Network = ip_network(one)
    second: _Network = ip_network(other)
    # Two prefixes are disjoint unless one contains the other.
    return first.network_address in second or second.network_address in first


def from_any_port(classifier: FlowClassifier) -> FlowClassifier:
    """The classifier of what the same packets look like to somebody who knows neither their port nor their owner."""
    return replace(classifier, logical_source_port=None, project_id="")
