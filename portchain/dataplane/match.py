"""Translates the header fields of a classifier into OpenFlow matches.

One classifier can need several matches. A port range becomes the smallest set of (value, mask)
pairs that covers exactly the range; ranges and lists of prefixes multiply.
"""

import functools
import ipaddress
import itertools
from collections.abc import Iterable, Iterator, Mapping

from portchain.core.protocols import ICMP, ICMPV6, SCTP, TCP, UDP
from portchain.dataplane.plan import Classifier, PortRange

_PORT_BITS = 16
_FULL_MASK = (1 << _PORT_BITS) - 1

# The words of ovs-ofctl for an ethertype and protocol.
_WORDS = {
    ("IPv4", None): "ip",
    ("IPv4", ICMP): "icmp",
    ("IPv4", TCP): "tcp",
    ("IPv4", UDP): "udp",
    ("IPv4", SCTP): "sctp",
    ("IPv6", None): "ipv6",
    ("IPv6", ICMPV6): "icmp6",
    ("IPv6", TCP): "tcp6",
    ("IPv6", UDP): "udp6",
    ("IPv6", SCTP): "sctp6",
}
_PROTOCOLS = {word: key for key, word in _WORDS.items()}
_ADDRESS_FIELDS = {"IPv4": ("nw_src", "nw_dst"), "IPv6": ("ipv6_src", "ipv6_dst")}
_PORT_FIELDS = ("tp_src", "tp_dst")
_ICMP_FIELDS = ("icmp_type", "icmp_code")


def masked_ports(ports: PortRange) -> list[tuple[int, int]]:
    """Cover a range of transport ports with masked values.

    :param ports: first and last port, both included, 0..65535.
    :returns: disjoint (value, mask) pairs that cover exactly the range, in ascending order.
    """
    first, last = ports
    cover = []
    while first <= last:
        # The largest aligned block that starts at ``first`` and ends within the range.
        size = first & -first if first else 1 << _PORT_BITS
        while first + size - 1 > last:
            size >>= 1
        cover.append((first, _FULL_MASK & ~(size - 1)))
        first += size
    return cover


def classifier_matches(classifier: Classifier, sources: Iterable[str] = ()) -> list[frozenset[str]]:
    """Match the packets of a classifier.

    :param sources: CIDRs to match instead of the classifier's source prefixes, which must contain
        them; empty to match the classifier's own.
    :returns: one set of match words for each flow needed.
    """
    source_field, destination_field = _ADDRESS_FIELDS[classifier.ethertype]
    is_icmp = classifier.protocol in (ICMP, ICMPV6)
    source_ports, destination_ports = _ICMP_FIELDS if is_icmp else _PORT_FIELDS
    choices: list[list[tuple[str, ...]]] = [
        [protocol_words(classifier.ethertype, classifier.protocol)],
        _prefix_words(source_field, tuple(sources) or classifier.source_prefixes),
        _prefix_words(destination_field, classifier.destination_prefixes),
        _port_words(source_ports, classifier.source_ports),
        # Later fragments have no ICMP header; the switch would match them as type 0.
        [("nw_frag=not_later",) if is_icmp and classifier.source_ports else ()],
        _port_words(destination_ports, classifier.destination_ports),
    ]
    return [frozenset(itertools.chain(*words)) for words in itertools.product(*choices)]


def covers_neighbour_discovery(classifier: Classifier) -> bool:
    """Return whether a classifier would match neighbour discovery: ICMPv6 without a given type."""
    any_type = classifier.protocol in (None, ICMPV6) and classifier.source_ports is None
    return classifier.ethertype == "IPv6" and any_type


def addresses_within(addresses: Iterable[str], classifier: Classifier) -> Iterator[str]:
    """Yield those addresses, as CIDRs, that a classifier's source prefixes contain."""
    version = 4 if classifier.ethertype == "IPv4" else 6
    prefixes = [ipaddress.ip_network(prefix, strict=False) for prefix in classifier.source_prefixes]
    for text in addresses:
        address = ipaddress.ip_address(text)
        if address.version == version and (
            not prefixes or any(address in prefix for prefix in prefixes)
        ):
            yield str(ipaddress.ip_network(address))


def protocol_words(ethertype: str, protocol: int | None) -> tuple[str, ...]:
    """Match packets of an ethertype and IP protocol; None matches any protocol."""
    word = _WORDS.get((ethertype, protocol))
    return (word,) if word is not None else (_WORDS[ethertype, None], f"nw_proto={protocol}")


def matches_overlap(one: frozenset[str], other: frozenset[str]) -> bool:
    """Tell whether one packet can match both of two sets of match words.

    Words whose values are not known to exclude each other count as compatible.
    """
    first, second = _fields(one), _fields(other)
    return all(
        (first[name][0] ^ second[name][0]) & first[name][1] & second[name][1] == 0
        for name in first.keys() & second.keys()
    )


@functools.lru_cache(maxsize=1 << 16)
def _fields(match: frozenset[str]) -> Mapping[str, tuple[int, int]]:
    """Return the fields of a match: name -> (value, mask)."""
    fields: dict[str, tuple[int, int]] = {}
    for word in match:
        name, _, value = word.partition("=")
        if word in _PROTOCOLS:
            ethertype, protocol = _PROTOCOLS[word]
            fields["ethertype"] = (int(ethertype == "IPv6"), 1)
            if protocol is not None:
                fields["nw_proto"] = (protocol, 0xFF)
        elif name in itertools.chain(*_ADDRESS_FIELDS.values()):
            network = ipaddress.ip_network(value, strict=False)
            fields[name] = (int(network.network_address), int(network.netmask))
        elif name in (*_PORT_FIELDS, *_ICMP_FIELDS, "nw_proto"):
            number, _, mask = value.partition("/")
            fields[name] = (int(number, 0), int(mask, 0) if mask else _FULL_MASK)
    return fields


def _prefix_words(name: str, prefixes: Iterable[str]) -> list[tuple[str, ...]]:
    networks = [ipaddress.ip_network(prefix, strict=False) for prefix in prefixes]
    if not networks or any(network.prefixlen == 0 for network in networks):
        return [()]
    full = networks[0].max_prefixlen
    return [(f"{name}={n.network_address if n.prefixlen == full else n}",) for n in networks]


def _port_words(name: str, ports: PortRange | None) -> list[tuple[str, ...]]:
    if ports is None or ports == (0, _FULL_MASK):
        return [()]
    return [(_port_word(name, value, mask),) for value, mask in masked_ports(ports)]


def _port_word(name: str, value: int, mask: int) -> str:
    return f"{name}={value}" if mask == _FULL_MASK else f"{name}={value:#x}/{mask:#x}"
