"""Classifiers and buckets in the words of OVN's matches (ovn-sb(5), Logical_Flow: expressions)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from portchain.core.model import FlowClassifier, Port, PortRange
from portchain.drivers.ovn.lanes import BUCKETS

_WITH_PORTS = {6: "tcp", 17: "udp", 132: "sctp"}
_ICMP = {"IPv4": (1, "icmp4"), "IPv6": (58, "icmp6")}
# Linux gives outgoing connections source ports of one parity while it can: the last bit says little.
_PORT_SHIFT = 1
_NOT_FOR_CHAINS = "!eth.mcast"
"""What goes to many at once belongs to the network itself. What resolves addresses does, too: OVN lets it pass any ACL."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Where in a header the bits are that say which bucket a flow belongs to.

    :param protocols: whose source port has them; none: the source address has them.
    :param families: ethertypes of the chain's classifiers.
    """

    protocols: tuple[int, ...]
    families: tuple[str, ...]

    def match(self, buckets: Iterable[int], replies: bool = False) -> str:
        """Match flows of some buckets.

        :param replies: match the flows' replies instead.
        """
        wanted = sorted(buckets)
        if len(wanted) == BUCKETS:
            return ""
        side = "dst" if replies else "src"
        if self.protocols:
            values = [
                f"{bucket << _PORT_SHIFT}/{(BUCKETS - 1) << _PORT_SHIFT}" for bucket in wanted
            ]
            parts = [_one_of(f"{_WITH_PORTS[number]}.{side}", values) for number in self.protocols]
        else:
            parts = [self._addresses(family, side, wanted) for family in self.families]
        return parts[0] if len(parts) == 1 else f"({' || '.join(parts)})"

    @staticmethod
    def _addresses(family: str, side: str, buckets: Sequence[int]) -> str:
        if family == "IPv4":
            return _one_of(
                f"ip4.{side}", [f"0.0.0.{bucket}/0.0.0.{BUCKETS - 1}" for bucket in buckets]
            )
        return _one_of(f"ip6.{side}", [f"::{bucket:x}/::{BUCKETS - 1:x}" for bucket in buckets])


def spread(classifiers: Sequence[FlowClassifier], by_address: bool) -> Spread:
    """Choose what flows are told apart by: source ports if every classifier has some to choose from.

    :param by_address: a group of the chain asks for addresses.
    """
    families = tuple(sorted({classifier.ethertype for classifier in classifiers}))
    protocols = sorted({classifier.protocol or 0 for classifier in classifiers})
    fixed = all(
        classifier.source_ports and classifier.source_ports[0] == classifier.source_ports[1]
        for classifier in classifiers
    )
    if by_address or fixed or not set(protocols) <= _WITH_PORTS.keys():
        return Spread((), families)
    return Spread(tuple(protocols), families)


def classified(classifier: FlowClassifier, destination: Port | None) -> str:
    """Match what a classifier does, but for the port it comes from.

    :param destination: the port it names as ``logical_destination_port``, if any.
    """
    is_ipv6 = classifier.ethertype == "IPv6"
    family = "ip6" if is_ipv6 else "ip4"
    terms = [family, _NOT_FOR_CHAINS, *_protocol(classifier)]
    if classifier.source_prefix:
        terms.append(f"{family}.src == {classifier.source_prefix}")
    if classifier.destination_prefix:
        terms.append(f"{family}.dst == {classifier.destination_prefix}")
    if classifier.logical_destination_port is not None:
        own = destination.fixed_ips if destination else ()
        addresses = [ip for ip in own if (ip_address(ip).version == 6) is is_ipv6]
        # None at all must not become "any".
        terms.append(
            _one_of(f"{family}.dst", addresses)
            if addresses
            else f"{family}.dst == {'::' if is_ipv6 else '255.255.255.255'}"
        )
    return " && ".join(terms)


def _protocol(classifier: FlowClassifier) -> Iterable[str]:
    number = classifier.protocol
    if number is None:
        return
    name = _WITH_PORTS.get(number)
    icmp, icmp_name = _ICMP[classifier.ethertype]
    if name is None:
        if number == icmp:
            yield icmp_name
            yield from _range(f"{icmp_name}.type", classifier.source_ports)
            yield from _range(f"{icmp_name}.code", classifier.destination_ports)
        else:
            yield f"ip.proto == {number}"
        return
    yield name
    yield from _range(f"{name}.src", classifier.source_ports)
    yield from _range(f"{name}.dst", classifier.destination_ports)


def _range(field: str, ports: PortRange | None) -> Iterable[str]:
    if ports is None:
        return
    first, last = ports
    yield f"{field} == {first}" if first == last else f"{first} <= {field} <= {last}"


def from_ports(names: Sequence[str]) -> str:
    """Match what comes from one of these logical ports."""
    return _one_of("inport", [f'"{name}"' for name in names])


def to_port(name: str) -> str:
    """Match what goes to a logical port."""
    return f'outport == "{name}"'


def _one_of(field: str, values: Sequence[str]) -> str:
    return f"{field} == {values[0]}" if len(values) == 1 else f"{field} == {{{', '.join(values)}}}"
