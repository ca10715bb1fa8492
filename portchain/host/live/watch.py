"""Looks for a marked packet on kernel devices.

The kernel compares the last bytes of each frame with the token, by a filter on the socket
(bpf(4); Linux: Documentation/networking/filter.rst). So other traffic, however much there is of it,
neither wakes this program nor fills the socket's buffer.
"""

import ctypes
import select
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from portchain.dataplane.tracing.live import Direction, Spot
from portchain.host.live.switch import Vif
from portchain.rpc.live_codec import WatchRequest

# From <linux/if_ether.h>, <asm-generic/socket.h> and <linux/filter.h>; Python lacks them.
_ALL_PROTOCOLS = 3
_SO_ATTACH_FILTER = 26
_INSTRUCTION = struct.Struct("=HBBI")
_PROGRAM = struct.Struct("@HP")
_LOAD_LENGTH, _SUBTRACT, _TO_INDEX, _LOAD_WORD, _RETURN = 0x80, 0x14, 0x07, 0x40, 0x06
_IF_EQUAL, _IF_AT_LEAST = 0x15, 0x35
_WORD = 4
_ETHERNET_BYTES = 14

_SNAPSHOT = 4096
_MOST_FRAMES = 64
"""So many marked frames are looked at on each port: a function may send the packet again and
again."""
_BUFFER_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class _Watched:
    """A port that is watched."""

    port_id: str
    is_users_end: bool
    socket: socket.socket


class Watch:
    """Watches the devices of ports for one packet, from its beginning until it is closed.

    :param vifs: port -> its interface.
    :ivar refused: port -> why it cannot be watched.
    """

    def __init__(self, request: WatchRequest, vifs: Mapping[str, Vif]) -> None:
        self.refused: dict[str, str] = {}
        self._request = request
        source, destination = map(ip_address, (request.source, request.destination))
        self._answer = destination.packed + source.packed
        self._watched: dict[int, _Watched] = {}
        for port_id in sorted({spot.port_id for spot in request.spots}):
            vif = vifs.get(port_id)
            if vif is None:
                self.refused[port_id] = "it is not plugged in on its host"
            elif not vif.has_device:
                self.refused[port_id] = f"its interface ({vif.type}) has no device in the kernel"
            else:
                self._open(port_id, vif)

    def _open(self, port_id: str, vif: Vif) -> None:
        try:
            opened = _open_socket(vif.name, self._request.token)
        except PermissionError:
            self.refused[port_id] = "the host's agent may not watch devices: it lacks CAP_NET_RAW"
        except OSError:
            reason = "its device is not where the host's agent is: in a network namespace perhaps"
            self.refused[port_id] = reason
        else:
            self._watched[opened.fileno()] = _Watched(port_id, vif.is_users_end, opened)

    def collect(self, seconds: float) -> frozenset[Spot]:
        """Return where the packet has been seen since the beginning.

        :param seconds: to wait until it has been seen at all spots.
        """
        wanted = {one for one in self._request.spots if one.port_id not in self.refused}
        seen: set[Spot] = set()
        poll, end = select.poll(), time.monotonic() + seconds
        for number in self._watched:
            poll.register(number, select.POLLIN)
        looked_at = dict.fromkeys(self._watched, 0)
        while not wanted <= seen:
            remaining = end - time.monotonic()
            ready = poll.poll(max(0, remaining) * 1000)
            if not ready:
                break
            for number, _ in ready:
                one = self._watched[number]
                seen |= wanted.intersection(self._read(one))
                looked_at[number] += 1
                if looked_at[number] >= _MOST_FRAMES or wanted_at(one.port_id, wanted) <= seen:
                    poll.unregister(number)
        return frozenset(seen)

    def close(self) -> None:
        """Watch no longer."""
        for one in self._watched.values():
            one.socket.close()
        self._watched.clear()

    def _read(self, one: _Watched) -> Iterable[Spot]:
        """Return the spot that the next frame has passed; nothing if it is an answer."""
        try:
            frame, address = one.socket.recvfrom(_SNAPSHOT)
        except OSError:  # the device has gone
            return ()
        if self._answer in frame:
            return ()
        is_outgoing = address[2] == socket.PACKET_OUTGOING
        to_port = is_outgoing is not one.is_users_end
        return (Spot(one.port_id, Direction.TO if to_port else Direction.FROM),)


def wanted_at(port_id: str, wanted: Iterable[Spot]) -> set[Spot]:
    """Return the spots of a port."""
    return {spot for spot in wanted if spot.port_id == port_id}


def _open_socket(device: str, token: bytes) -> socket.socket:
    """Return a socket that gets the frames of a device that end with a token.

    It gets none before the filter is there: it is bound last.

    :raises OSError: there is no such device, or this program may not watch it.
    """
    kinds = socket.SOCK_RAW | socket.SOCK_NONBLOCK
    opened = socket.socket(socket.AF_PACKET, kinds, 0)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        code = _filter(token)
        memory = ctypes.create_string_buffer(code, len(code))
        program = _PROGRAM.pack(len(code) // _INSTRUCTION.size, ctypes.addressof(memory))
        opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        opened.bind((device, _ALL_PROTOCOLS))
    except BaseException:
        opened.close()
        raise
    return opened


def _filter(token: bytes) -> bytes:
    """Return a program that passes frames which end with a token."""
    words = [int.from_bytes(token[at : at + _WORD]) for at in range(0, len(token), _WORD)]
    to_drop = 2 * len(words) - 1  # instructions from the first comparison to the end
    program = [
        (_LOAD_LENGTH, 0, 0, 0),
        (_IF_AT_LEAST, 0, to_drop + 4, _ETHERNET_BYTES + len(token)),
        (_SUBTRACT, 0, 0, len(token)),
        (_TO_INDEX, 0, 0, 0),
    ]
    for number, word in enumerate(words):
        program.append((_LOAD_WORD, 0, 0, number * _WORD))
        program.append((_IF_EQUAL, 0, to_drop - 2 * number, word))
    program += [(_RETURN, 0, 0, _SNAPSHOT), (_RETURN, 0, 0, 0)]
    return b"".join(_INSTRUCTION.pack(*one) for one in program)
