"""The driver of OVN's hosts: requests, plans for hosts and rows, on real databases of OVN."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import pytest
import sqlalchemy as sa
from neutron.plugins.ml2 import models as ml2
from neutron_lib.db import api as db_api
from oslo_config import cfg
from oslo_upgradecheck.upgradecheck import Code
from portchain_lab import ovn_toolchain
from portchain_lab.waiting import wait_for

from portchain import upgrade_checks
from portchain.core.model import HostReport
from portchain.dataplane.gates import gate_mac, gate_name
from portchain.db import models, realisation, snapshots, writer
from portchain.drivers import manager
from portchain.drivers.hosts import driver as hosts_driver
from portchain.drivers.ovn import northbound, rows, takeover, upkeep
from portchain.drivers.ovn.driver import OvnDriver
from portchain.drivers.ovn.northbound import Anchor
from portchain.drivers.ovn.rows import Phase
from portchain.drivers.ovs.driver import OvsDriver
from portchain.ovsdb import ovn
from portchain.ovsdb.ovn import Database
from portchain.rpc import contract
from tests.functional.ovn.conftest import DEADLINE, Connect, add
from tests.unit.api.base import ApiTestCase

FIRST, SECOND = "compute-1", "compute-2"
TUNNEL_IPS = {FIRST: "192.0.2.1", SECOND: "192.0.2.2"}


class Sent:
    """Takes the place of the client that notifies hosts."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, contract.PlanUpdate]] = []

    def apply(self, _context: Any, updates: dict[str, contract.PlanUpdate]) -> None:
        self.updates += updates.items()


class OvnDriverTest(ApiTestCase):
    drivers = ("ovn",)
    agent_hosts = (FIRST, SECOND)

    @pytest.fixture(autouse=True)
    def _databases(self, connect: Connect) -> None:
        self.connect = connect

    def setUp(self) -> None:
        for patch in (
            mock.patch.object(manager, "load", lambda _names: {"ovn": OvnDriver()}),
            mock.patch.object(hosts_driver, "AgentClient", Sent),
        ):
            patch.start()
            self.addCleanup(patch.stop)
        super().setUp()
        self.driver: Any = self.plugin.drivers._drivers["ovn"]
        self.northbound = self.driver._northbound
        self.connect(database=self.northbound)
        self.southbound = self.driver._chassis.open()
        self.connect("sb", database=self.southbound)
        add(self.southbound, add_chassis)
        self.add_logical_ports()

    def prepare(self) -> None:
        self.net = self.network()
        self.client = self.port(self.net, "client")
        self.vm_pair = self.pair(self.net)
        self.bind(self.client, FIRST)
        for side in ("ingress", "egress"):
            self.bind(self.vm_pair[side], SECOND)
        # Bound by ML2/OVN, as far as chains can see.
        with db_api.CONTEXT_WRITER.using(self.context) as session:
            session.execute(sa.update(ml2.PortBindingLevel).values(driver="ovn"))
        self.group_id = self.create("port_pair_group", port_pairs=[self.vm_pair["id"]])["id"]

    def add_logical_ports(self) -> None:
        """Add what ML2/OVN writes."""
        names = (self.client, self.vm_pair["ingress"], self.vm_pair["egress"])
        marks = {"neutron:network_name": rows.switch_name(self.net)}

        def network(row: Callable[..., Any]) -> None:
            ports = [
                row("Logical_Switch_Port", name=name, up=True, external_ids=marks) for name in names
            ]
            row("Logical_Switch", name=rows.switch_name(self.net), ports=ports)

        add(self.northbound, network)

    def make_chain(self, number: int = 80) -> str:
        fc = self.classifier(self.client, number)["id"]
        chain: str = self.create(
            "port_chain", port_pair_groups=[self.group_id], flow_classifiers=[fc]
        )["id"]
        return chain

    def sent(self) -> dict[str, list[contract.PlanUpdate]]:
        found: dict[str, list[contract.PlanUpdate]] = {}
        for host, update in self.driver._agents.updates:
            found.setdefault(host, []).append(update)
        self.driver._agents.updates.clear()
        return found

    def confirm(self, chain: str) -> None:
        for host in (FIRST, SECOND):
            revision = realisation.expected_on(self.context, host)[chain]
            self.driver._record_reports(self.context, host, [HostReport(chain, revision)])

    def keep_up(self) -> None:
        own = partial(self.plugin.drivers._own_chains, "ovn")
        self.driver._upkeep.run(self.context, own)

    def anchor(self, chain: str) -> Anchor | None:
        found = northbound.anchors(self.northbound)
        return next((anchor for anchor in found if anchor.chain_id == chain), None)

    def gates(self) -> set[str]:
        (switch,) = self.northbound.rows("Logical_Switch")
        return {row.name for row in switch.ports} & {
            gate_name(port) for port in (self.client, *self.vm_pair.values())
        }

    def dropped(self, chain: str) -> list[tuple[str, list[str]]]:
        """What guards drop, and from which ports."""
        found = self.northbound.named_from("Port_Group", rows.guard_prefix(chain))
        return [
            (acl.match.partition(" && ")[2], [port.name for port in row.ports])
            for row in found
            for acl in row.acls
            if acl.action == "drop"
        ]

    def test_hosts_get_plans_with_the_addresses_of_chassis(self) -> None:
        chain = self.make_chain()
        sent = self.sent()
        assert sent.keys() == {FIRST, SECOND}
        for updates in sent.values():
            ((plan,),) = (update.chains for update in updates)
            assert plan.id == chain
            (path,) = plan.paths
            ends = [*path.sources, *path.hops[0].targets]
            assert {end.host: end.tunnel_ip for end in ends} == TUNNEL_IPS
        assert self.show("port_chain", chain)["status"] == "BUILD"
        self.confirm(chain)
        assert self.show("port_chain", chain)["status"] == "ACTIVE"

    def test_gates_come_first_and_guards_last(self) -> None:
        gates = {gate_name(self.client), gate_name(self.vm_pair["egress"])}
        chain = self.make_chain()
        assert self.gates() == gates
        assert self.dropped(chain) == []
        self.keep_up()
        assert self.dropped(chain) == []
        self.confirm(chain)
        self.keep_up()
        ((match, ports),) = self.dropped(chain)
        assert "tcp.dst == 80" in match
        assert ports == [self.client]
        assert self.gates() == gates
        assert self.anchor(chain) == Anchor(chain, 1, Phase.COMPLETE)

    def test_what_a_chain_no_longer_takes_is_not_dropped(self) -> None:
        chain = self.make_chain()
        self.confirm(chain)
        self.keep_up()
        other = self.classifier(self.client, 90)["id"]
        self.update("port_chain", chain, flow_classifiers=[other])
        assert self.dropped(chain) == []
        self.keep_up()
        assert self.dropped(chain) == []
        self.confirm(chain)
        self.keep_up()
        ((match, _),) = self.dropped(chain)
        assert "tcp.dst == 90" in match

    def test_a_deleted_chain_loses_its_guards_at_once_and_its_gates_later(self) -> None:
        chain = self.make_chain()
        self.confirm(chain)
        self.keep_up()
        self.sent()
        self.delete("port_chain", chain)
        assert self.dropped(chain) == []
        assert len(self.gates()) == 2
        assert {host: len(updates) for host, updates in self.sent().items()} == {
            FIRST: 1,
            SECOND: 1,
        }
        self.keep_up()
        assert len(self.gates()) == 2
        with mock.patch.object(upkeep, "_DRAIN", 0):
            self.keep_up()
        assert self.gates() == set()
        assert self.anchor(chain) is None

    def test_rows_that_others_change_are_repaired(self) -> None:
        chain = self.make_chain()
        self.confirm(chain)
        self.keep_up()
        before = self.dropped(chain), self.gates()

        def damage(_row: Any) -> None:
            for row in self.northbound.named_from("Port_Group", rows.guard_prefix(chain)):
                row.acls = []
            (switch,) = self.northbound.rows("Logical_Switch")
            switch.ports = [row for row in switch.ports if not row.name.startswith("pc-gate-")]

        add(self.northbound, damage)
        assert (self.dropped(chain), self.gates()) != before
        self.keep_up()
        assert (self.dropped(chain), self.gates()) == before

    def test_acls_that_others_change_are_repaired(self) -> None:
        chain = self.make_chain()
        self.confirm(chain)
        self.keep_up()
        before = self.dropped(chain)
        self.keep_up()

        def damage(_row: Any) -> None:
            for row in self.northbound.named_from("Port_Group", rows.guard_prefix(chain)):
                for acl in row.acls:
                    acl.match = "ip"

        add(self.northbound, damage)
        assert self.dropped(chain) != before
        self.keep_up()
        assert self.dropped(chain) == before

    def test_addresses_of_gates_that_others_change_are_repaired(self) -> None:
        chain = self.make_chain()
        self.confirm(chain)
        self.keep_up()
        self.keep_up()

        def damage(_row: Any) -> None:
            for row in self.northbound.rows("Address_Set"):
                row.addresses = ["0e:00:00:00:00:01"]

        add(self.northbound, damage)
        self.keep_up()
        (known,) = self.northbound.rows("Address_Set")
        assert known.addresses == [gate_mac(self.client)]
        self.delete("port_chain", chain)
        assert self.northbound.rows("Address_Set") == []

    def test_a_plan_reads_the_chassis_of_its_hosts_alone(self) -> None:
        with mock.patch.object(self.southbound, "rows") as all_rows:
            self.make_chain()
        assert self.sent().keys() == {FIRST, SECOND}
        assert all_rows.call_count == 0

    def test_rows_of_unknown_chains_are_removed(self) -> None:
        chain = self.make_chain()
        with db_api.CONTEXT_WRITER.using(self.context) as session:
            session.execute(sa.text("DELETE FROM portchain_port_chains"))
        with mock.patch.object(upkeep, "_DRAIN", 0):
            self.keep_up()
        assert self.anchor(chain) is None
        assert self.gates() == set()

    def test_gates_of_unknown_chains_are_removed_without_an_anchor(self) -> None:
        """Nobody may have watched when the anchor went: the server was restarting."""
        chain = self.make_chain()
        self.delete("port_chain", chain)

        def lose(_row: Any) -> None:
            for row in self.northbound.named_from("Port_Group", rows.anchor_name(chain)):
                row.delete()

        add(self.northbound, lose)
        assert len(self.gates()) == 2
        with mock.patch.object(upkeep, "_DRAIN", 0):
            self.keep_up()
        assert self.gates() == set()

    def test_a_chain_that_cannot_be_planned_does_not_keep_others_from_their_guards(self) -> None:
        broken, other = self.make_chain(80), self.make_chain(90)
        for chain in (broken, other):
            self.confirm(chain)
        plan = rows.rows_of

        def fail(snapshot: Any) -> Any:
            if snapshot.chain.id == broken:
                raise RuntimeError("a bug")
            return plan(snapshot)

        with mock.patch.object(rows, "rows_of", fail):
            self.keep_up()
        assert (self.dropped(broken), len(self.dropped(other))) == ([], 1)
        self.driver._upkeep._next = 0  # after ovn_sync_interval
        self.keep_up()
        assert len(self.dropped(broken)) == 1

    def test_many_chains_are_compared_in_several_transactions(self) -> None:
        made = [self.make_chain(number) for number in (80, 90, 100)]
        for chain in made:
            self.confirm(chain)
        with (
            mock.patch.object(upkeep, "_BATCH", 2),
            mock.patch.object(self.northbound, "run", side_effect=self.northbound.run) as run,
        ):
            self.keep_up()
        assert run.call_count == 2
        assert [len(self.dropped(chain)) for chain in made] == [1, 1, 1]

    def test_the_periodic_task_reads_no_rows_while_nothing_changes(self) -> None:
        chain = self.make_chain()
        self.confirm(chain)
        for _ in range(3):
            self.keep_up()
        with (
            mock.patch.object(self.northbound, "named_from") as named_from,
            mock.patch.object(self.northbound, "rows") as all_rows,
        ):
            self.keep_up()
        assert (named_from.call_count, all_rows.call_count) == (0, 0)

    def test_a_port_that_moves_to_another_bridge_is_still_plugged_in(self) -> None:
        """Neutron calls it DOWN for a moment, although OVN has bound it again."""
        chain = self.make_chain()
        self.confirm(chain)
        self.bind(self.vm_pair["ingress"], SECOND, "DOWN")
        assert self.show("port_chain", chain)["status"] != "DOWN"

        def unplug(_row: Any) -> None:
            row: Any = self.northbound.named("Logical_Switch_Port", self.vm_pair["ingress"])
            row.up = False

        add(self.northbound, unplug)
        self.plugin.drivers.update_port_chain(self.context, [chain])
        assert self.show("port_chain", chain)["status"] == "DOWN"

    def repair(self) -> None:
        """Examine all chains once: every second time, the detector is behind the last page."""
        for _ in range(2):
            self.plugin.repair()

    def test_a_replica_that_was_late_is_noticed_by_a_repair(self) -> None:
        """The server that planned the chain had not heard yet that OVN has unbound the port."""
        chain = self.make_chain()
        self.confirm(chain)
        for side in ("ingress", "egress"):
            self.bind(self.vm_pair[side], SECOND, "DOWN")
        assert self.show("port_chain", chain)["status"] != "DOWN"
        self.repair()
        self.confirm(chain)
        assert self.show("port_chain", chain)["status"] == "ACTIVE"
        revision = self.show_revision(chain)
        self.repair()
        assert self.show_revision(chain) == revision, "nothing has changed"

        def unplug(_row: Any) -> None:
            row: Any = self.northbound.named("Logical_Switch_Port", self.vm_pair["ingress"])
            row.up = False

        add(self.northbound, unplug)
        self.repair()
        assert self.show_revision(chain) == revision + 1
        assert self.show("port_chain", chain)["status"] == "DOWN"
        self.repair()
        assert self.show_revision(chain) == revision + 1

    def test_a_chain_waits_while_the_northbound_does_not_answer(self) -> None:
        unreachable = mock.patch.object(
            self.northbound, "run", side_effect=RuntimeError("no answer")
        )
        with unreachable:
            chain = self.make_chain()
        assert self.show("port_chain", chain)["status"] == "ERROR"
        assert self.sent() == {}
        self.plugin.drivers.update_port_chain(self.context, [chain])
        assert self.sent().keys() == {FIRST, SECOND}
        with unreachable:
            self.delete("port_chain", chain)
        assert self.sent().keys() == {FIRST, SECOND}, "hosts are told in any case"

    def follow_chassis(self) -> None:
        own = partial(self.plugin.drivers._own_chains, "ovn")
        self.driver._follow_chassis(self.context, own)

    def move_tunnel_endpoint(self) -> None:
        def move(_row: Any) -> None:
            for row in self.southbound.rows("Encap"):
                if row.ip == TUNNEL_IPS[SECOND]:
                    row.ip = "192.0.2.22"

        add(self.southbound, move)

    def test_hosts_learn_of_another_tunnel_endpoint(self) -> None:
        self.follow_chassis()
        chain = self.make_chain()
        self.confirm(chain)
        self.sent()
        self.follow_chassis()
        assert self.sent() == {}
        self.move_tunnel_endpoint()
        self.follow_chassis()
        ((plan,),) = (update.chains for update in self.sent()[FIRST])
        (target,) = plan.paths[0].hops[0].targets
        assert target.tunnel_ip == "192.0.2.22"
        assert self.show("port_chain", chain)["status"] == "BUILD"

    def test_a_host_that_was_installed_anew_has_the_endpoint_of_its_new_chassis(self) -> None:
        """OVN keeps the former chassis until somebody deletes it."""
        former = f"chassis-{SECOND}"

        def install(row: Callable[..., Any]) -> None:
            for name, time in ((former, 100_000), ("another", 0)):
                row("Chassis_Private", name=name, nb_cfg_timestamp=time)
            encaps = [row("Encap", type="geneve", ip="192.0.2.33")]
            row("Chassis", name="another", hostname=SECOND, encaps=encaps)

        def answer(_row: Any) -> None:
            row: Any = self.southbound.named("Chassis_Private", "another")
            row.nb_cfg_timestamp = 180_000

        add(self.southbound, install)
        self.follow_chassis()
        self.confirm(self.make_chain())
        assert self.second_endpoint() == TUNNEL_IPS[SECOND]
        add(self.southbound, answer)
        self.follow_chassis()
        assert self.second_endpoint() == "192.0.2.33"
        self.follow_chassis()
        assert self.sent() == {}

    def second_endpoint(self) -> str:
        """The address to which the first host was told to send last."""
        ((plan,),) = (update.chains for update in self.sent()[FIRST])
        (target,) = plan.paths[0].hops[0].targets
        return str(target.tunnel_ip)

    def test_a_failure_does_not_keep_hosts_from_another_tunnel_endpoint(self) -> None:
        self.follow_chassis()
        self.confirm(self.make_chain())
        self.sent()
        self.move_tunnel_endpoint()
        with (
            mock.patch.object(realisation, "chains_on", side_effect=RuntimeError("no database")),
            pytest.raises(RuntimeError, match="no database"),
        ):
            self.follow_chassis()
        self.follow_chassis()
        assert self.sent().keys() == {FIRST, SECOND}

    def test_a_chain_that_is_refused_keeps_its_plans(self) -> None:
        """A function is now on a host that the driver does not serve."""
        self.follow_chassis()
        chain = self.make_chain()
        self.confirm(chain)
        with db_api.CONTEXT_WRITER.using(self.context) as session:
            level = sa.update(ml2.PortBindingLevel).values(driver="openvswitch")
            session.execute(level.where(ml2.PortBindingLevel.port_id == self.vm_pair["egress"]))
        self.sent()
        self.move_tunnel_endpoint()
        self.follow_chassis()
        assert self.sent() == {}

    def make_former_chain(self) -> str:
        """Make a chain as the former driver left it: no host had a plan."""
        chain = self.make_chain()
        with db_api.CONTEXT_WRITER.using(self.context) as session:
            session.execute(sa.delete(models.ChainHost))
        self.sent()
        return chain

    def test_a_takeover_that_fails_is_tried_again(self) -> None:
        chain = self.make_former_chain()
        add(self.northbound, partial(add_former_rows, self.northbound, chain, self.vm_pair))
        with (
            mock.patch.object(
                writer, "increment_revision", side_effect=RuntimeError("no database")
            ),
            pytest.raises(RuntimeError, match="no database"),
        ):
            self.keep_up()
        assert takeover.former_chains(self.northbound) == {chain}
        self.sent()
        self.keep_up()
        assert takeover.former_chains(self.northbound) == set()
        assert self.sent().keys() == {FIRST, SECOND}

    def test_chains_of_the_former_driver_are_taken_over(self) -> None:
        chain = self.make_former_chain()
        before = self.neutrons_ports()
        add(self.northbound, partial(add_former_rows, self.northbound, chain, self.vm_pair))
        self.add_network_function(chain)
        assert self.neutrons_ports() != before
        revision = self.show_revision(chain)
        self.sent()
        self.driver._upkeep._take_over(
            self.context, partial(self.plugin.drivers._own_chains, "ovn"), {chain}
        )
        assert self.neutrons_ports() == before
        assert self.dropped(chain), "what would bypass the chain, until hosts have it"
        assert self.show_revision(chain) == revision + 1
        assert self.sent().keys() == {FIRST, SECOND}
        assert takeover.former_chains(self.northbound) == set()
        left = [row for table in FORMER for row in self.northbound.rows(table)]
        assert [row for row in left if "portchain:chain" in row.external_ids] == []
        assert len(self.northbound.rows("Logical_Switch")) == 1
        self.confirm(chain)
        self.keep_up()
        assert self.dropped(chain)
        assert self.gates() == {gate_name(self.client), gate_name(self.vm_pair["egress"])}

    def add_network_function(self, chain: str) -> None:
        """Add the rows of a network function of the former driver."""
        ports: list[Any] = [
            self.northbound.named("Logical_Switch_Port", name)
            for name in (f"pc-{chain}-left", self.vm_pair["ingress"])
        ]
        common = (f"name=pc-{chain}-1", f'external_ids={{"portchain:chain"="{chain}"}}', "id=1")
        ovn_toolchain.run(
            "ovn-nbctl",
            f"--db={self.northbound._server()}",
            *("--id=@function", "create", "Network_Function", *common),
            *(
                f"{side}={port.uuid}"
                for side, port in zip(("inport", "outport"), ports, strict=True)
            ),
            *("--", "create", "Network_Function_Group", *common, "network_function=@function"),
            "mode=inline",
        )
        wait_for(lambda: self.northbound.rows("Network_Function_Group"), DEADLINE, "the function")

    def neutrons_ports(self) -> dict[str, tuple[Any, ...]]:
        (switch,) = [
            row
            for row in self.northbound.rows("Logical_Switch")
            if row.name == rows.switch_name(self.net)
        ]
        return {
            row.name: (row.addresses, row.port_security, row.options, row.external_ids)
            for row in switch.ports
            if not row.name.startswith("pc-")
        }

    def show_revision(self, chain: str) -> int:
        (snapshot,) = snapshots.load(self.context, [chain])
        return snapshot.chain.revision

    def test_the_upgrade_check_names_hosts_that_never_asked_for_plans(self) -> None:
        cfg.CONF.set_override("connection", "sqlite://", "database")
        result = upgrade_checks.check_ovn_hosts(None)
        assert result.code == Code.WARNING
        assert result.details.endswith(f"{FIRST}, {SECOND}")
        asked = contract.HostKnowledge({}, 13)
        self.driver._sync(self.context, SECOND, asked)
        assert upgrade_checks.check_ovn_hosts(None).details.endswith(f": {FIRST}")
        self.driver._sync(self.context, FIRST, asked)
        assert upgrade_checks.check_ovn_hosts(None).code == Code.SUCCESS

    def test_any_driver_answers_a_host(self) -> None:
        """All drivers whose hosts have plans listen on one topic."""
        chain = self.make_chain()
        self.bind(self.vm_pair["ingress"], SECOND, "DOWN")  # but OVN has bound it
        other = OvsDriver()
        other.initialize(self.driver.status)
        other._chassis = self.driver._chassis
        address = mock.patch.object(ovn.ovn_conf, "get_ovn_nb_connection", self.northbound._server)
        with address:
            answer = other._sync(self.context, FIRST, contract.HostKnowledge({}, 13))
        opened: Any = other._logical_ports._northbound
        opened.close()
        (plan,) = answer.chains
        assert plan.id == chain
        assert {target.tunnel_ip for target in plan.paths[0].hops[0].targets} == {
            TUNNEL_IPS[SECOND]
        }


FORMER = ("Network_Function_Group", "Network_Function")


def add_former_rows(
    database: Database, chain: str, pair: dict[str, str], row: Callable[..., Any]
) -> None:
    """Add what the former driver wrote for a chain: a moved port, a patch, a network function."""
    mark = {"portchain:chain": chain}
    (network,) = database.rows("Logical_Switch")
    moved: Any = database.named("Logical_Switch_Port", pair["ingress"])
    network.delvalue("ports", moved)
    moved.external_ids = {
        **moved.external_ids,
        **mark,
        "portchain:written": json.dumps({"addresses": ["unknown"], "port_security": []}),
        "portchain:kept": json.dumps({"addresses": [], "port_security": []}),
        "portchain:options": json.dumps({"is-nf": "true"}),
    }
    moved.addresses, moved.options = ["unknown"], {"is-nf": "true"}
    patch = row("Logical_Switch_Port", name=f"pc-{chain}-left", external_ids=mark)
    network.addvalue("ports", patch)
    row("Logical_Switch", name=f"pc-{chain}-wire", ports=[moved], external_ids=mark)
    row("Port_Group", name=f"pc_{chain.replace('-', '_')}", external_ids=mark)


def add_chassis(row: Callable[..., Any]) -> None:
    for host, address in TUNNEL_IPS.items():
        encaps = [
            row("Encap", type=kind, ip=ip)
            for kind, ip in (("vxlan", f"192.0.1.{host[-1]}"), ("geneve", address))
        ]
        row("Chassis", name=f"chassis-{host}", hostname=host, encaps=encaps)
