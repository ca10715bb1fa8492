"""Captures at virtual machines' interfaces: what went in, what came out, when.

One packet socket per VM, all read by one thread of this process. Unlike a file of tcpdump's,
this tells for each frame whether the VM sent it or got it, stopping loses nothing that the
kernel had seen before, and an interface that is unplugged and comes back is listened at again.
"""

import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from scapy.data import DLT_EN10MB
from scapy.utils import RawPcapWriter

from portchain_lab.errors import LabError
from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.hosts import netns

# From <linux/if_packet.h>, <linux/if_ether.h> and <asm-generic/socket.h>; Python's socket module
# lacks them.
ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_STATISTICS = 6
PACKET_AUXDATA = 8
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33
TP_STATUS_VLAN_VALID = 1 << 4
TP_STATUS_VLAN_TPID_VALID = 1 << 6
ETH_P_8021Q = 0x8100
_AUXDATA = struct.Struct("IIIHHHH")
_TIMESPEC = struct.Struct("qq")
_SNAPLEN = 65536
_BUFFER = 16 * 1024 * 1024
_STAMPING_SECONDS = 30


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """A frame at an interface of a virtual machine.

    :param time_ns: the kernel's time stamp, nanoseconds since the epoch; one clock for all
        interfaces.
    :param vm: its name.
    :param port: label of the Neutron port.
    :param outgoing: true if the VM sent it, false if the VM got it.
    :param addressed_to_vm: false for what only passed by: unicast to another MAC address.
    """

    time_ns: int
    vm: str
    port: str
    outgoing: bool
    addressed_to_vm: bool
    frame: bytes


class Capture:
    """Records from ``start`` to ``stop``; as a context manager, while inside.

    :param vms: whose interfaces to listen at, all of them.
    :raises LabError: from ``stop``, if the kernel had to drop frames or the capture did not last:
        such a record proves nothing.
    """

    def __init__(self, vms: Iterable[VirtualMachine]) -> None:
        self._vms = list(vms)
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._read, name="capture", daemon=True)
        self._frames: list[CapturedFrame] = []
        self._stopped = False

    def start(self) -> Self:
        """Begin; what happens after this returns is recorded."""
        _stamped_on_arrival()
        for vm in self._vms:
            sock = _listen(vm.namespace)
            self._selector.register(sock, selectors.EVENT_READ, vm)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._thread.start()
        return self

    def stop(self) -> list[CapturedFrame]:
        """End; returns all that was seen, in the order of time."""
        if not self._stopped:
            self._stopped = True
            ended_early = not self._thread.is_alive()
            self._wake.send(b"x")
            self._thread.join()
            self._close()
            if ended_early:
                raise LabError("the capture ended by itself")
        return self.frames

    def wait_until_quiet(self, quiet: float = 0.3, limit: float = 2.0) -> None:
        """Wait until nothing has come in for ``quiet`` seconds: the last packets of a connection are on their way when its ends
        have closed it. Where there is always something, ``patience`` seconds are enough.
        """
        end = time.monotonic() + limit
        count, since = -1, time.monotonic()
        while (now := time.monotonic()) < min(since + quiet, end):
            if len(self._frames) != count:
                count, since = len(self._frames), now
            time.sleep(0.02)

    @property
    def frames(self) -> list[CapturedFrame]:
        """What was seen so far, in the order of time."""
        return sorted(self._frames, key=lambda seen: seen.time_ns)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _read(self) -> None:
        while True:
            ready = self._selector.select()
            for key, _ in ready:
                if key.data is not None:
                    self._drain(key.fileobj, key.data)  # type: ignore[arg-type]  # registered above
            if any(key.data is None for key, _ in ready):
                # Frames may have come in between: take what the kernel holds, from everywhere.
                for sock, vm in self._sockets():
                    self._drain(sock, vm)
                return

    def _sockets(self) -> Iterator[tuple[socket.socket, VirtualMachine]]:
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                yield key.fileobj, key.data  # type: ignore[misc]  # registered in start()

    def _drain(self, sock: socket.socket, vm: VirtualMachine) -> None:
        labels = {nic.device: nic.label for nic in vm.nics}
        while True:
            try:
                frame, ancillary, _, address = sock.recvmsg(_SNAPLEN, 256)
            except BlockingIOError:
                return
            device, kind = address[0], address[2]
            if device not in labels:
                continue
            self._frames.append(
                replace(
                    _interpret(frame, ancillary),
                    vm=vm.name,
                    port=labels[device],
                    outgoing=kind == socket.PACKET_OUTGOING,
                    addressed_to_vm=kind != socket.PACKET_OTHERHOST,
                )
            )

    def _close(self) -> None:
        lost = [(vm.name, _dropped(sock)) for sock, vm in self._sockets()]
        dropped = {name: count for name, count in lost if count}
        for sock, _ in list(self._sockets()):
            sock.close()
        self._selector.close()
        self._wake.close()
        self._woken.close()
        if dropped:
            msg = f"the capture lost frames: {dropped}"
            raise LabError(msg)


def _listen(namespace: str) -> socket.socket:
    """Listen at all interfaces of a namespace, those that come later included."""
    everything = socket.htons(ETH_P_ALL)
    sock = netns.open_socket(namespace, socket.AF_PACKET, socket.SOCK_RAW, everything)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    return sock


@cache
def _stamped_on_arrival() -> socket.socket:
    """Wait until the kernel stamps frames when they arrive; returns the socket that keeps it at that.

    It begins some time after the first socket has asked. Until then frames bear the time at which they were read, and two
    sockets are not read in the order of arrival.

    :raises LabError: it does not begin.
    """
    keeper = socket.socket(type=socket.SOCK_DGRAM)
    keeper.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    keeper.bind(("127.0.0.1", 0))
    end = time.monotonic() + _STAMPING_SECONDS
    while time.monotonic() < end:
        keeper.sendto(b"", keeper.getsockname())
        time.sleep(0.001)
        about_to_read = time.time_ns()
        if _time_ns(keeper.recvmsg(1, 256)[1]) < about_to_read:
            return keeper
    raise LabError("the kernel does not stamp frames when they arrive")


def _dropped(sock: socket.socket) -> int:
    _, drops = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    return int(drops)


def _interpret(frame: bytes, ancillary: list[tuple[int, int, bytes]]) -> CapturedFrame:
    """Take the time stamp, and put back a VLAN tag that the kernel took off."""
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tag, protocol = _AUXDATA.unpack(data)
            if status & TP_STATUS_VLAN_VALID:
                known = status & TP_STATUS_VLAN_TPID_VALID
                header = struct.pack("!HH", protocol if known else ETH_P_8021Q, tag)
                frame = frame[:12] + header + frame[12:]
    return CapturedFrame(_time_ns(ancillary), "", "", False, True, frame)


def _time_ns(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            return int(seconds * 1_000_000_000 + nanoseconds)
    raise LabError("a frame has no time stamp")


def write_pcap(seen: Iterable[CapturedFrame], directory: Path) -> list[Path]:
    """Write one pcap file per port, for Wireshark and for the record."""
    by_port: dict[str, list[CapturedFrame]] = {}
    for one in seen:
        by_port.setdefault(one.port, []).append(one)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for port, frames in by_port.items():
        path = directory / f"{port}.pcap"
        with RawPcapWriter(str(path), linktype=DLT_EN10MB, nano=True) as writer:
            writer.write_header(None)
            for one in frames:
                seconds, nanoseconds = divmod(one.time_ns, 1_000_000_000)
                writer.write_packet(one.frame, sec=seconds, usec=nanoseconds)
        paths.append(path)
    return paths
