"""Traces in a copy of a host's switch.

Open vSwitch traces packets when it is asked at a socket of its host, which a controller does not
reach. It does reach ports, by OVSDB, and flows, by OpenFlow. It gives them to an ovs-vswitchd of
its own, whose ports exist nowhere (type "dummy") and which needs no privileges, and asks that one
(docs/decisions/0078).
"""

import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from portchain.host.bridge import (
    OPENFLOW,
    OPENFLOW_FOR_FLOODING,
    BridgeConnection,
    UnreachableSwitchError,
    appctl_argv,
    ofctl_argv,
    read_port_rows,
)
from portchain.host.flood_control import FloodControl

_MOST_COPIES = 2
_WAIT_SECONDS = 5.0
_TOOL_SECONDS = 10
_FREE = threading.BoundedSemaphore(_MOST_COPIES)
_NEEDED = (
    "a portchain-controller programs this host over the network, and traces packets in a copy of "
    "its switch: install Open vSwitch (ovs-vswitchd and ovsdb-server) where the controller runs"
)
_BUSY = f"the controller traces {_MOST_COPIES} other packets at the moment"
_DAEMONS = ("ovs-vswitchd", "ovsdb-server")
_METER = re.compile(r"meter:\d+,?")
_PATCH = "patch"


@dataclass(frozen=True, slots=True)
class CopiedPort:
    """A port of a bridge.

    :param peer: name of the patch port that it leads to; empty if it is no patch port.
    :param tag: VLAN of an access port; None for a trunk.
    """

    name: str
    ofport: int
    peer: str = ""
    tag: int | None = None


@dataclass(frozen=True, slots=True)
class CopiedBridge:
    """What of a bridge decides where packets go.

    :param flows: as ``ovs-ofctl add-flows`` reads them.
    :param no_flood: OpenFlow ports that packets are not flooded to.
    """

    name: str
    ports: tuple[CopiedPort, ...]
    flows: str
    no_flood: frozenset[int] = frozenset()


def read_bridge(bridge: BridgeConnection) -> CopiedBridge:
    """Read a bridge.

    :raises Exception: of ovsdbapp, if the database does not answer; RuntimeError if the switch does
        not.
    """
    tags = {row["name"]: row["tag"] for row in read_port_rows(bridge, "Port", ("name", "tag"))}
    ports = tuple(
        CopiedPort(
            row["name"],
            row["ofport"],
            row["options"].get("peer", "") if row["type"] == _PATCH else "",
            tags[row["name"]] if isinstance(tags[row["name"]], int) else None,
        )
        for row in read_port_rows(bridge, "Interface", ("name", "type", "ofport", "options"))
        if isinstance(row["ofport"], int) and row["ofport"] > 0
    )
    flows = as_added(bridge.ofctl("dump-flows", "--no-stats"))
    return CopiedBridge(bridge.name, ports, flows, FloodControl(bridge).excluded_ofports())


def as_added(dump: str) -> str:
    """Return flows as they are added, from what ``dump-flows`` prints.

    Meters are left out: they limit how many packets pass, not where one goes.
    """
    lines = (line.strip() for line in dump.splitlines() if "actions=" in line)
    flows = []
    for line in lines:
        match, _, actions = line.partition("actions=")
        flows.append(f"{match}actions={_METER.sub('', actions) or 'drop'}")
    return "".join(f"{flow}\n" for flow in flows)


@contextmanager
def copied(bridges: Iterable[BridgeConnection]) -> Iterator["SwitchCopy"]:
    """Run a copy of a switch until the context ends.

    :param bridges: all that the controller reaches.
    :raises UnreachableSwitchError: there is no Open vSwitch on this machine, or too many copies.
    :raises Exception: as ``read_bridge``; or the copy cannot be made.
    """
    read = [read_bridge(bridge) for bridge in bridges]
    if not _FREE.acquire(timeout=_WAIT_SECONDS):
        raise UnreachableSwitchError(_BUSY)
    try:
        # The two programs may still write while they are being ended.
        with tempfile.TemporaryDirectory(prefix="portchain-", ignore_cleanup_errors=True) as folder:
            copy = SwitchCopy(Path(folder))
            try:
                copy.start()
                copy.add(read)
                yield copy
            finally:
                copy.stop()
    finally:
        _FREE.release()


class SwitchCopy:
    """An ovs-vswitchd without ports of the machine; implements ``host.tracer.Tracing``.

    :param folder: an empty one, for its files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        kinds = ("RUN", "LOG", "DB")
        self._environment = os.environ | {f"OVS_{kind}DIR": str(folder) for kind in kinds}

    def start(self) -> None:
        """Start the database and the switch. Returns when both answer.

        :raises UnreachableSwitchError: they are not installed.
        """
        try:
            self._start()
        except FileNotFoundError as exc:
            raise UnreachableSwitchError(_NEEDED) from exc

    def _start(self) -> None:
        database = f"unix:{self._folder}/db.sock"
        self._run("ovsdb-tool", "create", f"{self._folder}/conf.db")
        server = ("ovsdb-server", f"{self._folder}/conf.db", f"--remote=p{database}")
        self._run(*server, *self._daemon("ovsdb-server"))
        # Without the system's datapath and routes, it is no matter what else runs here.
        alone = ("--enable-dummy", "--disable-system", "--disable-system-route")
        self._run("ovs-vswitchd", database, *alone, *self._daemon("ovs-vswitchd"))

    def _daemon(self, name: str) -> tuple[str, ...]:
        pid, log = f"{self._folder}/{name}.pid", f"{self._folder}/{name}.log"
        return "--detach", "--no-chdir", f"--pidfile={pid}", f"--log-file={log}", "-vconsole:off"

    def stop(self) -> None:
        """End both. Whatever has not been started is not there to be ended."""
        for name in _DAEMONS:
            with suppress(FileNotFoundError, ProcessLookupError, ValueError):
                os.kill(int((self._folder / f"{name}.pid").read_text()), signal.SIGKILL)

    def add(self, bridges: Iterable[CopiedBridge]) -> None:
        """Add bridges with their ports and flows.

        :raises RuntimeError: the switch refuses one, for example because it is of another release.
        """
        bridges = tuple(bridges)
        names = {port.name for bridge in bridges for port in bridge.ports}
        commands = [word for bridge in bridges for word in _bridge_words(bridge, names)]
        self._run("ovs-vsctl", f"--timeout={_TOOL_SECONDS}", "init", *commands)
        for bridge in bridges:
            self._ofctl(bridge.name, "add-flows", "--bundle", "-", stdin=bridge.flows)
            for number in bridge.no_flood:
                setting = (str(number), "no-flood")
                self._ofctl(bridge.name, "mod-port", *setting, version=OPENFLOW_FOR_FLOODING)

    def appctl(self, command: str, *args: str) -> str:
        """Give the copy a command; see ``Tracing``.

        :raises RuntimeError: it refuses or does not answer.
        """
        return self._run(*appctl_argv(command, *args))

    def dump_table(self, bridge: str, table: int) -> str:
        """Return the flows of a table; see ``Tracing``.

        :raises RuntimeError: the copy does not answer.
        """
        return self._ofctl(bridge, "dump-flows", "--no-stats", f"table={table}")

    def _ofctl(
        self, bridge: str, command: str, *args: str, stdin: str = "", version: str = OPENFLOW
    ) -> str:
        target = f"unix:{self._folder}/{bridge}.mgmt"
        return self._run(*ofctl_argv(target, command, args, version), stdin=stdin)

    def _run(self, *argv: str, stdin: str = "") -> str:
        done = subprocess.run(
            argv,
            input=stdin,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_TOOL_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv[:3])}: {done.stderr.strip() or done.returncode}")
        return done.stdout


def _bridge_words(bridge: CopiedBridge, names: set[str]) -> Iterator[str]:
    """Yield the words of ovs-vsctl that add a bridge and its ports.

    :param names: of all ports in the copy: those of other bridges are packets' ways out of it.
    """
    protocols = f"protocols={OPENFLOW_FOR_FLOODING},{OPENFLOW}"
    yield from ("--", "add-br", bridge.name, "--", "set", "bridge", bridge.name)
    yield from ("datapath_type=dummy", "fail_mode=secure", protocols)
    for port in bridge.ports:
        yield from ("--", "add-port", bridge.name, port.name)
        yield from () if port.tag is None else (f"tag={port.tag}",)
        yield from ("--", "set", "interface", port.name, f"ofport_request={port.ofport}")
        if port.peer in names:
            yield from (f"type={_PATCH}", f"options:peer={port.peer}")
        else:
            yield "type=dummy"
