"""Chains while Neutron's ports, networks and instances change or are deleted."""

from typing import Any
from unittest import mock

from oslo_db import exception as db_exc

from portchain.db import port_usage
from portchain.drivers.manager import DriverManager
from tests.unit.api.base import HOST, ApiTestCase
from tests.unit.api.test_drivers import RecordingDriver

ADMIN = {"roles": "admin"}


class LifeCycleTest(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.driver = RecordingDriver()
        self.plugin.drivers = DriverManager({"fragile": self.driver})

    def prepare(self) -> None:
        self.net = self.network()
        self.function = self.pair(self.net)
        group = self.create("port_pair_group", port_pairs=[self.function["id"]])["id"]
        self.client = self.port(self.net, "client")
        classifier = self.classifier(self.client)["id"]
        self.chain_id = self.create(
            "port_chain", port_pair_groups=[group], flow_classifiers=[classifier]
        )["id"]

    def change(self, port: str, **attributes: Any) -> None:
        response = self.call("PUT", f"/ports/{port}", {"port": attributes}, **ADMIN)
        assert response.status_int == 200, response.text

    def last(self, port: str) -> Any:
        """Return a port as it was in the last call of the driver."""
        _, snapshots = self.driver.calls[-1]
        (snapshot,) = snapshots
        assert snapshot.chain.id == self.chain_id
        return snapshot.ports[port]

    def test_networks_and_subnets_in_use_cannot_be_deleted(self) -> None:
        network = self.call("GET", f"/networks/{self.net}").json["network"]
        for path in (f"/subnets/{network['subnets'][0]}", f"/networks/{self.net}"):
            assert self.call("DELETE", path, **ADMIN).status_int == 409

    def test_ports_in_use_cannot_be_deleted_even_by_administrators(self) -> None:
        for port in (self.client, self.function["ingress"], self.function["egress"]):
            assert self.call("DELETE", f"/ports/{port}", **ADMIN).status_int == 409

    def test_a_port_that_gets_a_user_while_it_is_deleted_stays(self) -> None:
        """The first check sees no user yet; the transaction that deletes the port does."""
        port = self.port(self.net, "vm")
        for resource, names in (
            ("port_pair", {"ingress": port, "egress": port}),
            ("flow_classifier", {"logical_source_port": port}),
            ("flow_classifier", {"logical_destination_port": port, "protocol": "udp"}),
        ):
            user = self.create(resource, **names)["id"]
            with mock.patch.object(port_usage, "describe_users", return_value=None):
                response = self.call("DELETE", f"/ports/{port}")
            assert response.status_int == 409, response.text
            assert user in response.json["NeutronError"]["message"]
            assert "Delete that first" in response.json["NeutronError"]["message"]
            self.delete(resource, user)
        assert self.call("DELETE", f"/ports/{port}").status_int == 204

    def test_what_is_deleted_while_it_is_named_is_a_conflict(self) -> None:
        """The database finds a missing row that the checks still saw: 409, for every resource."""
        group = self.create("port_pair_group")["id"]
        chain = self.create("port_chain", port_pair_groups=[group])["id"]
        other = self.create("port_chain", port_pair_groups=[group])["id"]
        port = self.port(self.net, "vm")
        requests: dict[str, dict[str, Any]] = {
            "flow_classifier": {"logical_source_port": port},
            "port_pair": {"ingress": port, "egress": port},
            "port_pair_group": {"port_pairs": []},
            "port_chain": {"port_pair_groups": [group]},
            "service_graph": {"port_chains": {chain: [other]}},
        }
        gone = db_exc.DBReferenceError("ports", "constraint", "key", "key_table")
        for resource, attributes in requests.items():
            with mock.patch.object(self.plugin.drivers, "check", side_effect=gone):
                error = self.create(resource, expect=409, **attributes)
            assert "repeat the request" in error["message"], resource

    def test_drivers_know_which_ports_are_of_routers(self) -> None:
        self.change(self.client, device_id="r1")
        assert not self.last(self.client).serves_network
        self.change(self.client, device_owner="network:router_interface")
        assert self.last(self.client).serves_network

    def test_a_deleted_instance_leaves_its_port_unbound(self) -> None:
        """Nova clears the port's device and unbinds it; it deletes only ports that it created."""
        port = self.function["ingress"]
        self.bind(port)
        assert self.last(port).host == HOST
        self.change(port, **{"device_id": "", "device_owner": "", "binding:host_id": ""})
        assert (self.last(port).host, self.last(port).device_id) == ("", "")
        # The pair still names the port, which can be given to the next instance.
        self.change(port, **{"device_id": "next", "binding:host_id": HOST})
        assert (self.last(port).host, self.last(port).device_id) == (HOST, "next")

    def test_drivers_get_new_addresses_of_ports(self) -> None:
        self.change(self.client, mac_address="02:00:00:00:00:77")
        assert self.last(self.client).mac_address == "02:00:00:00:00:77"
        self.change(self.client, fixed_ips=[{"ip_address": "10.0.0.77"}])
        assert self.last(self.client).fixed_ips == ("10.0.0.77",)

    def test_a_failed_lookup_of_chains_does_not_fail_port_requests(self) -> None:
        with mock.patch.object(port_usage, "chains_using_port", side_effect=RuntimeError("ours")):
            other = self.port(self.net, "other")
            self.change(other, name="new")
            self.bind(self.client)
            assert self.call("DELETE", f"/ports/{other}").status_int == 204
        assert self.driver.calls == []
        self.bind(self.function["ingress"])
        assert self.last(self.function["ingress"]).host == HOST
