"""Puts frames out at ports of a bridge, and takes those that flows send to this host.

``ovs-ofctl`` can do both, but not hundreds of times a second.
"""

import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from os_ken.ofproto import ofproto_v1_4 as ofp
from os_ken.ofproto import ofproto_v1_4_parser as messages

from portchain.dataplane.probing import CONTROLLER_ID
from portchain.host.openflow import HEADER, SWITCH, Connection

_MAX_FRAME = 128
_NICIRA, _SET_CONTROLLER_ID = 0x00002320, 20
_IN_PORT = struct.Struct("!28xII")  # of a packet-in: the first field that the packet matched
_IN_PORT_FIELD = 0x80000004
_MOST_FRAMES = 50
"""So many frames a second are looked at from each port. A function answers ten times a second at
most; one that sends more must not keep the host from looking at others."""


class Received(NamedTuple):
    """A frame that a flow has sent to this host.

    :param port: OpenFlow port at which the switch got it.
    """

    port: int
    frame: bytes


class ChannelError(Exception):
    """The switch is not there, or has ended the connection."""


class PacketChannel:
    """A connection to one bridge. Not thread-safe.

    :param find_target: returns the bridge's address, as for ``openflow.Connection``; or nothing
        while there is no bridge.
    """

    def __init__(self, find_target: Callable[[], str]) -> None:
        self._find_target = find_target
        self._target = ""
        self._connection: Connection | None = None
        self._second = 0
        self._frames: Counter[int] = Counter()  # in this second, by port

    def connect(self) -> None:
        """Connect, unless connected, and have the switch send what it has for this host.

        :raises ChannelError: the switch does not answer.
        """
        if self._connection is not None:
            return
        self._target = self._find_target()
        if not self._target:
            raise ChannelError("the switch has no bridge for functions yet")
        try:
            self._connection = Connection(self._target)
            self._connection.send([_our_number(), _our_interest()])
        except (OSError, ValueError) as exc:
            self.close()
            raise ChannelError(f"cannot connect to {self._target}: {exc}") from exc

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def fileno(self) -> int:
        """Return what ``select`` waits for.

        :raises ChannelError: there is no connection.
        """
        return self._connected().fileno()

    def put_out(self, frames: Iterable[tuple[int, bytes]]) -> None:
        """Put frames out at ports, all with one system call. A switch that is busy loses some.

        :param frames: OpenFlow ports and Ethernet frames.
        :raises ChannelError: the connection has ended.
        """
        connection = self._connected()
        sent = [
            messages.OFPPacketOut(
                SWITCH,
                buffer_id=ofp.OFP_NO_BUFFER,
                in_port=ofp.OFPP_CONTROLLER,
                actions=[messages.OFPActionOutput(port)],
                data=frame,
            )
            for port, frame in frames
        ]
        try:
            connection.send(sent)
        except OSError as exc:
            raise self._lost(exc) from exc

    def take_in(self) -> list[Received]:
        """Return the frames that have come since the last call. Does not wait.

        :raises ChannelError: the connection has ended.
        """
        try:
            return [
                _frame(data)
                for kind, data in self._connected().receive()
                if kind == ofp.OFPT_PACKET_IN and self._is_looked_at(data)
            ]
        except OSError as exc:
            raise self._lost(exc) from exc

    def _is_looked_at(self, message: bytes) -> bool:
        """Tell whether a packet is worth the time that it takes to read it."""
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            self._frames.clear()
        if len(message) < _IN_PORT.size:
            return False
        field, port = _IN_PORT.unpack_from(message)
        self._frames[port] += 1
        return field == _IN_PORT_FIELD and self._frames[port] <= _MOST_FRAMES

    def _connected(self) -> Connection:
        if self._connection is None:
            raise ChannelError(f"not connected to {self._target}")
        return self._connection

    def _lost(self, exc: OSError) -> ChannelError:
        self.close()
        return ChannelError(f"lost the connection to {self._target}: {exc}")


def _our_number() -> messages.OFPExperimenter:
    data = struct.pack("!6xH", CONTROLLER_ID)
    return messages.OFPExperimenter(SWITCH, _NICIRA, _SET_CONTROLLER_ID, data)


def _our_interest() -> messages.OFPSetConfig:
    """Without a length, Open vSwitch sends such connections no packets at all."""
    return messages.OFPSetConfig(SWITCH, ofp.OFPC_FRAG_NORMAL, _MAX_FRAME)


def _frame(message: bytes) -> Received:
    version, kind, length, xid = HEADER.unpack_from(message)
    packet = messages.OFPPacketIn.parser(SWITCH, version, kind, length, xid, bytearray(message))
    return Received(packet.match["in_port"], bytes(packet.data))
