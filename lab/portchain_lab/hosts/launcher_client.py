"""Asks a launcher to start a program.

    python launcher_client.py SOCKET PROGRAM ARGUMENT...

runs a program as a child of the launcher and ends as the program does. Without a launcher, it
becomes the program itself.

Each of an agent's privilege daemons starts by running this file, so it imports little.
"""

import json
import os
import socket
import sys


def request(path: str, *outputs: int, **program: object) -> socket.socket | None:
    """Ask the launcher at a socket to start a program.

    :param path: the launcher's socket.
    :param outputs: file descriptors for standard output and standard error, or one for both.
    :param program: ``argv`` and ``env``. Optional are ``cwd``, the network ``namespace``,
        ``session`` for a session of its own, and ``launcher``, the path of a socket at which the
        program gets a launcher of its own.
    :returns: a connection for ``receive``: the process id arrives at once, the exit status when the
        process ends. None if no launcher serves this socket.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        return None
    socket.send_fds(connection, [json.dumps(program).encode()], outputs)
    return connection


def receive(connection: socket.socket) -> int | None:
    """The next number that a launcher reports; None if the launcher has died."""
    answer = connection.recv(64)
    return int(answer) if answer else None


def exit_status(connection: socket.socket) -> int:
    """Wait until a program that was asked for has ended; its exit status, 1 if that is unknown."""
    receive(connection)
    status = receive(connection)
    return 1 if status is None else status


def main(path: str, argv: list[str]) -> None:
    """Run a program as a child of the launcher, and exit with its status."""
    connection = request(path, 1, 2, argv=argv, env=dict(os.environ), cwd=os.getcwd())  # noqa: PTH109
    if connection is None:
        os.execv(argv[0], argv)  # noqa: S606
    sys.exit(exit_status(connection))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
