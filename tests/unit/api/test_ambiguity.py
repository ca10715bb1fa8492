"""Packets behind a function that could belong to two chains: refused by every request.

`tests/unit/dataplane/planning/test_ambiguity.py` tries what packets do.
"""

from typing import Any

from tests.unit.api.base import ApiTestCase

WAYS_OUT = "correlation mpls or nsh"


class AmbiguityTest(ApiTestCase):
    def prepare(self) -> None:
        self.nets = [self.network(), self.network()]
        # One address on two networks.
        self.clients = [self.port(net, "client", ip="10.0.0.71") for net in self.nets]
        self.first = self.group(self.nets[0], name="first")["id"]

    def from_client(self, number: int, **attributes: Any) -> str:
        return self.from_port(self.clients[number], **attributes)

    def from_port(self, port: str, **attributes: Any) -> str:
        an_id: str = self.create(
            "flow_classifier", protocol="udp", logical_source_port=port, **attributes
        )["id"]
        return an_id

    def chain(self, groups: list[str], classifier: str, expect: int = 201) -> Any:
        return self.create(
            "port_chain", expect=expect, port_pair_groups=groups, flow_classifiers=[classifier]
        )

    def behind(self) -> str:
        an_id: str = self.group(self.nets[0])["id"]
        return an_id

    def is_refused(self, error: Any, attribute: str = "port_pair_groups") -> None:
        assert attribute in error["message"], error
        assert WAYS_OUT in error["message"], error

    def egress(self, group: str) -> str:
        (pair,) = self.show("port_pair_group", group)["port_pairs"]
        port: str = self.show("port_pair", pair)["egress"]
        return port

    def translating_group(self) -> str:
        """Create a group whose function translates to the address of its egress port."""
        ends = [self.port(self.nets[0], "nat") for _ in range(2)]
        pair = self.create("port_pair", ingress=ends[0], egress=ends[1])["id"]
        (fixed,) = self.call("GET", f"/ports/{ends[1]}").json["port"]["fixed_ips"]
        mapping = {
            "ingress_n_tuple": {},
            "egress_n_tuple": {"source_ip_prefix": f"{fixed['ip_address']}/32"},
        }
        an_id: str = self.create(
            "port_pair_group",
            port_pairs=[pair],
            port_pair_group_parameters={"ppg_n_tuple_mapping": mapping},
        )["id"]
        return an_id

    # Sources with one address.

    def test_two_sources_with_one_address(self) -> None:
        self.chain([self.first, self.behind()], self.from_client(0, destination_port_range_min=5))
        self.is_refused(self.chain([self.first, self.behind()], self.from_client(1), expect=400))

    def test_two_sources_with_one_address_that_come_together_later(self) -> None:
        self.chain([self.first, self.behind()], self.from_client(0, destination_port_range_min=5))

        def to_port(number: int) -> str:
            ports = {"destination_port_range_min": number, "destination_port_range_max": number}
            return self.from_client(1, **ports)

        # By another list of groups,
        last = self.behind()
        other = self.chain([self.behind(), last], to_port(6))["id"]
        change = {"port_pair_groups": [self.first, last]}
        self.is_refused(self.update("port_chain", other, expect=400, **change))
        # by another classifier,
        vm = self.from_port(self.port(self.nets[0], "vm"))
        third = self.chain([self.first, self.behind()], vm)["id"]
        change = {"flow_classifiers": [to_port(7)]}
        self.is_refused(self.update("port_chain", third, expect=400, **change))
        # and by a function at the same port.
        empty = self.create("port_pair_group", port_pairs=[])["id"]
        self.chain([empty, self.behind()], to_port(8))
        ingress = self.port(self.nets[0], "vm0")
        pair = self.create("port_pair", ingress=ingress, egress=self.egress(self.first))["id"]
        error = self.update("port_pair_group", empty, expect=400, port_pairs=[pair])
        self.is_refused(error, "port_pairs")

    # A function that translates, and is a source.

    def test_a_translating_function_that_is_a_source(self) -> None:
        nat = self.translating_group()
        self.chain([nat, self.behind()], self.from_client(0))
        own = self.from_port(self.egress(nat))
        self.is_refused(self.chain([self.behind()], own, expect=400), "flow_classifiers")
        vm = self.from_port(self.port(self.nets[0], "vm"))
        other = self.chain([self.behind()], vm)["id"]
        error = self.update("port_chain", other, expect=400, flow_classifiers=[own])
        self.is_refused(error, "flow_classifiers")

    def test_a_source_that_becomes_a_translating_function(self) -> None:
        nat = self.translating_group()
        source = self.chain([self.behind()], self.from_port(self.egress(nat)))["id"]
        client = self.from_client(0)
        self.is_refused(self.chain([nat, self.behind()], client, expect=400))
        other = self.chain([self.behind()], client)["id"]
        error = self.update("port_chain", other, expect=400, port_pair_groups=[nat])
        self.is_refused(error)
        # Also if the source is in a graph, where it takes nothing of its own: the graph can go.
        before = self.chain([self.behind()], self.from_client(1))["id"]
        graph = self.create("service_graph", port_chains={before: [source]})["id"]
        self.is_refused(self.update("port_chain", other, expect=400, port_pair_groups=[nat]))
        self.delete("service_graph", graph)

    def test_a_graph_that_brings_translated_packets_to_a_function_that_is_a_source(self) -> None:
        """The function of the second chain has the address that the first one translates to."""
        vip = "10.0.0.99"
        fn = self.group(self.nets[0])["id"]
        for port in (self.egress(self.first), self.egress(fn)):
            body = {"port": {"allowed_address_pairs": [{"ip_address": vip}]}}
            assert self.call("PUT", f"/ports/{port}", body).status_int == 200
        mapping = {"ingress_n_tuple": {}, "egress_n_tuple": {"source_ip_prefix": f"{vip}/32"}}
        ends = [self.port(self.nets[0], "vm0"), self.egress(self.first)]
        pair = self.create("port_pair", ingress=ends[0], egress=ends[1])["id"]
        nat = self.create(
            "port_pair_group",
            port_pairs=[pair],
            port_pair_group_parameters={"ppg_n_tuple_mapping": mapping},
        )["id"]
        self.chain([self.behind()], self.from_port(self.egress(fn)))
        one = self.chain([nat], self.from_client(0, destination_port_range_min=5))["id"]
        follows = self.from_client(1, source_ip_prefix=f"{vip}/32")
        other = self.chain([fn, self.behind()], follows)["id"]
        error = self.create("service_graph", expect=400, port_chains={one: [other]})
        self.is_refused(error, "port_chains")
