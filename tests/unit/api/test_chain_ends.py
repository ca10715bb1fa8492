"""Which ports send a chain's traffic and its replies, if no classifier names them."""

from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import l3, l3_attrs

from portchain.core.model import AddressPair, ChainSnapshot, PortRole
from portchain.db import port_usage, ports, snapshots
from tests.unit.api.base import OTHER_PROJECT, PROJECT, ApiTestCase

ROUTER, DISTRIBUTED = "network:router_interface", "network:router_interface_distributed"
VIP, OUTSIDE = "10.0.0.100/32", "203.0.113.0/24"


class ChainEndsTest(ApiTestCase):
    extension_drivers = ("port_security",)

    def prepare(self) -> None:
        self.net = self.network()
        self.client = self.port(self.net, "client", ip="10.0.0.70")
        self.server = self.port(self.net, "server", ip="10.0.0.71")
        self.group_id = self.group(self.net)["id"]

    def change(self, port: str, **attributes: Any) -> None:
        body = {"port": attributes}
        assert self.call("PUT", f"/ports/{port}", body, roles="admin").status_int == 200

    def allow(self, port: str, *prefixes: str) -> None:
        self.change(port, allowed_address_pairs=[{"ip_address": one} for one in prefixes])

    def router_port(self, owner: str = ROUTER, network: str = "", project: str = PROJECT) -> str:
        body = {"network_id": network or self.net, "device_owner": owner, "project_id": project}
        response = self.call("POST", "/ports", {"port": body}, roles="admin")
        assert response.status_int == 201, response.text
        return str(response.json["port"]["id"])

    def ends(self, symmetric: bool = True, **classifier: Any) -> tuple[set[str], set[str]]:
        """Create a chain; return the ids of the ports of its traffic, and of its replies."""
        fc = self.create("flow_classifier", **classifier)["id"]
        self.chain_id = self.create(
            "port_chain",
            port_pair_groups=[self.group_id],
            flow_classifiers=[fc],
            chain_parameters={"symmetric": symmetric},
        )["id"]
        found = self.snapshot()
        for port_id in {*found.sources[fc], *found.destinations.get(fc, ())}:
            # What the chain depends on must refresh it.
            used = port_usage.chains_using_port(self.context, found.ports[port_id])
            assert self.chain_id in used, port_id
        return set(found.sources[fc]), set(found.destinations.get(fc, ()))

    def snapshot(self) -> ChainSnapshot:
        (found,) = snapshots.load(self.context, [self.chain_id])
        return found

    def test_addresses_of_a_port(self) -> None:
        self.allow(self.client, "10.0.0.100", "10.0.9.9/24", "2001:db8::/64")
        self.change(self.server, allowed_address_pairs=[], security_groups=[])
        self.change(self.server, port_security_enabled=False)
        with self.context.session.begin():
            found = ports.load_ports(self.context.session, sa.select(models_v2.Port.id))
        pairs = found[self.client].address_pairs
        mac = found[self.client].mac_address
        assert [one.prefix for one in pairs] == ["10.0.0.100/32", "10.0.9.0/24", "2001:db8::/64"]
        assert pairs[0] == AddressPair("10.0.0.100/32", mac)
        assert found[self.client].subnets == ("10.0.0.0/24",)
        assert (found[self.client].port_security, found[self.server].port_security) == (True, False)
        assert (found[self.client].forwards, found[self.server].forwards) == (False, True)

    def test_floating_address_of_a_distributed_router(self) -> None:
        routers = {"distributed": (True, self.client), "on one host": (False, self.server)}
        with self.context.session.begin():
            for router, (distributed, port) in routers.items():
                self.context.session.add(l3.Router(id=router, project_id=PROJECT))
                self.context.session.flush()
                self.context.session.add(
                    l3_attrs.RouterExtraAttributes(router_id=router, distributed=distributed)
                )
                self.context.session.add(
                    l3.FloatingIP(
                        floating_ip_address="203.0.113.9",
                        floating_network_id=self.net,
                        floating_port_id=port,
                        fixed_port_id=port,
                        router_id=router,
                    )
                )
        with self.context.session.begin():
            found = ports.load_ports(self.context.session, sa.select(models_v2.Port.id))
        assert (found[self.client].floating, found[self.server].floating) == (True, False)

    def test_roles_of_ports(self) -> None:
        owners = {
            ROUTER: PortRole.ROUTER,
            "network:ha_router_replicated_interface": PortRole.ROUTER,
            DISTRIBUTED: PortRole.DISTRIBUTED_ROUTER,
            "network:dhcp": PortRole.SERVICE,
            "compute:nova": PortRole.END,
            "trunk:subport": PortRole.SUBPORT,
        }
        made = {owner: self.router_port(owner) for owner in owners}
        with self.context.session.begin():
            found = ports.load_ports(self.context.session, sa.select(models_v2.Port.id))
        assert {owner: found[port].role for owner, port in made.items()} == owners

    def test_source_with_a_virtual_address(self) -> None:
        self.allow(self.client, "10.0.0.100")
        assert self.ends(source_ip_prefix=VIP)[0] == {self.client}

    def test_replies_from_a_virtual_address(self) -> None:
        for port in (self.client, self.server):
            self.allow(port, "10.0.0.100")
        named = {"logical_source_port": self.port(self.net, "other"), "protocol": "tcp"}
        assert self.ends(**named, destination_ip_prefix=VIP)[1] == {self.client, self.server}

    def test_port_that_may_send_from_anywhere_is_a_source_only_of_unknown_addresses(self) -> None:
        gate = self.port(self.net, "gate", ip="10.0.0.99")
        self.allow(gate, "0.0.0.0/0")
        assert self.ends(protocol="tcp", source_ip_prefix="10.0.0.70/32")[0] == {self.client}
        assert self.ends(protocol="udp", source_ip_prefix=OUTSIDE)[0] == {gate}

    def test_port_without_port_security_is_a_source_of_unknown_addresses(self) -> None:
        self.change(self.server, security_groups=[], port_security_enabled=False)
        assert self.ends(protocol="tcp", source_ip_prefix=VIP)[0] == {self.server}
        assert self.ends(protocol="udp", source_ip_prefix="10.0.0.70/32")[0] == {self.client}

    def test_router_of_the_project_is_a_source_of_unknown_addresses(self) -> None:
        router = self.router_port()
        assert self.ends(protocol="tcp", source_ip_prefix=OUTSIDE)[0] == {router}
        assert self.ends(protocol="udp", source_ip_prefix="10.0.0.70/32")[0] == {self.client}
        assert router not in self.ends(protocol="icmp")[0]

    def test_distributed_router_is_a_source_of_unknown_addresses(self) -> None:
        """Drivers refuse the chain then. Without the source, requests would bypass it."""
        router = self.router_port(DISTRIBUTED)
        assert self.ends(protocol="tcp", source_ip_prefix=OUTSIDE)[0] == {router}
        assert self.ends(protocol="udp", source_ip_prefix="10.0.0.70/32")[0] == {self.client}

    def test_replies_from_behind_a_router(self) -> None:
        router = self.router_port()
        named = {"logical_source_port": self.client}
        assert self.ends(**named, protocol="tcp", destination_ip_prefix=OUTSIDE)[1] == {router}
        everywhere = self.ends(**named, protocol="udp")[1]
        assert {router, self.server} <= everywhere
        known = self.ends(**named, protocol="icmp", destination_ip_prefix="10.0.0.71/32")[1]
        assert known == {self.server}

    def test_replies_through_a_router_on_the_network_of_a_named_source(self) -> None:
        other_net = self.network("10.1.0.0/24")
        source = self.port(other_net, "source")
        router = self.router_port(network=other_net)
        replies = self.ends(logical_source_port=source, destination_ip_prefix=OUTSIDE)[1]
        assert replies == {router}

    def test_routers_that_do_not_count(self) -> None:
        self.router_port(project=OTHER_PROJECT)
        self.router_port(network=self.network("10.2.0.0/24"))
        self.router_port("network:dhcp")
        ends = self.ends(logical_source_port=self.client, destination_ip_prefix=OUTSIDE)
        assert ends == ({self.client}, set())

    def test_a_new_router_and_a_new_virtual_address_refresh_the_chain(self) -> None:
        self.ends(protocol="udp", logical_source_port=self.client, destination_ip_prefix=OUTSIDE)
        before = self.show("port_chain", self.chain_id)["status"]
        assert before
        revision = self.snapshot().chain.revision
        self.router_port()
        assert self.snapshot().chain.revision > revision
        self.ends(protocol="tcp", source_ip_prefix=VIP)
        revision = self.snapshot().chain.revision
        self.allow(self.client, "10.0.0.100")
        assert self.snapshot().chain.revision > revision
