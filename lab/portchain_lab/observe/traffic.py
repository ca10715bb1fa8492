"""Traffic between virtual machines, through sockets in their namespaces."""

import contextlib
import fcntl
import os
import socket
import struct
import termios
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Self

from portchain_lab.errors import DeadlineError
from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.hosts import netns
from portchain_lab.waiting import patient, wait_for

TCP_CLOSE = 7  # from <netinet/tcp.h>
SO_RCVBUFFORCE = 33  # from <asm-generic/socket.h>
_BUFFER = 4 * 1024 * 1024
_DUPLICATE_GRACE = 0.2
"""Seconds to wait for duplicates when every datagram has arrived."""
_SEQUENCE = struct.Struct("!Q")


@dataclass(frozen=True, slots=True)
class ConnectionAttempt:
    """The result of one attempted TCP connection.

    :param number: the number that the client sent.
    :param source_port: the client's port.
    :param seconds: time until the connection was closed, or until it failed.
    :param error: empty if the server echoed the number and the connection closed cleanly.
    """

    number: int
    source_port: int
    seconds: float
    error: str

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return not self.error


class TcpEchoServer:
    """Echoes what each connection sends and closes it. Runs within its context.

    The server closes first, so TIME_WAIT is at its end and the client can reuse its port at once.
    """

    def __init__(self, vm: VirtualMachine, port: int, address: str = "") -> None:
        """:param address: the VM's address to listen at; its first if empty."""
        address = address or vm.ip
        self._socket = netns.open_socket(vm.namespace, _family(address))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((address, port))
        self._socket.listen(512)
        self._thread = threading.Thread(target=self._serve, name=f"tcp-{port}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(patient(5))
                connection.sendall(connection.recv(1024))


def tcp_connect(
    source: VirtualMachine,
    destination: VirtualMachine,
    port: int,
    *,
    source_port: int = 0,
    number: int = 0,
    timeout: float = 5.0,
    source_address: str = "",
    address: str = "",
) -> ConnectionAttempt:
    """Open a connection, send a number, expect its echo, close.

    :param port: the server's port.
    :param source_port: the client's port; 0 lets the kernel choose.
    :param source_address: an address of the source; its first if empty.
    :param address: an address of the destination; its first if empty.
    :param number: the number to send.
    :param timeout: seconds for connecting and for each read.
    """
    began = time.monotonic()
    error = ""
    source_address, address = source_address or source.ip, address or destination.ip
    with netns.open_socket(source.namespace, _family(address)) as sock:
        sock.settimeout(patient(timeout))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((source_address, source_port))
            source_port = sock.getsockname()[1]
            sock.connect((address, port))
            question = _SEQUENCE.pack(number)
            sock.sendall(question)
            answer = _read_all(sock)
            if answer != question:
                error = f"the server answered {answer!r}"
            sock.shutdown(socket.SHUT_WR)
            # The kernel lets the port be reused only after the last acknowledgement.
            wait_for(lambda: _state(sock) == TCP_CLOSE, timeout, "the connection to close", 0.001)
        except (OSError, DeadlineError) as failure:
            error = str(failure)
    return ConnectionAttempt(number, source_port, time.monotonic() - began, error)


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _state(sock: socket.socket) -> int:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def _is_acknowledged(sock: socket.socket) -> bool:
    return fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)) == bytes(4)


def _read_all(sock: socket.socket) -> bytes:
    data = b""
    while part := sock.recv(1024):
        data += part
    return data


def tcp_connections(
    source: VirtualMachine,
    destination: VirtualMachine,
    port: int,
    count: int,
    source_port: int = 0,
    *,
    source_address: str = "",
    address: str = "",
) -> list[ConnectionAttempt]:
    """Open connections one after the other. The destination must run a ``TcpEchoServer``.

    :param source_port: the client's port for all; with 0 the kernel chooses one for each.
    :param source_address: as in ``tcp_connect``, like ``address``.
    """
    return [
        tcp_connect(
            source,
            destination,
            port,
            source_port=source_port,
            number=number,
            source_address=source_address,
            address=address,
        )
        for number in range(count)
    ]


class OpenConnections:
    """TCP connections that stay open within the context and can exchange data repeatedly.

    :param timeout: seconds for opening a connection and for each send and receive.
    """

    def __init__(
        self,
        source: VirtualMachine,
        destination: VirtualMachine,
        port: int,
        count: int,
        timeout: float = 10.0,
    ) -> None:
        self._source, self._destination, self._port = source, destination, port
        self._count, self._timeout = count, timeout
        self._open = contextlib.ExitStack()
        self._ends: list[tuple[socket.socket, socket.socket]] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opening:
            listener = opening.enter_context(netns.open_socket(self._destination.namespace))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.settimeout(patient(self._timeout))
            listener.bind((self._destination.ip, self._port))
            listener.listen(self._count)
            for _ in range(self._count):
                client = opening.enter_context(netns.open_socket(self._source.namespace))
                client.settimeout(patient(self._timeout))
                client.bind((self._source.ip, 0))
                client.connect((self._destination.ip, self._port))
                server = opening.enter_context(listener.accept()[0])
                server.settimeout(patient(self._timeout))
                self._ends.append((client, server))
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def exchange(self) -> list[str]:
        """Send and echo data once on every connection, and wait until all is acknowledged.

        :returns: the errors.
        """
        errors = []
        for client, server in self._ends:
            question = os.urandom(16)
            try:
                client.sendall(question)
                server.sendall(server.recv(len(question)))
                if client.recv(len(question)) != question:
                    errors.append("the echo differs from what was sent")
                for end in (client, server):
                    wait_for(
                        partial(_is_acknowledged, end), self._timeout, "an acknowledgement", 0.001
                    )
            except (OSError, DeadlineError) as failure:
                errors.append(str(failure))
        return errors


@dataclass(slots=True)
class StreamResult:
    """Which datagrams of a stream arrived, and when.

    :param sent: how many datagrams were sent, numbered from 0.
    :param received: number and time (seconds, monotonic) of each arrival, in order.
    """

    sent: int = 0
    received: list[tuple[int, float]] = field(default_factory=list)

    @property
    def lost(self) -> list[int]:
        """Numbers of the datagrams that did not arrive."""
        return sorted(set(range(self.sent)) - {number for number, _ in self.received})

    @property
    def duplicates(self) -> int:
        """How many arrivals were duplicates."""
        return len(self.received) - len({number for number, _ in self.received})

    @property
    def longest_gap(self) -> float:
        """Longest time without an arrival, in seconds."""
        times = [moment for _, moment in self.received]
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)


class UdpStream:
    """Sends numbered datagrams at a constant rate from ``start`` to ``stop``, and records arrivals.

    :param rate: datagrams per second.
    :param size: bytes of payload, at least 8.
    """

    def __init__(
        self,
        source: VirtualMachine,
        destination: VirtualMachine,
        port: int,
        *,
        rate: float = 100.0,
        source_port: int = 0,
        size: int = 64,
    ) -> None:
        self._out = netns.open_socket(source.namespace, kind=socket.SOCK_DGRAM)
        self._in = netns.open_socket(destination.namespace, kind=socket.SOCK_DGRAM)
        self._out.bind((source.ip, source_port))
        self._in.bind((destination.ip, port))
        self._in.settimeout(0.05)
        # Datagrams that arrive while this process waits for a processor are not lost.
        self._in.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _BUFFER)
        self._target = (destination.ip, port)
        self._interval = 1.0 / rate
        self._padding = bytes(max(0, size - _SEQUENCE.size))
        self._ended = threading.Event()
        self._grace = 1.0
        self._threads = [
            threading.Thread(target=body, daemon=True) for body in (self._send, self._receive)
        ]
        self.result = StreamResult()

    @property
    def source_port(self) -> int:
        """The source port of the datagrams."""
        return int(self._out.getsockname()[1])

    def start(self) -> Self:
        """Start to send."""
        for thread in self._threads:
            thread.start()
        return self

    def end(self) -> None:
        """Send no more datagrams. Returns at once; call ``stop`` afterwards."""
        self._ended.set()

    def stop(self, grace: float = 1.0) -> StreamResult:
        """Stop sending, wait for datagrams in flight, and return the result.

        :param grace: seconds without an arrival after which a datagram counts as lost.
        """
        self._grace = patient(grace)
        self.end()
        for thread in self._threads:
            thread.join()
        self._out.close()
        self._in.close()
        return self.result

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if not self._ended.is_set():
            self.stop()

    def _send(self) -> None:
        due = time.monotonic()
        while not self._ended.is_set():
            with contextlib.suppress(OSError):  # unreachable at the moment: the datagram is lost
                self._out.sendto(_SEQUENCE.pack(self.result.sent) + self._padding, self._target)
            self.result.sent += 1
            due += self._interval
            self._ended.wait(max(0.0, due - time.monotonic()))

    def _receive(self) -> None:
        quiet_since = time.monotonic()
        while True:
            try:
                data = self._in.recv(65536)
                quiet_since = time.monotonic()
                self.result.received.append((_SEQUENCE.unpack_from(data)[0], quiet_since))
            except TimeoutError:
                quiet = time.monotonic() - quiet_since
                if self._ended.is_set() and quiet >= self._needed_quiet():
                    return
            except OSError:  # an ICMP error that reports an earlier datagram
                continue

    def _needed_quiet(self) -> float:
        """Seconds without an arrival after which nothing more will arrive."""
        sender, _ = self._threads
        complete = not sender.is_alive() and not self.result.lost
        return min(self._grace, _DUPLICATE_GRACE) if complete else self._grace


def stop_all(streams: Iterable[UdpStream]) -> list[StreamResult]:
    """Stop streams at the same time, and return their results in order."""
    streams = list(streams)
    for stream in streams:
        stream.end()
    return [stream.stop() for stream in streams]
