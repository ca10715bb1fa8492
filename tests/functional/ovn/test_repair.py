"""The rows of chains that cannot be realised, on a real Northbound database."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from portchain.core.model import ChainSnapshot, PortPairGroup
from portchain.db import realisation
from portchain.drivers.base import ChainsFailed, OwnChain, OwnChains
from portchain.drivers.ovn import carry, northbound
from portchain.drivers.ovn.commands import removal
from portchain.drivers.ovn.driver import OvnDriver
from portchain.drivers.ovn.errors import Unreachable
from portchain.drivers.ovn.health import Health
from portchain.drivers.ovn.repair import Repair
from portchain.drivers.ovn.rows import anchor_name, home_of
from tests.functional.ovn.conftest import Connect, add, add_network, chain_through
from tests.plans import ident
from tests.unit.dataplane.planning.test_planner import pair, port

EVERYBODY = ("src", "dst", *(f"pp{n}-{side}" for n in (1, 2, 3) for side in ("in", "out")))


@dataclass
class World:
    """A Northbound database with the ports of ``chain_through``, and the failures of chains."""

    database: northbound.Database
    failures: dict[str, str] = field(default_factory=dict)

    def write(self, snapshot: ChainSnapshot) -> None:
        carry.write(
            self.database, snapshot, carry.compiled(self.database, Health(self.database), snapshot)
        )

    def acls(self, name: str = "pc1") -> set[tuple[int, str, str]]:
        """Priority, action and match of each ACL of a chain, with names for ids."""
        anchor: Any = self.database.named("Port_Group", anchor_name(ident(name)))
        return {(acl.priority, acl.action, self._readable(acl.match)) for acl in anchor.acls}

    def _readable(self, text: str) -> str:
        for name in (*EVERYBODY, "src2", "pc1", "pc2"):
            text = text.replace(ident(name), name).replace(anchor_name(ident(name)), name)
        return text.partition(" && ip4")[0]

    def chains(self) -> set[str]:
        groups = self.database.rows("Port_Group")
        return {self._readable(f"@{row.name}").strip("@") for row in groups}

    def members(self, name: str = "pc1") -> set[str]:
        anchor: Any = self.database.named("Port_Group", anchor_name(ident(name)))
        return {self._readable(row.name) for row in anchor.ports}

    def finish_moves(self) -> None:
        """Increase the ports' revision numbers, as Neutron does when all of them have moved."""

        def note(_row: Any) -> None:
            for port_row in self.database.rows("Logical_Switch_Port"):
                marks = port_row.external_ids
                later = int(marks.get("neutron:revision_number", 0)) + 2
                port_row.external_ids = {**marks, "neutron:revision_number": str(later)}

        add(self.database, note)

    def switch_of(self, name: str) -> str:
        (switch,) = (
            row.name
            for row in self.database.rows("Logical_Switch")
            if ident(name) in {each.name for each in row.ports}
        )
        return str(switch)


@pytest.fixture
def world(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(connect())
    add_network(made.database, *EVERYBODY)

    def mark_failed(_context: Any, chain_ids: Iterable[str], reason: str) -> None:
        made.failures |= dict.fromkeys(chain_ids, reason)

    monkeypatch.setattr(realisation, "mark_failed", mark_failed)
    monkeypatch.setattr(realisation, "record_plan", lambda *_args, **_kwargs: True)
    return made


def these(*chains: OwnChain) -> OwnChains:
    def own(_context: Any, some: Any) -> Iterator[OwnChain]:
        return iter([one for one in chains if some is None or one.snapshot.chain.id in some])

    return own


def emptied(snapshot: ChainSnapshot) -> ChainSnapshot:
    """The same chain after its group lost its pairs."""
    (group,) = snapshot.chain.port_pair_groups
    chain = replace(snapshot.chain, port_pair_groups=(replace(group, port_pairs=()),))
    sources = {ident("src"): snapshot.ports[ident("src")]}
    return replace(snapshot, chain=chain, ports=sources)


def joined_by_another(snapshot: ChainSnapshot, network: str = "net2") -> ChainSnapshot:
    """The same chain after another port that it classifies came up on another network."""
    other = port("src2", "h1", "10.0.0.11", network_id=ident(network), mechanism="ovn")
    return replace(
        snapshot,
        ports={**snapshot.ports, other.id: other},
        sources={ident("fc1"): (ident("src"), other.id)},
    )


def assert_traffic_is_dropped(world: World) -> None:
    assert world.acls() == {(2000, "drop", "inport == @pc1")}
    assert world.members() == {"src"}
    assert world.switch_of("pp1-in") == world.switch_of("src")
    assert world.database.rows("Network_Function") == []


def test_an_emptied_chain_drops_its_traffic(world: World) -> None:
    chain = chain_through("pp1")
    world.write(chain)
    assert {action for _, action, _ in world.acls()} == {"allow-related"}
    world.write(emptied(chain))
    assert_traffic_is_dropped(world)
    world.write(emptied(chain))
    assert_traffic_is_dropped(world)


def test_switches_are_not_deleted_while_others_are_created(world: World) -> None:
    """The ovn-northd of OVN 26.03.1 crashes then."""

    def wires() -> set[str]:
        rows = world.database.rows("Logical_Switch")
        return {str(row.uuid) for row in rows if row.name.startswith("pc-")}

    world.write(chain_through("pp1"))
    before = wires()
    for there, away in (("pp2", "pp1"), ("pp1", "pp2"), ("pp1", "pp2"), ("pp3", "pp1")):
        world.write(chain_through(there))
        assert wires() == before
        for side in ("in", "out"):
            assert world.switch_of(f"{away}-{side}") == world.switch_of("src")
            assert world.switch_of(f"{there}-{side}") != world.switch_of("src")
        assert world.switch_of(f"{there}-in") != world.switch_of(f"{there}-out")
    (anchor,) = world.database.rows("Port_Group")
    add(world.database, lambda _row: anchor.delete())
    assert world.chains() == set()
    world.write(chain_through("pp3"))
    assert wires() == before, "without the anchor, too"
    world.database.run(removal(world.database, ident("pc1")))
    assert wires() == set()


def in_one_row(*sizes: int) -> ChainSnapshot:
    """A chain with groups of these sizes, whose ports are on another network than the source."""
    chain = chain_through("pp1")
    groups, ports = [], dict(chain.ports)
    for number, size in enumerate(sizes):
        pairs = tuple(pair(f"g{number}p{index}") for index in range(size))
        groups.append(PortPairGroup(ident(f"g{number}"), ident("project"), number, pairs))
        for end in (f"{one.name}-{side}" for one in pairs for side in ("in", "out")):
            ports[ident(end)] = port(
                end, "h1", "10.0.0.99", network_id=ident("net2"), mechanism="ovn"
            )
    return replace(chain, ports=ports, chain=replace(chain.chain, port_pair_groups=tuple(groups)))


def test_a_standby_pair_that_became_active_is_not_down(world: World) -> None:
    """Moving its ports takes them down for a moment; failing back then would never end."""
    chain = in_one_row(1, 2, 1)
    names = ("g0p0", "g1p0", "g1p1", "g2p0")
    ends = [f"{name}-{side}" for name in names for side in ("in", "out")]
    add_network(world.database, *ends, network="net2")

    def at_work() -> set[str]:
        world.write(chain)
        home = home_of(ident("net2"))
        return {one for one in ("g1p0", "g1p1") if world.switch_of(f"{one}-in") != home}

    def plug(name: str, up: bool) -> None:
        row: Any = world.database.named("Logical_Switch_Port", ident(name))
        add(world.database, lambda _row: setattr(row, "up", [up]))

    assert at_work() == {"g1p0"}
    world.finish_moves()
    plug("g1p0-out", up=False)
    assert at_work() == {"g1p1"}
    for name in ("g1p1-in", "g1p1-out"):
        plug(name, up=False)
    assert at_work() == {"g1p1"}, "nobody can"
    plug("g1p0-out", up=True)
    assert at_work() == {"g1p1"}, "it has just been moved"
    world.finish_moves()
    assert at_work() == {"g1p0"}, "it is down for another reason"
    world.finish_moves()
    for name in ("g1p1-in", "g1p1-out"):
        plug(name, up=True)
    assert at_work() == {"g1p0"}, "and keeps its place"


def test_a_chain_without_weights_drops_its_traffic(world: World) -> None:
    chain = chain_through("pp1")
    world.write(chain)
    (group,) = chain.chain.port_pair_groups
    pairs = tuple(replace(one, weight=0) for one in group.port_pairs)
    groups = (replace(group, port_pairs=pairs),)
    world.write(replace(chain, chain=replace(chain.chain, port_pair_groups=groups)))
    assert_traffic_is_dropped(world)


def test_a_refused_chain_keeps_its_rows_and_drops_new_traffic(world: World) -> None:
    chain = chain_through("pp1")
    world.write(chain)
    before = world.acls()
    add_network(world.database, "src2", network="net2")
    for _ in range(2):
        carry.hold(world.database, joined_by_another(chain))
        assert world.acls() == {*before, (2001, "drop", 'inport == "src2"')}
        assert world.members() == {"src", "src2"}
        assert world.switch_of("pp1-in") != world.switch_of("src")
    carry.hold(world.database, chain)
    assert (world.acls(), world.members()) == (before, {"src"})
    carry.hold(world.database, joined_by_another(chain))
    world.write(chain)
    assert (world.acls(), world.members()) == (before, {"src"})


def test_a_refused_chain_without_rows_drops_its_traffic(world: World) -> None:
    chain = chain_through("pp1")
    carry.hold(world.database, chain)
    assert world.acls() == {(2001, "drop", 'inport == "src"')}
    world.write(chain)
    assert {action for _, action, _ in world.acls()} == {"allow-related"}


def test_traffic_of_another_driver_is_left_to_it(world: World) -> None:
    chain = chain_through("pp1")
    elsewhere = {key: replace(one, mechanism="openvswitch") for key, one in chain.ports.items()}
    carry.hold(world.database, replace(chain, ports=elsewhere))
    assert world.chains() == set()


def test_ports_unknown_to_ovn_are_named_to_their_owner_only(world: World) -> None:
    chain = chain_through("pp1")
    lost = replace(chain.ports[ident("pp1-in")], id=ident("lost"))
    (group,) = chain.chain.port_pair_groups
    pairs = (replace(group.port_pairs[0], ingress=lost.id),)
    groups = (replace(group, port_pairs=pairs),)
    for owner, named in (("project", True), ("somebody else", False)):
        ports = {**chain.ports, lost.id: replace(lost, project_id=ident(owner))}
        with pytest.raises(Exception, match="OVN does not know") as unknown:
            world.write(
                replace(chain, chain=replace(chain.chain, port_pair_groups=groups), ports=ports)
            )
        assert (lost.id in str(unknown.value)) is named
        assert world.acls() == {(2001, "drop", 'inport == "src"')}


# Repair.


def unknown_to_ovn(snapshot: ChainSnapshot) -> ChainSnapshot:
    (group,) = snapshot.chain.port_pair_groups
    pairs = (replace(group.port_pairs[0], ingress=ident("lost")),)
    ports = {
        **snapshot.ports,
        ident("lost"): replace(snapshot.ports[ident("src")], id=ident("lost")),
    }
    groups = (replace(group, port_pairs=pairs),)
    return replace(snapshot, chain=replace(snapshot.chain, port_pair_groups=groups), ports=ports)


def test_refused_chains_keep_their_rows_and_those_of_others_go(world: World) -> None:
    refused, orphan = chain_through("pp1"), chain_through("pp2", "pc2")
    world.write(refused)
    world.write(orphan)
    before = world.acls()
    assert world.chains() == {"pc1", "pc2"}
    Repair(world.database, Health(world.database)).run(
        None, these(OwnChain(refused, "no driver can"))
    )
    assert world.chains() == {"pc1"}
    assert world.acls() == before


def test_a_failing_chain_does_not_block_the_repair_of_others(world: World) -> None:
    broken, healthy = unknown_to_ovn(chain_through("pp1")), chain_through("pp2", "pc2")
    world.write(chain_through("pp3", "orphan"))
    repair = Repair(world.database, Health(world.database))
    with pytest.raises(ChainsFailed, match="1 port chains") as summary:
        repair.run(None, these(OwnChain(broken), OwnChain(healthy)))
    assert summary.value.failures.keys() == {ident("pc1")}
    assert "OVN does not know the port" in world.failures[ident("pc1")]
    assert world.failures.keys() == {ident("pc1")}
    assert {action for _, action, _ in world.acls("pc2")} == {"allow-related"}
    assert world.chains() == {"pc1", "pc2"}

    def nobody(_context: Any, some: Any) -> Iterator[OwnChain]:
        assert some is not None, "all chains were examined a moment ago"
        return iter(())

    repair.run(None, nobody)


def test_changed_chains_are_repaired_after_a_failure_of_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = chain_through("pp1")
    repair = Repair(world.database, Health(world.database))
    repair.run(None, these(OwnChain(chain)))
    repair.run(None, these(OwnChain(chain)))
    repair._touched.add([chain.chain.id])
    seen: list[Any] = []

    def unreachable(*_args: Any) -> None:
        raise Unreachable("OVN_Northbound", "somewhere", "it does not answer")

    def noting(context: Any, some: Any) -> Iterator[OwnChain]:
        seen.append(some)
        return these(OwnChain(chain))(context, some)

    with monkeypatch.context() as away:
        away.setattr(carry, "write", unreachable)
        with pytest.raises(Unreachable):
            repair.run(None, noting)
    repair.run(None, noting)
    assert seen == [{chain.chain.id}] * 2
    assert world.failures == {}


# The driver.


def test_a_failing_chain_does_not_block_others(world: World) -> None:
    driver = OvnDriver()
    driver._northbound, driver._health = world.database, Health(world.database)
    broken, healthy = unknown_to_ovn(chain_through("pp1")), chain_through("pp2", "pc2")
    with pytest.raises(ChainsFailed) as summary:
        driver.refresh_port_chains(None, [broken, healthy])
    assert summary.value.failures.keys() == {ident("pc1")}
    assert {action for _, action, _ in world.acls("pc2")} == {"allow-related"}
