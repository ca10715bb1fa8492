"""An OpenFlow connection that puts frames out at ports, and takes those that flows send to it.

``ovs-ofctl`` can do both, but not hundreds of times a second.
"""

import os
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import NamedTuple

from os_ken.ofproto import ofproto_v1_4 as ofp
from os_ken.ofproto import ofproto_v1_4_parser as messages

from portchain.dataplane.probing import CONTROLLER_ID
from portchain.ovsdb import tls

_HEADER = struct.Struct("!BBHI")
_MAX_FRAME = 128
_NICIRA, _SET_CONTROLLER_ID = 0x00002320, 20
_ANSWER_SECONDS = 5.0
_CHUNK = 1 << 16
_IN_PORT = struct.Struct("!28xII")  # of a packet-in: the first field that the packet matched
_IN_PORT_FIELD = 0x80000004
_MOST_FRAMES = 50
"""So many frames a second are looked at from each port. A function answers ten times a second at
most; one that sends more must not keep the host from looking at others."""
_RUN_DIRECTORY = "/var/run/openvswitch"


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

    :param find_target: returns the bridge's address in the notation of ovs-ofctl(8): ``unix:FILE``,
        ``tcp:IP:PORT`` or ``ssl:IP:PORT``; or the name of a bridge of this machine; or nothing
        while there is no bridge.
    """

    def __init__(self, find_target: Callable[[], str]) -> None:
        self._find_target = find_target
        self._target = ""
        self._socket: socket.socket | None = None
        self._unread = b""
        self._second = 0
        self._frames: Counter[int] = Counter()  # in this second, by port
        # Not os-ken's ProtocolDesc: in Neutron's agent, that knows the agent's version only.
        self._switch = SimpleNamespace(ofproto=ofp, ofproto_parser=messages)

    def connect(self) -> None:
        """Connect, unless connected, and have the switch send what it has for this host.

        :raises ChannelError: the switch does not answer.
        """
        if self._socket is not None:
            return
        self._target = self._find_target()
        if not self._target:
            raise ChannelError("the switch has no bridge for functions yet")
        try:
            self._socket, self._unread = _open(self._target), b""
            self._send([messages.OFPHello(self._switch), self._our_number(), self._our_interest()])
            self._socket.setblocking(False)
        except (OSError, ValueError) as exc:
            self.close()
            raise ChannelError(f"cannot connect to {self._target}: {exc}") from exc

    def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

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
        self._connected()
        sent = [
            messages.OFPPacketOut(
                self._switch,
                buffer_id=ofp.OFP_NO_BUFFER,
                in_port=ofp.OFPP_CONTROLLER,
                actions=[messages.OFPActionOutput(port)],
                data=frame,
            )
            for port, frame in frames
        ]
        try:
            self._send(sent)
        except OSError as exc:
            raise self._lost(exc) from exc

    def take_in(self) -> list[Received]:
        """Return the frames that have come since the last call. Does not wait.

        :raises ChannelError: the connection has ended.
        """
        try:
            self._read()
        except OSError as exc:
            raise self._lost(exc) from exc
        return [frame for message in self._messages() for frame in self._handle(message)]

    def _our_number(self) -> messages.OFPExperimenter:
        data = struct.pack("!6xH", CONTROLLER_ID)
        return messages.OFPExperimenter(self._switch, _NICIRA, _SET_CONTROLLER_ID, data)

    def _our_interest(self) -> messages.OFPSetConfig:
        """Without a length, Open vSwitch sends such connections no packets at all."""
        return messages.OFPSetConfig(self._switch, ofp.OFPC_FRAG_NORMAL, _MAX_FRAME)

    def _send(self, sent: Iterable[messages.MsgBase]) -> None:
        data = b""
        for message in sent:
            message.set_xid(0)
            message.serialize()
            data += message.buf
        if not data:
            return
        connection = self._connected()
        try:
            connection.sendall(data)
        except (BlockingIOError, ssl.SSLWantWriteError) as exc:
            # Part of a message may be gone: the next one would not be understood.
            raise OSError("the switch reads too slowly") from exc

    def _read(self) -> None:
        connection = self._connected()
        while True:
            try:
                data = connection.recv(_CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            if not data:
                raise OSError("the switch has closed the connection")
            self._unread += data

    def _messages(self) -> Iterator[bytes]:
        start = 0
        while start + _HEADER.size <= len(self._unread):
            length = max(_HEADER.unpack_from(self._unread, start)[2], _HEADER.size)
            if start + length > len(self._unread):
                break
            yield self._unread[start : start + length]
            start += length
        self._unread = self._unread[start:]

    def _handle(self, message: bytes) -> Iterator[Received]:
        version, kind, length, xid = _HEADER.unpack_from(message)
        if kind == ofp.OFPT_ECHO_REQUEST:
            answer = _HEADER.pack(ofp.OFP_VERSION, ofp.OFPT_ECHO_REPLY, length, xid)
            self._connected().sendall(answer + message[_HEADER.size :])
        elif kind == ofp.OFPT_PACKET_IN and self._is_looked_at(message):
            packet = messages.OFPPacketIn.parser(
                self._switch, version, kind, length, xid, bytearray(message)
            )
            yield Received(packet.match["in_port"], bytes(packet.data))

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

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise ChannelError(f"not connected to {self._target}")
        return self._socket

    def _lost(self, exc: OSError) -> ChannelError:
        self.close()
        return ChannelError(f"lost the connection to {self._target}: {exc}")


def _open(target: str) -> socket.socket:
    """Return a connected socket.

    :raises OSError: nobody listens, or the other side is not who it should be.
    """
    kind, _, place = target.partition(":")
    if not place:  # the name of a bridge
        directory = os.environ.get("OVS_RUNDIR", _RUN_DIRECTORY)
        kind, place = "unix", f"{directory}/{target}.mgmt"
    if kind == "unix":
        local = socket.socket(socket.AF_UNIX)
        local.settimeout(_ANSWER_SECONDS)
        local.connect(place)
        return local
    host, _, port = place.rpartition(":")
    remote = socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS)
    if kind != "ssl":
        return remote
    files = tls.files_in_use()
    context = ssl.create_default_context(cafile=files["ca_cert"])
    context.check_hostname = False  # switches are known by the CA that has signed for them
    context.load_cert_chain(files["certificate"], files["private_key"])
    return context.wrap_socket(remote)
