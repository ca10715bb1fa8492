"""Runs commands for clients outside of the virtual machine, one connection for each.

    python -m portchain_lab.machine.server ADDRESS PORT

``client`` is the other end. Both send frames: a letter, a length, and so many bytes.
"""

import fcntl
import json
import os
import pty
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from typing import Any

HEADER = struct.Struct("!cI")
COMMAND, INPUT, END_OF_INPUT, OUTPUT, ERRORS, EXIT = b"c", b"i", b"e", b"o", b"r", b"x"
_CHUNK = 65536


class Frames:
    """Sends and receives frames at a socket. Several threads can send."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._file = sock.makefile("rb")
        self._lock = threading.Lock()

    def send(self, kind: bytes, data: bytes = b"") -> None:
        """Send a frame.

        :raises OSError: the other end is gone.
        """
        with self._lock:
            self._socket.sendall(HEADER.pack(kind, len(data)) + data)

    def receive(self) -> tuple[bytes, bytes] | None:
        """The next frame, as its letter and its bytes; None when the other end is gone."""
        try:
            head = self._file.read(HEADER.size)
            if len(head) < HEADER.size:
                return None
            kind, length = HEADER.unpack(head)
            return kind, self._file.read(length)
        except OSError:
            return None

    def relay(self, descriptor: int, kind: bytes) -> None:
        """Send what a file descriptor yields, until its end."""
        while True:
            try:
                data = os.read(descriptor, _CHUNK)
            except OSError:  # of a terminal whose last process has ended
                return
            if not data:
                return
            self.send(kind, data)


class _Handler(socketserver.BaseRequestHandler):
    """Runs one command."""

    def handle(self) -> None:
        frames = Frames(self.request)
        asked = frames.receive()
        if asked is None:
            return
        wanted = json.loads(asked[1])
        if wanted["terminal"]:
            child, ends = _start_on_terminal(wanted)
        else:
            child, ends = _start(wanted)
        threading.Thread(target=_feed, args=(frames, child, ends[0]), daemon=True).start()
        outputs = [
            threading.Thread(target=frames.relay, args=(end, kind), daemon=True)
            for end, kind in zip(ends[1:], (OUTPUT, ERRORS), strict=False)
        ]
        for thread in outputs:
            thread.start()
        status = child.wait()
        for thread in outputs:
            thread.join(5)  # a program that goes on in the background may hold its end open
        frames.send(EXIT, str(status).encode())


def _start(wanted: dict[str, Any]) -> tuple["subprocess.Popen[bytes]", list[int]]:
    """Start a command with pipes; returns it with its input, output and errors."""
    child = _popen(wanted, subprocess.PIPE)
    streams = (child.stdin, child.stdout, child.stderr)
    return child, [stream.fileno() for stream in streams if stream]


def _start_on_terminal(wanted: dict[str, Any]) -> tuple["subprocess.Popen[bytes]", list[int]]:
    """Start a command on a terminal of its own, which is its input and output."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *wanted["terminal"], 0, 0))
    child = _popen(wanted, slave, preexec_fn=_take_terminal)
    os.close(slave)
    return child, [master, master]


def _popen(
    wanted: dict[str, Any], streams: int, preexec_fn: Callable[[], None] | None = None
) -> "subprocess.Popen[bytes]":
    """Start a command in a session of its own.

    :param streams: its input, output and errors, as ``subprocess`` takes them.
    """
    return subprocess.Popen(
        wanted["argv"],
        env=os.environ | wanted["environment"],
        stdin=streams,
        stdout=streams,
        stderr=streams,
        start_new_session=True,
        preexec_fn=preexec_fn,  # noqa: PLW1509  # nothing here holds a lock of a thread
    )


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _feed(frames: Frames, child: "subprocess.Popen[bytes]", descriptor: int) -> None:
    """Pass input on. End the command when the client is gone."""
    while (frame := frames.receive()) is not None:
        kind, data = frame
        try:
            if kind == INPUT:
                os.write(descriptor, data)
            elif kind == END_OF_INPUT and child.stdin:
                child.stdin.close()
        except OSError:  # the command reads no more
            continue
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGTERM)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main(address: str, port: int) -> None:
    """Serve until the machine is switched off."""
    with _Server((address, port), _Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
