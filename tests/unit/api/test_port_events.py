"""Drivers are called with the chains of a port that changes, and with no others."""

from collections.abc import Sequence
from typing import Any
from unittest import mock

import sqlalchemy as sa
from neutron.plugins.ml2.plugin import Ml2Plugin
from neutron_lib.api.definitions import portbindings
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory
from oslo_config import cfg

from portchain import port_events
from portchain.core.model import ChainSnapshot
from portchain.db import models, port_usage, snapshots
from portchain.drivers import manager
from portchain.drivers.manager import DriverManager
from tests.unit.api.base import HOST, OTHER_PROJECT, ApiTestCase
from tests.unit.api.test_drivers import RecordingDriver

FIRST, SECOND = "compute-1", "compute-2"


class PortEventsTest(ApiTestCase):
    agent_hosts = (FIRST, SECOND)

    def setUp(self) -> None:
        super().setUp()
        self.driver = RecordingDriver()
        self.plugin.drivers = DriverManager({"fragile": self.driver})

    def prepare(self) -> None:
        self.net = self.network()
        self.client = self.port(self.net, "client")
        self.vm_pair = self.pair(self.net)
        self.group_id = self.create("port_pair_group", port_pairs=[self.vm_pair["id"]])["id"]

    def make_chain(self, **classifier: Any) -> str:
        fc = self.create("flow_classifier", **classifier)["id"]
        chain: str = self.create(
            "port_chain", port_pair_groups=[self.group_id], flow_classifiers=[fc]
        )["id"]
        self.driver.calls.clear()
        return chain

    def new_calls(self) -> list[Sequence[ChainSnapshot]]:
        """Return the snapshots of the calls of the driver since the last time."""
        new_calls = [snapshots for _, snapshots in self.driver.calls]
        self.driver.calls.clear()
        return new_calls

    def set_status(self, port: str, status: str, host: str = FIRST) -> None:
        directory.get_plugin().update_port_status(self.context, port, status, host)

    def test_function_port_is_bound_plugged_moved_and_unplugged(self) -> None:
        chain = self.make_chain(logical_source_port=self.client)
        port = self.vm_pair["ingress"]
        self.bind(port, FIRST, status="BUILD")
        last = self.new_calls()[-1][0]
        assert (last.ports[port].host, last.ports[port].plugged) == (FIRST, True)
        self.set_status(port, "ACTIVE")
        assert self.new_calls() == [], "BUILD to ACTIVE needs no call"
        self.bind(port, SECOND)
        last = self.new_calls()[-1][0]
        assert last.ports[port].host == SECOND
        self.set_status(port, "DOWN", SECOND)
        last = self.new_calls()[-1][0]
        assert not last.ports[port].plugged
        assert last.chain.id == chain

    def test_a_port_that_is_bound_again_stays_in_its_chains(self) -> None:
        """A live migration begins so: Neutron reports the port as not bound in between."""
        chain = self.make_chain(logical_source_port=self.client)
        self.bind(self.client)
        self.driver.calls.clear()
        self.set_profile({"migrating_to": SECOND})
        assert {call[0].ports[self.client].host for call in self.new_calls()} == {HOST}
        assert self.show("port_chain", chain)["status"] != "BUILD"

    def test_a_chain_does_not_wait_for_ever_for_a_port_to_be_bound(self) -> None:
        """The server may have ended before it could bind the port."""
        chain = self.make_chain(logical_source_port=self.client)
        self.bind(self.client)
        with mock.patch.object(
            Ml2Plugin, "_bind_port_if_needed", lambda _self, context, **_: context
        ):
            self.set_profile({"migrating_to": SECOND})
        self.driver.calls.clear()
        self.update("port_chain", chain, name="new")
        assert self.new_calls() == []
        assert self.show("port_chain", chain)["status"] == "BUILD"
        cfg.CONF.set_override("repair_after", 0, "port_chain")
        self.plugin.repair()
        assert [call[0].ports[self.client].host for call in self.new_calls()] == [""]

    def test_a_chain_does_not_wait_for_machines_that_boot_without_a_pause(self) -> None:
        chain = self.make_chain(source_ip_prefix="10.0.0.0/24")
        self.bind(self.vm_pair["ingress"])
        never = mock.patch.object(
            Ml2Plugin, "_bind_port_if_needed", lambda _self, context, **_: context
        )
        now = [1000.0]
        with never, mock.patch.object(manager.time, "monotonic", lambda: now[0]):
            self.bind(self.client)
            self.new_calls()
            for seconds, is_realised in ((0, False), (1, False), (2, True), (30, True)):
                now[0] = 1000.0 + seconds
                self.weigh(2 + seconds)
                assert bool(self.new_calls()) is is_realised, seconds
            now[0] = 1100.0
            self.weigh(99)
            assert self.new_calls() == [], "it waits again for the next ports"
        assert self.show("port_chain", chain)["status"] == "BUILD"

    def weigh(self, weight: int) -> None:
        parameters = {"weight": weight}
        self.update("port_pair", self.vm_pair["id"], service_function_parameters=parameters)

    def test_open_ends_that_a_previous_release_did_not_record_are_completed(self) -> None:
        chain = self.make_chain(source_ip_prefix="10.0.0.0/24", protocol="tcp")
        before = self.rows()["portchain_open_ends"]
        assert before
        with db_api.CONTEXT_WRITER.using(self.context) as session:
            session.execute(sa.delete(models.OpenEnd))
            session.execute(sa.delete(models.ChainNetwork))
        self.bind(self.client)
        assert self.new_calls() == []
        self.plugin.repair()
        assert self.rows()["portchain_open_ends"] == before
        self.new_calls()
        self.bind(self.client, SECOND)
        assert {call[0].chain.id for call in self.new_calls()} == {chain}

    def test_open_ends_that_a_previous_release_has_left_are_replaced(self) -> None:
        """It has taken the classifier out of another chain."""
        other = self.make_chain(source_ip_prefix="10.0.0.0/24", protocol="tcp")
        (free,) = self.show("port_chain", other)["flow_classifiers"]
        before = self.rows()["portchain_open_ends"]
        self.update("port_chain", other, flow_classifiers=[])
        with db_api.CONTEXT_WRITER.using(self.context) as session:
            names = [column.name for column in models.OpenEnd.__table__.columns]
            session.execute(
                sa.insert(models.OpenEnd), [dict(zip(names, row, strict=True)) for row in before]
            )
        group = self.create("port_pair_group", port_pairs=[self.pair(self.net)["id"]])["id"]
        chain = self.create("port_chain", port_pair_groups=[group], flow_classifiers=[free])["id"]
        ends = self.rows()["portchain_open_ends"]
        assert [chain in row for row in ends] == [True] * len(before)

    def set_profile(self, profile: dict[str, str]) -> None:
        body = {"port": {portbindings.PROFILE: profile}}
        response = self.call("PUT", f"/ports/{self.client}", body, roles="service")
        assert response.status_int == 200, response.text

    def test_a_restarted_agent_calls_no_driver(self) -> None:
        self.make_chain(logical_source_port=self.client)
        for port in (self.vm_pair["ingress"], self.vm_pair["egress"], self.client):
            self.bind(port)
        self.driver.calls.clear()
        for status in ("BUILD", "ACTIVE"):
            for port in (self.vm_pair["ingress"], self.vm_pair["egress"], self.client):
                self.set_status(port, status)
        assert self.new_calls() == []

    def test_a_changed_source_port_calls_the_driver(self) -> None:
        chain = self.make_chain(logical_source_port=self.client)
        self.bind(self.client)
        last = self.new_calls()[-1][0]
        assert last.ports[self.client].host == FIRST
        assert last.chain.id == chain

    def test_a_changed_destination_port_calls_the_driver(self) -> None:
        server = self.port(self.net, "server")
        self.make_chain(logical_source_port=self.client, logical_destination_port=server)
        body = {"port": {"fixed_ips": [{"ip_address": "10.0.0.77"}]}}
        assert self.call("PUT", f"/ports/{server}", body).status_int == 200
        (snapshots,) = self.new_calls()
        assert snapshots[0].ports[server].fixed_ips == ("10.0.0.77",)

    def test_a_renamed_port_calls_no_driver(self) -> None:
        self.make_chain(logical_source_port=self.client)
        self.call("PUT", f"/ports/{self.vm_pair['ingress']}", {"port": {"name": "new"}})
        assert self.new_calls() == []

    def test_ports_without_chains_call_no_driver(self) -> None:
        self.make_chain(logical_source_port=self.client)
        other = self.port(self.net, "other")
        self.bind(other)
        assert self.call("DELETE", f"/ports/{other}").status_int == 204
        assert self.new_calls() == []

    def test_classified_ports_that_no_classifier_names_call_the_driver(self) -> None:
        self.make_chain(source_ip_prefix="10.0.0.0/24")
        before = self.snapshot()
        assert self.client in self.sources(before)
        late = self.port(self.net, "late")
        (snapshots,) = self.new_calls()
        assert late in self.sources(snapshots[0])
        self.bind(late)
        assert self.new_calls()[-1][0].ports[late].host == FIRST
        assert self.call("DELETE", f"/ports/{late}").status_int == 204
        assert self.new_calls() == [[self.snapshot()]]

    def test_ports_whose_replies_a_symmetric_chain_classifies_call_the_driver(self) -> None:
        # Neutron chose its address, which could be one of the servers'.
        self.call("DELETE", f"/ports/{self.client}")
        self.client = self.port(self.net, "client", ip="10.0.0.99")
        classifier = self.create(
            "flow_classifier",
            logical_source_port=self.client,
            destination_ip_prefix="10.0.0.128/25",
        )["id"]
        self.create(
            "port_chain",
            port_pair_groups=[self.group_id],
            flow_classifiers=[classifier],
            chain_parameters={"symmetric": True},
        )
        self.driver.calls.clear()
        self.port(self.net, "elsewhere", ip="10.0.0.100")
        assert self.new_calls() == []
        server = self.port(self.net, "server", ip="10.0.0.200")
        (snapshots,) = self.new_calls()
        assert snapshots[0].destinations == {classifier: (server,)}
        assert snapshots[0].sources == {classifier: (self.client,)}
        self.bind(server)
        assert self.new_calls()[-1][0].ports[server].host == FIRST
        assert self.call("DELETE", f"/ports/{server}").status_int == 204
        (snapshots,) = self.new_calls()
        assert snapshots[0].destinations == {classifier: ()}

    def test_ports_outside_the_prefix_project_or_network_call_no_driver(self) -> None:
        self.make_chain(source_ip_prefix="10.0.0.0/25")
        self.port(self.net, "client", ip="10.0.0.200")
        self.port(self.net, "client", ip="10.0.0.100", project=OTHER_PROJECT, roles="admin")
        self.port(self.network("10.0.0.0/24"), "client", ip="10.0.0.100")
        assert self.new_calls() == []
        self.port(self.net, "client", ip="10.0.0.101")
        assert len(self.new_calls()) == 1

    def test_a_port_that_leaves_or_enters_the_prefix_calls_the_driver(self) -> None:
        self.make_chain(source_ip_prefix="10.0.0.0/25")
        port = self.port(self.net, "client", ip="10.0.0.101")
        self.new_calls()
        for address, meant in (("10.0.0.201", False), ("10.0.0.102", True)):
            body = {"port": {"fixed_ips": [{"ip_address": address}]}}
            assert self.call("PUT", f"/ports/{port}", body).status_int == 200
            ((snapshot,),) = self.new_calls()
            assert (port in self.sources(snapshot)) == meant

    def test_sources_of_a_classifier_without_source_port(self) -> None:
        other_net = self.network("10.5.0.0/24")
        elsewhere = self.port(other_net, "client")
        foreign = self.port(self.net, "client", project=OTHER_PROJECT, roles="admin")
        inside = self.port(self.net, "client", ip="10.0.0.100")
        outside = self.port(self.net, "client", ip="10.0.0.200")
        dhcp = self.call(
            "POST",
            "/ports",
            {"port": {"network_id": self.net, "device_owner": "network:dhcp"}},
            roles="admin",
        ).json["port"]["id"]
        self.make_chain(source_ip_prefix="10.0.0.0/25")
        sources = self.sources(self.snapshot())
        assert inside in sources
        for port in (elsewhere, foreign, outside, dhcp, *self.functions()):
            assert port not in sources

    def test_the_only_destination_of_a_classifier_is_no_source(self) -> None:
        server = self.port(self.net, "server", ip="10.0.0.77")
        self.make_chain(source_ip_prefix="10.0.0.0/24", destination_ip_prefix="10.0.0.77/32")
        sources = self.sources(self.snapshot())
        assert self.client in sources
        assert server not in sources

    def test_one_of_several_destinations_is_a_source(self) -> None:
        server = self.port(self.net, "server", ip="10.0.0.77")
        self.make_chain(source_ip_prefix="10.0.0.0/24", destination_ip_prefix="10.0.0.76/31")
        assert {self.client, server} <= set(self.sources(self.snapshot()))

    def test_sources_remain_while_the_only_group_is_empty(self) -> None:
        self.make_chain(protocol="tcp")
        before = self.sources(self.snapshot())
        assert self.client in before
        self.set_pairs(self.group_id)
        ((snapshot,),) = self.new_calls()
        assert set(before) < set(self.sources(snapshot)), (
            "the functions' ports are like any other now"
        )
        late = self.port(self.net, "late")
        ((snapshot,),) = self.new_calls()
        assert late in self.sources(snapshot)
        self.bind(late)
        assert self.new_calls()[-1][0].ports[late].host == FIRST

    def test_sources_move_to_the_network_of_new_functions(self) -> None:
        self.make_chain(protocol="tcp")
        self.set_pairs(self.group_id)
        other = self.network("10.6.0.0/24")
        pair, client = self.pair(other)["id"], self.port(other, "client")
        assert client not in self.sources(self.snapshot())
        self.set_pairs(self.group_id, pair)
        assert self.sources(self.snapshot()) == (client,)
        self.new_calls()
        self.port(self.net, "late")
        assert self.new_calls() == [], "the chain no longer has the earlier network"
        self.set_pairs(self.group_id)
        assert client in self.sources(self.snapshot())
        assert self.client not in self.sources(self.snapshot())

    def test_sources_of_both_networks_remain_while_one_group_is_empty(self) -> None:
        """Otherwise their packets would bypass the functions of both groups."""
        other = self.network("10.6.0.0/24")
        more, client = self.group(other)["id"], self.port(other, "client")
        chain = self.make_chain(protocol="tcp")
        self.update("port_chain", chain, port_pair_groups=[self.group_id, more])
        for emptied in (more, self.group_id):
            self.set_pairs(emptied)
            assert {self.client, client} <= set(self.sources(self.snapshot()))
        self.update("port_chain", chain, port_pair_groups=[more])
        assert {self.client, client} <= set(self.sources(self.snapshot()))

    def test_sources_remain_when_an_empty_group_replaces_another(self) -> None:
        chain = self.make_chain(protocol="tcp")
        empty = self.create("port_pair_group")["id"]
        self.update("port_chain", chain, port_pair_groups=[empty])
        assert self.client in self.sources(self.snapshot())

    def test_source_networks_are_recorded_before_a_classifier_needs_them(self) -> None:
        chain = self.make_chain(protocol="udp", logical_source_port=self.client)
        self.set_pairs(self.group_id)
        late = self.create("flow_classifier", protocol="tcp", source_ip_prefix="10.0.0.0/24")["id"]
        self.update("port_chain", chain, flow_classifiers=[late])
        assert self.client in self.sources(self.snapshot())

    def test_replies_are_classified_while_the_group_is_empty(self) -> None:
        server = self.port(self.net, "server", ip="10.0.0.200")
        classifier = self.create("flow_classifier", destination_ip_prefix="10.0.0.200/32")["id"]
        self.create(
            "port_chain",
            port_pair_groups=[self.group_id],
            flow_classifiers=[classifier],
            chain_parameters={"symmetric": True},
        )
        self.set_pairs(self.group_id)
        assert self.snapshot().destinations == {classifier: (server,)}

    def test_a_chain_that_never_had_a_function_has_no_sources(self) -> None:
        fc = self.create("flow_classifier")["id"]
        group = self.create("port_pair_group")["id"]
        self.create("port_chain", port_pair_groups=[group], flow_classifiers=[fc])
        assert self.sources(self.snapshot()) == ()

    def test_a_recorded_source_network_can_be_deleted(self) -> None:
        self.make_chain()
        self.set_pairs(self.group_id)
        self.delete("port_pair", self.vm_pair["id"])
        for port in (self.client, *self.functions()):
            assert self.call("DELETE", f"/ports/{port}").status_int == 204
        assert self.call("DELETE", f"/networks/{self.net}").status_int == 204
        assert self.sources(self.snapshot()) == ()

    def test_a_port_affects_exactly_the_chains_whose_snapshots_contain_it(self) -> None:
        """The query for a port's chains and the snapshots of chains read one relation, from either
        side.
        """
        cfg.CONF.set_override("quota_port_chain", -1, "QUOTAS")
        other = self.network("10.7.0.0/24")
        server = self.port(other, "server")
        clients = [self.port(net, "client") for net in (self.net, other) for _ in range(2)]
        self.port(other, "client", project=OTHER_PROJECT, roles="admin")
        more = self.group(other, pairs=2)["id"]
        emptied = self.group(self.net)["id"]
        for groups, attributes in (
            ([self.group_id], {"protocol": "tcp", "logical_source_port": clients[0]}),
            ([self.group_id, more], {"protocol": "udp", "source_ip_prefix": "10.7.0.0/24"}),
            ([more], {"protocol": "icmp", "logical_destination_port": server}),
            ([more], {"protocol": "sctp", "source_ip_prefix": "192.0.2.0/24"}),
            ([self.create("port_pair_group")["id"]], {"protocol": "gre"}),
            ([emptied], {"protocol": "vrrp"}),
            ([emptied], {"protocol": "rsvp", "source_ip_prefix": "192.0.2.0/24"}),
            ([emptied, more], {"protocol": "pgm"}),
        ):
            fc = self.create("flow_classifier", **attributes)["id"]
            self.create("port_chain", port_pair_groups=groups, flow_classifiers=[fc])
        for protocol, attributes in (
            ("ah", {"logical_source_port": clients[1]}),
            ("esp", {"logical_destination_port": server}),
            ("egp", {"destination_ip_prefix": "10.7.0.0/24"}),
            ("igmp", {"destination_ip_prefix": "10.0.0.0/24", "logical_source_port": clients[0]}),
        ):
            fc = self.create("flow_classifier", protocol=protocol, **attributes)["id"]
            self.create(
                "port_chain",
                port_pair_groups=[emptied if protocol == "igmp" else more],
                flow_classifiers=[fc],
                chain_parameters={"symmetric": True},
            )
        self.set_pairs(emptied)
        ids = [chain["id"] for chain in self.list_all("port_chain")]
        seen_by: dict[str, set[str]] = {}
        for snapshot in snapshots.load(self.context, ids):
            for port in snapshot.ports:
                seen_by.setdefault(port, set()).add(snapshot.chain.id)
        ports = self.call("GET", "/ports", roles="admin").json["ports"]
        assert len(ports) > len(seen_by) > 0
        for port in ports:
            found = port_usage.chains_using_port(self.context, port_events.with_all_addresses(port))
            assert found == seen_by.get(port["id"], set()), port

    def test_a_port_with_failed_binding_has_no_host(self) -> None:
        self.make_chain(logical_source_port=self.client)
        self.call(
            "PUT", f"/ports/{self.client}", {"port": {"binding:host_id": "none"}}, roles="admin"
        )
        assert self.snapshot().ports[self.client].host == ""

    def test_a_failing_driver_does_not_fail_port_requests(self) -> None:
        self.make_chain(logical_source_port=self.client)
        self.driver.failing = True
        self.bind(self.client)
        port = self.call("GET", f"/ports/{self.client}").json["port"]
        assert port["status"] == "ACTIVE"

    def set_pairs(self, group: str, *pairs: str) -> None:
        self.update("port_pair_group", group, port_pairs=list(pairs))

    def functions(self) -> list[str]:
        return [self.vm_pair["ingress"], self.vm_pair["egress"]]

    def snapshot(self) -> ChainSnapshot:
        (chain,) = self.list_all("port_chain")
        (snapshot,) = snapshots.load(self.context, [chain["id"]])
        return snapshot

    @staticmethod
    def sources(snapshot: ChainSnapshot) -> tuple[str, ...]:
        (ports,) = snapshot.sources.values()
        return ports
