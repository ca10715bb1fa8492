"""The segments and MTUs of ports in snapshots."""

from neutron.tests.common import helpers
from neutron_lib.plugins import directory

from portchain.core.model import Segment
from portchain.db import snapshots
from tests.unit.api.base import HOST, ApiTestCase


class SegmentsTest(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        mappings = {"physnet1": "br-ex"}
        helpers.register_ovs_agent(HOST, bridge_mappings=mappings, tunneling_ip="192.0.2.1")

    def on(self, **provider: str) -> str:
        """Create a network with these provider attributes and return its id."""
        wanted = {f"provider:{name}": value for name, value in provider.items()}
        body = {"network": {"name": "provider", "mtu": 1400, **wanted}}
        response = self.call("POST", "/networks", body, roles="admin")
        assert response.status_int == 201, response.text
        an_id: str = response.json["network"]["id"]
        return an_id

    def test_bound_ports_have_a_segment_and_an_mtu(self) -> None:
        flat = self.on(network_type="flat", physical_network="physnet1")
        tunnel = self.network()
        chain = self.chain(tunnel)
        ports = [self.port(flat, "vm") for _ in range(2)]
        pair = self.create("port_pair", ingress=ports[0], egress=ports[1])
        group = chain["port_pair_groups"][0]
        members = [*self.show("port_pair_group", group)["port_pairs"], pair["id"]]
        self.update("port_pair_group", group, port_pairs=members)
        (before,) = snapshots.load(self.context, [chain["id"]])
        assert {port.segment for port in before.ports.values()} == {None}
        for port_id in before.ports:
            self.bind(port_id)
        (snapshot,) = snapshots.load(self.context, [chain["id"]])
        vni = directory.get_plugin().get_network(self.context, tunnel)["provider:segmentation_id"]
        for port in snapshot.ports.values():
            on_flat = port.id in ports
            assert port.segment == (
                Segment("flat", "physnet1") if on_flat else Segment("vxlan", None, vni)
            )
            assert port.mtu == (1400 if on_flat else 1450)
