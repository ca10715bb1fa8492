"""Functions that several chains share, on a real Northbound database."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from portchain_lab.waiting import wait_for

from portchain.core.model import VLAN, ChainSnapshot, HealthCheck
from portchain.core.rules import Violation
from portchain.drivers.ovn import carry, checks, northbound
from portchain.drivers.ovn.commands import HoldBack, SyncChain, removal
from portchain.drivers.ovn.compile import compile_chain
from portchain.drivers.ovn.errors import NoFreeTag, Taken
from portchain.drivers.ovn.health import Health
from portchain.drivers.ovn.northbound import CHAIN
from portchain.drivers.ovn.repair import Reassert, Repair
from portchain.drivers.ovn.rows import anchor_name, child_name
from tests.functional.ovn.conftest import DEADLINE, Connect, add, add_network, chain_through
from tests.plans import ident
from tests.unit.dataplane.planning.test_planner import pair

PP1 = pair("pp1")
ENDS = (PP1.ingress, PP1.egress)


def tagged(name: str, check: HealthCheck = HealthCheck.NONE) -> ChainSnapshot:
    """A chain through a function that keeps VLAN tags."""
    given = chain_through("pp1", name)
    (group,) = given.chain.port_pair_groups
    pairs = tuple(replace(one, correlation=VLAN) for one in group.port_pairs)
    group = replace(group, port_pairs=pairs, health_check=check)
    return replace(given, chain=replace(given.chain, port_pair_groups=(group,)))


@pytest.fixture
def database(connect: Connect) -> northbound.Database:
    made = connect()
    add(made, lambda row: row("NB_Global"))
    add_network(made, "src", "dst", "pp1-in", "pp1-out")
    return made


def write(database: northbound.Database, *chains: ChainSnapshot) -> None:
    for chain in chains:
        database.run(SyncChain(database, compile_chain(chain).rows))


def remove(database: northbound.Database, name: str) -> None:
    database.run(removal(database, ident(name)))


def port(database: northbound.Database, name: str) -> Any:
    return database.named("Logical_Switch_Port", name)


def columns(database: northbound.Database) -> dict[str, Any]:
    read = ("addresses", "port_security", "options", "external_ids")
    return {
        name: {column: getattr(port(database, name), column) for column in read} for name in ENDS
    }


def lose_marks(database: northbound.Database) -> None:
    def lose(row: Any) -> None:
        for end in ENDS:
            row = port(database, end)
            row.external_ids = {
                key: value for key, value in row.external_ids.items() if "neutron" in key
            }
            port(database, end).port_security = []

    add(database, lose)


def unplug(database: northbound.Database, name: str) -> None:
    """Delete a chain's child ports, as if it had none yet."""

    def lose(row: Any) -> None:
        for end in ENDS:
            child = port(database, child_name(ident(name), end))
            for switch in database.rows("Logical_Switch"):
                if child in switch.ports:
                    switch.delvalue("ports", child)
            child.delete()

    add(database, lose)


def tags(database: northbound.Database, names: Iterable[str]) -> list[int]:
    """The tags of chains' child ports at the function; both ends have the same tag."""
    found = []
    for name in names:
        both = {tuple(port(database, child_name(ident(name), end)).tag) for end in ENDS}
        ((tag,),) = both
        found.append(tag)
    return found


def test_chains_come_and_go_at_one_function(database: northbound.Database) -> None:
    before = columns(database)
    write(database, tagged("pc1"), tagged("pc2"))
    one, other = tags(database, ("pc1", "pc2"))
    assert one != other
    shut = columns(database)
    assert all(row["port_security"] for row in shut.values()), "nothing passes without a tag"
    assert all(row["addresses"] == before[name]["addresses"] for name, row in shut.items())
    switches = database.rows("Logical_Switch")
    (home,) = [row for row in switches if port(database, ENDS[0]) in row.ports]
    assert port(database, ENDS[1]) in home.ports

    write(database, tagged("pc1"), tagged("pc2"))
    assert columns(database) == shut
    assert tags(database, ("pc1", "pc2")) == [one, other]

    remove(database, "pc1")
    assert port(database, child_name(ident("pc1"), ENDS[0])) is None
    assert tags(database, ("pc2",)) == [other]
    assert all(row["port_security"] for row in columns(database).values())

    write(database, tagged("pc3"))
    (third,) = tags(database, ("pc3",))
    assert third not in (one, other), (
        "what is still in the function would come out in another chain"
    )
    for name in ("pc2", "pc3"):
        remove(database, name)
    assert columns(database) == before


def test_checks_have_tags_of_their_own(database: northbound.Database) -> None:
    chains = [tagged(name, HealthCheck.ICMP) for name in ("pc1", "pc2")]
    write(database, *chains)
    children = [row for row in database.rows("Logical_Switch_Port") if row.parent_name]
    at_one_end = [row.tag[0] for row in children if row.parent_name == [ENDS[0]]]
    assert len(set(at_one_end)) == len(at_one_end) == 4
    for check in database.rows("Network_Function"):
        if check.health_check:
            assert check.inport.tag == check.outport.tag
    kept = tags(database, ("pc1", "pc2"))
    write(database, tagged("pc1"))
    assert tags(database, ("pc1", "pc2")) == kept
    children = [row for row in database.rows("Logical_Switch_Port") if row.parent_name]
    assert len(children) == 6


def test_columns_that_neutron_wrote_are_saved_and_restored(database: northbound.Database) -> None:
    write(database, tagged("pc1"), tagged("pc2"))
    theirs = {"port_security": ["02:00:00:00:00:01 192.0.2.1"], "options": {"mcast_flood": "true"}}

    def rewrite(row: Any) -> None:
        for column, value in theirs.items():
            setattr(port(database, ENDS[0]), column, value)

    add(database, rewrite)
    database.run(Reassert(database, ENDS[0]))
    assert port(database, ENDS[0]).port_security != theirs["port_security"]
    assert port(database, ENDS[0]).options.items() > theirs["options"].items()
    for name in ("pc1", "pc2"):
        remove(database, name)
    assert {column: columns(database)[ENDS[0]][column] for column in theirs} == theirs


def test_lost_marks_are_restored(database: northbound.Database) -> None:
    """A process that deletes a port's row and creates it again does not know the chains."""
    write(database, tagged("pc1"), tagged("pc2"))
    lose_marks(database)
    kept = tags(database, ("pc1", "pc2"))
    write(database, tagged("pc3"), tagged("pc2"))
    (third,) = tags(database, ("pc3",))
    assert tags(database, ("pc1", "pc2")) == kept
    assert third not in kept
    for name in ("pc2", "pc3"):
        remove(database, name)
    assert all(row["port_security"] for row in columns(database).values()), "pc1 is there"


def test_processes_that_write_at_once_give_out_different_tags(
    database: northbound.Database,
) -> None:
    names = [f"pc{number}" for number in range(24)]
    # New chains would conflict over function numbers, too; so existing ones lose their children.
    write(database, *map(tagged, names))
    for name in names:
        unplug(database, name)
    others = [northbound.northbound() for _ in range(3)]
    for other in others:
        other._server = database._server
        other.connect()
    try:
        with ThreadPoolExecutor(4) as pool:
            writers = [database, *others]
            jobs = [
                pool.submit(write, writers[number % 4], tagged(name))
                for number, name in enumerate(names)
            ]
            for job in jobs:
                job.result()
    finally:
        for other in others:
            other.close()
    wait_for(lambda: len(set(tags(database, names))) == len(names), DEADLINE, "different tags")


@pytest.mark.parametrize("first_tagged", [True, False])
def test_a_function_is_either_tagged_or_in_one_chain(
    database: northbound.Database, first_tagged: bool
) -> None:
    def chain(name: str, by_tag: bool) -> ChainSnapshot:
        return tagged(name) if by_tag else chain_through("pp1", name)

    write(database, chain("pc1", first_tagged))
    second = chain("pc2", not first_tagged)
    with pytest.raises(Violation, match="correlation vlan"):
        checks.check_chain(database, second, compile_chain(second).rows)
    with pytest.raises(Taken):
        write(database, second)
    same = chain("pc2", first_tagged)
    if first_tagged:
        checks.check_chain(database, same, compile_chain(same).rows)
        write(database, same)
        # The first of several sharing projects does not own it either.
        turned = chain("pc1", False)
        with pytest.raises(Violation, match="correlation vlan"):
            checks.check_chain(database, turned, compile_chain(turned).rows)


@pytest.mark.parametrize("by_tag", [True, False])
def test_marks_that_neutron_writes_again_are_removed(
    database: northbound.Database, by_tag: bool
) -> None:
    """Neutron reads all marks of a port, and may write them back after their removal."""
    before = columns(database)
    write(database, tagged("pc1") if by_tag else chain_through("pp1"))
    marks = port(database, ENDS[0]).external_ids
    remove(database, "pc1")
    theirs = ["02:00:00:00:00:01 192.0.2.1"]

    def come_back(row: Any) -> None:
        port(database, ENDS[0]).external_ids = marks
        port(database, ENDS[0]).port_security = theirs

    add(database, come_back)
    database.run(Reassert(database, ENDS[0]))
    assert columns(database)[ENDS[0]] == before[ENDS[0]] | {"port_security": theirs}

    add(database, come_back)
    write(database, tagged("pc2"))
    remove(database, "pc2")
    assert columns(database)[ENDS[0]] == before[ENDS[0]] | {"port_security": theirs}


def test_a_function_without_free_tags(
    database: northbound.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portchain.drivers.ovn.tagged._HIGHEST", 2)
    write(database, tagged("pc1"), tagged("pc2"))
    given = tagged("pc3")
    with pytest.raises(NoFreeTag):
        carry.write(database, given, compile_chain(given))
    anchor: Any = database.named("Port_Group", anchor_name(ident("pc3")))
    assert {acl.action for acl in anchor.acls} == {"drop"}


def test_all_chains_at_a_port_are_examined_when_it_goes_down(database: northbound.Database) -> None:
    """Also after a restart, when the process first reads what others have written."""
    write(database, tagged("pc1"), tagged("pc2"))
    asked: list[Any] = []

    def chains(_context: Any, some: Any) -> Iterator[Any]:
        asked.append(some)
        return iter(())

    fresh = northbound.northbound()
    fresh._server = database._server
    repair = Repair(fresh, Health(fresh))
    try:
        repair.run(None, chains)
        assert asked == [None], "all"
        write(database, tagged("pc1"), tagged("pc2"))

        def goes_down(row: Any) -> None:
            port(database, ENDS[0]).up = False

        add(database, goes_down)
        wait_for(lambda: repair.run(None, chains) or len(asked) > 1, DEADLINE, "a second look")
    finally:
        fresh.close()
    assert asked[1] == {ident("pc1"), ident("pc2")}


def test_two_processes_that_remove_the_last_chains_open_the_ports(
    database: northbound.Database,
) -> None:
    before = columns(database)
    other = northbound.northbound()
    other._server = database._server
    other.connect()
    last = child_name(ident("pc2"), ENDS[1])
    try:
        for _ in range(10):
            write(database, tagged("pc1"), tagged("pc2"))
            wait_for(lambda: port(other, last) is not None, DEADLINE, "what the one wrote")
            with ThreadPoolExecutor(2) as pool:
                for job in [
                    pool.submit(remove, database, "pc1"),
                    pool.submit(remove, other, "pc2"),
                ]:
                    job.result()
            wait_for(lambda: port(database, last) is None, DEADLINE, "what the other removed")
            wait_for(lambda: columns(database) == before, DEADLINE, "ports as before")
    finally:
        other.close()


def test_marks_of_a_deleted_chain_leave_a_port_on_its_wire(
    database: northbound.Database,
) -> None:
    write(database, chain_through("pp1"))
    marks = port(database, ENDS[0]).external_ids
    remove(database, "pc1")
    write(database, chain_through("pp1", "pc2"))

    def come_back(row: Any) -> None:
        port(database, ENDS[0]).external_ids = marks
        port(database, ENDS[0]).port_security = ["02:00:00:00:00:01 192.0.2.1"]

    add(database, come_back)
    database.run(Reassert(database, ENDS[0]))
    assert port(database, ENDS[0]).port_security == []
    write(database, chain_through("pp1", "pc2"))
    assert port(database, ENDS[0]).external_ids[CHAIN] == ident("pc2")


@pytest.mark.parametrize("sync_first", [True, False])
def test_a_column_is_restored_although_neutron_wrote_the_same_value(
    database: northbound.Database, sync_first: bool
) -> None:
    """Without port security, Neutron writes the same value to a column as a chain does."""
    secured = {"addresses": ["02:00:00:00:00:01 192.0.2.1"], "port_security": ["02:00:00:00:00:01"]}
    without = {"addresses": ["02:00:00:00:00:01 192.0.2.1", "unknown"], "port_security": []}

    def rewrite(values: dict[str, list[str]]) -> None:
        def one(row: Any) -> None:
            for column, value in values.items():
                setattr(port(database, ENDS[0]), column, value)

        add(database, one)

    rewrite(secured)
    write(database, chain_through("pp1"))
    rewrite(without)
    if sync_first:
        write(database, chain_through("pp1"))
    remove(database, "pc1")
    assert {column: sorted(columns(database)[ENDS[0]][column]) for column in without} == without


@pytest.mark.parametrize("by_tag", [True, False])
def test_a_function_can_change_between_tagged_and_untagged(
    database: northbound.Database, by_tag: bool
) -> None:
    def checked(snapshot: ChainSnapshot) -> ChainSnapshot:
        (group,) = snapshot.chain.port_pair_groups
        group = replace(group, health_check=HealthCheck.ICMP)
        return replace(snapshot, chain=replace(snapshot.chain, port_pair_groups=(group,)))

    before = columns(database)
    ways = [checked(chain_through("pp1")), tagged("pc1", HealthCheck.ICMP)]
    first, second = reversed(ways) if by_tag else ways
    write(database, first, second, first)
    assert bool(port(database, child_name(ident("pc1"), ENDS[0]))) is by_tag
    remove(database, "pc1")
    assert columns(database) == before


def test_marks_of_a_deleted_chain_refuse_no_other(database: northbound.Database) -> None:
    write(database, chain_through("pp1"))
    marks = port(database, ENDS[0]).external_ids
    remove(database, "pc1")

    def come_back(row: Any) -> None:
        port(database, ENDS[0]).external_ids = marks

    add(database, come_back)
    for given in (tagged("pc2"), chain_through("pp1", "pc2")):
        checks.check_chain(database, given, compile_chain(given).rows)


def test_a_chain_that_was_written_meanwhile_is_not_dropped(database: northbound.Database) -> None:
    given = tagged("pc1")
    held = HoldBack(database, given)
    write(database, given)
    database.run(held)
    anchor: Any = database.named("Port_Group", anchor_name(ident("pc1")))
    assert {acl.action for acl in anchor.acls} == {"allow-related"}
