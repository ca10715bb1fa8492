"""Serves Horizon to browsers on this machine, from a process in the namespace of the servers.

    python horizon_server.py PORT-FILE STATIC-FOLDER...

Browsers do not reach the namespace, so the listening socket is one of the machine's own loopback
interface: a socket stays in the namespace in which it was opened. This file runs in Horizon's
virtual environment, which lacks this package: it imports only what is installed there.
"""

import contextlib
import ctypes
import os
import socket
import sys
import threading
from pathlib import Path

import waitress
from django.core.wsgi import get_wsgi_application
from whitenoise import WhiteNoise

MACHINE = "/proc/1/ns/net"
"""The network namespace of the machine, or of the container that this runs in."""
THREADS = 8
CLONE_NEWNET = 0x40000000


def main(arguments: list[str]) -> None:
    """Serve until the process is stopped.

    :param arguments: the file to which the port is written, and from which a server that starts
        again takes it; then the folders with static files.
    """
    port_file, *static = map(Path, arguments)
    listener = _listen(port_file)
    port_file.write_text(str(listener.getsockname()[1]))

    application = WhiteNoise(get_wsgi_application())
    for folder in static:
        application.add_files(str(folder), prefix="static/")
    waitress.serve(application, sockets=[listener], threads=THREADS, ident=None)


def _listen(port_file: Path) -> socket.socket:
    """Return a socket that listens at the port of before, or at a free one."""
    known = int(port_file.read_text()) if port_file.exists() else 0
    opened: list[socket.socket] = []

    def listen() -> None:
        _enter_machine()
        for port in (known, 0):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):  # of before, and taken since
                sock.bind(("127.0.0.1", port))
                sock.listen(64)
                opened.append(sock)
                return
            sock.close()

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    if not opened:
        sys.exit("no port of the loopback interface is free")
    return opened[0]


def _enter_machine() -> None:
    """Move the calling thread into the machine's own network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    namespace = os.open(MACHINE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(namespace, CLONE_NEWNET) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), MACHINE)
    finally:
        os.close(namespace)


if __name__ == "__main__":
    main(sys.argv[1:])
