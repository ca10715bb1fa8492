"""Reconstructs from captured frames the path that each packet took, port by port.

``observations`` turns frames into packets at ports, ``traces`` follows each packet, and
``connections`` groups packets by connection. All functions are pure.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from portchain_lab.observe import packets
from portchain_lab.observe.capture import CapturedFrame
from portchain_lab.observe.packets import FiveTuple

ETHERTYPES = {packets.ETH_P_IP, packets.ETH_P_IPV6, packets.ETH_P_ARP, packets.ETH_P_RARP}
Path = tuple[str, ...]
"""The ports at which a packet was captured, in order."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A packet captured at a port.

    :param vm: the VM that has the port.
    :param identity: see ``packets.IpPacket``, like the parameters that follow.
    """

    time_ns: int
    vm: str
    port: str
    outgoing: bool
    five_tuple: FiveTuple
    identity: bytes
    opens: int | None
    ttl: int


@dataclass(frozen=True, slots=True)
class PacketTrace:
    """One packet and its path.

    :param ports: the port of each observation, in order; a port appears once per visit.
    """

    start_ns: int
    five_tuple: FiveTuple
    ports: Path


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection: the packets of a 5-tuple, for TCP from one SYN to the next.

    :param number: number of the connection among those with its 5-tuple, from 0.
    :param paths: how many of the client's packets took each path.
    :param replies: how many of the server's packets took each path.
    """

    five_tuple: FiveTuple
    number: int
    start_ns: int
    paths: Counter[Path]
    replies: Counter[Path]

    @property
    def path(self) -> Path | None:
        """The path of the client's packets; None if they took several."""
        return next(iter(self.paths)) if len(self.paths) == 1 else None


def observations(frames: Iterable[CapturedFrame], promiscuous: bool = False) -> list[Observation]:
    """The IP packets among captured frames, in the order of time.

    :param promiscuous: include unicast frames to other MAC addresses. A bridging function receives
        only those; at other VMs they are frames that a switch flooded.
    """
    found = [
        observation
        for one in frames
        if (one.addressed_to_vm or one.outgoing or promiscuous)
        and (observation := _observation(one))
    ]
    return sorted(found, key=lambda observation: observation.time_ns)


def unexpected_frames(frames: Iterable[CapturedFrame]) -> list[CapturedFrame]:
    """Frames that are neither IP nor ARP, such as one with a chain header that leaked.

    On provider networks, OVN announces addresses by RARP.
    """
    return [one for one in frames if _ethertype(one.frame) not in ETHERTYPES]


def _ethertype(frame: bytes) -> int:
    return int.from_bytes(frame[12:14])


def _observation(captured: CapturedFrame) -> Observation | None:
    packet = packets.read(captured.frame)
    if packet is None:
        return None
    return Observation(
        *(captured.time_ns, captured.vm, captured.port, captured.outgoing),
        *(packet.five_tuple, packet.identity, packet.opens, packet.ttl),
    )


def traces(observed: Sequence[Observation]) -> list[PacketTrace]:
    """Follow each packet from its first observation to its last."""
    packets: dict[bytes, list[Observation]] = {}
    for observation in observed:
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
    """Sort the observations of one packet by the order in which the packet passed the ports.

    The clock may be set back between two observations, so time decides only what this leaves open:
    the packet starts at the VM that only sent it and ends at the VM that only received it; a VM in
    between receives it before it sends it; and its TTL never increases. For a packet that was
    copied, only the times are known.

    :param steps: the observations, in the order of time.
    """
    visits = _visits(steps)
    if any(sum(one[end] is None for one in visits) > 1 for end in (0, 1)):
        return list(steps)

    def position(visit: tuple[Observation | None, ...]) -> tuple[int, int, int]:
        received, sent = visit
        step = received or sent
        assert step is not None
        part = 0 if received is None else 2 if sent is None else 1
        return part, -step.ttl, step.time_ns

    return [step for visit in sorted(visits, key=position) for step in visit if step is not None]


def _visits(steps: Sequence[Observation]) -> list[tuple[Observation | None, ...]]:
    """The packet's visits at VMs: where each received it and where it sent it on."""
    visits: list[tuple[Observation | None, ...]] = []
    for vm in dict.fromkeys(step.vm for step in steps):
        at_vm = sorted((step for step in steps if step.vm == vm), key=lambda step: -step.ttl)
        sent = [step for step in at_vm if step.outgoing]
        received: list[Observation | None] = [step for step in at_vm if not step.outgoing]
        origin = [None] * (len(sent) - len(received))
        visits += zip_longest(origin + received, sent)
    return visits


def _opened(observed: Iterable[Observation]) -> dict[FiveTuple, dict[int, int]]:
    """The time of the first SYN of each TCP connection, by 5-tuple and sequence number."""
    opened: dict[FiveTuple, dict[int, int]] = {}
    for observation in observed:
        if observation.opens is not None:
            of_tuple = opened.setdefault(observation.five_tuple, {})
            of_tuple.setdefault(observation.opens, observation.time_ns)
    return opened


def connections(observed: Sequence[Observation]) -> list[Connection]:
    """Group packets by connection; returns the connections in the order of their first packets.

    A SYN with another sequence number begins a new TCP connection, also if its 5-tuple was used
    before; a retransmitted SYN does not. The client is the side that sent a SYN, whatever the clock
    says, or else the side that sent first.
    """
    starts = {five_tuple: sorted(of.values()) for five_tuple, of in _opened(observed).items()}
    for observation in observed:
        if observation.five_tuple.reverse not in starts:
            starts.setdefault(observation.five_tuple, [observation.time_ns])
    result = {
        (five_tuple, number): Connection(five_tuple, number, start, Counter(), Counter())
        for five_tuple, times in starts.items()
        for number, start in enumerate(times)
    }
    for trace in traces(observed):
        is_reply = trace.five_tuple not in starts
        five_tuple = trace.five_tuple.reverse if is_reply else trace.five_tuple
        number = max(0, sum(start <= trace.start_ns for start in starts[five_tuple]) - 1)
        connection = result[five_tuple, number]
        (connection.replies if is_reply else connection.paths)[trace.ports] += 1
    return sorted(result.values(), key=lambda connection: connection.start_ns)


def select(
    found: Iterable[Connection],
    protocol: str | None = None,
    source: str | None = None,
    destination: str | None = None,
    destination_port: int | None = None,
) -> list[Connection]:
    """The connections with these properties; None matches any.

    :param source: an address or a prefix in CIDR notation; ``destination`` likewise.
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
