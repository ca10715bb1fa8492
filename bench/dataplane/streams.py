"""Streams between two virtual machines: one TCP connection, or as many datagrams as possible."""

import socket
import threading
import time

from portchain_lab.hosts import netns

from bench.scene import Site

READY = 60.0
SMALL, LARGE = 18, 65536
"""Bytes of payload: for a frame of minimum size, and for one write to a socket."""


def throughput(site: Site, port: int, seconds: float) -> float:
    """Throughput of one TCP connection, in Mbit/s."""
    with (
        netns.open_socket(site.destination.namespace) as listener,
        netns.open_socket(site.source.namespace) as out,
    ):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((site.destination.ip, port))
        listener.listen()
        out.settimeout(READY)
        out.connect((site.destination.ip, port))
        with listener.accept()[0] as into:
            received = _Receiver(into)
            data, until = bytes(LARGE), time.monotonic() + seconds
            while time.monotonic() < until:
                out.sendall(data)
            out.shutdown(socket.SHUT_WR)
            return received.rate() * 8 / 1e6


def packets(site: Site, port: int, seconds: float) -> float:
    """Datagrams per second that arrive if as many as possible are sent."""
    with (
        netns.open_socket(site.destination.namespace, kind=socket.SOCK_DGRAM) as into,
        netns.open_socket(site.source.namespace, kind=socket.SOCK_DGRAM) as out,
    ):
        into.bind((site.destination.ip, port))
        into.settimeout(1.0)
        out.connect((site.destination.ip, port))
        received = _Receiver(into)
        data, until = bytes(SMALL), time.monotonic() + seconds
        while time.monotonic() < until:
            for _ in range(64):
                out.send(data)
        return received.rate() / SMALL


class _Receiver:
    """Counts the bytes that a socket receives until its peer stops."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._bytes = sock, 0
        self._began = self._ended = 0.0
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def rate(self) -> float:
        """Wait for the end; returns bytes per second between the first and the last arrival."""
        self._thread.join()
        return self._bytes / max(self._ended - self._began, 0.001)

    def _receive(self) -> None:
        try:
            while data := self._sock.recv(LARGE):
                self._ended = time.monotonic()
                self._began = self._began or self._ended
                self._bytes += len(data)
        except TimeoutError:
            return
