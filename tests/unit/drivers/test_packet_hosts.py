"""Which hosts get packets in MPLS, while their agents are upgraded and rolled back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from unittest import mock

from neutron_lib.db import api as db_api
from oslo_config import cfg

from portchain import conf
from portchain.core.model import HostReport
from portchain.core.plan_records import HostFacts
from portchain.dataplane.plan import ChainPlan
from portchain.db import hosts, realisation, writer
from portchain.drivers.hosts import driver, planning
from portchain.drivers.ovs.driver import OvsDriver
from portchain.rpc import contract
from portchain.rpc.agent import AgentClient
from tests.unit.api.base import ApiTestCase

HOSTS = ("compute-1", "compute-2", "compute-3")
FIRST, SECOND, THIRD = HOSTS
NEW, OLD = 13, 0  # what a host says of its version; an older one says nothing


def both(*plans: tuple[str, ...]) -> dict[str, set[tuple[str, ...]]]:
    """Return that both hosts of a chain were notified of plans in which these hosts get packets."""
    return {host: set(plans) for host in (FIRST, SECOND)}


class PacketHostsCase(ApiTestCase):
    """A chain from the first host through a function on the second one; and a third host."""

    drivers = ("ovs",)
    agent_hosts = HOSTS

    def setUp(self) -> None:
        super().setUp()
        cfg.CONF.set_override("underlay_mtu", 9000, conf.GROUP)
        self.sent: list[Mapping[str, contract.PlanUpdate]] = []
        apply = mock.patch.object(
            AgentClient, "apply", lambda _self, _context, updates: self.sent.append(updates)
        )
        apply.start()
        self.addCleanup(apply.stop)

    def prepare(self) -> None:
        self.net = self.network()
        self.client = self.port(self.net, "client")
        self.bind(self.client, FIRST)
        pair = self.pair(self.net)
        for side in ("ingress", "egress"):
            self.bind(pair[side], SECOND)
        self.group_id = self.create("port_pair_group", port_pairs=[pair["id"]])["id"]

    def make_chain(self, number: int = 80) -> str:
        classifier = self.classifier(self.client, number)["id"]
        chain: str = self.create(
            "port_chain", port_pair_groups=[self.group_id], flow_classifiers=[classifier]
        )["id"]
        return chain

    def driver(self) -> OvsDriver:
        (found,) = self.plugin.drivers._drivers.values()
        assert isinstance(found, OvsDriver)
        return found

    def sync(self, host: str, version: int = NEW) -> contract.PlanUpdate:
        """Ask for changes, as an agent of a release does that has just started."""
        known = {} if version == OLD else {contract._OWN_VERSION: version}
        ((_, (endpoint,)),) = self.plugin.drivers.rpc_endpoints()
        return contract.decode_update(endpoint.sync(self.context, host=host, known=known))

    def upgrade(self, *names: str) -> None:
        """Let agents of the present release ask twice: their switches have flows then."""
        for _ in range(2):
            for host in names:
                self.sync(host)

    def confirm(self, *names: str) -> None:
        for host in names:
            expected = realisation.expected_on(self.context, host)
            reports = [HostReport(chain, revision) for chain, revision in expected.items()]
            realisation.record_reports(self.context, host, reports)

    def plans(self) -> dict[str, list[ChainPlan]]:
        """Return what each host was notified of since the last call, without repetitions."""
        found: dict[str, list[ChainPlan]] = {}
        for updates in self.sent:
            for host, update in updates.items():
                found.setdefault(host, []).extend(update.chains)
        self.sent.clear()
        return found

    def packet_hosts(self) -> dict[str, set[tuple[str, ...]]]:
        """Return which hosts get packets, by the plans since the last call."""
        return {host: {plan.packet_hosts for plan in plans} for host, plans in self.plans().items()}

    def status(self, chain: str) -> str:
        status: str = self.show("port_chain", chain)["status"]
        return status


class PacketHostsTest(PacketHostsCase):
    def test_hosts_that_have_said_nothing_get_frames(self) -> None:
        self.make_chain()
        assert self.packet_hosts() == {FIRST: {()}, SECOND: {()}}

    def test_hosts_of_this_release_get_packets(self) -> None:
        for host in HOSTS:
            assert self.sync(host) == contract.PlanUpdate()
        self.make_chain()
        assert self.packet_hosts() == both((FIRST, SECOND))

    def test_hosts_learn_of_others_that_they_send_to_only(self) -> None:
        """The second source is on a host that has no function of the chain."""
        self.upgrade(*HOSTS)
        other = self.port(self.net, "other")
        self.bind(other, THIRD)
        both = [self.classifier(port)["id"] for port in (self.client, other)]
        self.create("port_chain", port_pair_groups=[self.group_id], flow_classifiers=both)
        assert self.packet_hosts() == {
            FIRST: {(FIRST, SECOND)},
            SECOND: {HOSTS},
            THIRD: {(SECOND, THIRD)},
        }

    def test_agents_are_upgraded_one_after_the_other(self) -> None:
        chain = self.make_chain()
        self.confirm(FIRST, SECOND)
        self.plans()
        self.sync(FIRST, OLD)
        self.sync(SECOND, NEW)
        assert self.packet_hosts() == {}, "it may not have flows for packets yet"
        assert self.status(chain) == "ACTIVE"
        answer = self.sync(SECOND)
        assert self.packet_hosts() == both((SECOND,))
        assert [plan.revision for plan in answer.chains] == [2]
        assert self.status(chain) == "BUILD"
        self.confirm(FIRST, SECOND)
        assert self.status(chain) == "ACTIVE"
        self.sync(FIRST)
        self.sync(FIRST)
        assert self.packet_hosts() == both((FIRST, SECOND))

    def test_a_change_of_hosts_is_prepared(self) -> None:
        chain = self.make_chain()
        self.plans()
        self.upgrade(SECOND)
        (updates,) = self.sent
        assert [update.prepare for update in updates.values()] == [frozenset({chain})] * 2

    def test_agents_that_are_upgraded_together_cost_one_change(self) -> None:
        """A host closes a chain whose plan changes too often in a short time."""
        chain = self.make_chain()
        self.confirm(FIRST, SECOND)
        self.upgrade(FIRST, SECOND)
        later = [plan for plans in self.plans().values() for plan in plans if plan.revision > 1]
        assert {(plan.id, plan.revision, plan.packet_hosts) for plan in later} == {
            (chain, 2, (FIRST, SECOND))
        }

    def test_an_agent_that_is_rolled_back_gets_frames_at_once(self) -> None:
        self.upgrade(FIRST, SECOND)
        self.make_chain()
        self.plans()
        answer = self.sync(SECOND, OLD)
        assert self.packet_hosts() == both((FIRST,))
        assert [plan.packet_hosts for plan in answer.chains] == [(FIRST,)]
        self.sync(SECOND, OLD)
        assert self.plans() == {}
        self.upgrade(SECOND)
        assert self.packet_hosts() == both((FIRST, SECOND))

    def test_a_host_that_is_rolled_back_without_chains_gets_frames_later(self) -> None:
        self.upgrade(FIRST, SECOND)
        self.sync(SECOND, OLD)
        self.make_chain()
        assert self.packet_hosts() == both((FIRST,))

    def test_a_later_version_accepts_packets_too(self) -> None:
        self.upgrade(FIRST, SECOND)
        self.make_chain()
        self.plans()
        for _ in range(2):
            self.sync(SECOND, NEW + 1)
        assert self.plans() == {}
        self.sync(SECOND, NEW - 1)
        assert self.packet_hosts() == both((FIRST,))

    # Servers that end, fail, or are late

    def test_a_server_that_ends_after_it_has_recorded_the_version(self) -> None:
        self.upgrade(FIRST, SECOND)
        self.make_chain()
        self.plans()
        with mock.patch.object(driver, "renew_chains", side_effect=SystemExit):
            self.assertRaises(SystemExit, self.sync, SECOND, OLD)
        assert self.plans() == {}
        self.sync(SECOND, OLD)
        assert self.packet_hosts() == both((FIRST,))

    def test_a_server_that_ends_before_it_has_notified_the_hosts(self) -> None:
        """Another server plans the chain, whether the host asks again or not."""
        cfg.CONF.set_override("repair_after", 0, conf.GROUP)
        self.upgrade(FIRST, SECOND)
        self.make_chain()
        self.plans()
        for version, left in ((OLD, (FIRST,)), (NEW, (FIRST, SECOND))):
            self.sync(SECOND, version) if version == NEW else None
            with mock.patch.object(driver.snapshots, "load", side_effect=SystemExit):
                self.assertRaises(SystemExit, self.sync, SECOND, version)
            assert self.plans() == {}
            self.plugin.repair()
            assert self.packet_hosts() == both(left)
            self.sync(SECOND, version)
            assert self.plans() == {}

    def test_a_server_that_plans_by_an_outdated_version(self) -> None:
        """It has read the version before another server recorded that of the older release."""
        self.upgrade(FIRST, SECOND)
        self.sync(SECOND, OLD)
        read = hosts.read_facts(self.context, HOSTS)
        wrong = {host: replace(read.get(host, HostFacts()), minor_version=NEW) for host in HOSTS}
        late = mock.patch.object(planning, "read_facts", return_value=wrong)
        with late:
            self.make_chain()
        assert self.packet_hosts() == both((FIRST, SECOND))
        self.sync(SECOND, OLD)
        assert self.packet_hosts() == both((FIRST,))

    def test_a_chain_that_is_being_planned_waits_unless_packets_are_lost(self) -> None:
        chain = self.make_chain()
        self.sync(SECOND)
        with db_api.CONTEXT_WRITER.using(self.context) as session:
            writer.increment_revision(session, [chain])
        self.plans()
        self.sync(SECOND)
        assert self.plans() == {}
        self.plugin.drivers.refresh_port_chains(self.context, [chain])
        assert self.packet_hosts() == both((SECOND,))
        with db_api.CONTEXT_WRITER.using(self.context) as session:
            writer.increment_revision(session, [chain])
        self.sync(SECOND, OLD)
        assert self.packet_hosts() == both(())

    def test_a_chain_that_cannot_be_realised_is_left_to_the_repair(self) -> None:
        cfg.CONF.set_override("repair_after", 0, conf.GROUP)
        self.upgrade(FIRST, SECOND)
        wrong, right = self.make_chain(80), self.make_chain(81)
        self.driver().status.mark_failed(self.context, [wrong], "a mistake")
        self.plans()
        self.sync(SECOND, OLD)
        assert {plan.id for plans in self.plans().values() for plan in plans} == {right}
        self.plugin.repair()
        assert self.packet_hosts() == both((FIRST,))

    def test_a_chain_that_cannot_be_planned_does_not_affect_others(self) -> None:
        self.upgrade(FIRST, SECOND)
        wrong, right = self.make_chain(80), self.make_chain(81)
        self.plans()
        plan_chain = planning.plan_chain

        def plan(snapshot: Any, *rest: Any) -> Any:
            if snapshot.chain.id == wrong:
                raise KeyError("a mistake")
            return plan_chain(snapshot, *rest)

        with mock.patch.object(planning, "plan_chain", plan):
            answer = self.sync(SECOND, OLD)
        assert [plan.id for plan in answer.chains] == [right]
        assert {plan.id for plans in self.plans().values() for plan in plans} == {right}
        assert (self.status(wrong), self.status(right)) == ("ERROR", "BUILD")

    # Cost

    def test_a_request_of_a_known_host_writes_nothing(self) -> None:
        self.upgrade(FIRST, SECOND)
        counts = []
        for number in (80, 81, 82):
            self.make_chain(number)
            with self.statements() as seen:
                self.sync(FIRST)
                self.sync(THIRD, OLD)
            assert {statement.split()[0] for statement in seen} == {"SELECT"}
            counts.append(len(seen))
        assert len(set(counts)) == 1
        facts = hosts.read_facts(self.context, HOSTS)
        versions = {host: one.minor_version for host, one in facts.items() if one.minor_version}
        assert versions == {FIRST: NEW, SECOND: NEW}
        assert len(self.rows()["portchain_hosts"]) == 2, "none of a host that says nothing"


class HostsOfAControllerTest(PacketHostsCase):
    drivers = ("openflow",)

    def setUp(self) -> None:
        addresses = {host: f"192.0.2.{number}" for number, host in enumerate(HOSTS, 1)}
        conf.register_server_opts()
        cfg.CONF.set_override("openflow_hosts", addresses, conf.GROUP)
        self.addCleanup(cfg.CONF.clear_override, "openflow_hosts", conf.GROUP)
        super().setUp()

    def test_a_controller_that_is_upgraded_and_rolled_back(self) -> None:
        self.make_chain()
        self.confirm(FIRST, SECOND)
        self.upgrade(*HOSTS)
        self.plans()
        for _ in range(2):
            for host in HOSTS:
                self.sync(host, OLD)
        assert self.packet_hosts() == both((SECOND,), ())
