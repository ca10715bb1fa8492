"""The Open vSwitch driver: from the request to messages to the hosts, and back to the status."""

from queue import Queue
from typing import Any
from unittest import mock

import oslo_messaging
import sqlalchemy as sa
from neutron.tests.common import helpers
from neutron_lib import rpc
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory
from oslo_config import cfg

from portchain import conf
from portchain.core.model import ChainSnapshot, HostReport
from portchain.core.rules import Kind, Violation
from portchain.dataplane.pipeline import ODD_GENERATION
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.planning import limits
from portchain.dataplane.planning.planner import Planned, plan_chain
from portchain.dataplane.tracing.steps import Decision, HostTrace, Step
from portchain.db import models, realisation, snapshots
from portchain.drivers.hosts import planning
from portchain.drivers.ovs.driver import OvsDriver
from portchain.rpc import contract, trace_codec
from portchain.rpc.agent import AgentClient, AgentEndpoint
from portchain.rpc.state_codec import AgentState
from tests.message_bus import FAST_SERVERS
from tests.unit.api.base import OTHER_PROJECT, ApiTestCase

HOSTS = ("compute-1", "compute-2", "compute-3")
FIRST, SECOND, THIRD = HOSTS
END = contract.PlanUpdate(removed=(("00000000-0000-0000-0000-000000000000", 0),))
SECONDS = 10


class OvsDriverTest(ApiTestCase):
    drivers = ("ovs",)
    agent_hosts = HOSTS

    def setUp(self) -> None:
        for patch in FAST_SERVERS:
            patch.start()
            self.addCleanup(patch.stop)
        super().setUp()
        cfg.CONF.set_override("underlay_mtu", 9000, conf.GROUP)
        self.servers: list[Any] = []
        # Cleaned up last: wait() blocks until a server has stopped, so all are stopped first.
        self.addCleanup(lambda: [server.wait() for server in self.servers])
        self.bus = {host: self.listen(host) for host in HOSTS}

    def prepare(self) -> None:
        self.net = self.network()
        self.client = self.port(self.net, "client")
        self.bind(self.client, FIRST)
        self.vm_pair = self.pair(self.net)
        for side in ("ingress", "egress"):
            self.bind(self.vm_pair[side], SECOND)
        self.group_id = self.create("port_pair_group", port_pairs=[self.vm_pair["id"]])["id"]

    def listen(self, host: str) -> "Queue[contract.PlanUpdate]":
        """Receive what is sent to a host, as its agent would."""
        received: Queue[contract.PlanUpdate] = Queue()
        target = oslo_messaging.Target(topic=contract.AGENT_TOPIC, server=host)

        def trace(request: Any) -> dict[str, Any]:
            start, packet = trace_codec.decode_request(request)
            step = Step(Decision.DROPPED, f"{start.port_id} on {host}: {packet.destination}")
            return trace_codec.encode_trace(HostTrace((step,), ()))

        endpoint = AgentEndpoint(
            lambda sent: received.put(contract.decode_update(sent)),
            lambda _: {},
            trace,
            lambda _: AgentState(contract.MINOR_VERSION, is_in_sync=True),
            lambda *_: None,
        )
        server = rpc.get_server(target, [endpoint])
        # One thread, so that messages keep their order.
        server.start(override_pool_size=1)
        self.servers.append(server)
        self.addCleanup(server.stop)
        return received

    def sent(self) -> dict[str, list[contract.PlanUpdate]]:
        """Return every message sent since the last call, by host."""
        # Messages to a host keep their order: when the last one has arrived, all have.
        AgentClient().apply(self.context, dict.fromkeys(HOSTS, END))
        result: dict[str, list[contract.PlanUpdate]] = {}
        for host in HOSTS:
            while (update := self.bus[host].get(timeout=SECONDS)) != END:
                result.setdefault(host, []).append(update)
        return result

    def make_chain(self, number: int = 80) -> str:
        fc = self.classifier(self.client, number)["id"]
        chain: str = self.create(
            "port_chain", port_pair_groups=[self.group_id], flow_classifiers=[fc]
        )["id"]
        return chain

    def status(self, chain: str) -> tuple[str, str]:
        shown = self.show("port_chain", chain)
        return shown["status"], shown["status_reason"]

    def endpoint(self) -> Any:
        ((topic, (endpoint,)),) = self.plugin.drivers.rpc_endpoints()
        assert topic == contract.SERVER_TOPIC
        return endpoint

    def confirm(self, chain: str, *hosts: str, error: str = "", prepared: bool = False) -> None:
        for host in hosts:
            revision = realisation.expected_on(self.context, host)[chain]
            report = HostReport(chain, revision, error, prepared=prepared)
            reports = contract.encode_reports([report])
            self.endpoint().report(self.context, host=host, reports=reports)

    def test_a_new_chain_is_one_message_to_each_of_its_hosts(self) -> None:
        chain = self.make_chain()
        sent = self.sent()
        assert sent.keys() == {FIRST, SECOND}
        for updates in sent.values():
            ((plan,),) = (update.chains for update in updates)
            assert plan.id == chain
            (path,) = plan.paths
            assert {source.host for source in path.sources} == {FIRST}
            assert [target.host for hop in path.hops for target in hop.targets] == [SECOND]

    def test_status_follows_the_hosts(self) -> None:
        chain = self.make_chain()
        assert self.status(chain) == ("BUILD", f"waiting for {FIRST}, {SECOND}")
        self.confirm(chain, FIRST)
        assert self.status(chain) == ("BUILD", f"waiting for {SECOND}")
        self.confirm(chain, SECOND, error="no bridge")
        assert self.status(chain) == ("ERROR", f"{SECOND}: no bridge")
        self.confirm(chain, SECOND)
        assert self.status(chain) == ("ACTIVE", "")

    def test_hosts_are_notified_to_switch_once_all_are_prepared(self) -> None:
        chain = self.make_chain()
        for updates in self.sent().values():
            assert [update.prepare for update in updates] == [frozenset({chain})]
        self.confirm(chain, FIRST, prepared=True)
        assert self.sent() == {}
        answer = self.endpoint().sync(self.context, host=FIRST, known={chain: 1})
        assert contract.decode_update(answer) == contract.PlanUpdate()
        self.confirm(chain, SECOND)
        assert self.sent() == {FIRST: [contract.PlanUpdate(switch=((chain, 1),))]}
        answer = self.endpoint().sync(self.context, host=FIRST, known={chain: 1})
        assert contract.decode_update(answer).switch == ((chain, 1),), "in case it was lost"
        assert self.status(chain)[0] == "BUILD"
        self.confirm(chain, FIRST)
        assert self.status(chain) == ("ACTIVE", "")

    def test_a_question_for_plans_records_nothing(self) -> None:
        chain = self.make_chain()
        (update,) = self.sent()[SECOND]
        tables = (models.ChainHost, models.Host, models.PairSet, models.PortChain)

        def rows() -> list[Any]:
            with db_api.CONTEXT_READER.using(self.context) as session:
                return [session.execute(sa.select(one.__table__)).all() for one in tables]

        # As if the plan had changed since: a host that asks for changes is told of it.
        with db_api.CONTEXT_WRITER.using(self.context):
            self.context.session.execute(sa.update(models.ChainHost).values(part="another"))
        before = rows()
        answer = contract.decode_update(self.endpoint().plans(self.context, host=SECOND))
        assert answer == contract.PlanUpdate(chains=update.chains)
        assert answer.chains[0].id == chain
        other = contract.decode_update(self.endpoint().plans(self.context, host=THIRD))
        assert other == contract.PlanUpdate()
        assert rows() == before
        self.endpoint().sync(self.context, host=SECOND, known={})
        assert rows() != before
        assert self.sent() == {}

    def test_chain_on_one_host_changes_in_one_phase(self) -> None:
        for side in ("ingress", "egress"):
            self.bind(self.vm_pair[side], FIRST)
        self.sent()
        self.make_chain()
        ((update,),) = self.sent().values()
        assert update.prepare == frozenset()

    def test_each_list_of_groups_is_a_generation(self) -> None:
        chain = self.make_chain()
        more = self.create("port_pair_group", port_pairs=[])["id"]
        numbers = []
        for groups in ([self.group_id, more], [self.group_id]):
            self.update("port_chain", chain, port_pair_groups=groups)
            numbers.append(self.sent()[FIRST][-1].chains[0].path_id)
        assert numbers[0] == numbers[1] | ODD_GENERATION != numbers[1]

    def test_chain_whose_frames_do_not_fit_is_active_with_a_warning(self) -> None:
        cfg.CONF.set_override("underlay_mtu", 0, conf.GROUP)
        chain = self.make_chain()
        self.confirm(chain, FIRST, SECOND)
        assert self.status(chain) == (
            "ACTIVE",
            f"packets longer than 1432 bytes do not fit between hosts {FIRST} and {SECOND}: the "
            "networks' MTU of 1450 needs an underlay MTU of 1518, and the server's configuration "
            "says 1500",
        )
        cfg.CONF.set_override("underlay_mtu", 1518, conf.GROUP)
        self.update("port_pair_group", self.group_id, port_pairs=[])
        self.update("port_pair_group", self.group_id, port_pairs=[self.vm_pair["id"]])
        self.confirm(chain, FIRST, SECOND)
        assert self.status(chain) == ("ACTIVE", "")
        for mtu, fits in ((1507, False), (1508, True)):
            cfg.CONF.set_override("underlay_mtu", mtu, conf.GROUP)
            said = contract.HostKnowledge({}, contract.MINOR_VERSION)
            for _ in range(2):
                self.endpoint().sync(self.context, SECOND, contract.encode_known(said))
            self.plugin.drivers.update_port_chain(self.context, [chain])
            self.confirm(chain, FIRST, SECOND)
            assert (self.status(chain) == ("ACTIVE", "")) is fits, "8 bytes if it gets packets"

    def test_chain_is_down_while_its_functions_are(self) -> None:
        chain = self.make_chain()
        directory.get_plugin().update_port_status(
            self.context, self.vm_pair["ingress"], "DOWN", SECOND
        )
        assert self.status(chain)[0] == "DOWN"
        directory.get_plugin().update_port_status(
            self.context, self.vm_pair["ingress"], "ACTIVE", SECOND
        )
        self.confirm(chain, FIRST, SECOND)
        assert self.status(chain) == ("ACTIVE", "")

    def test_source_that_moves(self) -> None:
        chain = self.make_chain()
        self.sent()
        self.bind(self.client, THIRD)
        sent = self.sent()
        # One change: nobody was told that the port was bound to no host in between.
        (update,) = sent[FIRST]
        assert update.removed == ((chain, 3),)
        for host in (SECOND, THIRD):
            (plan,) = sent[host][-1].chains
            assert (plan.id, [source.host for source in plan.paths[0].sources]) == (chain, [THIRD])

    def test_host_whose_tunnel_endpoint_moves(self) -> None:
        chain = self.make_chain()
        self.sent()
        for address, expected in (("192.0.2.1", 0), ("192.0.2.77", 1), ("192.0.2.77", 0)):
            helpers.register_ovs_agent(SECOND, tunneling_ip=address, tunnel_types=["vxlan"])
            sent = self.sent()
            assert [len(sent.get(host, ())) for host in (FIRST, SECOND)] == [expected] * 2
            for updates in sent.values():
                ((plan,),) = (update.chains for update in updates)
                assert plan.id == chain
                assert plan.paths[0].hops[0].targets[0].tunnel_ip == address

    def test_tunnel_endpoints_are_known_while_ovn_is_unreachable(self) -> None:
        """ML2/OVN blocks ``get_agents`` while its databases are unreachable."""
        away = mock.patch.object(
            directory.get_plugin(), "get_agents", side_effect=AssertionError("waits for OVN")
        )
        with away:
            chain = self.make_chain()
            (plan,) = self.chains_in(self.sent()[FIRST])
        assert plan.id == chain

    def test_host_whose_agent_registers_again_with_another_address(self) -> None:
        chain = self.make_chain()
        plugin = directory.get_plugin()
        (agent,) = plugin.get_agents(self.context, filters={"host": [SECOND]})
        plugin.delete_agent(self.context, agent["id"])
        self.sent()
        helpers.register_ovs_agent(SECOND, tunneling_ip="192.0.2.78", tunnel_types=["vxlan"])
        (plan,) = self.chains_in(self.sent()[FIRST])
        assert plan.id == chain
        assert plan.paths[0].hops[0].targets[0].tunnel_ip == "192.0.2.78"

    def test_reports_do_not_show_ports_of_another_projects_group(self) -> None:
        self.share("port_pair_group", self.group_id)
        borrowed = self.create(
            "port_chain", as_={"project": OTHER_PROJECT}, port_pair_groups=[self.group_id]
        )["id"]
        own = self.make_chain()
        for text in ("missing", "error"):
            said = {text: "port 12345 is not plugged in on host h1"}
            reports = [HostReport(chain, 1, **said) for chain in (borrowed, own)]
            self.driver()._record_reports(self.context, SECOND, reports)
            tenant = {"project": OTHER_PROJECT}
            shown = self.show("port_chain", borrowed, **tenant)["status_reason"]
            assert "12345" in self.show("port_chain", own)["status_reason"]
            assert "12345" not in shown
            assert SECOND not in shown
            assert "another project" in shown
            seen = self.show("port_chain", borrowed, roles="admin")["status_reason"]
            assert "12345" in seen, "administrators see everything"

    def test_a_changed_chain_in_a_graph_can_be_read_by_hosts(self) -> None:
        first, second = self.linked_chains()
        self.create("service_graph", port_chains={first: [second]})
        more = self.group(self.net)
        (pair,) = more["port_pairs"]
        shown = self.show("port_pair", pair)
        for side in ("ingress", "egress"):
            self.bind(shown[side], SECOND)
        self.sent()
        groups = self.show("port_chain", first)["port_pair_groups"]
        self.update("port_chain", first, port_pair_groups=[*groups, more["id"]])
        (update,) = self.sent()[SECOND]
        assert update.unreadable == ()
        assert {plan.id for plan in update.chains} == {first, second}

    def test_group_of_many_chains_is_one_message_to_each_host(self) -> None:
        chains = {self.make_chain(number) for number in (1, 2, 3)}
        self.sent()
        more = self.pair(self.net, "vm2")
        for side in ("ingress", "egress"):
            self.bind(more[side], THIRD)
        assert self.sent() == {}
        self.update("port_pair_group", self.group_id, port_pairs=[self.vm_pair["id"], more["id"]])
        sent = self.sent()
        assert sent.keys() == set(HOSTS)
        for updates in sent.values():
            (update,) = updates
            assert {plan.id for plan in update.chains} == chains

    def test_a_chain_that_needs_too_many_flows_is_refused(self) -> None:
        body = self.with_many_flows()
        cfg.CONF.set_override("max_chain_flows", 20, conf.GROUP)
        self.addCleanup(cfg.CONF.clear_override, "max_chain_flows", conf.GROUP)
        before = self.rows()
        refused = self.call("POST", "/sfc/port_chains", {"port_chain": body})
        assert refused.status_int == 400
        assert "flow_classifiers" in refused.text
        assert "at most 20 are allowed" in refused.text
        assert self.rows() == before
        cfg.CONF.set_override("max_chain_flows", 100, conf.GROUP)
        self.create("port_chain", **body)

    def with_many_flows(self) -> dict[str, Any]:
        """Return the attributes of a chain that needs more than 20 flows on a host."""
        wide = self.create(
            "flow_classifier",
            protocol="tcp",
            logical_source_port=self.client,
            destination_port_range_min=1,
            destination_port_range_max=65534,
        )["id"]
        return {"port_pair_groups": [self.group_id], "flow_classifiers": [wide]}

    def test_hosts_hear_of_a_chain_that_has_become_too_large(self) -> None:
        """They go on by the plan that fits, and drop what functions may not return any more."""
        chain = self.create("port_chain", **self.with_many_flows())["id"]
        self.sent()
        cfg.CONF.set_override("max_chain_flows", 20, conf.GROUP)
        self.addCleanup(cfg.CONF.clear_override, "max_chain_flows", conf.GROUP)
        self.weigh(2)
        status, reason = self.status(chain)
        assert status == "ERROR"
        assert reason.startswith("the chain would need at least ")
        assert "at most 20 are allowed" in reason
        assert self.sent().keys() == {FIRST, SECOND}
        cfg.CONF.clear_override("max_chain_flows", conf.GROUP)
        self.weigh(3)
        assert self.sent().keys() == {FIRST, SECOND}

    def test_hosts_hear_of_a_chain_that_would_be_refused_now(self) -> None:
        """Its owner could bring that about, to keep the addresses of ports that are deleted."""
        port = self.port(self.net, "gone", ip="10.0.0.71")
        self.bind(port, FIRST)
        classifier = self.create("flow_classifier", protocol="udp", source_ip_prefix="10.0.0.0/24")
        chain = self.create(
            "port_chain",
            port_pair_groups=[self.group_id],
            flow_classifiers=[classifier["id"]],
            chain_parameters={"symmetric": True},
        )["id"]
        assert "10.0.0.71/32" in self.returned_by(chain)
        refused = Violation("flow_classifiers", "not any more", Kind.UNSUPPORTED)
        with mock.patch.object(limits, "check_chain", side_effect=refused):
            assert self.call("DELETE", f"/ports/{port}").status_int == 204
            assert self.status(chain) == ("ERROR", "not any more")
            assert "10.0.0.71/32" not in self.returned_by(chain)
            for prepared in (True, False):
                self.confirm(chain, FIRST, SECOND, prepared=prepared)
            self.sent()
            self.plugin.drivers.repair_port_chain(self.context, [chain])
            assert self.status(chain) == ("ERROR", "not any more")
            assert self.sent() == {}, "nothing has changed since"
        self.plugin.drivers.repair_port_chain(self.context, [chain])
        assert self.status(chain)[0] == "ACTIVE"

    def returned_by(self, chain: str) -> set[str]:
        """Return what the functions may return by the plan that their host was sent last."""
        plans = [one for update in self.sent()[SECOND] for one in self.chains_in([update])]
        (path, *_) = next(one for one in reversed(plans) if one.id == chain).paths
        return {cidr for hop in path.hops for cidr in hop.returned_sources or ()}

    def weigh(self, weight: int) -> None:
        """Change the weight of the group's pair."""
        parameters = {"weight": weight}
        self.update("port_pair", self.vm_pair["id"], service_function_parameters=parameters)

    def test_a_chain_is_planned_once_when_a_weight_changes(self) -> None:
        """The request checks what a weight can change, and the size is that of the plan."""
        chains = {self.make_chain(80 + number) for number in range(3)}
        planned: list[str] = []

        def plan(snapshot: ChainSnapshot, *rest: Any) -> Planned:
            planned.append(snapshot.chain.id)
            return plan_chain(snapshot, *rest)

        with (
            mock.patch.object(planning, "plan_chain", plan),
            mock.patch.object(limits, "plan_chain", plan),
        ):
            self.weigh(7)
        assert sorted(planned) == sorted(chains)

    def test_hosts_without_functions_learn_of_no_other_source(self) -> None:
        """The second source is on a host that has no function of the chain."""
        other = self.port(self.net, "other")
        self.bind(other, THIRD)
        both = [self.classifier(port)["id"] for port in (self.client, other)]
        self.create("port_chain", port_pair_groups=[self.group_id], flow_classifiers=both)
        known = {
            host: {
                source.host
                for plan in self.chains_in(updates)
                for path in plan.paths
                for source in path.sources
            }
            for host, updates in self.sent().items()
        }
        assert known == {FIRST: {FIRST}, SECOND: {FIRST, THIRD}, THIRD: {THIRD}}

    def test_a_chain_that_cannot_be_planned_does_not_affect_others(self) -> None:
        wrong, right = (self.make_chain(number) for number in (1, 2))
        self.sent()

        def plan(snapshot: ChainSnapshot, *rest: Any) -> Planned:
            if snapshot.chain.id == wrong:
                raise KeyError("a port that nobody knows")
            return plan_chain(snapshot, *rest)

        with mock.patch.object(planning, "plan_chain", plan):
            self.update("port_pair_group", self.group_id, port_pairs=[])
        plans = {each.id for updates in self.sent().values() for each in self.chains_in(updates)}
        assert plans == {right}
        status, reason = self.status(wrong)
        assert (status, self.status(right)[0]) == ("ERROR", "DOWN")
        assert "nobody knows" in reason

    def test_deleted_chain(self) -> None:
        chain = self.make_chain()
        self.sent()
        self.delete("port_chain", chain)
        sent = self.sent()
        assert sent.keys() == {FIRST, SECOND}
        assert all(update.removed[0][0] == chain for (update,) in sent.values())

    def test_an_outdated_snapshot_is_not_sent(self) -> None:
        """While a server was slow, another one replaced or deleted the chain."""
        chain = self.make_chain()
        (old,) = snapshots.load(self.context, [chain])
        self.update("port_chain", chain, flow_classifiers=[])
        self.sent()
        OvsDriver.update_port_chain(self.driver(), self.context, old)
        assert self.sent() == {}
        (last,) = snapshots.load(self.context, [chain])
        self.delete("port_chain", chain)
        self.sent()
        OvsDriver.update_port_chain(self.driver(), self.context, last)
        assert self.sent() == {}

    def test_the_host_of_a_port_is_asked_for_a_trace(self) -> None:
        (fixed_ip,) = self.call("GET", f"/ports/{self.client}").json["port"]["fixed_ips"]
        destination = fixed_ip["ip_address"]
        made = self.create("trace", port_id=self.client, destination_ip_address=destination)
        assert (made["phase"], made["outcome"]) == ("SUCCEEDED", "DROPPED")
        assert made["reason"] == f"{self.client} on {FIRST}: {destination}"

    def driver(self) -> OvsDriver:
        (driver,) = self.plugin.drivers._drivers.values()
        assert isinstance(driver, OvsDriver)
        return driver

    def test_sync_returns_missing_and_obsolete_chains(self) -> None:
        chain = self.make_chain()
        unknown = "00000000-0000-0000-0000-000000000001"
        answer = self.endpoint().sync(self.context, host=SECOND, known={unknown: 5})
        update = contract.decode_update(answer)
        assert [plan.id for plan in update.chains] == [chain]
        assert update.removed == ((unknown, 5),)
        answer = self.endpoint().sync(self.context, host=SECOND, known={chain: 1})
        assert contract.decode_update(answer) == contract.PlanUpdate()

    def test_a_service_graph_notifies_the_hosts_of_both_chains(self) -> None:
        first, second = self.linked_chains()
        self.sent()
        graph = self.create("service_graph", port_chains={first: [second]})
        sent = self.sent()
        assert sent.keys() == {FIRST, SECOND}
        plans = {plan.id: plan for plan in self.chains_in(sent[SECOND])}
        assert plans[first].paths[0].branches
        (entry,) = plans[second].paths[0].entries
        assert entry.path_id == plans[first].path_id & 0xFFFF
        assert not plans[second].paths[0].sources
        self.delete("service_graph", graph["id"])
        plans = {plan.id: plan for plan in self.chains_in(self.sent()[SECOND])}
        assert not plans[first].paths[0].branches
        assert not plans[second].paths[0].entries

    def test_symmetric_chains_in_a_service_graph_are_rejected(self) -> None:
        first, second = self.linked_chains(chain_parameters={"symmetric": True})
        before = self.rows()
        error = self.create("service_graph", expect=400, port_chains={first: [second]})
        assert "symmetric" in error["message"]
        assert self.rows() == before

    def linked_chains(self, **attributes: Any) -> tuple[str, str]:
        """Two chains that can be linked, with their functions on one host."""
        pair = self.pair(self.net, "vm2")
        for side in ("ingress", "egress"):
            self.bind(pair[side], SECOND)
        other = self.create("port_pair_group", port_pairs=[pair["id"]])["id"]
        ids = [
            self.create(
                "port_chain",
                port_pair_groups=[group],
                flow_classifiers=[self.classifier(self.client, number)["id"]],
                **attributes,
            )["id"]
            for number, group in ((80, self.group_id), (81, other))
        ]
        return ids[0], ids[1]

    @staticmethod
    def chains_in(updates: list[contract.PlanUpdate]) -> list[ChainPlan]:
        return [plan for update in updates for plan in update.chains]
