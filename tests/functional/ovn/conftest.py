"""A real Northbound database, without the rest of OVN."""

import json
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from ovsdbapp.backend.ovs_idl.command import BaseCommand
from portchain_lab import ovn_toolchain
from portchain_lab.waiting import wait_for

from portchain import conf
from portchain.core.model import ChainSnapshot, PortPairGroup
from portchain.drivers.ovn import northbound
from portchain.drivers.ovn.rows import home_of
from tests.plans import ident
from tests.unit.dataplane.planning.test_planner import pair, snapshot

DEADLINE = 20
SINCE_26_03 = ("Network_Function", "Network_Function_Group")

Connect = Callable[..., northbound.Database]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Starts a Northbound database, or a Southbound one, and connects to it."""
    conf.register_server_opts(cfg.CONF)
    with tempfile.TemporaryDirectory(prefix="ovn-") as folder:
        servers: list[subprocess.Popen[bytes]] = []
        databases: list[northbound.Database] = []

        def start(
            which: str = "nb",
            *,
            old: bool = False,
            database: northbound.Database | None = None,
        ) -> northbound.Database:
            path = Path(folder, which)
            text = (ovn_toolchain.ROOT / f"usr/share/ovn/ovn-{which}.ovsschema").read_text()
            schema, file, place = (path.with_suffix(end) for end in (".schema", ".db", ".sock"))
            schema.write_text(json.dumps(_without(json.loads(text))) if old else text)
            ovn_toolchain.run("ovsdb-tool", "create", str(file), str(schema))
            argv = ovn_toolchain.command(
                "ovsdb-server", str(file), f"--remote=punix:{place}", "--unixctl=none"
            )
            servers.append(subprocess.Popen(argv, stderr=subprocess.DEVNULL))
            wait_for(lambda: _accepts(place), DEADLINE, "the database server")
            if database is None:
                database = northbound.northbound() if which == "nb" else northbound.southbound()
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


def _without(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as it was before OVN supported network functions."""
    tables = {name: table for name, table in schema["tables"].items() if name not in SINCE_26_03}
    acl = {**tables["ACL"]["columns"]}
    del acl["network_function_group"]
    return {**schema, "tables": {**tables, "ACL": {**tables["ACL"], "columns": acl}}}


class _Add(BaseCommand):
    """Adds rows: calls a function with another one that makes a row of a table."""

    def __init__(
        self, database: northbound.Database, add: Callable[[Callable[..., Any]], None]
    ) -> None:
        super().__init__(database)
        self._add = add

    def run_idl(self, txn: Any) -> None:
        def row(table: str, **columns: Any) -> Any:
            made = txn.insert(self.api.idl.tables[table])
            for name, value in columns.items():
                setattr(made, name, value)
            return made

        self._add(row)


def add(database: northbound.Database, what: Callable[[Callable[..., Any]], None]) -> None:
    database.run(_Add(database, what))


def add_port(database: northbound.Database, name: str, **external_ids: str) -> None:
    """Add a port to a switch: the database deletes ports that are on none."""

    def both(row: Callable[..., Any]) -> None:
        port = row("Logical_Switch_Port", name=ident(name), external_ids=external_ids)
        row("Logical_Switch", name="net", ports=[port])

    add(database, both)


def add_network(database: northbound.Database, *names: str, network: str = "net1") -> None:
    """Add a network's switch with ports, as ML2/OVN makes them."""
    switch = home_of(ident(network))
    marks = {"neutron:network_name": switch, "neutron:project_id": ident("project")}

    def all_of_it(row: Callable[..., Any]) -> None:
        ports = [
            row("Logical_Switch_Port", name=ident(name), external_ids=marks, up=True)
            for name in names
        ]
        row("Logical_Switch", name=switch, ports=ports)

    add(database, all_of_it)


def symmetric() -> ChainSnapshot:
    """A chain that OVN supports."""
    given = snapshot(symmetric=True)
    (classifier,) = given.chain.flow_classifiers
    chain = replace(given.chain, flow_classifiers=(replace(classifier, source_ports=None),))
    return replace(given, chain=chain)


def chain_through(
    function: str, name: str = "pc1", sources: Iterable[str] = ("src",)
) -> ChainSnapshot:
    """A chain of one function; its sources are bound by ML2/OVN."""
    given = symmetric()
    group = PortPairGroup(ident(f"pg-{name}"), ident("project"), 1, (pair(function),), f"PG-{name}")
    ids = tuple(ident(source) for source in sources)
    return replace(
        given,
        chain=replace(given.chain, id=ident(name), port_pair_groups=(group,)),
        ports={key: replace(port, mechanism="ovn") for key, port in given.ports.items()},
        sources={ident("fc1"): ids},
    )
