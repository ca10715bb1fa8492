"""Has commands run in the virtual machine, with this process's terminal, input and output."""

import json
import os
import shutil
import socket
import sys
import termios
import threading
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from portchain_lab.machine.server import (
    COMMAND,
    END_OF_INPUT,
    ERRORS,
    EXIT,
    INPUT,
    OUTPUT,
    Frames,
)

_STREAMS = {OUTPUT: 1, ERRORS: 2}


def run(sock: socket.socket, argv: Sequence[str]) -> int:
    """Run a command in the machine, as if it ran here.

    :param sock: a connection to the server in the machine; it is closed.
    :returns: the command's exit status; 1 if the machine ends before it.
    """
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    size = shutil.get_terminal_size((200, 50))
    wanted = {
        "argv": list(argv),
        "terminal": [size.lines, size.columns] if on_terminal else None,
        "environment": {"TERM": os.environ.get("TERM", "dumb"), "COLUMNS": str(size.columns)},
    }
    with sock, _raw_terminal() if on_terminal else _as_it_is():
        frames = Frames(sock)
        frames.send(COMMAND, json.dumps(wanted).encode())
        threading.Thread(target=_send_input, args=(frames,), daemon=True).start()
        while (frame := frames.receive()) is not None:
            kind, data = frame
            if kind == EXIT:
                return int(data) % 256
            _write(_STREAMS[kind], data)
    return 1


def _send_input(frames: Frames) -> None:
    try:
        frames.relay(0, INPUT)
        frames.send(END_OF_INPUT)
    except OSError:  # the command has ended
        return


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@contextmanager
def _raw_terminal() -> Iterator[None]:
    """Pass every key on, Ctrl-C included."""
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield
