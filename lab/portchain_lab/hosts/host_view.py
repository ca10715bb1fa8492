"""Runs a program as on a machine of its own: with a host name, and with folders of its own.

    python host_view.py HOSTNAME FOLDER PLACE [FOLDER PLACE]... -- PROGRAM [ARGUMENT]...

The program, and all that it starts, see each FOLDER (or file) at its PLACE. Nobody else does. This
file runs as a script: it imports only what comes with Python.
"""

import ctypes
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

CLONE_NEWNS, CLONE_NEWUTS = 0x00020000, 0x04000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
LIBVIRT_FOLDERS = ("/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/run/libvirt")
"""Where libvirt has its files. It has no options for most of them."""

_libc = ctypes.CDLL(None, use_errno=True)


def command(
    python: str, name: str, mounts: Sequence[tuple[Path, Path]], argv: Sequence[str]
) -> tuple[str, ...]:
    """The command line of this script.

    :param python: the interpreter that runs it.
    :param name: the host's name.
    :param mounts: folders or files, each with where the program sees it.
    :param argv: the program's own command line.
    """
    pairs = [str(path) for mount in mounts for path in mount]
    return (python, "-I", "-S", __file__, name, *pairs, "--", *argv)


def run(name: str, paths: Sequence[str], argv: Sequence[str]) -> NoReturn:
    """Replace this process by the program.

    :param paths: folders or files, each followed by where the program sees it.
    """
    _check(_libc.unshare(CLONE_NEWNS | CLONE_NEWUTS))
    _check(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    socket.sethostname(name)
    for source, place in zip(paths[::2], paths[1::2], strict=True):
        if Path(source).is_dir():
            Path(place).mkdir(parents=True, exist_ok=True)
        _check(_libc.mount(source.encode(), place.encode(), None, MS_BIND, None))
    os.execvp(argv[0], list(argv))  # noqa: S606  # that is the purpose


def _check(result: int) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


if __name__ == "__main__":
    end = sys.argv.index("--")
    run(sys.argv[1], sys.argv[2:end], sys.argv[end + 1 :])
