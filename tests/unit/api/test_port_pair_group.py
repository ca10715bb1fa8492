"""Port pair groups: requests and responses."""

from typing import Any

import pytest
from neutron_lib import context as n_context
from neutron_lib.db import api as db_api
from oslo_utils import uuidutils

from portchain.core import model
from portchain.db import models
from portchain.requests import groups
from tests.unit.api.base import OTHER_PROJECT, PROJECT, ApiTestCase

NO_TUPLES: dict[str, Any] = {"ingress_n_tuple": {}, "egress_n_tuple": {}}
DEFAULT_PARAMETERS = {"lb_fields": [], "ppg_n_tuple_mapping": NO_TUPLES}


class PortPairGroupTest(ApiTestCase):
    def prepare(self) -> None:
        self.net = self.network()

    def refused(self, attribute: str, expect: int = 400, **attributes: Any) -> None:
        before = self.rows()
        error = self.create("port_pair_group", expect=expect, **attributes)
        assert attribute in error["message"], error
        assert self.rows() == before

    def test_created_with_defaults(self) -> None:
        shown = self.create("port_pair_group", name="PG1")
        assert shown["port_pairs"] == []
        assert shown["port_pair_group_parameters"] == DEFAULT_PARAMETERS
        assert shown["tap_enabled"] is False
        assert (shown["health_check"], shown["failure_mode"]) == ("none", "closed")
        assert 1 <= shown["group_id"] <= 65535
        assert self.show("port_pair_group", shown["id"]) == shown

    def test_pairs_keep_their_order(self) -> None:
        pairs = [self.pair(self.net, f"vm{number}")["id"] for number in range(5)]
        shown = self.create("port_pair_group", port_pairs=pairs)
        assert shown["port_pairs"] == pairs
        pairs.reverse()
        assert self.update("port_pair_group", shown["id"], port_pairs=pairs)["port_pairs"] == pairs

    def test_partial_parameters_are_completed(self) -> None:
        tuples = {"ingress_n_tuple": {"source_ip_prefix": "10.0.0.0/8"}}
        for given, shown in (
            ({}, {}),
            (None, {}),
            ({"lb_fields": ["ip_src", "tcp_dst"]}, {"lb_fields": ["ip_src", "tcp_dst"]}),
            ({"lb_fields": None}, {}),
            ({"ppg_n_tuple_mapping": {}}, {}),
            ({"ppg_n_tuple_mapping": None}, {}),
            ({"ppg_n_tuple_mapping": tuples}, {"ppg_n_tuple_mapping": NO_TUPLES | tuples}),
        ):
            group = self.create("port_pair_group", port_pair_group_parameters=given)
            assert group["port_pair_group_parameters"] == DEFAULT_PARAMETERS | shown
            self.delete("port_pair_group", group["id"])

    def test_prefixes_with_host_bits_stand_for_their_network(self) -> None:
        given = {"source_ip_prefix": "10.10.0.5/24", "destination_ip_prefix": "FD00::1/64"}
        wanted = {"source_ip_prefix": "10.10.0.0/24", "destination_ip_prefix": "fd00::/64"}
        for name in ("ingress_n_tuple", "egress_n_tuple"):
            mapping = {"ppg_n_tuple_mapping": {name: given}}
            group = self.create("port_pair_group", port_pair_group_parameters=mapping)
            shown = group["port_pair_group_parameters"]["ppg_n_tuple_mapping"]
            assert shown == NO_TUPLES | {name: wanted}
            assert self.show("port_pair_group", group["id"]) == group

    def test_wrong_parameters_are_refused(self) -> None:
        for wrong in (
            {"lb_fields": ["ip_source"]},
            {"lb_fields": ["ip_srcx"]},
            {"lb_fields": ["xip_src"]},
            {"lb_fields": "ip_src"},
            {"lb_fields": [1]},
            {"ppg_n_tuple_mapping": {"ingress_n_tuple": {"colour": "red"}}},
            {"ppg_n_tuple_mapping": {"ingress_n_tuple": {"source_ip_prefix": "red"}}},
            {"ppg_n_tuple_mapping": {"ingress_n_tuple": "red"}},
            {"ppg_n_tuple_mapping": "red"},
            {"colour": "red"},
            "ip_src",
            ["ip_src"],
        ):
            self.refused("port_pair_group_parameters", port_pair_group_parameters=wrong)

    def test_pairs_must_exist_and_be_visible(self) -> None:
        network = self.network(project=OTHER_PROJECT)
        ports = [self.port(network, "vm", project=OTHER_PROJECT) for _ in range(2)]
        foreign = self.create(
            "port_pair", as_={"project": OTHER_PROJECT}, ingress=ports[0], egress=ports[1]
        )
        for unknown in (uuidutils.generate_uuid(), foreign["id"]):
            self.refused(unknown, expect=404, port_pairs=[unknown])
        for wrong in (["PP1"], "PP1", [[]], [{}], [None], 3):
            self.refused("port_pairs", port_pairs=wrong)

    def test_a_pair_cannot_be_in_the_list_twice(self) -> None:
        pair = self.pair(self.net)["id"]
        self.refused("port_pairs", port_pairs=[pair, pair])

    def test_a_pair_is_in_one_group_only(self) -> None:
        first = self.group(self.net)
        (pair,) = first["port_pairs"]
        self.refused(first["id"], expect=409, port_pairs=[pair])
        other = self.create("port_pair_group")
        error = self.update("port_pair_group", other["id"], expect=409, port_pairs=[pair])
        assert "port_pairs" in error["message"]
        assert self.show("port_pair_group", other["id"]) == other

    def test_pairs_must_have_the_same_correlation(self) -> None:
        plain = self.pair(self.net, "vm1")["id"]
        aware = self.pair(self.net, "vm2", service_function_parameters={"correlation": "mpls"})[
            "id"
        ]
        self.refused("correlation", port_pairs=[plain, aware])
        group = self.create("port_pair_group", port_pairs=[plain])
        error = self.update("port_pair_group", group["id"], expect=400, port_pairs=[plain, aware])
        assert "port_pairs" in error["message"]
        assert self.show("port_pair_group", group["id"]) == group

    def test_update(self) -> None:
        group = self.group(self.net, pairs=2)
        more = self.pair(self.net, "vm9")["id"]
        wanted = [more, group["port_pairs"][0]]
        changed = self.update("port_pair_group", group["id"], name="new", port_pairs=wanted)
        assert changed == group | {"name": "new", "port_pairs": wanted}
        for name in ("group_id", "port_pair_group_parameters", "tap_enabled"):
            assert name in str(
                self.update("port_pair_group", group["id"], expect=400, **{name: group[name]})
            )

    def test_an_update_refreshes_each_chain_of_the_group_once(self) -> None:
        group = self.group(self.net)
        chains = [
            self.create(
                "port_chain",
                port_pair_groups=[group["id"]],
                flow_classifiers=[self.classifier(self.port(self.net))["id"]],
            )
            for _ in range(3)
        ]
        self.update("port_pair_group", group["id"], port_pairs=[])
        assert [self.show("port_chain", chain["id"]) for chain in chains] == chains

    def test_pairs_must_fit_the_chains_that_use_the_group(self) -> None:
        group = self.create("port_pair_group")
        self.create(
            "port_chain",
            port_pair_groups=[group["id"]],
            chain_parameters={"correlation": "nsh"},
        )
        aware = self.pair(self.net, service_function_parameters={"correlation": "mpls"})["id"]
        before = self.rows()
        error = self.update("port_pair_group", group["id"], expect=400, port_pairs=[aware])
        assert "port_pairs" in error["message"]
        assert self.rows() == before

    def test_a_function_cannot_be_in_two_groups_of_a_chain(self) -> None:
        ports = [self.port(self.net, "vm") for _ in range(3)]
        one, other = (
            self.create("port_pair", ingress=ports[0], egress=egress)["id"] for egress in ports[1:]
        )
        first = self.create("port_pair_group", port_pairs=[one])["id"]
        second = self.group(self.net)["id"]
        self.create("port_chain", port_pair_groups=[first, second])
        before = self.rows()
        message = self.update("port_pair_group", second, expect=400, port_pairs=[other])["message"]
        assert "port_pairs" in message
        assert ports[0] in message
        assert self.rows() == before

    def test_tap(self) -> None:
        for given, shown in ((True, True), ("true", True), (0, False), (None, False)):
            group = self.create("port_pair_group", tap_enabled=given)
            assert group["tap_enabled"] is shown
        found = self.list_all("port_pair_group", "tap_enabled=true")
        assert [group["tap_enabled"] for group in found] == [True, True]
        for wrong in ("perhaps", 2, [], {}):
            self.refused("tap_enabled", tap_enabled=wrong)

    def test_health(self) -> None:
        assert self.call("GET", "/extensions/port-pair-group-health").status_int == 200
        group = self.create("port_pair_group", health_check="icmp", failure_mode="open")
        assert (group["health_check"], group["failure_mode"]) == ("icmp", "open")
        self.create("port_pair_group", health_check=None, failure_mode=None)
        found = self.list_all("port_pair_group", "health_check=icmp&failure_mode=open")
        assert found == [group]
        for attribute in ("health_check", "failure_mode"):
            self.refused(attribute, **{attribute: "perhaps"})
        changed = self.update("port_pair_group", group["id"], failure_mode="closed")
        assert changed == group | {"failure_mode": "closed"}

    def test_a_changed_health_check_refreshes_the_chains(self) -> None:
        group = self.group(self.net)
        chain = self.create(
            "port_chain",
            port_pair_groups=[group["id"]],
            flow_classifiers=[self.classifier(self.port(self.net))["id"]],
        )["id"]
        revisions = [self.revision(chain)]
        for wanted in (
            {"health_check": "icmp"},
            {"health_check": "icmp", "failure_mode": "closed"},
            {"failure_mode": "open", "port_pairs": []},
        ):
            self.update("port_pair_group", group["id"], **wanted)
            revisions.append(self.revision(chain))
        assert [one - revisions[0] for one in revisions] == [0, 1, 1, 2]

    @staticmethod
    def revision(chain_id: str) -> int:
        """Return the revision of a chain, which grows when drivers have to realise it again."""
        context = n_context.get_admin_context()
        with db_api.CONTEXT_READER.using(context):
            return int(context.session.get(models.PortChain, chain_id).revision)

    def test_a_tap_group_has_at_most_one_pair(self) -> None:
        pairs = [self.pair(self.net, f"vm{number}")["id"] for number in range(2)]
        self.refused("port_pairs", port_pairs=pairs, tap_enabled=True)
        group = self.create("port_pair_group", port_pairs=pairs[:1], tap_enabled=True)
        error = self.update("port_pair_group", group["id"], expect=400, port_pairs=pairs)
        assert "port_pairs" in error["message"]
        assert self.show("port_pair_group", group["id"]) == group

    def test_a_group_of_a_chain_cannot_be_deleted(self) -> None:
        chain = self.chain(self.net)
        (group,) = chain["port_pair_groups"]
        assert chain["id"] in self.delete("port_pair_group", group, expect=409)["message"]
        self.delete("port_chain", chain["id"])
        pairs = self.show("port_pair_group", group)["port_pairs"]
        self.delete("port_pair_group", group)
        self.show("port_pair_group", group, expect=404)
        # Its pairs are free again.
        self.create("port_pair_group", port_pairs=pairs)


@pytest.mark.parametrize(
    ("weights", "alike"), [((1, 5), True), ((5, 0), False), ((0, 0), True), ((0, 1), False)]
)
def test_a_pair_that_is_selected_from_now_on_differs_in_more_than_its_weight(
    weights: tuple[int, int], alike: bool
) -> None:
    before, after = (
        model.PortPairGroup("g", PROJECT, 1, (model.PortPair("a", PROJECT, "i", "e", weight=one),))
        for one in weights
    )
    assert groups._differ_in_weights_only(before, after) is alike
