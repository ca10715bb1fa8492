"""Chains of two projects at a group that a third one shares with both: what is refused, and when.

`tests/unit/dataplane/planning/test_attribution.py` tries what packets do.
"""

from typing import Any

from oslo_utils import uuidutils

from portchain.db import snapshots
from tests.unit.api.base import OTHER_PROJECT, ApiTestCase

T1 = {"project": OTHER_PROJECT}
T2 = {"project": uuidutils.generate_uuid()}
MPLS = {"service_function_parameters": {"correlation": "mpls"}}


class IsolationTest(ApiTestCase):
    def prepare(self) -> None:
        self.group_id = self.group(self.network(cidr="10.9.0.0/24"), name="firewall")["id"]
        for tenant in (T1, T2):
            self.share("port_pair_group", self.group_id, tenant["project"])
        # Each tenant has a network of its own; the addresses are the same.
        self.clients, self.servers, self.nets = {}, {}, {}
        for tenant in (T1, T2):
            project = tenant["project"]
            self.nets[project] = net = self.network(**tenant)
            self.clients[project] = self.port(net, "client", ip="10.0.0.71", **tenant)
            self.servers[project] = self.port(net, "server", ip="10.0.0.72", **tenant)

    def behind(self, tenant: dict[str, str]) -> str:
        """Create a group of a tenant, with one function."""
        net = self.nets[tenant["project"]]
        ends = [self.port(net, "fn", **tenant) for _ in range(2)]
        pair = self.create("port_pair", as_=tenant, ingress=ends[0], egress=ends[1])["id"]
        an_id: str = self.create("port_pair_group", as_=tenant, port_pairs=[pair])["id"]
        return an_id

    def fc(self, tenant: dict[str, str], **attributes: Any) -> str:
        an_id: str = self.create("flow_classifier", as_=tenant, protocol="udp", **attributes)["id"]
        return an_id

    def borrow(
        self, tenant: dict[str, str], classifier: str, *before: str, expect: int = 201, **more: Any
    ) -> Any:
        """Create a chain through the shared group and a group of the tenant's own behind it."""
        return self.create(
            "port_chain",
            as_=tenant,
            expect=expect,
            port_pair_groups=[*before, self.group_id, self.behind(tenant)],
            flow_classifiers=[classifier],
            **more,
        )

    def named(self, tenant: dict[str, str], **attributes: Any) -> str:
        """Create a classifier for what the tenant's client sends."""
        client = self.clients[tenant["project"]]
        return self.fc(tenant, logical_source_port=client, **attributes)

    def borrow_first(self, **attributes: Any) -> tuple[str, str]:
        """Create T1's chain; return its id and its classifier's."""
        classifier = self.named(T1, **attributes)
        return self.borrow(T1, classifier, name="secret")["id"], classifier

    def is_refused(self, error: Any, attribute: str = "port_pair_groups", *hidden: str) -> None:
        message = error["message"]
        assert attribute in message
        assert "mpls or nsh" in message
        for word in ("secret", *hidden):
            assert word not in message

    # The samples, by requests.

    def test_destination_ports_with_one_address_on_two_networks(self) -> None:
        first = self.fc(
            T1, source_ip_prefix="10.0.0.0/24", logical_destination_port=self.servers[OTHER_PROJECT]
        )
        chain = self.borrow(T1, first, name="secret")["id"]
        second = self.fc(
            T2, source_ip_prefix="10.0.0.0/24", logical_destination_port=self.servers[T2["project"]]
        )
        self.is_refused(self.borrow(T2, second, expect=400), "port_pair_groups", chain, first)

    def test_a_group_that_changes_headers_before_the_shared_one(self) -> None:
        chain, first = self.borrow_first(
            destination_port_range_min=514, destination_port_range_max=514
        )
        translated = {"destination_port_range_min": 514, "destination_port_range_max": 514}
        ends = [self.port(self.nets[T2["project"]], "nat", **T2) for _ in range(2)]
        pair = self.create("port_pair", as_=T2, ingress=ends[0], egress=ends[1])["id"]
        nat = self.create(
            "port_pair_group",
            as_=T2,
            port_pairs=[pair],
            port_pair_group_parameters={
                "ppg_n_tuple_mapping": {"ingress_n_tuple": {}, "egress_n_tuple": translated}
            },
        )["id"]
        other = self.named(T2, destination_port_range_min=9, destination_port_range_max=9)
        self.is_refused(self.borrow(T2, other, nat, expect=400), "port_pair_groups", chain, first)

    def test_refusals_tell_nothing_but_that_sources_are_taken(self) -> None:
        """Otherwise a project could ask for one half of all ports or addresses after the other."""
        server = {"destination_ip_prefix": "10.0.0.72/32"}
        ports = {"destination_port_range_min": 4711, "destination_port_range_max": 4711}
        self.borrow_first(**server, **ports)
        answers = set()
        for half in (
            {"destination_ip_prefix": "0.0.0.0/1"},
            {"destination_ip_prefix": "128.0.0.0/1"},
            server,
            {"destination_port_range_min": 0, "destination_port_range_max": 4710},
            ports,
        ):
            asked = self.named(T2, **half)
            message = self.borrow(T2, asked, expect=400)["message"]
            answers.add(message.replace(asked, "FC"))
            self.delete("flow_classifier", asked, **T2)
        assert len(answers) == 1

    def test_a_source_with_the_address_of_the_function(self) -> None:
        (pair,) = self.show("port_pair_group", self.group_id)["port_pairs"]
        egress = self.show("port_pair", pair)["egress"]
        shown = self.call("GET", f"/ports/{egress}", roles="admin").json["port"]
        net = self.network(cidr="10.9.0.0/24", **T1)
        same = self.port(net, "same", ip=shown["fixed_ips"][0]["ip_address"], **T1)
        self.is_refused(self.borrow(T1, self.fc(T1, logical_source_port=same), expect=400))

    def test_an_empty_group_that_lets_packets_pass_from_now_on(self) -> None:
        self.borrow_first()
        empty = self.create("port_pair_group", as_=T2, port_pairs=[])["id"]
        other = self.named(T2, destination_port_range_min=9, destination_port_range_max=9)
        self.borrow(T2, other, empty)
        opened = self.update("port_pair_group", empty, as_=T2, expect=400, failure_mode="open")
        self.is_refused(opened, "failure_mode")

    def test_sources_with_one_address_and_a_narrower_classifier(self) -> None:
        chain, first = self.borrow_first()
        narrow = self.named(T2, destination_port_range_min=9, destination_port_range_max=9)
        self.is_refused(self.borrow(T2, narrow, expect=400), "port_pair_groups", chain, first)

    def test_a_borrower_without_named_sources(self) -> None:
        error = self.borrow(T2, self.fc(T2), expect=400)
        self.is_refused(error)
        assert "logical_source_port or source_ip_prefix" in error["message"]

    # Every request that can bring it about.

    def test_a_changed_list_of_classifiers(self) -> None:
        chain, first = self.borrow_first()
        apart = self.fc(T2, source_ip_prefix="10.0.9.0/24")
        borrowed = self.borrow(T2, apart)["id"]
        before = self.show("port_chain", borrowed, **T2)
        added = self.named(T2, source_ip_prefix="10.0.0.71/32")
        error = self.update(
            "port_chain", borrowed, expect=400, as_=T2, flow_classifiers=[apart, added]
        )
        self.is_refused(error, "port_pair_groups", chain, first)
        assert self.show("port_chain", borrowed, **T2) == before

    def test_a_changed_list_of_groups(self) -> None:
        self.borrow_first()
        own = self.behind(T2)
        borrowed = self.create(
            "port_chain", as_=T2, port_pair_groups=[own], flow_classifiers=[self.named(T2)]
        )["id"]
        error = self.update(
            "port_chain", borrowed, expect=400, as_=T2, port_pair_groups=[self.group_id, own]
        )
        self.is_refused(error)

    def test_functions_of_the_shared_group(self) -> None:
        pairs = self.show("port_pair_group", self.group_id)["port_pairs"]
        self.update("port_pair_group", self.group_id, port_pairs=[])
        chain, first = self.borrow_first()
        other = self.borrow(T2, self.named(T2))["id"]
        error = self.update("port_pair_group", self.group_id, expect=400, port_pairs=pairs)
        self.is_refused(error, "port_pairs", chain, first, other)
        self.delete("port_chain", other, **T2)
        self.update("port_pair_group", self.group_id, port_pairs=pairs)

    def test_a_service_graph(self) -> None:
        """A chain that follows another one is told apart by its prefix, not by its source port."""
        self.borrow_first(source_ip_prefix="10.0.0.64/27")
        server = self.servers[T2["project"]]
        following = self.borrow(
            T2, self.fc(T2, logical_source_port=server, source_ip_prefix="10.0.0.0/24")
        )["id"]
        leading = self.create(
            "port_chain",
            as_=T2,
            port_pair_groups=[self.behind(T2)],
            flow_classifiers=[self.named(T2)],
        )["id"]
        error = self.create("service_graph", as_=T2, expect=400, port_chains={leading: [following]})
        self.is_refused(error, "port_chains")

    def test_functions_that_understand_a_header_serve_everybody(self) -> None:
        net = self.network(cidr="10.8.0.0/24")
        aware = self.pair(net, "aware", **MPLS)["id"]
        self.update("port_pair_group", self.group_id, port_pairs=[aware])
        for tenant in (T1, T2):
            self.borrow(tenant, self.fc(tenant))

    # What the data plane needs.

    def test_the_serial_grows_with_creation_whatever_the_chain_id(self) -> None:
        first, _ = self.borrow_first()
        second = self.create("port_chain", as_=T2, port_pair_groups=[self.group_id], chain_id=1)
        loaded = snapshots.load(self.context, [first, second["id"]])
        serials = {one.chain.id: one.chain.serial for one in loaded}
        assert 0 < serials[first] < serials[second["id"]]
        assert second["chain_id"] == 1

    def test_sharing_a_group_refreshes_the_owners_chains(self) -> None:
        own = self.group(self.network(cidr="10.7.0.0/24"))["id"]
        chain = self.create("port_chain", port_pair_groups=[own])["id"]
        policy = ""
        for is_shared in (True, False):
            before = snapshots.load(self.context, [chain])[0].chain
            if is_shared:
                policy = self.share("port_pair_group", own)
            else:
                assert self.call("DELETE", f"/rbac-policies/{policy}").status_int == 204
            after = snapshots.load(self.context, [chain])[0].chain
            assert after.revision > before.revision
            assert after.port_pair_groups[0].shared is is_shared
