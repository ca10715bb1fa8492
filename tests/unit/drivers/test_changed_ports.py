"""After any events of ports, hosts have what a plan from scratch says.

Real requests against the real driver, on SQLite. Messages arrive in order, no host asks, and
nothing is compared periodically: what events of ports change must be complete by itself.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

from neutron_lib.api.definitions import portbindings
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory
from oslo_config import cfg

from portchain import conf
from portchain.core.model import HostReport
from portchain.core.plan_records import HostChanges
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.planning.visibility import HostViews
from portchain.db import drift, models, port_cache, realisation, snapshots
from portchain.drivers.ovs.driver import OvsDriver
from portchain.drivers.status import DatabaseStatusReporter
from portchain.plugin import PortChainPlugin
from portchain.rpc import contract
from portchain.rpc.agent import AgentClient
from portchain.rpc.plan_codec import PlanSplitter
from tests.full import in_full
from tests.unit.api.base import ApiTestCase
from tests.unit.drivers.test_lost_messages import HOSTS, SimulatedHost

STEPS = 15
NUMBERS = {"icmp": 1, "udp": 2, "gre": 3, "sctp": 4}
"""Protocol of the chain -> source port of what the named port sends into it."""

SEEDS = in_full(range(30), range(2))


class ChangedPortsTest(ApiTestCase):
    drivers = ("ovs",)
    extension_drivers = ("port_security",)
    agent_hosts = HOSTS

    def setUp(self) -> None:
        super().setUp()
        cfg.CONF.set_override("underlay_mtu", 9000, conf.GROUP)
        self.hosts = {host: SimulatedHost(host) for host in HOSTS}
        self.records: list[bool] = []  # whether each was of all hosts
        for owner, name, value in (
            (port_cache, "FEWEST", 1),
            (AgentClient, "apply", lambda _self, _context, sent: self.send(sent)),
            (DatabaseStatusReporter, "record_plans", self.recorder()),
        ):
            patch = mock.patch.object(owner, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        for host in self.hosts.values():
            self.ask(host)

    def prepare(self) -> None:
        self.nets = [self.network(), self.network("10.0.1.0/24")]
        self.machines = [self.port(net, "machine") for net in self.nets for _ in range(3)]
        self.named = self.port(self.nets[0], "named")
        self.functions = [self.pair(net, "function") for net in self.nets]
        ids = [pair["id"] for pair in self.functions]
        self.group_id = self.create("port_pair_group", port_pairs=ids)["id"]
        self.chain_of("icmp", source_ip_prefix="10.0.0.0/24")
        self.chain_of("udp", symmetric=True)
        self.chain_of("gre", source_ip_prefix="10.0.0.0/25")
        self.chain_of("sctp")

    def chain_of(self, protocol: str, *, symmetric: bool = False, **attributes: Any) -> None:
        """Create a chain of what ports send with a protocol, and of what one port does."""
        chosen = self.create("flow_classifier", protocol=protocol, **attributes)
        number = NUMBERS[protocol]
        by_name = self.create(
            "flow_classifier",
            protocol="tcp",
            source_port_range_min=number,
            source_port_range_max=number,
            logical_source_port=self.named,
            destination_ip_prefix="10.0.0.0/24",
        )
        self.create(
            "port_chain",
            port_pair_groups=[self.group_id],
            flow_classifiers=[chosen["id"], by_name["id"]],
            chain_parameters={"symmetric": symmetric},
        )

    # The bus.

    def send(self, updates: Mapping[str, contract.PlanUpdate]) -> None:
        for host, update in updates.items():
            self.hosts[host].receive(contract.encode_update(update))

    def ask(self, host: SimulatedHost) -> None:
        known = {plan.id: plan.revision for plan in host.plans.values()}
        said = contract.encode_known(contract.HostKnowledge(known, host.version))
        ((_, (endpoint,)),) = self.plugin.drivers.rpc_endpoints()
        answer = endpoint.sync(self.context, host=host.name, known=said)
        host.follow_answer(contract.decode_update(answer))

    def recorder(self) -> Callable[..., Mapping[str, HostChanges]]:
        record = DatabaseStatusReporter.record_plans

        def noting(reporter: Any, context: Any, records: Any, **options: Any) -> Any:
            self.records += [one.hosts is None for one in records]
            return record(reporter, context, records, **options)

        return noting

    # What happens.

    def step(self, chance: random.Random) -> None:
        """Have an event of a port; at times, let something go wrong with it."""
        event = chance.choice(
            [
                self.create_machine,
                self.delete_machine,
                self.bind_machine,
                self.bind_machine,
                self.bind_machine,
                self.unbind_machine,
                self.readdress_machine,
                self.allow_pairs,
                self.change_port_security,
                self.bind_named_port,
                self.bind_function,
                self.change_status,
                self.change_group,
                self.host_reports,
            ]
        )
        trouble = chance.random()
        if trouble < 0.1:
            # The server ends when it has cached what it has read, and not recorded what follows.
            ended = RuntimeError("ended")
            with mock.patch.object(DatabaseStatusReporter, "record_plans", side_effect=ended):
                event(chance)
        elif trouble < 0.2:
            # It ends before it has read anything. The repair worker plans the chains later.
            with mock.patch.object(self.plugin._refreshing, "do"):
                event(chance)
        else:
            event(chance)

    def create_machine(self, chance: random.Random) -> None:
        self.machines.append(self.port(chance.choice(self.nets), "machine"))

    def delete_machine(self, chance: random.Random) -> None:
        if len(self.machines) > 3:
            port = self.machines.pop(chance.randrange(len(self.machines)))
            assert self.call("DELETE", f"/ports/{port}").status_int == 204

    def bind_machine(self, chance: random.Random) -> None:
        self.bind(chance.choice(self.machines), chance.choice(HOSTS))

    def unbind_machine(self, chance: random.Random) -> None:
        self.change(chance.choice(self.machines), roles="admin", **{portbindings.HOST_ID: ""})

    def readdress_machine(self, chance: random.Random) -> None:
        address = f"10.0.0.{chance.choice((*range(70, 119), *range(200, 209)))}"
        port, body = chance.choice(self.machines), {"fixed_ips": [{"ip_address": address}]}
        # Not on the other network.
        assert self.call("PUT", f"/ports/{port}", {"port": body}).status_int in (200, 400, 409)

    def allow_pairs(self, chance: random.Random) -> None:
        prefixes = chance.sample(("10.0.0.0/24", "10.0.0.250", "10.9.0.0/16"), chance.randrange(3))
        port = chance.choice(self.machines)
        body = {"port": {"allowed_address_pairs": [{"ip_address": one} for one in prefixes]}}
        # Ports without port security have none.
        assert self.call("PUT", f"/ports/{port}", body).status_int in (200, 409)

    def change_port_security(self, chance: random.Random) -> None:
        on = chance.random() < 0.5
        extra = {} if on else {"security_groups": [], "allowed_address_pairs": []}
        self.change(chance.choice(self.machines), port_security_enabled=on, **extra)

    def bind_named_port(self, chance: random.Random) -> None:
        self.bind(self.named, chance.choice(HOSTS))

    def bind_function(self, chance: random.Random) -> None:
        pair, host = chance.choice(self.functions), chance.choice(HOSTS)
        for side in ("ingress", "egress"):
            self.bind(pair[side], host)

    def change_status(self, chance: random.Random) -> None:
        port = chance.choice([*self.machines, *(pair["ingress"] for pair in self.functions)])
        status = chance.choice(("ACTIVE", "DOWN"))
        directory.get_plugin().update_port_status(self.context, port, status, chance.choice(HOSTS))

    def change_group(self, chance: random.Random) -> None:
        ids = [pair["id"] for pair in chance.sample(self.functions, chance.randrange(3))]
        self.update("port_pair_group", self.group_id, port_pairs=ids)

    def host_reports(self, chance: random.Random) -> None:
        host = self.hosts[chance.choice(HOSTS)]
        reports = [HostReport(plan.id, plan.revision) for plan in host.plans.values()]
        realisation.record_reports(self.context, host.name, reports)

    def change(self, port: str, roles: str = "member,reader", **attributes: Any) -> None:
        response = self.call("PUT", f"/ports/{port}", {"port": attributes}, roles=roles)
        assert response.status_int == 200, response.text

    # What must hold.

    def settle(self) -> None:
        """Have an event for each chain, after which nothing may be left of what went wrong.

        It concerns one host: no other may be told of what went wrong by chance.
        """
        for pairs in ([{"ip_address": "10.0.0.251"}], []):
            self.change(self.named, allowed_address_pairs=pairs)

    def check(self) -> None:
        """Compare what hosts have, and what is cached, with Neutron's ports of now."""
        ids = snapshots.chain_ids(self.context)
        (driver,) = self.plugin.drivers._drivers.values()
        assert isinstance(driver, OvsDriver)
        for one in driver._planner().plan(self.context, snapshots.load(self.context, ids)).planned:
            wanted = self.views(one.plan)
            for host in self.hosts.values():
                assert self.part(host.plans.get(one.plan.id)) == wanted.get(host.name)
        found = drift.DriftDetector().find_in_next_page(self.context, lambda snapshot: snapshot)
        assert not found
        again, _ = snapshots.load_after_events(self.context, ids)
        fresh = {one.chain.id: one for one in snapshots.load(self.context, ids)}
        for one in again:
            assert drift.digest(one) == drift.digest(fresh[one.chain.id])

    def views(self, plan: ChainPlan) -> dict[str, str | None]:
        views = HostViews(plan)
        return {host: self.part(views.plan_for(host)) for host in plan.hosts}

    @staticmethod
    def part(plan: ChainPlan | None) -> str | None:
        return None if plan is None else PlanSplitter().split(plan).identity

    def test_events_tell_hosts_what_a_plan_from_scratch_says(self) -> None:
        for seed in SEEDS:
            chance = random.Random(seed)
            for _ in range(STEPS):
                self.step(chance)
                if chance.random() < 0.3:
                    self.settle()
                    self.check()
            self.settle()
            self.check()
        assert self.records.count(False) > len(self.records) / 4, "otherwise this tests too little"

    def test_a_lost_event_of_a_named_port_does_not_leave_its_host_with_a_part(self) -> None:
        self.settle()
        with mock.patch.object(PortChainPlugin, "_refresh_chains_of"):
            self.bind(self.named, HOSTS[1])
        self.bind(self.named, HOSTS[2])
        self.check()

    def test_a_lost_event_that_one_chain_has_read_is_not_lost_for_the_others(self) -> None:
        first, second = self.machines[:2]
        self.bind(first, HOSTS[3])
        self.settle()
        with mock.patch.object(PortChainPlugin, "_refresh_chains_of"):
            self.bind(first, HOSTS[1])
        with db_api.CONTEXT_WRITER.using(self.context) as session:
            port_cache.forget(session, snapshots.chain_ids(self.context)[:1])
        self.bind(second, HOSTS[2])
        self.check()

    def test_events_are_forgotten_when_they_are_planned(self) -> None:
        self.settle()
        assert not self.rows()[models.PortEvent.__tablename__]
