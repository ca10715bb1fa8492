"""A steady load of UDP flows, with the path that each datagram took.

Tests use it to measure what changes and failures do to traffic.
"""

import socket
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import ge

from portchain_lab.observe import packet_paths, traffic
from portchain_lab.observe.capture import CapturedFrame
from portchain_lab.waiting import wait_for

from tests.lab.captures import Captures
from tests.lab.workflow import DEADLINE, Workflow

Path = tuple[str, ...]
Datagram = tuple[int, int]
"""Destination port of the flow, and number in it."""
FLOWS = 4

_HEADERS = {b"\x08\x00": 14, b"\x88\x47": 18, b"\x89\x4f": 52}
"""EtherType of an untagged frame -> where its IPv4 header begins: behind a label, or behind NSH and
one more Ethernet header."""
_TTL, _PROTOCOL, _UDP = 8, 9, 20  # from the beginning of an IPv4 header without options
_ANY_FLOW = packet_paths.FiveTuple("udp", "", 0, "", 0)
_PORTS, _NUMBER = struct.Struct("!HH"), struct.Struct("!Q")


class Load:
    """Numbered datagrams of several flows from ``src`` to ``dst``, traced through every port.

    Use it as a context manager.

    :param port: the flows go to this port and those that follow it, ``FLOWS`` in all.
    :param rate: datagrams per second, of all flows together.
    :param promiscuous: whether functions get frames for other MAC addresses.
    """

    def __init__(
        self,
        workflow: Workflow,
        captures: Captures,
        port: int,
        *,
        rate: float = 600.0,
        promiscuous: bool = False,
    ) -> None:
        vms = workflow.vms
        self._ports = range(port, port + FLOWS)
        self._capture = captures(*vms.values())
        self._streams = [
            traffic.UdpStream(vms["src"], vms["dst"], each, rate=rate / FLOWS)
            for each in self._ports
        ]
        self._promiscuous = promiscuous
        self.paths: dict[Datagram, Path] = {}
        self.passed: dict[str, list[float]] = {}

    def __enter__(self) -> "Load":
        self._capture.start()
        for stream in self._streams:
            stream.start()
        try:
            self.wait_for_more()
        except BaseException:
            traffic.stop_all(self._streams)  # the next test uses the same ports
            self._capture.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        traffic.stop_all(self._streams)
        seen = list(_datagrams(self._capture.stop(), self._ports, self._promiscuous))
        self.paths = _paths(seen)
        times = defaultdict(list)
        for _, step in seen:
            times[step.port].append(step.time_ns / 1e9)
        self.passed = {port: sorted(each) for port, each in times.items()}

    def wait_for_more(self, count: int = 100) -> None:
        """Wait until ``count`` more datagrams of each flow have arrived."""
        enough = [len(stream.result.received) + count for stream in self._streams]
        wait_for(
            lambda: all(map(ge, (len(one.result.received) for one in self._streams), enough)),
            2 * DEADLINE,
            f"{count} more datagrams of each flow",
        )

    def wait_for_sent(self, count: int = 100) -> None:
        """Wait until ``count`` more datagrams of each flow were sent; they need not arrive."""
        enough = [stream.result.sent + count for stream in self._streams]
        wait_for(
            lambda: all(map(ge, (one.result.sent for one in self._streams), enough)),
            DEADLINE,
            f"{count} more datagrams of each flow sent",
        )

    # Results: valid after the load has stopped.

    @property
    def sent(self) -> int:
        return sum(stream.result.sent for stream in self._streams)

    @property
    def lost(self) -> int:
        """Number of datagrams that did not arrive."""
        return sum(len(stream.result.lost) for stream in self._streams)

    @property
    def gap(self) -> float:
        """Longest time without an arrival of a flow, in seconds."""
        return max(stream.result.longest_gap for stream in self._streams)

    @property
    def arrived(self) -> Counter[Path]:
        """How many datagrams reached the destination on each path."""
        return Counter(path for path in self.paths.values() if path[-1] == "dst")

    def last(self, count: int = 50) -> set[Path]:
        """The paths of the last ``count`` datagrams of each flow that arrived."""
        by_flow = defaultdict(list)
        for (flow, number), path in self.paths.items():
            if path[-1] == "dst":
                by_flow[flow].append((number, path))
        return {
            path
            for arrived in by_flow.values()
            for _, path in islice(sorted(arrived, reverse=True), count)
        }

    def misrouted(self, allowed: Iterable[Path]) -> Counter[Path]:
        """Datagrams that arrived on a path that is not allowed, or twice, by path."""
        return Counter({path: n for path, n in self.arrived.items() if path not in set(allowed)})


def paths(seen: Iterable[CapturedFrame], udp_ports: range) -> dict[Datagram, Path]:
    """The path of each datagram to these UDP ports: the VMs' ports that it was seen at."""
    return _paths(_datagrams(seen, udp_ports, promiscuous=False))


def _datagrams(
    seen: Iterable[CapturedFrame], udp_ports: range, promiscuous: bool
) -> Iterator[tuple[Datagram, packet_paths.Observation]]:
    """Yield the datagrams to these UDP ports, wherever they were seen at VMs' ports."""
    for one in seen:
        frame, begins = one.frame, _HEADERS.get(one.frame[12:14])
        if begins is None or not (one.addressed_to_vm or one.outgoing or promiscuous):
            continue
        udp = begins + _UDP
        if frame[begins + _PROTOCOL] == socket.IPPROTO_UDP and len(frame) >= udp + 8 + _NUMBER.size:
            _, destination = _PORTS.unpack_from(frame, udp)
            if destination in udp_ports:
                (number,) = _NUMBER.unpack_from(frame, udp + 8)
                yield (destination, number), _observation(one, frame[begins + _TTL])


def _paths(seen: Iterable[tuple[Datagram, packet_paths.Observation]]) -> dict[Datagram, Path]:
    found: defaultdict[Datagram, list[packet_paths.Observation]] = defaultdict(list)
    for datagram, step in seen:
        found[datagram].append(step)
    return {
        datagram: tuple(step.port for step in packet_paths.in_travel_order(steps))
        for datagram, steps in found.items()
    }


def _observation(seen: CapturedFrame, ttl: int) -> packet_paths.Observation:
    """Like those of ``packet_paths.observations``, but without the fields that a load ignores."""
    return packet_paths.Observation(
        *(seen.time_ns, seen.vm, seen.port, seen.outgoing, _ANY_FLOW, b""), opens=None, ttl=ttl
    )
