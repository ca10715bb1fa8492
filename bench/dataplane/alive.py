"""TCP connections that stay open while others are measured."""

import contextlib
import multiprocessing
import resource
import select
import socket
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Self

from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.hosts import netns

from bench.dataplane.load import BACKLOG, TIMEOUT
from bench.errors import BenchError

AT_ONCE = 64
USED_EVERY, USED_PER_SECOND = 7, 1500
"""Seconds between two packets of a connection; a second has so many of all connections at most.
With more, the switches would have no time for the connections that are measured."""
SPARE_FILES = 4096
LOCAL_PORTS = "10000 65535"

# The parent's state is what the children need.
_CONTEXT = multiprocessing.get_context("fork")


def used_every(count: int) -> int:
    """Return the seconds between two packets of each of so many connections."""
    return max(USED_EVERY, count // USED_PER_SECOND)


class OpenConnections:
    """Keeps TCP connections open within its context; the kernel sends packets on each of them.

    One process after the other opens some of them, and holds them: the system may not allow a
    process so many files.

    :param count: how many.
    """

    def __init__(
        self, source: VirtualMachine, destination: VirtualMachine, port: int, count: int
    ) -> None:
        self._ends = source, destination, port
        self._count, self._used_every = count, used_every(count)
        self._holders: list[tuple[BaseProcess, Connection]] = []

    def __enter__(self) -> Self:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        each = (most - SPARE_FILES) // 2
        try:
            for begin in range(0, self._count, each):
                self._open(min(each, self._count - begin))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        for _, pipe in self._holders:
            pipe.close()
        for process, _ in self._holders:
            process.join()

    def _open(self, count: int) -> None:
        pipe, held = multiprocessing.Pipe()
        others = [other for _, other in self._holders]
        process = _CONTEXT.Process(
            target=_hold,
            args=(_Share(*self._ends, count, self._used_every), held, [pipe, *others]),
            daemon=True,
        )
        process.start()
        held.close()
        self._holders.append((process, pipe))
        try:
            problem = pipe.recv()
        except EOFError:
            problem = "the process that held the open connections has ended"
        if problem:
            raise BenchError(problem)


def _hold(share: "_Share", pipe: Connection, others: Sequence[Connection]) -> None:
    """Open connections, say so, and hold them until the other end of the pipe is closed.

    :param others: ends of pipes that this process has inherited, and that would stay open in it.
    """
    for other in others:
        other.close()
    try:
        share.open()
    except (BenchError, OSError) as error:
        pipe.send(str(error))
        return
    pipe.send("")
    with contextlib.suppress(EOFError):
        pipe.recv()


class _Share:
    """The connections of one process."""

    def __init__(
        self,
        source: VirtualMachine,
        destination: VirtualMachine,
        port: int,
        count: int,
        used_every: int,
    ) -> None:
        self._source, self._destination = source, destination
        self._port, self._count, self._used_every = port, count, used_every
        self._open: list[socket.socket] = []

    def open(self) -> None:
        """Open the connections.

        :raises BenchError: one does not open.
        """
        _allow_files(2 * self._count + SPARE_FILES)
        listener = netns.open_socket(self._destination.namespace)
        with listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._destination.ip, self._port))
            listener.listen(BACKLOG)
            listener.setblocking(False)
            netns.call(self._source.namespace, lambda: self._connect(listener))

    def _connect(self, listener: socket.socket) -> None:
        """Open the connections. Runs in the source's namespace."""
        netns.run(
            self._source.namespace, "sysctl", "-qw", f"net.ipv4.ip_local_port_range={LOCAL_PORTS}"
        )
        with select.epoll() as poll:
            poll.register(listener, select.EPOLLIN)
            pending: dict[int, socket.socket] = {}
            clients = accepted = 0
            while clients < self._count or accepted < self._count:
                while len(pending) < AT_ONCE and clients + len(pending) < self._count:
                    client = _client((self._destination.ip, self._port), self._used_every)
                    self._open.append(client)
                    pending[client.fileno()] = client
                    poll.register(client, select.EPOLLOUT)
                ready = poll.poll(TIMEOUT)
                if not ready:
                    raise BenchError(f"only {clients} of {self._count} connections open")
                for number, _ in ready:
                    if number == listener.fileno():
                        accepted += self._accept(listener)
                        continue
                    client = pending.pop(number)
                    if error := client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                        raise BenchError(f"a connection does not open: error {error}")
                    poll.unregister(client)
                    clients += 1

    def _accept(self, listener: socket.socket) -> int:
        accepted = 0
        while True:
            try:
                self._open.append(listener.accept()[0])
            except BlockingIOError:
                return accepted
            accepted += 1


def _client(address: tuple[str, int], used_every: int) -> socket.socket:
    """A socket that connects, and whose kernel asks the peer for a sign of life regularly."""
    client = socket.socket()
    client.setblocking(False)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, used_every)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, used_every)
    client.connect_ex(address)
    return client


def _allow_files(count: int) -> None:
    """Allow this process so many open files, as far as the system does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
