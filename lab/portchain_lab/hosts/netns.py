"""Network namespaces: created with ip(8), entered by threads.

A socket stays in the namespace of the thread that opened it. So one process can hold sockets in
many namespaces: a short-lived thread enters the namespace, opens the socket and returns it.
"""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from portchain_lab.errors import LabError

T = TypeVar("T")

NETNS_DIR = Path("/run/netns")
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def ip(*lines: str, namespace: str | None = None, force: bool = False) -> None:
    """Run ip(8) commands, all in one process per address family.

    :param lines: commands without the leading ``ip``. Those that need ``-6`` begin with it, and
        run after the others.
    :param force: continue after a command that fails, for deleting what may be gone already.
    :raises LabError: a command fails; the message holds its output.
    """
    argv = ["ip", *(["-n", namespace] if namespace else []), *(["-force"] if force else [])]
    # ip(8) selects the address family for a whole batch, not for a line of it.
    _batch(argv, [line for line in lines if not line.startswith(_IPV6)], force)
    _batch(
        [*argv, "-6"], [line.removeprefix(_IPV6) for line in lines if line.startswith(_IPV6)], force
    )


_IPV6 = "-6 "


def _batch(argv: list[str], lines: list[str], force: bool) -> None:
    if not lines:
        return
    done = subprocess.run(
        [*argv, "-batch", "-"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 and not force:
        msg = f"{' '.join(argv)}: {done.stderr.strip()} in:\n" + "\n".join(lines)
        raise LabError(msg)


def exists(namespace: str) -> bool:
    """Return whether the namespace exists."""
    return (NETNS_DIR / namespace).exists()


def with_prefix(prefix: str) -> list[str]:
    """Names of the namespaces that begin with ``prefix``."""
    if not NETNS_DIR.is_dir():
        return []
    return sorted(entry.name for entry in NETNS_DIR.iterdir() if entry.name.startswith(prefix))


def create(namespaces: Iterable[str]) -> None:
    """Create namespaces, each with its loopback interface up."""
    names = list(namespaces)
    ip(*(f"netns add {name}" for name in names))
    for name in names:
        ip("link set lo up", namespace=name)


def delete(namespaces: Iterable[str]) -> None:
    """Delete namespaces and with them their interfaces. Skips those that do not exist."""
    ip(*(f"netns del {name}" for name in namespaces if exists(name)), force=True)


def pids(namespace: str) -> list[int]:
    """Ids of the processes in the namespace."""
    if not exists(namespace):
        return []
    done = subprocess.run(
        ["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False
    )
    return [int(line) for line in done.stdout.split()]


def command(namespace: str, argv: Sequence[str]) -> list[str]:
    """The command line that runs ``argv`` in the namespace, without forking."""
    return ["ip", "netns", "exec", namespace, *argv]


def run(namespace: str, *argv: str) -> str:
    """Run a command in the namespace and return what it printed.

    :raises LabError: it fails; the message holds its output.
    """
    done = subprocess.run(command(namespace, argv), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        msg = f"{' '.join(argv)} in {namespace}: {(done.stderr or done.stdout).strip()}"
        raise LabError(msg)
    return done.stdout


def enter(namespace: str) -> None:
    """Move the calling thread into the namespace. It cannot return: use a short-lived thread."""
    fd = os.open(NETNS_DIR / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), namespace)
    finally:
        os.close(fd)


def call(namespace: str, function: Callable[[], T]) -> T:
    """Call ``function`` inside the namespace, in a thread; passes its result or exception on."""
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            enter(namespace)
            results.append(function())
        except BaseException as error:  # raised in the caller's thread, below
            errors.append(error)

    thread = threading.Thread(target=body, name=f"in-{namespace}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def open_socket(
    namespace: str,
    family: int = socket.AF_INET,
    kind: int = socket.SOCK_STREAM,
    protocol: int = 0,
) -> socket.socket:
    """Open a socket in the namespace. Any thread can use it."""
    return call(namespace, lambda: socket.socket(family, kind, protocol))
