"""What an OVN cannot carry is read from its Northbound database: a real one, without the rest of OVN."""

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from ovsdbapp.backend.ovs_idl.command import BaseCommand

from portchain import conf
from portchain.drivers.ovn import checks, northbound
from portchain.drivers.ovn.compile import compile_chain
from portchain.drivers.ovn.errors import NoFreeFunctionId
from portchain.lab import newer
from portchain.lab.waiting import wait_for
from portchain.model import ChainSnapshot
from portchain.rules import Kind, Violation
from tests.plans import ident
from tests.unit.drivers.test_ovs_plan import snapshot

DEADLINE = 20
SINCE_26_03 = ("Network_Function", "Network_Function_Group")
GROUP = "0c1f6f7e-8b1c-4f53-9d86-0a6c5a1d1f6b"

Connect = Callable[..., northbound.Database]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Starts a Northbound database and connects to it."""
    conf.register_server_opts(cfg.CONF)
    schema = json.loads((newer.ROOT / "usr/share/ovn/ovn-nb.ovsschema").read_text())
    with tempfile.TemporaryDirectory(prefix="nb-") as folder:
        place = Path(folder)
        servers: list[subprocess.Popen[bytes]] = []

        def start(*, old: bool = False) -> northbound.Database:
            (place / "schema").write_text(json.dumps(_without(schema) if old else schema))
            newer.run("ovsdb-tool", "create", str(place / "nb.db"), str(place / "schema"))
            remote = f"--remote=punix:{place}/nb.sock"
            argv = newer.command("ovsdb-server", str(place / "nb.db"), remote, "--unixctl=none")
            servers.append(subprocess.Popen(argv, stderr=subprocess.DEVNULL))
            wait_for((place / "nb.sock").exists, DEADLINE, "the database server")
            database = northbound.northbound()
            monkeypatch.setattr(database, "_server", lambda: f"unix:{place}/nb.sock")
            database.connect()
            return database

        yield start
        for server in servers:
            server.kill()
            server.wait()


def _without(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as it was before OVN knew functions."""
    tables = {name: table for name, table in schema["tables"].items() if name not in SINCE_26_03}
    acl = {**tables["ACL"]["columns"]}
    del acl["network_function_group"]
    return {**schema, "tables": {**tables, "ACL": {**tables["ACL"], "columns": acl}}}


class _Add(BaseCommand):
    """Add rows: a function is called with what makes one of a table and columns."""

    def __init__(self, database: northbound.Database, add: Callable[[Callable[..., Any]], None]) -> None:  # fmt: skip
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
    """On a switch: OVN's database forgets ports that are on none."""

    def both(row: Callable[..., Any]) -> None:
        port = row("Logical_Switch_Port", name=ident(name), external_ids=external_ids)
        row("Logical_Switch", name="net", ports=[port])

    add(database, both)


def symmetric() -> ChainSnapshot:
    """A chain that OVN can carry."""
    given = snapshot(symmetric=True)
    (classifier,) = given.chain.flow_classifiers
    chain = replace(given.chain, flow_classifiers=(replace(classifier, source_ports=None),))
    return replace(given, chain=chain)


def check(database: northbound.Database) -> None:
    wanted = symmetric()
    checks.check_chain(database, wanted, compile_chain(wanted).rows)


def refusal(database: northbound.Database) -> str:
    with pytest.raises(Violation) as refused:
        check(database)
    assert refused.value.kind is Kind.UNSUPPORTED
    return str(refused.value)


def test_what_nothing_speaks_against_is_taken(connect: Connect) -> None:
    check(connect())


def test_an_ovn_that_knows_no_functions(connect: Connect) -> None:
    assert "26.03 or newer" in refusal(connect(old=True))


def test_more_functions_than_ovn_has_numbers_for(connect: Connect) -> None:
    database = connect()

    def nearly_all(row: Callable[..., Any]) -> None:
        ports = [row("Logical_Switch_Port", name=name) for name in ("one", "other")]
        row("Logical_Switch", name="net", ports=ports)
        for number in range(1, 255):
            ends = {"inport": ports[0], "outport": ports[1]}
            row("Network_Function", name=f"function{number}", id=number, **ends)

    add(database, nearly_all)
    with pytest.raises(NoFreeFunctionId) as full:
        check(database)
    assert "255 network functions and this chain needs 1 more" in str(full.value)


def test_a_source_whose_connections_nobody_tracks(connect: Connect) -> None:
    database = connect()

    def stateless(row: Callable[..., Any]) -> None:
        any_packet = {"direction": "from-lport", "priority": 1002, "match": "1"}
        acl = row("ACL", action="allow-stateless", **any_packet)
        row("Port_Group", name=f"pg_{GROUP.replace('-', '_')}", acls=[acl])

    add(database, stateless)
    add_port(database, "src", **{"neutron:security_group_ids": GROUP})
    message = refusal(database)
    assert "security group is stateless" in message
    assert ident("src") in message


def test_a_function_that_is_another_chains(connect: Connect) -> None:
    database = connect()
    add_port(database, "pp1-in", **{northbound.CHAIN: "another chain"})
    message = refusal(database)
    assert "another chain" in message
    assert "give this one a function of its own" in message
