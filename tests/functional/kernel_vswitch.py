"""The same switch with the kernel's datapath, which clouds run. Needs root and a kernel with it.

Ports are TAP devices, and hosts are connected by veth pairs. Each switch has a network namespace,
and so a datapath, of its own. ``make test-kernel`` runs the tests of the data plane with it.
"""

import ctypes
import fcntl
import functools
import os
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from scapy.layers.inet import TCP
from scapy.packet import Packet

from tests.functional.vswitch import DEADLINE, Vswitch, quoted

FENCE, FENCE_IN, FENCE_OUT = "fence", "fence-in", "fence-out"
LARGEST_FRAME = 65536
WIRE_MTU = 9000
_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x400454CA, 0x2, 0x1000, 0x4000
# linux/virtio_net.h: flags, kind of segmentation; in bytes: length of headers, of segment data,
# where the checksum begins, and where it goes from there.
_VNET_HEADER = struct.Struct("=BBHHHH")
_NEEDS_CHECKSUM, _TCP_OVER = 1, {4: 1, 6: 4}
_CHECKSUM_OF_TCP = 16
_NO_OFFLOAD = bytes(_VNET_HEADER.size)
_PSEUDO_HEADER = {4: struct.Struct("!4s4sxBH"), 6: struct.Struct("!16s16sI3xB")}
_INTERFACE_REQUEST = struct.Struct("16sH22x")
# Generic netlink: linux/netlink.h, linux/genetlink.h, linux/openvswitch.h.
_NETLINK_GENERIC, _GENL_CONTROL, _REQUEST = 16, 16, 1
_GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 3, 1, 2
_GET_DATAPATH, _DATAPATH_NAME, _DATAPATH_STATS = 3, 1, 3
_MESSAGE, _GENERIC, _ATTRIBUTE = (
    struct.Struct("=IHHII"),
    struct.Struct("=BBH"),
    struct.Struct("=HH"),
)
_STATS = struct.Struct("=QQQQ")  # hits, misses, packets lost, flows


class Tap:
    """A TAP device: the test sends frames into it, and gets the frames that the switch sends."""

    def __init__(self, name: str) -> None:
        self._file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        request = _INTERFACE_REQUEST.pack(name.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR)
        fcntl.ioctl(self._file, _TUNSETIFF, request)

    def close(self) -> None:
        os.close(self._file)

    def send(self, frame: bytes) -> None:
        """Send a frame. Returns when the kernel has done everything that it does on its own."""
        os.write(self._file, _NO_OFFLOAD + frame)

    def send_undivided(self, frame: Packet, segment: int) -> None:
        """Send a large TCP packet for the kernel to divide, as virtual machines do (TSO).

        :param segment: bytes of data in each packet.
        """
        packet, tcp = frame.payload, frame[TCP].copy()
        tcp.chksum = _pseudo_header_sum(packet, len(tcp))
        headers = len(frame) - len(tcp)
        offload = _VNET_HEADER.pack(
            _NEEDS_CHECKSUM,
            _TCP_OVER[packet.version],
            len(frame) - len(tcp.payload),
            segment,
            headers,
            _CHECKSUM_OF_TCP,
        )
        os.write(self._file, offload + bytes(frame)[:headers] + bytes(tcp))

    def new_frames(self) -> list[bytes]:
        """Return the frames since the last call."""
        found = []
        while True:
            try:
                found.append(os.read(self._file, LARGEST_FRAME)[_VNET_HEADER.size :])
            except BlockingIOError:
                return found


class DatapathStatistics:
    """Asks the kernel for the statistics of this namespace's datapath.

    ``ovs-appctl dpctl/show`` has them as well, and a line for each port, which takes long.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC)
        self._socket.bind((0, 0))
        answer = self._ask(_GENL_CONTROL, _GET_FAMILY, b"", _FAMILY_NAME, b"ovs_datapath\0")
        (self._family,) = struct.unpack("=H", answer[_FAMILY_ID])

    def close(self) -> None:
        self._socket.close()

    def misses(self) -> int:
        """Return for how many packets the kernel had no flow."""
        any_datapath = bytes(4)
        answer = self._ask(
            self._family, _GET_DATAPATH, any_datapath, _DATAPATH_NAME, b"ovs-system\0"
        )
        return int(_STATS.unpack(answer[_DATAPATH_STATS])[1])

    def _ask(
        self, family: int, command: int, header: bytes, attribute: int, value: bytes
    ) -> dict[int, bytes]:
        """Send a request with one attribute; return the attributes of the answer."""
        body = _GENERIC.pack(command, 1, 0) + header
        body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), attribute) + value
        body += bytes(-len(body) % 4)
        self._socket.send(_MESSAGE.pack(_MESSAGE.size + len(body), family, _REQUEST, 0, 0) + body)
        data = self._socket.recv(LARGEST_FRAME)
        length, kind, *_ = _MESSAGE.unpack_from(data)
        assert kind == family, f"the kernel refuses the request: {data!r}"
        found, place = {}, _MESSAGE.size + _GENERIC.size + len(header)
        while place < length:
            size, number = _ATTRIBUTE.unpack_from(data, place)
            found[number] = data[place + _ATTRIBUTE.size : place + size]
            place += -(-size // 4) * 4
        return found


class KernelVswitch(Vswitch):
    """One ovs-vswitchd with the kernel's datapath in a network namespace of its own."""

    datapath_type = "system"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._taps: dict[str, Tap] = {}
        self._wires: set[str] = set()
        self._statistics: DatapathStatistics | None = None

    def start(self) -> None:
        """See ``Vswitch``. All programs of the switch, and this thread, use one processor.

        So one queue has all packets for which the kernel asks ovs-vswitchd.
        """
        _enter_new_namespace()
        os.sched_setaffinity(0, {_processor()})
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
        super().start()
        with self.at_once():
            self.add_bridge(FENCE)
            self.add_port(FENCE, FENCE_IN, 1)
            self.add_port(FENCE, FENCE_OUT, 2)
        self._statistics = DatapathStatistics()
        flow = "in_port=1,actions=debug_slow,output:2"
        self.run("ovs-ofctl", "--no-names", "-OOpenFlow13", "add-flow", FENCE, flow)

    def stop(self) -> None:
        """See ``Vswitch``. The namespace ends with its last user, and so does the datapath."""
        super().stop()
        if self._statistics is not None:
            self._statistics.close()
        for tap in self._taps.values():
            tap.close()

    def add_link(self, bridge: str, name: str, ofport: int, peer: str) -> None:
        """Add one end of a wire to another host; frames on it are parsed on arrival."""
        if name not in self._wires:
            self._wires |= {name, peer}
            self.run("ip", "link", "add", "name", name, "type", "veth", "peer", "name", peer)
            for end in (name, peer):
                self.run("ip", "link", "set", "dev", end, "mtu", str(WIRE_MTU), "up")
        self._configure(
            "add-port", bridge, name,
            "--", "set", "interface", name, f"ofport_request={ofport}",
        )  # fmt: skip

    def _prepare_underlay(self, addresses: Mapping[str, str]) -> None:
        """Give the namespace both addresses: the kernel sends the tunnels' packets to itself."""
        self.run("ip", "link", "set", "dev", "lo", "up")
        for address in addresses.values():
            options = ("nodad",) if ":" in address else ()
            self.run("ip", "address", "add", address, "dev", "lo", *options)

    def _local_end(self, address: str) -> list[str]:
        return [f"options:local_ip={quoted(address)}"]

    def _create_interface(self, name: str) -> list[str]:
        self._taps[name] = Tap(name)
        self.run("ip", "link", "set", "dev", name, "up")
        return []

    def new_frames(self, port: str) -> list[bytes]:
        """See ``Vswitch``."""
        return self._taps[port].new_frames()

    def send(self, port: str, *frames: Packet | bytes) -> None:
        """See ``Vswitch``. The kernel alone forwards a frame whose flow it has.

        Such a frame would overtake others: each is sent when the one before it has been handled.
        """
        for frame in frames:
            self._taps[port].send(bytes(frame))
            self.settle()

    def send_large(self, port: str, frame: Packet, segment: int) -> None:
        """See ``Vswitch``. The kernel divides the packet where it leaves the machine, or later."""
        self._taps[port].send_undivided(frame, segment)
        self.settle()

    def send_in_any_order(self, frames: Mapping[str, Iterable[bytes]]) -> None:
        """Send frames into ports. Returns when the switch has handled them."""
        for port, some in frames.items():
            for frame in some:
                self._taps[port].send(frame)
        self.settle()

    def slow_flows(self) -> list[str]:
        """See ``Vswitch``. That of the fence is meant to be slow."""
        return [flow for flow in super().slow_flows() if FENCE_IN not in flow]

    def settle(self) -> None:
        """Wait until no frame is on its way any more.

        A frame for which the kernel has no flow goes to ovs-vswitchd, which sends it on. Each round
        waits for the frames in the queue. One that passes the datapath again, after the removal of
        a header for example, can be in the queue once more.
        """
        assert self._statistics is not None
        before = -1
        while before != (misses := self._statistics.misses()):
            before = misses
            self._wait_for_queue()

    def _wait_for_queue(self) -> None:
        """Send a frame through the queue: its flow asks ovs-vswitchd for every frame."""
        deadline = time.monotonic() + DEADLINE
        self._taps[FENCE_IN].send(bytes(12) + b"\x88\xb6fence")
        while not self._taps[FENCE_OUT].new_frames():
            assert time.monotonic() < deadline, "ovs-vswitchd does not handle frames"


class OffloadingVswitch(KernelVswitch):
    """The same with hardware offload, but without hardware: the kernel's tc stands in for it."""

    def start_switch(self) -> None:
        """See ``Vswitch``. The switch reads these settings only when it starts."""
        settings = ("other_config:hw-offload=true", "other_config:tc-policy=skip_hw")
        self.run("ovs-vsctl", "--no-wait", "set", "Open_vSwitch", ".", *settings)
        super().start_switch()


def _pseudo_header_sum(packet: Packet, length: int) -> int:
    """Return the part of a TCP checksum that the network card does not compute (RFC 9293, 3.1).

    :param length: bytes of TCP header and data.
    """
    addresses = [
        socket.inet_pton(socket.AF_INET6 if packet.version == 6 else socket.AF_INET, each)
        for each in (packet.src, packet.dst)
    ]
    last = (6, length) if packet.version == 4 else (length, 6)
    words = _PSEUDO_HEADER[packet.version].pack(*addresses, *last)
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@functools.cache
def _processor() -> int:
    """Return a processor for this process; processes of pytest-xdist get different ones."""
    processors = sorted(os.sched_getaffinity(0))
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return processors[int(worker) % len(processors)]


def _enter_new_namespace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot make a network namespace")
