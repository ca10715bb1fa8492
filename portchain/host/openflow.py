"""An OpenFlow connection to one bridge, for what is too frequent or too long for ``ovs-ofctl``."""

import contextlib
import os
import select
import socket
import ssl
import struct
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import NamedTuple, Self

from os_ken.ofproto import ofproto_v1_4 as ofp
from os_ken.ofproto import ofproto_v1_4_parser as messages

from portchain.ovsdb import tls

# Not os-ken's ProtocolDesc: in Neutron's agent, that knows the agent's version only.
SWITCH = SimpleNamespace(ofproto=ofp, ofproto_parser=messages)
"""What os-ken's messages want to know of a switch."""

HEADER = struct.Struct("!BBHI")
"""Version, type, length and transaction of a message (OpenFlow 1.4.1, section 7.1)."""

_ANSWER_SECONDS = 5.0
_CHUNK = 1 << 16
_RUN_DIRECTORY = "/var/run/openvswitch"


class Message(NamedTuple):
    """A message of the switch.

    :param kind: an ``OFPT_*``.
    :param data: all of it, with the header.
    """

    kind: int
    data: bytes


class Connection:
    """A connection to a bridge, in OpenFlow 1.4. Only ``interrupt`` is thread-safe.

    :param target: the bridge's address in the notation of ovs-ofctl(8): ``unix:FILE``,
        ``tcp:IP:PORT`` or ``ssl:IP:PORT``; or the name of a bridge of this machine.
    :raises OSError: nobody listens, or the other side is not who it should be.
    :raises ValueError: the address is malformed.
    """

    def __init__(self, target: str) -> None:
        self._socket = _open(target)
        self._unread = b""
        try:
            self.send([messages.OFPHello(SWITCH)])
        except OSError:
            self.close()
            raise
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()

    def interrupt(self) -> None:
        """End the connection for whoever uses it: ``wait`` returns, and ``receive`` raises."""
        with contextlib.suppress(OSError):  # it has ended
            # Not the method of an SSL socket, which would tell the other side first.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def fileno(self) -> int:
        """Return what ``select`` waits for."""
        return self._socket.fileno()

    def send(self, sent: Iterable[messages.MsgBase]) -> None:
        """Send messages, all with one system call.

        :raises OSError: the connection has ended, or the switch reads too slowly.
        """
        data = b""
        for message in sent:
            message.set_xid(0)
            message.serialize()
            data += message.buf
        if data:
            self._send(data)

    def wait(self, seconds: float) -> bool:
        """Wait until something can be received; return whether it can."""
        poll = select.poll()  # select() has a limit of 1024 descriptors
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def receive(self) -> Iterator[Message]:
        """Yield the messages that have come since the last call. Does not wait.

        Questions whether the connection is alive are answered.

        :raises OSError: the connection has ended.
        """
        self._read()
        for data in self._messages():
            _, kind, length, xid = HEADER.unpack_from(data)
            if kind == ofp.OFPT_ECHO_REQUEST:
                answer = HEADER.pack(ofp.OFP_VERSION, ofp.OFPT_ECHO_REPLY, length, xid)
                self._send(answer + data[HEADER.size :])
            else:
                yield Message(kind, data)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except (BlockingIOError, ssl.SSLWantWriteError) as exc:
            # Part of a message may be gone: the next one would not be understood.
            raise OSError("the switch reads too slowly") from exc

    def _read(self) -> None:
        while True:
            try:
                data = self._socket.recv(_CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            if not data:
                raise OSError("the switch has closed the connection")
            self._unread += data

    def _messages(self) -> Iterator[bytes]:
        start = 0
        while start + HEADER.size <= len(self._unread):
            length = max(HEADER.unpack_from(self._unread, start)[2], HEADER.size)
            if start + length > len(self._unread):
                break
            yield self._unread[start : start + length]
            start += length
        self._unread = self._unread[start:]


def _open(target: str) -> socket.socket:
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
