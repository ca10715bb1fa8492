"""Serves Horizon to browsers on this machine, from a process in the namespace of the servers.

    python horizon_server.py NAMESPACE PORT-FILE STATIC-FOLDER...

Browsers do not reach the namespace, so this opens its listening socket before it enters the
namespace: a socket stays where it was opened. This file runs in Horizon's virtual environment,
which lacks this package: it imports only what is installed there.
"""

import contextlib
import ctypes
import os
import socket
import sys
from pathlib import Path

import waitress
from django.core.wsgi import get_wsgi_application
from whitenoise import WhiteNoise

LOOPBACK = "127.0.0.1"
THREADS = 8
CLONE_NEWNET = 0x40000000


def main(arguments: list[str]) -> None:
    """Serve until the process is stopped.

    :param arguments: the file of the namespace; the file to which the port is written, and from
        which a server that starts again takes it; then the folders with static files.
    """
    namespace, port_file, *static = map(Path, arguments)
    listener = _listen(int(port_file.read_text()) if port_file.exists() else 0)
    _enter(namespace)
    port_file.write_text(str(listener.getsockname()[1]))

    application = WhiteNoise(get_wsgi_application())
    for folder in static:
        application.add_files(str(folder), prefix="static/")
    waitress.serve(application, sockets=[listener], threads=THREADS, ident=None)


def _listen(known: int) -> socket.socket:
    """Return a socket that listens at a port if it is free, or at any that is.

    :raises OSError: none is.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with contextlib.suppress(OSError):  # somebody else has it meanwhile
        listener.bind((LOOPBACK, known))
        return listener
    listener.bind((LOOPBACK, 0))
    return listener


def _enter(namespace: Path) -> None:
    """Move this process, which has no other thread yet, into a network namespace.

    :raises OSError: the namespace is gone, or this is not root's process.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    file = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(file, CLONE_NEWNET) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(namespace))
    finally:
        os.close(file)


if __name__ == "__main__":
    main(sys.argv[1:])
