"""Translates the header fields of a classifier into OpenFlow matches.

One classifier can need several matches: one for each pair of a source and a destination prefix. A
port range becomes the smallest set of (value, mask) pairs that covers exactly the range;
``conjunction`` keeps ranges from multiplying.
"""

import functools
import ipaddress
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from portchain.core.boxes import Interval
from portchain.core.protocols import HOP_BY_HOP, ICMP, ICMPV6, SCTP, TCP, UDP
from portchain.dataplane.plan import Classifier, PortRange

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORT_BITS = 16
_FULL_MASK = (1 << _PORT_BITS) - 1
_ALL_PORTS: PortRange = (0, _FULL_MASK)

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
# Fields of matches that are compared, and how many bits they have.
_WIDTHS = {
    "ethertype": 1,
    "nw_proto": 8,
    "nw_src": 32,
    "nw_dst": 32,
    "ipv6_src": 128,
    "ipv6_dst": 128,
    "dl_dst": 48,
    "tp_src": 16,
    "tp_dst": 16,
    "icmp_type": 8,
    "icmp_code": 8,
}


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


@dataclass(frozen=True, slots=True)
class PortChoice:
    """A range of transport ports, and the words that cover it, of which one must match.

    :param field: ``tp_src`` or ``tp_dst``.
    """

    field: str
    range: PortRange
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeaderMatch:
    """A match of header fields.

    :param words: all of these must match.
    :param ports: of each of these, one word must match.
    """

    words: frozenset[str]
    ports: tuple[PortChoice, ...] = ()

    def __or__(self, words: Iterable[str]) -> "HeaderMatch":
        """Return the match with further words that must match."""
        return HeaderMatch(self.words.union(words), self.ports)

    @property
    def combinations(self) -> Iterator[frozenset[str]]:
        """One set of match words for each flow that is needed without conjunctions."""
        for chosen in itertools.product(*(choice.words for choice in self.ports)):
            yield self.words.union(chosen)


def header_matches(
    classifier: Classifier,
    sources: Iterable[str] = (),
    *,
    any_source: bool = False,
    destinations: Iterable[str] = (),
) -> list[HeaderMatch]:
    """Match the packets of a classifier by their header fields.

    :param sources: CIDRs to match instead of the classifier's source prefixes, which must contain
        them; empty to match the classifier's own.
    :param any_source: match packets from any address.
    :param destinations: as ``sources``, instead of the classifier's destination prefixes.
    :returns: one match for each pair of a source and a destination prefix. None of them matches a
        fragment that ``undecided_fragment_matches`` matches.
    """
    source_field, destination_field = _ADDRESS_FIELDS[classifier.ethertype]
    words = set(protocol_words(classifier.ethertype, classifier.protocol))
    ports: tuple[PortChoice, ...] = ()
    given = (classifier.source_ports, classifier.destination_ports)
    if classifier.protocol in (ICMP, ICMPV6):
        values = zip(_ICMP_FIELDS, given, strict=True)
        words |= {f"{name}={value[0]}" for name, value in values if value is not None}
    else:
        ports = tuple(
            PortChoice(name, value, tuple(_port_words(name, value)))
            for name, value in zip(_PORT_FIELDS, given, strict=True)
            if value is not None and value != _ALL_PORTS
        )
    if _matches_fragments_by_mistake(classifier):
        words.add("nw_frag=no")
    cidrs = () if any_source else tuple(sources) or classifier.source_prefixes
    prefixes = itertools.product(
        _prefix_words(source_field, cidrs),
        _prefix_words(destination_field, tuple(destinations) or classifier.destination_prefixes),
    )
    return [HeaderMatch(frozenset(words.union(*chosen)), ports) for chosen in prefixes]


def sent_matches(classifier: Classifier) -> Iterator[tuple[int, HeaderMatch]]:
    """Match the packets of a classifier where they are sent, for its receiver alone.

    :returns: a rank and a match. Of several matches for a packet, also those of other classifiers,
        the one with the lowest rank is right. Matches without ``dl_dst`` match frames to any
        address.
    """
    receiver = classifier.receiver
    if receiver is None:
        yield from ((0, match) for match in header_matches(classifier))
        return
    for rank, addresses in ((0, receiver.addresses), (2, receiver.shared_addresses)):
        for match in header_matches(classifier, destinations=addresses) if addresses else ():
            yield rank, match
    for match, mac in itertools.product(header_matches(classifier), receiver.macs):
        yield 1, match | {f"dl_dst={mac}"}


def returned_matches(
    classifier: Classifier, *, any_source: bool = False
) -> Iterator[tuple[int, HeaderMatch]]:
    """Match the packets of a classifier where only their header fields are known.

    :param any_source: as for ``header_matches``.
    :returns: as ``sent_matches``; ranks are 0 and 1.
    """
    receiver = classifier.receiver
    if receiver is not None and receiver.addresses:
        for match in header_matches(
            classifier, any_source=any_source, destinations=receiver.addresses
        ):
            yield 0, match
    for match in header_matches(classifier, any_source=any_source):
        yield (0 if receiver is None else 1), match


def source_words(classifier: Classifier, sources: Iterable[str]) -> list[str]:
    """Return the words that match source addresses; none if they contain every address.

    :param sources: CIDRs of the classifier's IP version.
    """
    field = _ADDRESS_FIELDS[classifier.ethertype][0]
    return [word for words in _prefix_words(field, sources) for word in words]


def classifier_matches(classifier: Classifier, sources: Iterable[str] = ()) -> list[frozenset[str]]:
    """Match the packets of a classifier without conjunctions.

    :param sources: as for ``header_matches``.
    :returns: one set of match words for each flow needed.
    """
    matches = header_matches(classifier, sources)
    return [words for match in matches for words in match.combinations]


def undecided_fragment_matches(
    classifier: Classifier, matches: Callable[[Classifier], Iterable[HeaderMatch]]
) -> Iterator[frozenset[str]]:
    """Match fragments of which the switch cannot tell whether they are packets of a classifier.

    The switch sees port 0 or ICMP type 0 in every fragment, the first one included. Of the later
    fragments of an IPv6 packet it does not see the protocol either. The same holds for packets with
    hop-by-hop options and a payload length of 0, which is that of jumbograms (RFC 2675): Open
    vSwitch in user space reads no further, and Linux accepts them as they are.

    :param matches: how whole packets of a classifier are matched.
    :returns: one set of match words for each flow needed; none if the classifier names only fields
        that every fragment has.
    """
    hidden = bool(_limited_ports(classifier))
    without_ports = replace(classifier, source_ports=None, destination_ports=None)
    undecided = []
    if classifier.ethertype == "IPv6" and classifier.protocol is not None:
        hidden = True
        undecided.append((replace(without_ports, protocol=None), "nw_frag=later"))
        undecided.append((replace(without_ports, protocol=HOP_BY_HOP), "nw_frag=no"))
    if hidden:
        undecided.append((without_ports, "nw_frag=yes"))
    for known, fragment in undecided:
        for match in matches(known):
            yield match.words - {"nw_frag=no"} | {fragment}


def _matches_fragments_by_mistake(classifier: Classifier) -> bool:
    """Tell whether flows of a classifier need a word that excludes fragments.

    Their ports look like 0, and the first fragment of an IPv6 packet would go without the others.
    """
    limited = _limited_ports(classifier)
    if limited:
        return all(first == 0 for first, _ in limited)
    return classifier.ethertype == "IPv6" and classifier.protocol is not None


def _limited_ports(classifier: Classifier) -> list[PortRange]:
    """Return the port ranges of a classifier that exclude some port."""
    given = (classifier.source_ports, classifier.destination_ports)
    return [ports for ports in given if ports is not None and ports != _ALL_PORTS]


def covers_neighbour_discovery(classifier: Classifier) -> bool:
    """Return whether a classifier would match neighbour discovery: ICMPv6 without a given type."""
    any_type = classifier.protocol in (None, ICMPV6) and classifier.source_ports is None
    return classifier.ethertype == "IPv6" and any_type


def covers_dhcp(classifier: Classifier, ethertype: str, ports: PortRange) -> bool:
    """Return whether a classifier would match DHCP messages.

    :param ports: their source and their destination port.
    """
    ranges = (classifier.source_ports, classifier.destination_ports)
    return (
        classifier.ethertype == ethertype
        and classifier.protocol in (None, UDP)
        and all(
            among is None or among[0] <= port <= among[1]
            for port, among in zip(ports, ranges, strict=True)
        )
    )


def address_matches(addresses: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Match packets from addresses: one pair of match words for each."""
    for address in addresses:
        family = f"IPv{ipaddress.ip_address(address).version}"
        yield _WORDS[family, None], f"{_ADDRESS_FIELDS[family][0]}={address}"


def addresses_within(addresses: Iterable[str], classifier: Classifier) -> Iterator[str]:
    """Yield those addresses, as CIDRs, that a classifier's source prefixes contain."""
    version = 4 if classifier.ethertype == "IPv4" else 6
    prefixes = [parse_network(prefix) for prefix in classifier.source_prefixes]
    for text in addresses:
        address = parse_network(text)
        if address.version == version and (
            not prefixes or any(address.network_address in prefix for prefix in prefixes)
        ):
            yield str(address)


def protocol_words(ethertype: str, protocol: int | None) -> tuple[str, ...]:
    """Match packets of an ethertype and IP protocol; None matches any protocol."""
    word = _WORDS.get((ethertype, protocol))
    return (word,) if word is not None else (_WORDS[ethertype, None], f"nw_proto={protocol}")


def ip_versions(match: frozenset[str]) -> frozenset[str]:
    """Return the ethertypes, ``IPv4`` and ``IPv6``, of the packets that match words allow."""
    named = frozenset(_PROTOCOLS[word][0] for word in match & _PROTOCOLS.keys())
    return named or frozenset(_ADDRESS_FIELDS)


def matches_overlap(one: frozenset[str], other: frozenset[str]) -> bool:
    """Tell whether one packet can match both of two sets of match words.

    Words whose values are not known to exclude each other count as compatible.
    """
    first, second = _fields(one), _fields(other)
    return all(
        (first[name][0] ^ second[name][0]) & first[name][1] & second[name][1] == 0
        for name in first.keys() & second.keys()
    )


def field_intervals(match: frozenset[str], ports: Mapping[str, PortRange]) -> tuple[Interval, ...]:
    """Return the values that match words allow in each field, for ``portchain.core.boxes``.

    Matches whose intervals do not overlap do not overlap. The reverse does not hold if a mask is
    no prefix.

    :param ports: field -> range, for transport ports that no word matches.
    """
    fields = _fields(match)
    return tuple(
        ports[name] if name in ports else _interval(*fields.get(name, (0, 0)), width)
        for name, width in _WIDTHS.items()
    )


def _interval(value: int, mask: int, width: int) -> Interval:
    return value, value | (1 << width) - 1 & ~mask


def port_ranges(match: frozenset[str]) -> dict[str, PortRange]:
    """Return the transport ports that match words allow: field -> first and last."""
    fields = _fields(match)
    return {
        name: (fields[name][0], fields[name][0] | _FULL_MASK & ~fields[name][1])
        for name in _PORT_FIELDS
        if name in fields
    }


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
        elif name == "dl_dst":
            mac, _, mask = value.replace(":", "").partition("/")
            fields[name] = (int(mac, 16), int(mask or "f" * 12, 16))
        elif name in (*_PORT_FIELDS, *_ICMP_FIELDS, "nw_proto"):
            number, _, mask = value.partition("/")
            fields[name] = (int(number, 0), int(mask, 0) if mask else _FULL_MASK)
    return fields


@functools.lru_cache(maxsize=1 << 12)
def parse_network(prefix: str) -> Network:
    """Parse a CIDR or an address. Many classifiers and sources have the same."""
    return ipaddress.ip_network(prefix, strict=False)


def common_networks(some: Iterable[Network], others: Iterable[Network]) -> Iterator[Network]:
    """Yield the networks of the addresses that are in both lists of networks."""
    for one, other in itertools.product(some, others):
        if one.version == other.version and one.overlaps(other):
            yield max(one, other, key=lambda each: each.prefixlen)


def _prefix_words(name: str, prefixes: Iterable[str]) -> list[tuple[str, ...]]:
    networks = [parse_network(prefix) for prefix in prefixes]
    if not networks or any(network.prefixlen == 0 for network in networks):
        return [()]
    full = networks[0].max_prefixlen
    return [(f"{name}={n.network_address if n.prefixlen == full else n}",) for n in networks]


def _port_words(name: str, ports: PortRange) -> Iterator[str]:
    return (_port_word(name, value, mask) for value, mask in masked_ports(ports))


def _port_word(name: str, value: int, mask: int) -> str:
    return f"{name}={value}" if mask == _FULL_MASK else f"{name}={value:#x}/{mask:#x}"
