"""Deleting a service graph leaves no chain that the rules refuse.

In a graph, a chain has the sources of others. So every change of such a chain is checked as if the
graph was gone, too.
"""

from typing import Any

from portchain.db import snapshots
from portchain.drivers.manager import DriverManager
from tests.unit.api.base import ApiTestCase
from tests.unit.api.test_spoofing import DriverOfOpenVswitch


class WithoutGraphTest(ApiTestCase):
    extension_drivers = ("port_security",)

    def setUp(self) -> None:
        super().setUp()
        self.driver = DriverOfOpenVswitch()
        self.plugin.drivers = DriverManager({"ovs": self.driver})

    def prepare(self) -> None:
        self.net, self.elsewhere = self.network(cidr="10.1.0.0/24"), self.network()
        self.client = self.port(self.net, "client")
        self.first = self.chain(self.functions(self.net), 1)
        self.groups = [self.functions(self.net)]
        self.second = self.chain(self.groups[0], 2)
        self.graph = self.create("service_graph", port_chains={self.first: [self.second]})["id"]

    def functions(self, *networks: str, **group: Any) -> str:
        """Create a group of one function, on one or two networks."""
        ends = [self.port(each, "fn") for each in (networks * 2)[:2]]
        pair = self.create("port_pair", ingress=ends[0], egress=ends[1])["id"]
        an_id: str = self.create("port_pair_group", port_pairs=[pair], **group)["id"]
        return an_id

    def chain(self, group: str, number: int) -> str:
        classifier = self.classifier(self.client, number)["id"]
        an_id: str = self.create(
            "port_chain", port_pair_groups=[group], flow_classifiers=[classifier]
        )["id"]
        return an_id

    def refused(self, words: str, resource: str, an_id: str, **change: Any) -> None:
        before = self.rows()
        error = self.update(resource, an_id, expect=400, **change)
        assert words in error["message"], error
        assert self.rows() == before

    def test_the_chains_are_valid_afterwards(self) -> None:
        more = self.functions(self.net)
        self.update("port_chain", self.second, port_pair_groups=[*self.groups, more])
        self.update("port_pair_group", more, port_pairs=[])
        self.delete("service_graph", self.graph)
        loaded = snapshots.load(self.context, [self.first, self.second])
        assert all(not chain.predecessors + chain.successors for chain in loaded)
        for chain in loaded:
            self.driver.check_port_chain(chain)

    def test_a_source_that_functions_must_not_send_from(self) -> None:
        taken = self.port(self.elsewhere, "vm", ip="10.0.0.71")
        (fixed,) = self.call("GET", f"/ports/{taken}").json["port"]["fixed_ips"]
        other = self.port(self.network(), "same", ip=fixed["ip_address"])
        self.update("port_chain", self.second, port_pair_groups=[self.functions(self.elsewhere)])
        named = self.classifier(other, 3)["id"]
        self.refused("another network", "port_chain", self.second, flow_classifiers=[named])

    def test_a_mapping_that_nobody_may_send_from(self) -> None:
        mapping = {"ingress_n_tuple": {}, "egress_n_tuple": {"source_ip_prefix": "10.9.9.9/32"}}
        parameters = {"ppg_n_tuple_mapping": mapping}
        group = self.functions(self.net, port_pair_group_parameters=parameters)
        change = {"port_pair_groups": [group]}
        self.refused("allowed_address_pairs", "port_chain", self.second, **change)

    def test_a_bridging_function_that_sources_would_meet(self) -> None:
        """By a chain, and by a group of the chain."""
        ends = [self.port(each, "bridge") for each in (self.elsewhere, self.network())]
        pair = self.create("port_pair", ingress=ends[0], egress=ends[1], function_kind="l2")["id"]
        group = self.create("port_pair_group", port_pairs=[])["id"]
        open_ended = self.create("flow_classifier", protocol="udp")["id"]
        change = {
            "port_pair_groups": [group, self.functions(self.net)],
            "flow_classifiers": [open_ended],
        }
        self.update("port_chain", self.second, **change)
        self.refused("two networks", "port_pair_group", group, port_pairs=[pair])
        self.update("port_chain", self.second, port_pair_groups=self.groups)
        self.update("port_pair_group", group, port_pairs=[pair])
        self.refused("two networks", "port_chain", self.second, **change)
