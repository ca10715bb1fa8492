"""Bridges of this host, reached by root with the tools of Open vSwitch, each with a time limit."""

import subprocess
from typing import Any

from portchain.host.bridge import OPENFLOW, appctl_argv, ofctl_argv


class LocalBridge:
    """A ``portchain.host.bridge.BridgeConnection`` that starts no daemon and needs no rootwrap.

    :param database: an ``ovsdbapp.schema.open_vswitch.api.API``.
    :param timeout: seconds that each command may take.
    """

    def __init__(self, database: Any, name: str, timeout: int) -> None:
        self.name = self.target = name
        self.database = database
        self._timeout = timeout

    def ofctl(
        self, command: str, *args: str, stdin: str | None = None, version: str = OPENFLOW
    ) -> str:
        """See ``BridgeConnection``. What changes flows is refused."""
        if not command.startswith("dump-") and command != "meter-features":
            raise ValueError(f"{command} might change bridge {self.name}")
        limit = f"--timeout={self._timeout}"
        return run(ofctl_argv(self.target, command, (limit, *args), version), self._timeout, stdin)

    def appctl(self, command: str, *args: str) -> str:
        """See ``BridgeConnection``."""
        return appctl(self._timeout, command, *args)


def appctl(timeout: int, command: str, *args: str) -> str:
    """Give this host's ovs-vswitchd a command that changes nothing; as ``BridgeConnection``."""
    return run(appctl_argv(command, *args), timeout)


def run(argv: list[str], timeout: int, stdin: str | None = None) -> str:
    """Run a tool, and return what it printed.

    :param timeout: seconds until it is killed.
    :raises RuntimeError: it failed or took too long; the text is its last line.
    """
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, check=False, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{argv[0]} has not answered within {timeout} s") from None
    except OSError as exc:
        raise RuntimeError(f"{argv[0]}: {exc.strerror}") from exc
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"{argv[0]} has failed"]
        raise RuntimeError(lines[-1])
    return done.stdout
