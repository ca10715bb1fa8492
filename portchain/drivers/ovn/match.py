"""Translates the header fields of a classifier into OVN's expressions (ovn-sb(5), Logical_Flow).

Pure. Together, the expressions match the packets that hosts classify, and no other: what they match
is dropped unless it is sent to a gate.
"""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_network

from portchain.core.protocols import (
    DHCP_PORTS,
    ICMP,
    ICMPV6,
    NEIGHBOUR_DISCOVERY,
    NEIGHBOUR_DISCOVERY_HOP_LIMIT,
    SCTP,
    TCP,
    UDP,
)
from portchain.dataplane.match import addresses_within, covers_dhcp, covers_neighbour_discovery
from portchain.dataplane.plan import Classifier, PortRange

_WITH_PORTS = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}
_ICMP = {ICMP: "icmp4", ICMPV6: "icmp6"}
_IP = {"IPv4": "ip4", "IPv6": "ip6"}
_ALL_PORTS: PortRange = (0, 65535)
_UNICAST = "!eth.mcast"


def classified(classifier: Classifier) -> str:
    """Match the packets of a classifier where they are sent, and the ``exceptions`` among them."""
    ip = _IP[classifier.ethertype]
    return " && ".join(
        (
            ip,
            _UNICAST,
            *_protocol(classifier),
            *_within(f"{ip}.src", classifier.source_prefixes),
            *_received(classifier),
        )
    )


def exceptions(classifier: Classifier, forwarded: Iterable[str] = ()) -> Iterator[str]:
    """Match what a classifier matches and hosts do not classify: traffic of the link, for example.

    Expressions of their own, because OVN takes ``!(udp.src == 68)`` for UDP from other ports, and
    makes a flow for each bit of a field that must differ.

    :param forwarded: addresses whose packets the sending port only forwards, see ``Source``.
    """
    everything = classified(classifier)
    for ethertype, (client, server) in DHCP_PORTS.items():
        for source, destination in ((client, server), (server, client)):
            if covers_dhcp(classifier, ethertype, (source, destination)):
                yield f"{everything} && udp.src == {source} && udp.dst == {destination}"
    if covers_neighbour_discovery(classifier):
        types = ", ".join(map(str, NEIGHBOUR_DISCOVERY))
        hop_limit = f"ip.ttl == {NEIGHBOUR_DISCOVERY_HOP_LIMIT}"
        yield f"{everything} && icmp6.type == {{{types}}} && icmp6.code == 0 && {hop_limit}"
    if passed := sorted(addresses_within(forwarded, classifier)):
        yield f"{everything} && {_one_of(f'{_IP[classifier.ethertype]}.src', passed)}"


def _protocol(classifier: Classifier) -> Iterator[str]:
    """Match the protocol and its fields, and fragments in which nothing can see them.

    These hosts drop (``portchain.dataplane.match.undecided_fragment_matches``).
    """
    protocol = classifier.protocol
    if protocol is None:
        return
    name = _WITH_PORTS.get(protocol) or _ICMP.get(protocol) or f"ip.proto == {protocol}"
    terms = [name]
    if fields := list(_fields(classifier)):
        terms.append(_or_fragment("ip.is_frag", fields))
    if classifier.ethertype == "IPv6":
        yield _or_fragment("ip.later_frag", terms)
    else:
        yield from terms


def _or_fragment(fragment: str, terms: Sequence[str]) -> str:
    whole = " && ".join(terms)
    return f"({fragment} || ({whole}))" if len(terms) > 1 else f"({fragment} || {whole})"


def _fields(classifier: Classifier) -> Iterator[str]:
    """Match the ports of a protocol that has any, or the type and code of ICMP."""
    protocol = classifier.protocol or 0
    ranges = (classifier.source_ports, classifier.destination_ports)
    if (name := _WITH_PORTS.get(protocol)) is not None:
        for field, ports in zip(("src", "dst"), ranges, strict=True):
            yield from _range(f"{name}.{field}", ports)
    elif (name := _ICMP.get(protocol)) is not None:
        for field, values in zip(("type", "code"), ranges, strict=True):
            if values is not None:
                yield f"{name}.{field} == {values[0]}"


def _range(field: str, ports: PortRange | None) -> Iterator[str]:
    if ports is None or ports == _ALL_PORTS:
        return
    first, last = ports
    yield f"{field} == {first}" if first == last else f"{first} <= {field} <= {last}"


def _received(classifier: Classifier) -> Iterator[str]:
    """Match the destination: that of the receiver, in any of the ways in which it is known."""
    field = f"{_IP[classifier.ethertype]}.dst"
    receiver = classifier.receiver
    if receiver is None:
        yield from _within(field, classifier.destination_prefixes)
        return
    ways = [
        _one_of(field, addresses)
        for addresses in (receiver.addresses, receiver.shared_addresses)
        if addresses
    ]
    if receiver.macs:
        to_frames = _one_of("eth.dst", receiver.macs)
        ways.append(" && ".join((to_frames, *_within(field, classifier.destination_prefixes))))
    if not ways:
        yield "0"
    elif len(ways) == 1:
        yield ways[0]
    else:
        yield f"({' || '.join(f'({way})' for way in ways)})"


def _within(field: str, prefixes: Iterable[str]) -> Iterator[str]:
    """Match an address in any of some prefixes; all addresses if there is none."""
    networks = [ip_network(prefix, strict=False) for prefix in prefixes]
    if networks and all(network.prefixlen for network in networks):
        yield _one_of(field, map(str, networks))


def _one_of(field: str, values: Iterable[str]) -> str:
    chosen = list(values)
    return f"{field} == {chosen[0]}" if len(chosen) == 1 else f"{field} == {{{', '.join(chosen)}}}"
