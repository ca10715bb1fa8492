"""Warns if the frames of a chain do not fit between its hosts or through its functions' ports.

Pure: computed from the plan and from what Neutron's configuration says about the underlay. A frame
that does not fit is lost without an error, and affects only the large packets of a connection.
"""

import ipaddress
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field

from portchain.dataplane.plan import ChainPlan, Path, Segment, Source, Target

FRAME_HEADER = 18
"""Bytes of the chain header of a whole frame: MPLS label and Ethernet header
(docs/decisions/0001)."""

PACKET_HEADER = 8
"""Bytes of the chain header of a packet, which only tunnels carry: two MPLS labels
(docs/decisions/0061)."""

# Bytes that a tunnel adds to a packet, without the outer IP header: tunnel header and inner
# Ethernet header. Neutron computes network MTUs with the same numbers (neutron_lib.constants,
# *_ENCAP_*OVERHEAD).
_TUNNEL_HEADERS = {"vxlan": 30, "gre": 22, "geneve": 30}
_IP_HEADERS = {4: 20, 6: 40}


@dataclass(frozen=True, slots=True)
class TunnelEnd:
    """The tunnel endpoint of a host.

    :param address: its IP address; empty without tunnels.
    :param types: tunnel types of the host, such as ``vxlan``.
    """

    address: str = ""
    types: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Underlay:
    """MTUs between hosts, in bytes; 0 if unknown.

    :param tunnels: MTU of the network that carries tunnels.
    :param physical: physical network -> its MTU.
    :param other: MTU of physical networks that are not in ``physical``.
    """

    tunnels: int = 0
    physical: Mapping[str, int] = field(default_factory=dict)
    other: int = 0

    def on(self, segment: Segment | None) -> int:
        """Return the MTU of a segment of a physical network."""
        return self.physical.get(segment.physical_network, self.other) if segment else 0


@dataclass(frozen=True, slots=True)
class TooLong:
    """Packets that do not fit between two hosts.

    :param longest: bytes of the longest packet that fits.
    :param mtu: of the network of the port that sends them.
    :param needed: MTU that the underlay needs. ``available``: MTU that it has.
    """

    sender: str
    receiver: str
    longest: int
    mtu: int
    needed: int
    available: int


def why_too_long(
    plan: ChainPlan,
    mtus: Mapping[str, int],
    ends: Mapping[str, TunnelEnd],
    underlay: Underlay,
    foreign: Container[str] = (),
) -> str:
    """Return which packets of a chain do not fit, and where; empty if all fit or MTUs are unknown.

    :param mtus: port id -> MTU of its network in bytes; 0 if unknown.
    :param ends: host -> its tunnel endpoint.
    :param foreign: ids of ports of other projects, which the text must not name.
    """
    reasons = (_between_hosts(plan, mtus, ends, underlay), _at_functions(plan, mtus, foreign))
    return "; ".join(filter(None, reasons))


def _at_functions(plan: ChainPlan, mtus: Mapping[str, int], foreign: Container[str]) -> str:
    """Check SFC-aware functions: packets with a header must fit through their ingress ports."""
    worst: tuple[int, str] = (0, "")
    for path in plan.paths:
        for index, hop in enumerate(path.hops):
            longest = max(
                (mtus.get(_sending_port(s), 0) for s in path.senders_into(index)), default=0
            )
            for target in hop.targets:
                header = target.function.header_bytes
                needed, mtu = longest + header, mtus.get(target.ingress_port, 0)
                if header and longest and mtu and needed > mtu:
                    hidden = target.ingress_port in foreign
                    port = "a port of another project" if hidden else f"port {target.ingress_port}"
                    reason = (
                        f"packets longer than {mtu - header} bytes do not fit through {port} with "
                        f"the {target.function.encapsulation} header: its network's MTU is {mtu} "
                        f"and must be {needed}"
                    )
                    worst = max(worst, (needed - mtu, reason))
    return worst[1]


def _between_hosts(
    plan: ChainPlan, mtus: Mapping[str, int], ends: Mapping[str, TunnelEnd], underlay: Underlay
) -> str:
    found = too_long_between_hosts(plan, mtus, ends, underlay)
    if found is None:
        return ""
    return (
        f"packets longer than {found.longest} bytes do not fit between hosts {found.sender} and "
        f"{found.receiver}: the networks' MTU of {found.mtu} needs an underlay MTU of "
        f"{found.needed}, and the server's configuration says {found.available}"
    )


def too_long_between_hosts(
    plan: ChainPlan, mtus: Mapping[str, int], ends: Mapping[str, TunnelEnd], underlay: Underlay
) -> TooLong | None:
    """Return where between hosts the largest part of packets does not fit; None if all fit.

    The parameters are those of ``why_too_long``.
    """
    no_tunnels = TunnelEnd()
    worst: TooLong | None = None
    for sender, mtu, receiver, segment in set(_crossings(plan, mtus)):
        tunnel = _tunnel_overhead(ends.get(sender, no_tunnels), ends.get(receiver, no_tunnels))
        available = underlay.tunnels if tunnel else underlay.on(segment)
        is_packet = tunnel and receiver in plan.packet_hosts
        needed = mtu + (PACKET_HEADER if is_packet else FRAME_HEADER) + tunnel
        if available and needed > available:
            longest = mtu - (needed - available)
            found = TooLong(sender, receiver, longest, mtu, needed, available)
            worst = found if worst is None else max(worst, found, key=_by_size)
    return worst


def _by_size(found: TooLong) -> tuple[object, ...]:
    return (found.needed - found.available, found.longest, found.sender, found.receiver)


def _tunnel_overhead(one: TunnelEnd, other: TunnelEnd) -> int:
    """Return how many bytes the tunnel between two hosts adds to a packet; 0 without a tunnel.

    If the hosts have tunnels of several types in common, the longest header counts.
    """
    common = one.types & other.types & _TUNNEL_HEADERS.keys()
    if not common or not one.address or not other.address:
        return 0
    version = ipaddress.ip_address(other.address).version
    return _IP_HEADERS[version] + max(_TUNNEL_HEADERS[kind] for kind in common)


def _crossings(
    plan: ChainPlan, mtus: Mapping[str, int]
) -> Iterator[tuple[str, int, str, Segment | None]]:
    """Yield all transmissions between hosts.

    :returns: sending host, MTU of the sending port's network, receiving host, and the segment of
        the receiving port.
    """
    for path in plan.paths:
        for senders, receivers in _senders_and_receivers(path):
            sending = {(s.host, mtus.get(_sending_port(s), 0)) for s in senders}
            yield from (
                (sender, mtu, receiver, segment)
                for sender, mtu in sending
                for receiver, segment in receivers
                if mtu and sender != receiver
            )


def _senders_and_receivers(
    path: Path,
) -> Iterator[tuple[tuple[Source | Target, ...], set[tuple[str, Segment | None]]]]:
    """Yield for each hop who sends frames to it, and the hosts and segments that receive them.

    The last pair is for frames that return to the host of their origin.
    """
    for index, hop in enumerate(path.hops):
        receivers = {(target.host, target.ingress_segment) for target in hop.targets}
        yield path.senders_into(index), receivers
    senders = path.senders_into(len(path.hops))
    returning = tuple(s for s in senders if isinstance(s, Target) and not s.is_origin)
    yield returning, {(origin.host, _segment(origin)) for origin in path.origins}


def _sending_port(sender: Source | Target) -> str:
    return sender.port_id if isinstance(sender, Source) else sender.egress_port


def _segment(origin: Source | Target) -> Segment | None:
    return origin.segment if isinstance(origin, Source) else origin.egress_segment
