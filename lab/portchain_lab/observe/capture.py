"""Captures frames at the interfaces of virtual machines, with direction and time.

One thread reads a packet socket per VM. Compared with tcpdump, a capture knows for each frame
whether the VM sent or received it, loses nothing when it stops, and continues at an interface that
is unplugged and plugged again.
"""

import ctypes
import errno
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Self

from portchain_lab.errors import LabError
from portchain_lab.guests.vif import Nic
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
_PCAP_NANOSECONDS, _PCAP_ETHERNET = 0xA1B23C4D, 1
_SOCKADDR_LL = struct.Struct("=HHiHBB8s")  # as in packet(7); the third is the interface's index
_PCAP_HEADER, _PCAP_RECORD = struct.Struct("=IHHiIII"), struct.Struct("=IIII")
_BUFFER = 16 * 1024 * 1024
_STAMPING_SECONDS = 30
_recvfrom = ctypes.CDLL(None, use_errno=True).recvfrom


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """A frame at an interface of a virtual machine.

    :param time_ns: the kernel's time stamp, nanoseconds since the epoch; one clock for all
        interfaces.
    :param vm: name of the VM.
    :param port: name of the Neutron port, or its id if it has no name.
    :param outgoing: true if the VM sent the frame, false if it received it.
    :param addressed_to_vm: false for unicast to another MAC address that the VM receives.
    """

    time_ns: int
    vm: str
    port: str
    outgoing: bool
    addressed_to_vm: bool
    frame: bytes


class Capture:
    """Captures from ``start`` to ``stop``, or within its context.

    ``stop`` raises ``LabError`` if the kernel dropped frames, if the capture ended early, or if
    it cannot tell the port of a frame: such a capture proves nothing.

    :param vms: the VMs at whose interfaces to capture, all of them.
    """

    def __init__(self, vms: Iterable[VirtualMachine]) -> None:
        self._vms = list(vms)
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._read, name="capture", daemon=True)
        self._frames: list[CapturedFrame] = []
        self._devices: dict[tuple[str, int], str] = {}
        self._unnamed = 0
        self._stopped = False

    def start(self) -> Self:
        """Start to capture. Frames sent after this returns are captured."""
        _wait_for_arrival_timestamps()
        for vm in self._vms:
            sock = _listen(vm.namespace)
            for index, device in netns.call(vm.namespace, socket.if_nameindex):
                self._devices[vm.namespace, index] = device
            self._selector.register(sock, selectors.EVENT_READ, vm)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._thread.start()
        return self

    def stop(self) -> list[CapturedFrame]:
        """Stop; returns all frames in the order of time."""
        if not self._stopped:
            self._stopped = True
            ended_early = not self._thread.is_alive()
            self._wake.send(b"x")
            self._thread.join()
            self._close()
            if ended_early:
                raise LabError("the capture ended before it was stopped")
            if self._unnamed:
                msg = f"frames of interfaces that have left, of unknown ports: {self._unnamed}"
                raise LabError(msg)
        return self.frames

    def wait_until_quiet(self, quiet: float = 0.3, limit: float = 2.0) -> None:
        """Wait until no frame was captured for ``quiet`` seconds, but at most ``limit`` seconds.

        The last packets of a connection may still be in flight after both ends closed it.
        """
        end = time.monotonic() + limit
        count, since = -1, time.monotonic()
        while (now := time.monotonic()) < min(since + quiet, end):
            if len(self._frames) != count:
                count, since = len(self._frames), now
            time.sleep(0.02)

    @property
    def frames(self) -> list[CapturedFrame]:
        """The frames captured so far, in the order of time."""
        return sorted(self._frames, key=lambda frame: frame.time_ns)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read(self) -> None:
        while True:
            ready = self._selector.select()
            for key, _ in ready:
                if key.data is not None:
                    self._drain(key.fileobj, key.data)  # type: ignore[arg-type]  # registered above
            if any(key.data is None for key, _ in ready):
                # Frames may have arrived since select() returned: read all that the kernel holds.
                for sock, vm in self._sockets():
                    self._drain(sock, vm)
                return

    def _sockets(self) -> Iterator[tuple[socket.socket, VirtualMachine]]:
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                yield key.fileobj, key.data  # type: ignore[misc]  # registered in start()

    def _drain(self, sock: socket.socket, vm: VirtualMachine) -> None:
        nics = {nic.device: nic for nic in vm.nics}
        while (index := _next_interface(sock)) is not None:
            frame, ancillary, _, (device, _, kind, *_) = sock.recvmsg(_SNAPLEN, 256)
            device = self._device(vm, index, device)
            if device not in nics:
                self._unnamed += not device
                continue
            self._frames.append(
                replace(
                    _interpret(frame, ancillary),
                    vm=vm.name,
                    port=nics[device].label,
                    # What the host sends to a guest of Nova, the guest receives.
                    outgoing=(kind == socket.PACKET_OUTGOING) is not vm.from_host,
                    addressed_to_vm=_is_for(nics[device], frame)
                    if vm.from_host
                    else kind != socket.PACKET_OTHERHOST,
                )
            )

    def _device(self, vm: VirtualMachine, index: int, named: str) -> str:
        """The name of an interface. It has none any more if it was unplugged since the frame."""
        if named:
            self._devices[vm.namespace, index] = named
        return self._devices.get((vm.namespace, index), "")

    def _close(self) -> None:
        lost = [(vm.name, _dropped(sock)) for sock, vm in self._sockets()]
        dropped = {name: count for name, count in lost if count}
        for sock, _ in list(self._sockets()):
            sock.close()
        self._selector.close()
        self._wake.close()
        self._woken.close()
        if dropped:
            msg = f"the kernel dropped frames of the capture: {dropped}"
            raise LabError(msg)


def _is_for(nic: Nic, frame: bytes) -> bool:
    """Return whether a guest takes a frame, or sends it. The host's kernel cannot say."""
    own = bytes.fromhex(nic.mac_address.replace(":", ""))
    return bool(frame[0] & 1) or own in (frame[:6], frame[6:12])


def _listen(namespace: str) -> socket.socket:
    """A packet socket for all interfaces of a namespace, including those plugged in later."""
    everything = socket.htons(ETH_P_ALL)
    sock = netns.open_socket(namespace, socket.AF_PACKET, socket.SOCK_RAW, everything)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    return sock


def _next_interface(sock: socket.socket) -> int | None:
    """The index of the interface of the next frame, which stays unread; None if none waits.

    ``socket.recvmsg`` gives only the name, and looks it up when it is called.
    """
    address = ctypes.create_string_buffer(_SOCKADDR_LL.size)
    size = ctypes.c_uint32(_SOCKADDR_LL.size)
    if _recvfrom(sock.fileno(), None, 0, socket.MSG_PEEK, address, ctypes.byref(size)) < 0:
        if (error := ctypes.get_errno()) == errno.EAGAIN:
            return None
        raise OSError(error, os.strerror(error))
    return int(_SOCKADDR_LL.unpack(address.raw)[2])


@cache
def _wait_for_arrival_timestamps() -> socket.socket:
    """Wait until the kernel timestamps frames on arrival.

    The kernel begins some time after the first socket has requested timestamps. Until then, a
    frame gets the time at which it is read, and two sockets are not read in order of arrival.

    :returns: the socket that keeps the kernel timestamping.
    :raises LabError: the kernel does not begin within 30 seconds.
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
    raise LabError("the kernel does not timestamp frames on arrival")


def _dropped(sock: socket.socket) -> int:
    _, drops = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    return int(drops)


def _interpret(frame: bytes, ancillary: list[tuple[int, int, bytes]]) -> CapturedFrame:
    """The frame with its timestamp, and with the VLAN tag that the kernel had stripped."""
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
    raise LabError("the kernel delivered a frame without a timestamp")


def write_pcap(frames: Iterable[CapturedFrame], directory: Path) -> list[Path]:
    """Write one pcap file per port.

    :returns: the files.
    """
    by_port: dict[str, list[CapturedFrame]] = {}
    for one in frames:
        by_port.setdefault(one.port, []).append(one)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for port, of_port in by_port.items():
        path = directory / f"{port}.pcap"
        with path.open("wb") as file:
            file.write(_PCAP_HEADER.pack(_PCAP_NANOSECONDS, 2, 4, 0, 0, _SNAPLEN, _PCAP_ETHERNET))
            for one in of_port:
                seconds, nanoseconds = divmod(one.time_ns, 1_000_000_000)
                size = len(one.frame)
                file.write(_PCAP_RECORD.pack(seconds, nanoseconds, size, size) + one.frame)
        paths.append(path)
    return paths
