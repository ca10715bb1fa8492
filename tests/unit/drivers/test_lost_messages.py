"""Hosts know what they must, whatever happens to messages, servers and hosts on the way.

Real requests against the real driver, on SQLite. A host here is the plans that it has: it reads
messages as an agent does, and asks for changes as an agent does. At the end, when each host has
asked, it must have the plan that the server would make for it now.
"""

import contextlib
import datetime
import json
import random
from collections.abc import Mapping
from typing import Any
from unittest import mock

from neutron_lib.plugins import directory
from oslo_config import cfg

from portchain import conf
from portchain.core.model import HostReport
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.planning.visibility import HostViews
from portchain.db import pair_sets, realisation, snapshots
from portchain.drivers.ovs.driver import OvsDriver
from portchain.plugin import PortChainPlugin
from portchain.rpc import contract, parts
from portchain.rpc.agent import AgentClient
from portchain.rpc.plan_codec import PlanSplitter
from tests.full import in_full
from tests.unit.api.base import ApiTestCase

HOSTS = ("compute-1", "compute-2", "compute-3", "compute-4")
OLD = "compute-4"
"""A host of the previous release: it reads whole plans only."""

STEPS, SEEDS = 50, in_full(range(30), range(2))


class SimulatedHost:
    """The plans of a host, without a switch."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.version = 0 if name == OLD else contract.MINOR_VERSION
        self.plans: dict[str, ChainPlan] = {}
        self.lacked_parts = 0

    def receive(self, message: Any) -> None:
        """Follow a notification."""
        if self.version < contract.PARTS_SINCE:
            assert message.keys().isdisjoint({"parts", "packed_parts"})
        update = contract.decode_update(message, self._plans_of)
        self.lacked_parts += len(update.incomplete)
        self._follow(update)

    def follow_answer(self, update: contract.PlanUpdate) -> None:
        """Follow the answer to a request for changes."""
        assert not update.incomplete
        self._follow(update)

    def _plans_of(self, chain_id: str) -> list[ChainPlan]:
        return [self.plans[chain_id]] if chain_id in self.plans else []

    def _follow(self, update: contract.PlanUpdate) -> None:
        assert not update.unreadable
        for plan in update.chains:
            if plan.id not in self.plans or self.plans[plan.id].revision <= plan.revision:
                self.plans[plan.id] = plan
        for chain_id, revision in update.removed:
            if chain_id in self.plans and self.plans[chain_id].revision <= revision:
                del self.plans[chain_id]

    @property
    def reports(self) -> list[HostReport]:
        return [HostReport(plan.id, plan.revision) for plan in self.plans.values()]


class LostMessagesTest(ApiTestCase):
    drivers = ("ovs",)
    agent_hosts = HOSTS

    def setUp(self) -> None:
        super().setUp()
        cfg.CONF.set_override("underlay_mtu", 9000, conf.GROUP)
        # Few machines are as long a list here as hundreds in a cloud.
        self._replace(parts, "PART_BYTES", 400)
        self._replace(parts, "_MIN_BYTES", 400)
        self._replace(parts, "SMALL_BYTES", 100)
        self._replace(AgentClient, "apply", lambda _self, _context, sent: self.send(sent))
        self._replace(pair_sets.timeutils, "utcnow", lambda: self.now)
        self.now = datetime.datetime(2026, 1, 1)
        self.hosts = {host: SimulatedHost(host) for host in HOSTS}
        self.on_the_way: list[tuple[str, Any]] = []
        for host in self.hosts.values():
            self.ask(host)

    def _replace(self, owner: Any, name: str, value: Any) -> None:
        patch = mock.patch.object(owner, name, value)
        patch.start()
        self.addCleanup(patch.stop)

    def prepare(self) -> None:
        self.net = self.network()
        self.machines = [self.port(self.net, f"machine{number}") for number in range(8)]
        self.pairs = [self.pair(self.net, f"function{number}") for number in range(3)]
        self.group_id = self.create("port_pair_group", port_pairs=[self.pairs[0]["id"]])["id"]
        self.open_chain("tcp", symmetric=False)

    def open_chain(self, protocol: str, *, symmetric: bool) -> None:
        classifier = self.create(
            "flow_classifier", source_ip_prefix="10.0.0.0/24", protocol=protocol
        )
        self.create(
            "port_chain",
            port_pair_groups=[self.group_id],
            flow_classifiers=[classifier["id"]],
            chain_parameters={"symmetric": symmetric},
        )

    # The bus.

    def send(self, updates: Mapping[str, contract.PlanUpdate]) -> None:
        for host, update in updates.items():
            message = json.loads(json.dumps(contract.encode_update(update)))
            self.on_the_way.append((host, message))

    def ask(self, host: SimulatedHost) -> contract.PlanUpdate:
        known = {plan.id: plan.revision for plan in host.plans.values()}
        said = contract.encode_known(contract.HostKnowledge(known, host.version))
        ((_, (endpoint,)),) = self.plugin.drivers.rpc_endpoints()
        answer = json.loads(json.dumps(endpoint.sync(self.context, host=host.name, known=said)))
        update = contract.decode_update(answer)
        host.follow_answer(update)
        return update

    def report(self, host: SimulatedHost) -> None:
        realisation.record_reports(self.context, host.name, host.reports)

    # What happens.

    def step(self, chance: random.Random) -> None:
        chance.choice(
            [
                self.move_machine,
                self.move_machine,
                self.move_machine_unnoticed,
                self.move_function,
                self.change_status,
                self.change_weight,
                self.change_pairs,
                self.deliver,
                self.deliver,
                self.deliver,
                self.lose,
                self.restart_host,
                self.some_host_asks,
                self.some_host_reports,
                self.wait,
                self.repair,
            ]
        )(chance)

    def move_machine(self, chance: random.Random) -> None:
        self.bind(chance.choice(self.machines), chance.choice(HOSTS))

    def move_machine_unnoticed(self, chance: random.Random) -> None:
        """The server ends between the commit and the notification."""
        with mock.patch.object(PortChainPlugin, "_refresh_chains_of"):
            self.move_machine(chance)

    def move_function(self, chance: random.Random) -> None:
        pair, host = chance.choice(self.pairs), chance.choice(HOSTS)
        for side in ("ingress", "egress"):
            self.bind(pair[side], host)

    def change_status(self, chance: random.Random) -> None:
        port = chance.choice([*self.machines, *(pair["ingress"] for pair in self.pairs)])
        status = chance.choice(("ACTIVE", "DOWN"))
        directory.get_plugin().update_port_status(self.context, port, status, chance.choice(HOSTS))

    def change_weight(self, chance: random.Random) -> None:
        pair, weight = chance.choice(self.pairs)["id"], chance.randrange(4)
        self.update("port_pair", pair, service_function_parameters={"weight": weight})

    def change_pairs(self, chance: random.Random) -> None:
        ids = [pair["id"] for pair in chance.sample(self.pairs, chance.randrange(4))]
        self.update("port_pair_group", self.group_id, port_pairs=ids)

    def deliver(self, chance: random.Random) -> None:
        """Deliver some messages in any order, some of them twice."""
        for _ in range(min(9, len(self.on_the_way))):
            position = chance.randrange(len(self.on_the_way)) if chance.random() < 0.2 else 0
            host, message = self.on_the_way[position]
            self.hosts[host].receive(message)
            if chance.random() < 0.9:
                del self.on_the_way[position]

    def lose(self, chance: random.Random) -> None:
        """Lose the message that has been on its way for longest."""
        del self.on_the_way[:1]

    def restart_host(self, chance: random.Random) -> None:
        host = self.hosts[chance.choice(HOSTS)]
        host.plans.clear()
        self.ask(host)

    def some_host_asks(self, chance: random.Random) -> None:
        self.ask(self.hosts[chance.choice(HOSTS)])

    def some_host_reports(self, chance: random.Random) -> None:
        self.report(self.hosts[chance.choice(HOSTS)])

    def wait(self, chance: random.Random) -> None:
        """Let time pass, so that groups forget what they selected from before."""
        self.now += datetime.timedelta(seconds=chance.choice((60, 600, 9000)))
        killed = mock.patch.object(OvsDriver, "_refresh", side_effect=RuntimeError("killed"))
        with killed if chance.random() < 0.3 else contextlib.nullcontext():
            for task in self.plugin.drivers.periodic_tasks():
                task()

    def repair(self, chance: random.Random) -> None:
        self.now += datetime.timedelta(seconds=60)
        self.plugin.repair()

    # What must hold.

    def check(self) -> None:
        self.now += datetime.timedelta(seconds=60)
        for _ in range(3):
            self.plugin.repair()
        for host in self.hosts.values():
            self.ask(host)
            self.report(host)
        ids = snapshots.chain_ids(self.context)
        (driver,) = self.plugin.drivers._drivers.values()
        assert isinstance(driver, OvsDriver)
        plans = driver._planner().plan(self.context, snapshots.load(self.context, ids)).planned
        for one in plans:
            wanted = self.views(one.plan)
            for host in HOSTS:
                assert self.part(self.hosts[host].plans.get(one.plan.id)) == wanted.get(host)
            shown = self.show("port_chain", one.plan.id)
            assert shown["status"] in ("ACTIVE", "DOWN"), shown["status_reason"]
            assert "waiting" not in shown["status_reason"]
        for host in self.hosts.values():
            assert self.ask(host) == contract.PlanUpdate(), "nothing is left to say"

    def views(self, plan: ChainPlan) -> dict[str, str | None]:
        views = HostViews(plan)
        return {host: self.part(views.plan_for(host)) for host in plan.hosts}

    @staticmethod
    def part(plan: ChainPlan | None) -> str | None:
        return None if plan is None else PlanSplitter().split(plan).identity

    def test_a_host_that_got_what_was_never_recorded_is_notified_of_what_was(self) -> None:
        """It asked after a change of a port of which the server had not been notified yet."""
        for side in ("ingress", "egress"):
            self.bind(self.pairs[0][side], HOSTS[0])
        self.bind(self.machines[0], HOSTS[1])
        host = self.hosts[HOSTS[0]]
        self.ask(host)
        before = dict(host.plans)
        with mock.patch.object(PortChainPlugin, "_refresh_chains_of"):
            self.allow(self.machines[0], {"ip_address": "10.0.0.77"})
        host.plans.clear()
        self.ask(host)
        assert host.plans != before
        self.on_the_way.clear()
        self.allow(self.machines[0])
        self.deliver(random.Random(1))
        self.check()

    def allow(self, port: str, *pairs: dict[str, str]) -> None:
        body = {"port": {"allowed_address_pairs": list(pairs)}}
        assert self.call("PUT", f"/ports/{port}", body).status_int == 200

    def test_every_host_knows_what_it_must_in_the_end(self) -> None:
        self.open_chain("udp", symmetric=True)
        lacked = 0
        for seed in SEEDS:
            chance = random.Random(seed)
            for _ in range(STEPS):
                self.step(chance)
            self.deliver(chance)
            self.check()
            lacked += sum(host.lacked_parts for host in self.hosts.values())
        assert lacked, "otherwise this tests too little"
