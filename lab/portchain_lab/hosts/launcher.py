"""Starts Python programs from a process that has imported their modules already.

Most of what Neutron's programs compute while they start is importing the same three thousand
modules. The launcher imports them once. Then it forks a process for each program, which runs that
program's own script, with its own arguments, environment, session and network namespace.

    python launcher.py SOCKET MODULE...

``launcher_client`` sends the requests. This file runs in the virtual environment of the lab's
software, which may lack this package: it imports only what comes with Neutron and those modules.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

import setproctitle

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_REC, MS_SLAVE, MNT_DETACH = 0x4000, 0x80000, 2
PR_SET_PDEATHSIG = 1
MAX_REQUEST = 128 * 1024
"""Bytes: a request holds command line and environment."""

GC_THRESHOLDS = (50_000, 20, 50)
"""Python's own thresholds make Neutron spend a quarter of its processor time on looking for cycles
among the half a million objects that its modules consist of."""

_libc = ctypes.CDLL(None, use_errno=True)


class _Launcher:
    """Forks a process for each request; reports its id, and its status when it ends."""

    def __init__(self, path: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        Path(path).unlink(missing_ok=True)  # of one that was killed
        self._listener.bind(path)
        self._listener.listen(64)
        self._clients: dict[int, socket.socket] = {}
        """Connections by the id of the process that was started."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._woken, wake = socket.socketpair()
        self._own = [self._listener, self._woken, wake]
        for sock in (self._woken, wake):
            sock.setblocking(False)
        signal.set_wakeup_fd(wake.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def serve(self) -> NoReturn:
        """Serve requests until this process is killed."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._woken.recv(4096)
                    self._reap()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        data, outputs, _, _ = socket.recv_fds(connection, MAX_REQUEST, 2)
        if not outputs:
            connection.close()
            return
        process = os.fork()
        if process == 0:
            self._become(json.loads(data), outputs, connection)
        for output in outputs:
            os.close(output)
        self._clients[process] = connection
        self._report(connection, process)

    def _reap(self) -> None:
        while self._clients:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            if connection := self._clients.pop(process, None):
                self._report(connection, os.waitstatus_to_exitcode(status))
                connection.close()

    @staticmethod
    def _report(connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):  # the other end only wanted to know the process id
            connection.send(str(number).encode())

    def _become(
        self, program: dict[str, Any], outputs: list[int], connection: socket.socket
    ) -> NoReturn:
        """Run a program in the forked process, and end as an interpreter of its own would."""
        self.close()
        connection.close()
        _redirect(outputs)
        _run(program)
        sys.exit()

    def close(self) -> None:
        """Undo in a forked process what serving requests needs."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for sock in (*self._own, *self._clients.values()):
            sock.close()


def _redirect(outputs: list[int]) -> None:
    """Replace the standard streams. Without a second output, the first is also for errors."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, outputs[0], outputs[-1])):
        os.dup2(descriptor, number)
    for descriptor in (nothing, *outputs):
        os.close(descriptor)


def _run(program: dict[str, Any]) -> None:
    """Run a program's script in this process, as a new interpreter would.

    :param program: see ``launcher_client.request``.
    """
    if program.get("session"):
        os.setsid()
    if namespace := program.get("namespace"):
        _enter(namespace)
    os.environ.clear()
    os.environ.update(program["env"])
    os.chdir(program.get("cwd", "/"))
    script, *arguments = program["argv"]
    sys.argv = [script, *arguments]
    _set_title([sys.executable, *sys.argv])
    if path := program.get("launcher"):
        _fork_launcher(path)
    runpy.run_path(script, run_name="__main__")


def _fork_launcher(path: str) -> None:
    """Fork a launcher for the programs that this program starts, in its session and namespace.

    The launcher dies with the program.
    """
    parent = os.getpid()
    launcher = _Launcher(path)
    if os.fork():
        launcher.close()
        return
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != parent:
        sys.exit()
    launcher.serve()


def _enter(namespace: str) -> None:
    """Enter a network namespace as ``ip netns exec`` does, with the /sys that belongs to it."""
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    _check(_libc.setns(descriptor, CLONE_NEWNET))
    os.close(descriptor)
    _check(_libc.unshare(CLONE_NEWNS))
    _check(_libc.mount(b"", b"/", b"none", MS_SLAVE | MS_REC, None))
    _libc.umount2(b"/sys", MNT_DETACH)
    _check(_libc.mount(namespace.encode(), b"/sys", b"sysfs", 0, None))


def _check(result: int) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _set_title(argv: list[str]) -> None:
    """Show the program's command line, not the launcher's, in process lists."""
    setproctitle.setproctitle(" ".join(argv))


def serve(path: str, modules: list[str]) -> NoReturn:
    """Import modules, then serve requests at a socket.

    :param modules: those that cannot be imported are left out: programs report that themselves.
    """
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # Only with the environment that this process was given does it find the title's place.
    setproctitle.getproctitle()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    _Launcher(path).serve()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2:])
