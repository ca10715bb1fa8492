"""Has a bridge take in a frame as if it had come from one of its ports."""

import socket
import struct
import time
from types import SimpleNamespace

from os_ken.ofproto import ofproto_v1_4 as ofp
from os_ken.ofproto import ofproto_v1_4_parser as messages

from portchain.host.health.channel import open_connection

_HEADER = struct.Struct("!BBHI")
_ERROR = struct.Struct("!HH")
_SECONDS = 5.0
_NUMBER = 1
_CHUNK = 1 << 16


class InjectionError(Exception):
    """The bridge is not there, or refuses."""


def inject(target: str, ofport: int, frame: bytes) -> None:
    """Have a bridge handle a frame by its flows. Returns when it has got it.

    :param target: the bridge's address, as of ``BridgeConnection``.
    :param ofport: OpenFlow port that the frame is to come from.
    :raises InjectionError: the bridge does not answer, or refuses.
    """
    try:
        connection = open_connection(target)
    except (OSError, ValueError) as exc:
        raise InjectionError(f"cannot connect to {target}: {exc}") from exc
    with connection:
        try:
            connection.settimeout(_SECONDS)
            connection.sendall(_messages(ofport, frame))
            _wait(connection)
        except OSError as exc:
            raise InjectionError(f"{target} does not answer: {exc}") from exc


def _messages(ofport: int, frame: bytes) -> bytes:
    switch = SimpleNamespace(ofproto=ofp, ofproto_parser=messages)
    packet = messages.OFPPacketOut(
        switch,
        buffer_id=ofp.OFP_NO_BUFFER,
        in_port=ofport,
        actions=[messages.OFPActionOutput(ofp.OFPP_TABLE)],
        data=frame,
    )
    data = b""
    for message in (messages.OFPHello(switch), packet, messages.OFPBarrierRequest(switch)):
        message.set_xid(_NUMBER)
        message.serialize()
        data += bytes(message.buf)
    return data


def _wait(connection: socket.socket) -> None:
    """Wait until the bridge has answered the barrier.

    :raises InjectionError: it has answered with an error.
    """
    unread, end = b"", time.monotonic() + _SECONDS
    while time.monotonic() < end:
        data = connection.recv(_CHUNK)
        if not data:
            raise OSError("it has closed the connection")
        unread += data
        while len(unread) >= _HEADER.size:
            _, kind, length, xid = _HEADER.unpack_from(unread)
            length = max(length, _HEADER.size)
            if len(unread) < length:
                break
            if kind == ofp.OFPT_ERROR and xid == _NUMBER:
                error = _ERROR.unpack_from(unread.ljust(_HEADER.size + _ERROR.size), _HEADER.size)
                raise InjectionError("the switch refuses the packet: error {}, {}".format(*error))
            if kind == ofp.OFPT_BARRIER_REPLY:
                return
            unread = unread[length:]
    raise OSError("timed out")
