"""Whether the frames of a chain fit between its hosts and through the ports of its functions.

A pure function of its plan and of what Neutron knows of the underlay. A frame that does not fit is lost without a word, and
only the large packets of a connection are that long.
"""

import ipaddress
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field

from portchain.dataplane.plan import ChainPlan, Path, Segment, Source, Target

HEADER = 18
"""Bytes of the chain header: an MPLS label, and the Ethernet header inside of it (docs/decisions/0001)."""

# What a tunnel adds to a packet beside the outer IP header: the inner Ethernet header, and the tunnel's own with its key or id.
# They are those of Neutron's network MTUs, so that the two agree (neutron_lib.constants, *_ENCAP_*OVERHEAD).
_TUNNEL_HEADERS = {"vxlan": 30, "gre": 22, "geneve": 30}
_IP_HEADERS = {4: 20, 6: 40}


@dataclass(frozen=True, slots=True)
class TunnelEnd:
    """A host's end of its tunnels.

    :param types: those that the host makes, e.g. ``vxlan``; none without tunnels.
    """

    address: str = ""
    types: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Underlay:
    """How long packets may be between hosts, in bytes; 0 where it is not known.

    :param tunnels: of the network that carries tunnels.
    :param physical: of physical networks; ``other`` of those not in it.
    """

    tunnels: int = 0
    physical: Mapping[str, int] = field(default_factory=dict)
    other: int = 0

    def on(self, segment: Segment | None) -> int:
        """How long frames may be on a segment of a physical network."""
        return self.physical.get(segment.physical_network, self.other) if segment else 0


def why_too_long(
    plan: ChainPlan,
    mtus: Mapping[str, int],
    ends: Mapping[str, TunnelEnd],
    underlay: Underlay,
    foreign: Container[str] = (),
) -> str:
    """Say which packets of a chain do not fit where; empty if all fit or nothing is known.

    :param mtus: port id -> MTU of its network, 0 if it is not known.
    :param ends: host -> its end of tunnels.
    :param foreign: ids of ports that the chain's owner must not hear of.
    """
    reasons = (_between_hosts(plan, mtus, ends, underlay), _at_functions(plan, mtus, foreign))
    return "; ".join(filter(None, reasons))


def _at_functions(plan: ChainPlan, mtus: Mapping[str, int], foreign: Container[str]) -> str:
    """Functions that understand chains get packets with a header, through a port that is made for the packet alone."""
    worst: tuple[int, str] = (0, "")
    for path in plan.paths:
        for index, hop in enumerate(path.hops):
            longest = max(
                (mtus.get(_sending_port(s), 0) for s in path.senders_into(index)), default=0
            )
            for target in hop.targets:
                header = target.function.header_bytes
                need, room = longest + header, mtus.get(target.ingress_port, 0)
                if header and longest and room and need > room:
                    hidden = target.ingress_port in foreign
                    port = "a port of another project" if hidden else f"port {target.ingress_port}"
                    reason = (
                        f"packets longer than {room - header} bytes do not fit through {port} with the "
                        f"{target.function.encapsulation} header: its network's MTU of {room} had to be {need}"
                    )
                    worst = max(worst, (need - room, reason))
    return worst[1]


def _between_hosts(
    plan: ChainPlan, mtus: Mapping[str, int], ends: Mapping[str, TunnelEnd], underlay: Underlay
) -> str:
    nowhere = TunnelEnd()
    worst: tuple[int, str] = (0, "")
    for sender, mtu, receiver, segment in set(_crossings(plan, mtus)):
        one, other = ends.get(sender, nowhere), ends.get(receiver, nowhere)
        tunnel = _tunnel_overhead(one, other)
        room = underlay.tunnels if tunnel else underlay.on(segment)
        need = mtu + HEADER + tunnel
        if room and need > room:
            reason = (
                f"packets longer than {mtu - (need - room)} bytes do not fit between hosts {sender} and {receiver}: there the "
                f"networks' MTU of {mtu} needs an underlay with {need}, and Neutron is told of {room}"
            )
            worst = max(worst, (need - room, reason))
    return worst[1]


def _tunnel_overhead(one: TunnelEnd, other: TunnelEnd) -> int:
    """Bytes that the tunnel between two hosts adds to a packet, 0 without one; the most, if there are several."""
    common = one.types & other.types & _TUNNEL_HEADERS.keys()
    if not common or not one.address or not other.address:
        return 0
    version = ipaddress.ip_address(other.address).version
    return _IP_HEADERS[version] + max(_TUNNEL_HEADERS[kind] for kind in common)


def _crossings(
    plan: ChainPlan, mtus: Mapping[str, int]
) -> Iterator[tuple[str, int, str, Segment | None]]:
    """Sending host, MTU of what it sends, receiving host and its port's segment, wherever two hosts follow each other."""
    for path in plan.paths:
        for senders, receivers in _steps(path):
            froms = {(s.host, mtus.get(_sending_port(s), 0)) for s in senders}
            yield from (
                (sender, mtu, receiver, segment)
                for sender, mtu in froms
                for receiver, segment in receivers
                if mtu and sender != receiver
            )


def _steps(
    path: Path,
) -> Iterator[tuple[tuple[Source | Target, ...], set[tuple[str, Segment | None]]]]:
    """Who hands frames to which hosts, with the segment of the port there."""
    senders: tuple[Source | Target, ...] = path.senders
    for hop in path.hops:
        yield senders, {(target.host, target.ingress_segment) for target in hop.targets}
        if not hop.tap:
            senders = hop.targets
    staying = tuple(s for s in senders if isinstance(s, Target) and s.function.keeps_source_mac)
    yield staying, {(origin.host, _segment(origin)) for origin in path.origins}


def _sending_port(sender: Source | Target) -> str:
    return sender.port_id if isinstance(sender, Source) else sender.egress_port


def _segment(origin: Source | Target) -> Segment | None:
    return origin.segment if isinstance(origin, Source) else origin.egress_segment
