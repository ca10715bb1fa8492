"""Packets: a continuous sender, and a watch for their arrival at a port."""

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.hosts import netns

from bench.errors import BenchError

INTERVAL = 0.001
PACKET_IN = 20.0
"""Seconds within which an expected packet must arrive."""
SILENCE = 0.5
"""Seconds without packets after which none is in flight any more."""

_ETH_P_IP = 0x0800
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@qq")


def udp_destination_port(frame: bytes) -> int | None:
    """Destination port of a frame with a UDP datagram over IPv4; None for any other frame."""
    if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_UDP:
        return None
    start = 14 + 4 * (frame[14] & 0x0F)
    return int.from_bytes(frame[start + 2 : start + 4], "big")


@contextmanager
def sending(source: VirtualMachine, address: str, port: int) -> Iterator[None]:
    """Send a UDP datagram every millisecond until the block ends."""
    sock = netns.open_socket(source.namespace, kind=socket.SOCK_DGRAM)
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(INTERVAL):
            # Full queues and pending address resolution are normal.
            with contextlib.suppress(OSError):
                sock.sendto(b"portchain", (address, port))

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        sock.close()


class Watch:
    """Watches for datagrams to a UDP port that arrive at an interface of a VM."""

    def __init__(self, vm: VirtualMachine, port_id: str, udp_port: int) -> None:
        self._udp_port = udp_port
        self._description = f"datagrams to port {udp_port} at {vm.name}"
        self._socket = netns.open_socket(
            vm.namespace, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_IP)
        )
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        # The kernel timestamps each packet, as this process may read it late.
        netns.call(
            vm.namespace,
            lambda: self._socket.bind((vm.nic(port_id).device, _ETH_P_IP)),
        )

    def close(self) -> None:
        """Stop watching."""
        self._socket.close()

    def first(self, deadline: float = PACKET_IN) -> float:
        """Wait for a datagram; returns its arrival time, as ``time.time`` counts.

        :raises BenchError: none arrives within ``deadline`` seconds.
        """
        arrived = self._next(deadline)
        if arrived is None:
            raise BenchError(f"no {self._description} arrived within {deadline:g} s")
        return arrived

    def wait_silence(self, deadline: float = PACKET_IN) -> None:
        """Wait until no datagram has arrived for half a second.

        :raises BenchError: datagrams still arrive after ``deadline`` seconds.
        """
        end = time.monotonic() + deadline
        while self._next(SILENCE) is not None:
            if time.monotonic() > end:
                raise BenchError(f"{self._description} still arrive after {deadline:g} s")

    def _next(self, seconds: float) -> float | None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left)[0]:
                return None
            frame, extra, _, address = self._socket.recvmsg(2048, 128)
            outgoing = address[2] == socket.PACKET_OUTGOING
            if not outgoing and udp_destination_port(frame) == self._udp_port:
                return _timestamp(extra)
        return None


def _timestamp(extra: list[tuple[int, int, bytes]]) -> float:
    for level, kind, data in extra:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack(data[: _TIMESPEC.size])
            return float(seconds + nanoseconds / 1e9)
    return time.time()
