"""From captures to paths: the ports that each packet of each connection really passed.

Pure functions over what ``capture`` recorded.
"""

import hashlib
import ipaddress
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

# Importing them is what lets scapy look behind chain headers.
from scapy.contrib import mpls, nsh  # noqa: F401
from scapy.data import ETH_P_ARP, ETH_P_IP, ETH_P_IPV6
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_Redirect, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from portchain_lab.observe.capture import CapturedFrame

ETHERTYPES = {ETH_P_IP, ETH_P_IPV6, ETH_P_ARP}
_CHECKSUMS = {TCP: 16, UDP: 6}
"""Where in a header the checksum is, bytes (RFC 9293, 3.1; RFC 768)."""
TCP_SYN, TCP_ACK = 0x02, 0x10
Path = tuple[str, ...]
"""Labels of the ports a packet was seen at, in order."""


@dataclass(frozen=True, slots=True, order=True)
class FiveTuple:
    """The 5-tuple of a packet; for ICMP echo, both ports are the identifier."""

    protocol: str
    source: str
    source_port: int
    destination: str
    destination_port: int

    @property
    def reverse(self) -> "FiveTuple":
        """The 5-tuple of the answers."""
        return FiveTuple(
            self.protocol,
            self.destination,
            self.destination_port,
            self.source,
            self.source_port,
        )

    def __str__(self) -> str:
        return (
            f"{self.protocol} {self.source}:{self.source_port} -> "
            f"{self.destination}:{self.destination_port}"
        )


@dataclass(frozen=True, slots=True)
class Observation:
    """A packet at a port.

    :param vm: that the port is of.
    :param identity: what forwarding does not change: the same for one packet at every port.
    :param opens_connection: whether the packet opens a TCP connection.
    :param ttl: TTL or hop limit: one less behind each function that routes.
    """

    time_ns: int
    vm: str
    port: str
    outgoing: bool
    five_tuple: FiveTuple
    identity: bytes
    opens_connection: bool
    ttl: int


@dataclass(frozen=True, slots=True)
class PacketTrace:
    """One packet and where it was.

    :param ports: every observation's port in order; a port twice means that it was there twice.
    """

    start_ns: int
    five_tuple: FiveTuple
    ports: Path


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection: packets of a 5-tuple, for TCP from one SYN to the next.

    :param number: of the connections with this 5-tuple, counted from 0.
    :param paths: how many packets took each path, the client's packets.
    :param replies: likewise for the packets of the other direction.
    """

    five_tuple: FiveTuple
    number: int
    start_ns: int
    paths: Counter[Path]
    replies: Counter[Path]

    @property
    def path(self) -> Path | None:
        """The path of all of the client's packets, None if they took several."""
        return next(iter(self.paths)) if len(self.paths) == 1 else None


def observations(seen: Iterable[CapturedFrame], promiscuous: bool = False) -> list[Observation]:
    """The IP packets among the frames, in the order of time.

    :param promiscuous: include unicast frames to other MAC addresses. They are what a switch floods;
        a bridging function, though, gets nothing else.
    """
    found = [
        observation
        for one in seen
        if (one.addressed_to_vm or one.outgoing or promiscuous)
        and (observation := _observation(one))
    ]
    return sorted(found, key=lambda observation: observation.time_ns)


def unexpected_frames(seen: Iterable[CapturedFrame]) -> list[CapturedFrame]:
    """Frames that neither carry IP nor resolve addresses, such as a chain header that leaked."""
    return [one for one in seen if Ether(one.frame).type not in ETHERTYPES]


def _observation(seen: CapturedFrame) -> Observation | None:
    packet = Ether(seen.frame)
    network = packet.getlayer(IP) or packet.getlayer(IPv6)
    # A redirect is about the link and has the packet that it is about inside.
    if network is None or ICMPv6ND_Redirect in network:
        return None
    five_tuple = _five_tuple(network)
    opens_connection = TCP in network and network[TCP].flags & (TCP_SYN | TCP_ACK) == TCP_SYN
    ttl = network.ttl if IP in network else network.hlim
    return Observation(
        *(seen.time_ns, seen.vm, seen.port, seen.outgoing, five_tuple, _identity(network)),
        opens_connection=bool(opens_connection),
        ttl=ttl,
    )


def _five_tuple(network: Packet) -> FiveTuple:
    source, destination = str(network.src), str(network.dst)
    for layer, name in ((TCP, "tcp"), (UDP, "udp")):
        if layer in network:
            ports = network[layer]
            return FiveTuple(name, source, int(ports.sport), destination, int(ports.dport))
    if ICMP in network:
        number = int(network[ICMP].id or 0)
        return FiveTuple("icmp", source, number, destination, number)
    number = int(network.nh if IPv6 in network else network.proto)
    return FiveTuple(f"ip-{number}", source, 0, destination, 0)


def _identity(network: Packet) -> bytes:
    """Digest of all that routers and switches leave alone: addresses, IP identification and what IP carries."""
    number = 0 if IPv6 in network else int(network.id)
    head = f"{network.src} {network.dst} {number} ".encode()
    return hashlib.sha256(head + _carried(network)).digest()


def _carried(network: Packet) -> bytes:
    """What IP carries. A checksum of all ones and one of zero are the same sum: who reckons it anew may write either."""
    carried = bytearray(bytes(network.payload))
    layer = next((one for one in _CHECKSUMS if one in network), None)
    if layer is not None:
        place = slice(_CHECKSUMS[layer], _CHECKSUMS[layer] + 2)
        carried[place] = carried[place].replace(b"\xff\xff", b"\0\0")
    return bytes(carried)


def traces(found: Sequence[Observation]) -> list[PacketTrace]:
    """Follow each packet from its first observation to its last."""
    packets: dict[bytes, list[Observation]] = {}
    for observation in found:
        packets.setdefault(observation.identity, []).append(observation)
    return [
        PacketTrace(
            steps[0].time_ns,
            steps[0].five_tuple,
            tuple(step.port for step in in_travel_order(steps)),
        )
        for steps in packets.values()
    ]


def in_travel_order(steps: Sequence[Observation]) -> list[Observation]:
    """Put a packet's observations, which are in the order of time, into the order in which they happened.

    Where it only was sent it began, where it only was got it ended, and at each VM in between it was got before it was
    sent on, with ever fewer hops left. Time decides only what this leaves open: the clock may be set back between two
    observations. Of a packet that was copied nothing but the times is known.
    """
    stops = _stops(steps)
    if any(sum(one[end] is None for one in stops) > 1 for end in (0, 1)):
        return list(steps)

    def place(stop: tuple[Observation | None, ...]) -> tuple[int, int, int]:
        got, sent = stop
        step = got or sent
        assert step is not None
        part = 0 if got is None else 2 if sent is None else 1
        return part, -step.ttl, step.time_ns

    return [step for stop in sorted(stops, key=place) for step in stop if step is not None]


def _stops(steps: Sequence[Observation]) -> list[tuple[Observation | None, ...]]:
    """Where a packet was got and from where it was sent on, for each time that it was at a VM."""
    stops: list[tuple[Observation | None, ...]] = []
    for vm in dict.fromkeys(step.vm for step in steps):
        here = sorted((step for step in steps if step.vm == vm), key=lambda step: -step.ttl)
        sent = [step for step in here if step.outgoing]
        got: list[Observation | None] = [step for step in here if not step.outgoing]
        begun = [None] * (len(sent) - len(got))
        stops += zip_longest(begun + got, sent)
    return stops


def connections(found: Sequence[Observation]) -> list[Connection]:
    """Group packets to connections, in the order of their beginnings.

    A TCP connection begins with a SYN that was not seen before, so a 5-tuple that is used again
    gives another connection. The side that sent first is the client.
    """
    starts: dict[FiveTuple, list[int]] = {}
    known: set[bytes] = set()
    for observation in found:
        fresh = observation.identity not in known
        known.add(observation.identity)
        if observation.five_tuple.reverse in starts:
            continue
        begun = starts.setdefault(observation.five_tuple, [])
        if not begun or (observation.opens_connection and fresh):
            begun.append(observation.time_ns)
    result = {
        (five_tuple, number): Connection(five_tuple, number, start, Counter(), Counter())
        for five_tuple, times in starts.items()
        for number, start in enumerate(times)
    }
    for trace in traces(found):
        answer = trace.five_tuple not in starts
        five_tuple = trace.five_tuple.reverse if answer else trace.five_tuple
        number = max(0, sum(start <= trace.start_ns for start in starts[five_tuple]) - 1)
        connection = result[five_tuple, number]
        (connection.replies if answer else connection.paths)[trace.ports] += 1
    return sorted(result.values(), key=lambda connection: connection.start_ns)


def select(
    found: Iterable[Connection],
    protocol: str | None = None,
    source: str | None = None,
    destination: str | None = None,
    destination_port: int | None = None,
) -> list[Connection]:
    """The connections with these properties; None is any.

    Addresses may be prefixes in CIDR notation.
    """

    def within(address: str, prefix: str | None) -> bool:
        return prefix is None or ipaddress.ip_address(address) in ipaddress.ip_network(prefix)

    return [
        connection
        for connection in found
        if protocol in (None, connection.five_tuple.protocol)
        and within(connection.five_tuple.source, source)
        and within(connection.five_tuple.destination, destination)
        and destination_port in (None, connection.five_tuple.destination_port)
    ]
