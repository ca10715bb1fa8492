"""The rows of gates and guards, on a real Northbound database."""

import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from oslo_config import cfg
from ovs.db import idl

from portchain.conf import GROUP
from portchain.core.model import ChainSnapshot
from portchain.dataplane.gates import gate_mac, gate_name
from portchain.drivers.ovn import northbound, rows
from portchain.drivers.ovn.northbound import RemoveChains, Wanted, WriteChains
from portchain.drivers.ovn.rows import NOTHING, ChainRows, Phase, rows_of
from portchain.ovsdb.ovn import Database, Unreachable
from tests.functional.ovn.conftest import Connect, add, add_network
from tests.plans import ident
from tests.unit.dataplane.planning.test_planner import snapshot

PORTS = ("src", "src2", "dst", *(f"pp{n}-{side}" for n in (1, 2, 3) for side in ("in", "out")))
FUNCTIONS = ("pp1-out", "pp2-out", "pp3-out")


@pytest.fixture
def database(connect: Connect) -> Database:
    made = northbound.open_database()
    connect(database=made)
    add_network(made, *PORTS)
    return made


def write(
    database: Database,
    rows_wanted: ChainRows,
    *,
    chain: str = "pc1",
    revision: int = 1,
    phase: Phase = Phase.COMPLETE,
) -> None:
    wanted = Wanted(ident(chain), revision, phase, rows_wanted)
    database.run(WriteChains(database, [wanted]))


def named(text: str) -> str:
    """The name of a port in an id or in a gate's name."""
    return {name_of(ident(name)): name for name in PORTS for name_of in (str, gate_name)}[text]


def gates(database: Database) -> dict[str, Any]:
    """Name of the port -> its gate, of all gates on the network's switch."""
    (switch,) = database.rows("Logical_Switch")
    prefix = gate_name("")
    return {named(row.name): row for row in switch.ports if row.name.startswith(prefix)}


def guards(database: Database, chain: str = "pc1") -> dict[str, set[str]]:
    """What a guard drops -> the ports."""
    found = database.named_from("Port_Group", rows.guard_prefix(ident(chain)))
    return {
        acl.match.removeprefix(f"inport == @{row.name} && "): {named(p.name) for p in row.ports}
        for row in found
        for acl in row.acls
        if acl.action == "drop"
    }


def passing(database: Database, chain: str = "pc1") -> list[list[str]]:
    """The addresses to which each guard lets packets of a chain pass."""
    found = database.named_from("Address_Set", rows.guard_prefix(ident(chain)))
    return [row.addresses for row in found]


def content(database: Database) -> list[str]:
    """All that the database holds, without the ids of rows."""
    tables = ("Logical_Switch", "Logical_Switch_Port", "Port_Group", "Address_Set", "ACL")
    return sorted(
        f"{table} {[(name, plain(getattr(row, name))) for name in sorted(row._table.columns)]}"
        for table in tables
        for row in database.rows(table)
    )


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return sorted(
            getattr(item, "name", None) or getattr(item, "match", str(item)) for item in value
        )
    return value


def with_sources(given: ChainSnapshot, *names: str) -> ChainSnapshot:
    ports = dict(given.ports)
    for name in names:
        ports[ident(name)] = replace(ports[ident("src")], id=ident(name))
    return replace(given, ports=ports, sources={ident("fc1"): tuple(map(ident, names))})


def test_a_chain_gets_gates_and_guards(database: Database) -> None:
    write(database, rows_of(snapshot()))
    found = gates(database)
    assert found.keys() == {"src", *FUNCTIONS}
    for name, row in found.items():
        assert row.addresses == [gate_mac(ident(name))]
        assert row.port_security == []
    (group,) = (row for row in database.rows("Port_Group") if row.name == rows.GATES)
    assert {named(row.name) for row in group.ports} == found.keys()
    assert {(acl.direction, acl.match, acl.action) for acl in group.acls} == {
        ("from-lport", "inport == @pc_gates", "allow-stateless"),
        ("to-lport", "outport == @pc_gates", "allow-stateless"),
    }
    ((match, ports),) = guards(database).items()
    assert ports == {"src"}
    assert match == (
        "ip4 && !eth.mcast && tcp && (ip.is_frag || (tcp.src == 23 && tcp.dst == 100)) && "
        "ip4.src == 10.0.0.0/28 && ip4.dst == 10.0.0.20/32"
    )


def test_the_same_again_writes_nothing(database: Database) -> None:
    write(database, rows_of(snapshot()))
    before = content(database)
    seen: list[Any] = []
    database._note = seen.append
    write(database, rows_of(snapshot()))
    assert content(database) == before
    assert seen == []


def test_while_a_chain_changes_nothing_is_taken_from_it(database: Database) -> None:
    write(database, rows_of(with_sources(snapshot(), "src")))
    later = rows_of(with_sources(snapshot(), "src2"))
    write(database, later, revision=2, phase=Phase.CHANGING)
    assert gates(database).keys() == {"src", "src2", *FUNCTIONS}
    assert list(guards(database).values()) == [set()]
    assert passing(database) == [[]]
    write(database, later, revision=2)
    assert passing(database) == [[gate_mac(ident("src2"))]]
    assert gates(database).keys() == {"src2", *FUNCTIONS}
    assert list(guards(database).values()) == [{"src2"}]


def test_a_new_chain_drops_nothing_until_its_hosts_have_it(database: Database) -> None:
    write(database, rows_of(snapshot()), phase=Phase.CHANGING)
    assert gates(database).keys() == {"src", *FUNCTIONS}
    assert guards(database) == {}


def test_an_earlier_revision_changes_nothing(database: Database) -> None:
    write(database, rows_of(snapshot()), revision=2)
    before = content(database)
    write(database, NOTHING, revision=1)
    write(database, NOTHING, revision=2, phase=Phase.CHANGING)
    assert content(database) == before


def test_a_deleted_chain_drops_nothing_and_keeps_its_gates_for_a_while(database: Database) -> None:
    empty = content(database)
    write(database, rows_of(snapshot()))
    write(database, NOTHING, phase=Phase.REMOVED)
    assert guards(database) == {}
    assert gates(database).keys() == {"src", *FUNCTIONS}
    write(database, rows_of(snapshot()))
    assert guards(database) == {}, "a late call for the deleted chain"
    database.run(RemoveChains(database, [ident("pc1")]))
    left = [row for row in content(database) if rows.GATES not in row]
    assert left == empty


def test_chains_share_gates(database: Database) -> None:
    write(database, rows_of(snapshot()))
    write(database, rows_of(snapshot()), chain="pc2")
    database.run(RemoveChains(database, [ident("pc1")]))
    assert gates(database).keys() == {"src", *FUNCTIONS}
    database.run(RemoveChains(database, [ident("pc2")]))
    assert gates(database) == {}


def test_what_others_change_is_repaired(database: Database) -> None:
    write(database, rows_of(snapshot()))
    before = content(database)

    def damage(_row: Any) -> None:
        for row in database.rows("ACL"):
            row.match = "ip"
        (switch,) = database.rows("Logical_Switch")
        for row in gates(database).values():
            row.addresses = ["unknown"]
            row.port_security = ["02:00:00:00:00:01"]
        for row in database.rows("Port_Group"):
            row.ports = []
        for row in database.rows("Address_Set"):
            row.addresses = []
        switch.delvalue("ports", gates(database)["src"])

    add(database, damage)
    assert content(database) != before
    write(database, rows_of(snapshot()))
    assert content(database) == before


def test_a_network_that_ovn_does_not_know_yet_is_no_failure(database: Database) -> None:
    given = snapshot(src={"network_id": ident("net2")})
    write(database, rows_of(given))
    assert gates(database).keys() == set(FUNCTIONS)
    add_network(database, network="net2")
    write(database, rows_of(given))
    assert database.named("Logical_Switch_Port", gate_name(ident("src"))) is not None


def test_anchors_say_what_was_written(database: Database) -> None:
    assert northbound.anchors(database) == []
    write(database, rows_of(snapshot()), revision=7, phase=Phase.CHANGING)
    (found,) = northbound.anchors(database)
    assert found == northbound.Anchor(ident("pc1"), 7, Phase.CHANGING)


def test_a_network_and_the_group_of_gates_are_read_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have as many ports as the cloud: 800 gates took longer than ``ovn_timeout``."""
    write(database, rows_of(snapshot()))
    read: Counter[str] = Counter()
    get = idl.Row.__getattr__

    def counting(row: Any, column: str) -> Any:
        if column == "ports":
            read[row.name] += 1
        return get(row, column)

    monkeypatch.setattr(idl.Row, "__getattr__", counting)
    write(database, rows_of(snapshot()))
    assert read[rows.switch_name(ident("net1"))] == read[rows.GATES] == 1


def test_a_request_reads_no_gates_of_other_chains(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(database, rows_of(snapshot()))
    asked: list[str] = []
    find = database.named_from
    monkeypatch.setattr(
        database, "named_from", lambda table, start: asked.append(start) or find(table, start)
    )
    write(database, rows_of(snapshot()), revision=2, phase=Phase.CHANGING)
    write(database, NOTHING, revision=2, phase=Phase.REMOVED)
    assert asked
    assert gate_name("") not in asked


def test_a_repair_does_not_undo_what_another_server_writes_meanwhile(database: Database) -> None:
    """A guard would drop what no longer enters the chain, for as long as its hosts need."""
    write(database, rows_of(snapshot()))

    def damage(_row: Any) -> None:
        for row in database.named_from("Port_Group", rows.guard_prefix(ident("pc1"))):
            row.delete()

    add(database, damage)
    other = northbound.open_database()
    other._server = database._server  # type: ignore[method-assign]
    other.connect()

    class Late(WriteChains):
        """Commits after another server has."""

        def run_idl(self, txn: Any) -> None:
            super().run_idl(txn)
            write(other, NOTHING, phase=Phase.REMOVED)

    try:
        database.run(Late(database, [Wanted(ident("pc1"), 1, Phase.COMPLETE, rows_of(snapshot()))]))
    finally:
        other.close()
    assert guards(database) == {}


def test_a_late_answer_is_reported_in_a_sentence(database: Database) -> None:
    """The chain's owner sees the error, in ``status_reason``."""

    class Slow(WriteChains):
        def run_idl(self, txn: Any) -> None:
            time.sleep(1.5)

    cfg.CONF.set_override("ovn_timeout", 1, GROUP)
    try:
        with pytest.raises(Unreachable) as caught:
            database.run(Slow(database, []))
    finally:
        cfg.CONF.clear_override("ovn_timeout", GROUP)
    assert str(caught.value) == (
        f"The driver ovn cannot reach the database OVN_Northbound at {database._server()}: "
        "no answer within 1 seconds."
    )
