"""TCP connections and datagrams between two virtual machines.

All of them run in one thread inside the source's namespace; the destination's sockets are made in
its own. So the load takes little processor time, and no thread waits for another one's turn.
"""

import random
import select
import socket
import struct
import time
from collections.abc import Iterable
from typing import Self

from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.hosts import netns

from bench.errors import BenchError

TIMEOUT = 30.0
"""Seconds without any progress after which a measurement fails."""
REQUEST, ANSWER = b"q" * 64, b"a" * 256
BACKLOG = 1024
FIRST_CLIENT_PORT, CLIENT_PORTS = 1024, 64000
LOST_AFTER = 10.0
"""Seconds without an arrival after which datagrams count as lost. Long, for a busy machine."""
UDP_HEADER = struct.Struct("!HHHH")


class Connections:
    """Opens TCP connections that each ask once, are answered, and are closed with FIN.

    The destination closes first: TIME_WAIT is at its end, and the source can use its ports again.
    """

    def __init__(self, source: VirtualMachine, destination: VirtualMachine, port: int) -> None:
        self._source = source
        self._address = (destination.ip, port)
        self._listener = netns.open_socket(destination.namespace)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(self._address)
        self._listener.listen(BACKLOG)
        self._listener.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def run(self, count: int, at_once: int = 1) -> float:
        """Open and close connections.

        :param at_once: how many are open at the same time.
        :returns: seconds that all took.
        :raises BenchError: one fails.
        """
        return netns.call(
            self._source.namespace,
            lambda: Exchange(self._listener, self._address).run(count, at_once),
        )


class Exchange:
    """Client and server of some connections, in one thread.

    :param listener: the server's socket, which does not block.
    :param address: of the server, as the clients know it.
    """

    def __init__(self, listener: socket.socket, address: tuple[str, int]) -> None:
        self._listener, self._address = listener, address
        self._poll = select.epoll()
        self._poll.register(listener, select.EPOLLIN)
        self._servers: dict[int, socket.socket] = {}
        self._clients: dict[int, socket.socket] = {}

    def run(self, count: int, at_once: int) -> float:
        """Open and close connections; returns the seconds that all took.

        :param at_once: how many are open at the same time.
        :raises BenchError: one fails.
        """
        started = finished = 0
        began = time.perf_counter()
        try:
            while finished < count:
                while started < count and len(self._clients) < at_once:
                    self._start()
                    started += 1
                if not (ready := self._poll.poll(TIMEOUT)):
                    raise TimeoutError(f"nothing happened for {TIMEOUT:g} s")
                finished += self._handle(ready)
        except OSError as error:
            raise BenchError(f"connection {finished + 1} of {count} failed: {error}") from error
        finally:
            self.close()
        return time.perf_counter() - began

    def close(self) -> None:
        """Close all sockets but the listener."""
        self._poll.close()
        for sock in (*self._clients.values(), *self._servers.values()):
            sock.close()

    def _start(self) -> None:
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(self._address)
        self._clients[client.fileno()] = client
        self._poll.register(client, select.EPOLLOUT)

    def _handle(self, ready: Iterable[tuple[int, int]]) -> int:
        """Process what is ready; returns how many connections are complete."""
        finished = 0
        for number, event in ready:
            if number in self._clients:
                finished += self._client(number, event)
            elif number in self._servers:
                self._answer(number)
            else:
                self._accept()
        return finished

    def _client(self, number: int, event: int) -> int:
        client = self._clients[number]
        if event & select.EPOLLOUT:
            client.send(REQUEST)  # raises what kept it from connecting
            self._poll.modify(number, select.EPOLLIN)
            return 0
        while data := _receive(client):
            if len(data) < len(ANSWER):
                raise ConnectionError(f"{len(data)} bytes are no answer")
        if data is None:
            return 0
        del self._clients[number]
        client.close()
        return 1

    def _answer(self, number: int) -> None:
        server = self._servers.pop(number)
        server.recv(len(REQUEST))
        server.send(ANSWER)
        server.close()

    def _accept(self) -> None:
        while True:
            try:
                server, _ = self._listener.accept()
            except BlockingIOError:
                return
            self._servers[server.fileno()] = server
            self._poll.register(server, select.EPOLLIN)


def _receive(sock: socket.socket) -> bytes | None:
    """What there is to read: empty at the end, None if there is nothing yet."""
    try:
        return sock.recv(4096)
    except BlockingIOError:
        return None


class Datagrams:
    """Sends datagrams that each have a source port of their own.

    :param payload: bytes of payload.
    """

    def __init__(
        self, source: VirtualMachine, destination: VirtualMachine, port: int, payload: int = 18
    ) -> None:
        self._target, self._port = destination.ip, port
        self._payload = bytes(payload)
        self._next = random.randrange(CLIENT_PORTS)
        self._out = netns.open_socket(
            source.namespace, kind=socket.SOCK_RAW, protocol=socket.IPPROTO_UDP
        )
        self._in = netns.open_socket(destination.namespace, kind=socket.SOCK_DGRAM)
        self._in.bind((destination.ip, port))
        self._in.settimeout(LOST_AFTER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()
        self._in.close()

    def run(self, count: int, at_once: int = 16) -> int:
        """Send datagrams; returns how many arrived.

        :param at_once: how many are on their way at the same time.
        """
        sent = arrived = 0
        while sent < count:
            burst = min(at_once, count - sent)
            for _ in range(burst):
                self._send()
            sent += burst
            try:
                for _ in range(burst):
                    self._in.recv(64)
                    arrived += 1
            except TimeoutError:
                continue
        return arrived

    def _send(self) -> None:
        self._next = (self._next + 1) % CLIENT_PORTS
        length = UDP_HEADER.size + len(self._payload)
        # A checksum of zero stands for none.
        header = UDP_HEADER.pack(FIRST_CLIENT_PORT + self._next, self._port, length, 0)
        self._out.sendto(header + self._payload, (self._target, 0))
