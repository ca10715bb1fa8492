"""Real databases of OVN, without the rest of OVN."""

import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from ovsdbapp.backend.ovs_idl.command import BaseCommand
from portchain_lab import ovn_toolchain
from portchain_lab.waiting import wait_for

from portchain import conf
from portchain.drivers.ovn import northbound, rows
from portchain.ovsdb.ovn import Database
from tests.plans import ident

DEADLINE = 20

Connect = Callable[..., Database]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Starts a Northbound database, or a Southbound one, and connects to it."""
    conf.register_server_opts(cfg.CONF)
    with tempfile.TemporaryDirectory(prefix="ovn-") as folder:
        servers: list[subprocess.Popen[bytes]] = []
        databases: list[Database] = []

        def start(which: str = "nb", database: Database | None = None) -> Database:
            """Start a server.

            :param which: ``nb`` or ``sb``.
            :param database: connects to it instead of a new one for the Northbound.
            """
            file, place = (Path(folder, f"{which}.{end}") for end in ("db", "sock"))
            schema = ovn_toolchain.OVN_ROOT / f"usr/share/ovn/ovn-{which}.ovsschema"
            ovn_toolchain.run("ovsdb-tool", "create", str(file), str(schema))
            argv = ovn_toolchain.command(
                "ovsdb-server", str(file), f"--remote=punix:{place}", "--unixctl=none"
            )
            servers.append(subprocess.Popen(argv, stderr=subprocess.DEVNULL))
            wait_for(lambda: _accepts(place), DEADLINE, "the database server")
            database = database or northbound.open_database()
            monkeypatch.setattr(database, "_server", lambda: f"unix:{place}")
            database.connect()
            databases.append(database)
            return database

        yield start
        # Otherwise their threads would look for the servers during the next tests.
        for database in databases:
            database.close()
        for server in servers:
            server.kill()
            server.wait()


def _accepts(place: Path) -> bool:
    """Whether a server accepts connections; its socket exists a moment before that."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(place)) == 0


class _Add(BaseCommand):
    """Adds rows: calls a function with another one that makes a row of a table."""

    def __init__(self, database: Database, add: Callable[[Callable[..., Any]], None]) -> None:
        super().__init__(database)
        self._add = add

    def run_idl(self, txn: Any) -> None:
        def row(table: str, **columns: Any) -> Any:
            made = txn.insert(self.api.idl.tables[table])
            for name, value in columns.items():
                setattr(made, name, value)
            return made

        self._add(row)


def add(database: Database, what: Callable[[Callable[..., Any]], None]) -> None:
    database.run(_Add(database, what))


def add_network(database: Database, *names: str, network: str = "net1") -> None:
    """Add a network's switch with ports, as ML2/OVN makes them."""

    def all_of_it(row: Callable[..., Any]) -> None:
        ports = [row("Logical_Switch_Port", name=ident(name), up=True) for name in names]
        row("Logical_Switch", name=rows.switch_name(ident(network)), ports=ports)

    add(database, all_of_it)
