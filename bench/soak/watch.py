"""Records which functions the packets of connections visit, as they pass."""

import selectors
import socket
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.hosts import netns
from portchain_lab.observe.capture import PACKET_STATISTICS, SO_RCVBUFFORCE, SOL_PACKET

from bench.errors import BenchError
from bench.soak.verdict import Seen

ETH_P_IP = 0x0800
BUFFER = 16 * 1024 * 1024
# Offsets in an Ethernet frame with an IPv4 header without options.
TTL, PROTOCOL, PORTS = 22, 23, struct.Struct("!34xHH")


@dataclass(frozen=True, slots=True)
class Place:
    """An interface at which packets are seen when they arrive.

    Frames for other MAC addresses do not count: a switch that does not know an address floods.

    :param mac: the interface's address.
    :param hop: name of the hop; empty at the ends of the chain.
    :param pair: name of the pair.
    :param replies: whether replies arrive here, and not the client's packets.
    """

    mac: bytes
    hop: str = ""
    pair: str = ""
    replies: bool = False


class Watch:
    """Watches connections to some ports of the destination, within its context.

    :param ports: the destination's ports.
    """

    def __init__(self, ports: Iterable[int]) -> None:
        self._ports = frozenset(ports)
        self._selector = selectors.DefaultSelector()
        self._seen = Seen()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, name="watch", daemon=True)

    def add(self, vm: VirtualMachine, nic: int, hop: str = "", *, replies: bool = False) -> None:
        """Watch an interface of a VM.

        :param nic: the interface's index.
        :param hop: as in ``Place``, like ``replies``. The pair has the VM's name.
        """
        mac = bytes.fromhex(vm.nics[nic].mac_address.replace(":", ""))
        place = Place(mac, hop, vm.name, replies)
        kind = socket.htons(ETH_P_IP)
        sock = netns.open_socket(vm.namespace, socket.AF_PACKET, socket.SOCK_RAW, kind)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        device = vm.nics[nic].device
        netns.call(vm.namespace, lambda: sock.bind((device, ETH_P_IP)))
        self._selector.register(sock, selectors.EVENT_READ, place)

    def take(self) -> Seen:
        """What was seen since the last call.

        :raises BenchError: the kernel has dropped packets of the capture.
        """
        for key in self._selector.get_map().values():
            sock: socket.socket = key.fileobj  # type: ignore[assignment]  # registered in add()
            _, dropped = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
            if dropped:
                raise BenchError(f"the kernel dropped {dropped} packets of the capture: {key.data}")
        seen, self._seen = self._seen, Seen()
        return seen

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]  # a socket
        self._selector.close()

    def _read(self) -> None:
        buffer = bytearray(2048)
        while not self._ended.is_set():
            for key, _ in self._selector.select(0.2):
                self._drain(key.fileobj, key.data, buffer)  # type: ignore[arg-type]

    def _drain(self, sock: socket.socket, place: Place, buffer: bytearray) -> None:
        seen = self._seen
        while True:
            try:
                sock.recv_into(buffer)
            except BlockingIOError:
                return
            if buffer[PROTOCOL] != socket.IPPROTO_TCP or not buffer.startswith(place.mac):
                continue
            client, server = PORTS.unpack_from(buffer)
            if place.replies:
                client, server = server, client
            if server not in self._ports:
                continue
            if place.hop:
                visits = seen.returned if place.replies else seen.visited
                visits.setdefault((client, server), set()).add((place.hop, place.pair))
            else:
                ends = seen.answered if place.replies else seen.arrived
                ends[server, buffer[TTL]] = ends.get((server, buffer[TTL]), 0) + 1
