"""Opens TCP connections at a steady rate."""

import contextlib
import select
import socket
import time
from collections.abc import Iterator, Sequence

from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.hosts import netns

from bench.dataplane.load import BACKLOG, Exchange

PATIENCE = 20.0
"""Seconds after which a connection counts as failed."""
TICK = 0.01
CLIENT_PORTS = range(1024, 9999)
"""Those that connections which stay open do not use. An odd number of them: so a port is used for
the other of two chains when its turn comes again."""


class PacedConnections:
    """Opens connections to some ports of the destination in turn, at a steady rate.

    :param ports: the destination's ports.
    """

    def __init__(
        self, source: VirtualMachine, destination: VirtualMachine, ports: Sequence[int]
    ) -> None:
        self._source, self._destination, self._ports = source, destination, ports
        self._client_ports = _cycle(CLIENT_PORTS)

    def run(self, seconds: float, rate: float) -> tuple[int, int]:
        """Open connections, and wait for them.

        :param rate: connections per second.
        :returns: how many finished, and how many failed.
        """
        with contextlib.ExitStack() as stack:
            listeners = [stack.enter_context(self._listener(port)) for port in self._ports]
            exchanges = [
                _Paced(listener, (self._destination.ip, port), self._source.ip, self._client_ports)
                for listener, port in zip(listeners, self._ports, strict=True)
            ]
            for one in exchanges:
                stack.callback(one.close)
            netns.call(self._source.namespace, lambda: _run(exchanges, seconds, rate))
        return sum(one.finished for one in exchanges), sum(one.failed for one in exchanges)

    def _listener(self, port: int) -> socket.socket:
        sock = netns.open_socket(self._destination.namespace)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self._destination.ip, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
        return sock


def _cycle(ports: range) -> Iterator[int]:
    while True:
        yield from ports


def _run(exchanges: Sequence["_Paced"], seconds: float, rate: float) -> None:
    began = time.monotonic()
    started = 0
    while (now := time.monotonic()) < began + seconds or any(one.is_busy for one in exchanges):
        if now < began + seconds:
            due = int((now - began) * rate)
            for number in range(started, due):
                exchanges[number % len(exchanges)].start()
            started = due
        for one in exchanges:
            one.step(TICK / len(exchanges))


class _Paced(Exchange):
    """Connections to one port, which may fail one by one."""

    def __init__(
        self,
        listener: socket.socket,
        address: tuple[str, int],
        source: str,
        client_ports: Iterator[int],
    ) -> None:
        super().__init__(listener, address)
        self._source, self._client_ports = source, client_ports
        self._since: dict[int, float] = {}
        self.finished = self.failed = 0

    @property
    def is_busy(self) -> bool:
        return bool(self._clients)

    def start(self) -> None:
        client = socket.socket()
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind((self._source, next(self._client_ports)))
        client.connect_ex(self._address)
        self._clients[client.fileno()] = client
        self._since[client.fileno()] = time.monotonic()
        self._poll.register(client, select.EPOLLOUT)

    def step(self, seconds: float) -> None:
        """Process what is ready within some time, and give up what takes too long."""
        self.finished += self._handle(self._poll.poll(seconds))
        longest = time.monotonic() - PATIENCE
        for number in [number for number, since in self._since.items() if since < longest]:
            if number in self._clients:
                self._fail(number)
            del self._since[number]

    def _client(self, number: int, event: int) -> int:
        try:
            return super()._client(number, event)
        except OSError:
            self._fail(number)
            return 0

    def _answer(self, number: int) -> None:
        server = self._servers[number]
        try:
            super()._answer(number)
        except OSError:  # reset by a client that has given up
            server.close()

    def _fail(self, number: int) -> None:
        self._clients.pop(number).close()
        self.failed += 1
