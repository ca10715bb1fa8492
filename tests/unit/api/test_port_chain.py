"""Port chains: requests and responses."""

from typing import Any

from oslo_utils import uuidutils

from tests.unit.api.base import OTHER_PROJECT, ApiTestCase

DEFAULT_PARAMETERS = {"correlation": "mpls", "symmetric": False}


class PortChainTest(ApiTestCase):
    def prepare(self) -> None:
        self.net = self.network()

    def refused(self, attribute: str, expect: int = 400, **attributes: Any) -> None:
        before = self.rows()
        error = self.create("port_chain", expect=expect, **attributes)
        assert attribute in error["message"], error
        assert self.rows() == before

    def test_created_with_defaults_and_status(self) -> None:
        chain = self.chain(self.net, name="PC1", groups=3)
        assert chain["chain_parameters"] == DEFAULT_PARAMETERS
        assert 1 <= chain["chain_id"] <= 65535
        assert (chain["status"], chain["status_reason"]) == ("ACTIVE", "")
        assert self.show("port_chain", chain["id"]) == chain

    def test_classifiers_are_optional(self) -> None:
        group = self.group(self.net)["id"]
        assert self.create("port_chain", port_pair_groups=[group])["flow_classifiers"] == []

    def test_groups_keep_their_order(self) -> None:
        groups = [self.group(self.net)["id"] for _ in range(5)]
        chain = self.create("port_chain", port_pair_groups=groups)
        assert chain["port_pair_groups"] == groups
        groups.reverse()
        changed = self.update("port_chain", chain["id"], port_pair_groups=groups)
        assert changed["port_pair_groups"] == groups

    def test_partial_parameters_are_completed(self) -> None:
        group = self.group(self.net)["id"]
        for given, shown in (
            ({}, {}),
            (None, {}),
            ({"correlation": "nsh"}, {"correlation": "nsh"}),
            ({"symmetric": "True"}, {"symmetric": True}),
        ):
            chain = self.create("port_chain", port_pair_groups=[group], chain_parameters=given)
            assert chain["chain_parameters"] == DEFAULT_PARAMETERS | shown

    def test_wrong_parameters(self) -> None:
        group = self.group(self.net)["id"]
        for wrong in (
            {"correlation": "vlan"},
            {"correlation": None},
            {"symmetric": "perhaps"},
            {"colour": "red"},
            "mpls",
            ["mpls"],
            0,
        ):
            self.refused("chain_parameters", port_pair_groups=[group], chain_parameters=wrong)

    def test_at_least_one_group_is_required(self) -> None:
        for wrong in ([], None, "PG1", ["PG1"]):
            self.refused("port_pair_groups", port_pair_groups=wrong)
        self.refused("port_pair_groups")

    def test_a_group_cannot_be_in_the_chain_twice(self) -> None:
        group = self.group(self.net)["id"]
        self.refused("port_pair_groups", port_pair_groups=[group, group])

    def test_two_taps_do_not_follow_each_other(self) -> None:
        taps = [self.group(self.net, tap_enabled=True)["id"] for _ in range(2)]
        between = self.group(self.net)["id"]
        self.refused("port_pair_groups", port_pair_groups=taps)
        chain = self.create("port_chain", port_pair_groups=[taps[0], between, taps[1]])
        error = self.update("port_chain", chain["id"], expect=400, port_pair_groups=taps)
        assert "tap_enabled" in error["message"]

    def test_groups_and_classifiers_must_exist_and_be_visible(self) -> None:
        group = self.group(self.net)["id"]
        as_other = {"project": OTHER_PROJECT}
        foreign_group = self.create("port_pair_group", as_=as_other)["id"]
        foreign_classifier = self.create("flow_classifier", as_=as_other)["id"]
        for unknown in (uuidutils.generate_uuid(), foreign_group):
            self.refused(unknown, expect=404, port_pair_groups=[group, unknown])
        for unknown in (uuidutils.generate_uuid(), foreign_classifier):
            self.refused(unknown, expect=404, port_pair_groups=[group], flow_classifiers=[unknown])

    def test_a_classifier_is_in_one_chain_only(self) -> None:
        chain = self.chain(self.net)
        group = self.group(self.net)["id"]
        self.refused(
            chain["id"],
            expect=409,
            port_pair_groups=[group],
            flow_classifiers=chain["flow_classifiers"],
        )
        other = self.create("port_chain", port_pair_groups=[group])
        error = self.update(
            "port_chain", other["id"], expect=409, flow_classifiers=chain["flow_classifiers"]
        )
        assert "flow_classifiers" in error["message"]
        assert self.show("port_chain", other["id"]) == other

    def test_two_chains_can_use_the_same_groups(self) -> None:
        groups = [self.group(self.net)["id"] for _ in range(2)]
        for _ in range(2):
            self.create(
                "port_chain",
                port_pair_groups=groups,
                flow_classifiers=[self.classifier(self.port(self.net))["id"]],
            )

    def test_functions_can_be_on_other_networks(self) -> None:
        groups = [self.group(self.network(f"10.{number}.0.0/24"))["id"] for number in range(2)]
        source = self.classifier(self.port(self.net))
        self.create("port_chain", port_pair_groups=groups, flow_classifiers=[source["id"]])

    def test_a_classifier_without_source_port_means_traffic_of_the_chains_project(self) -> None:
        """An administrator can put another project's classifier into a chain."""
        admin = {"roles": "admin"}
        mine = self.create("flow_classifier")
        foreign = self.create("flow_classifier", as_={"project": OTHER_PROJECT})
        group = self.group(self.net)["id"]
        self.create("port_chain", port_pair_groups=[group], flow_classifiers=[mine["id"]])
        before = self.rows()
        error = self.create(
            "port_chain",
            expect=400,
            as_=admin,
            port_pair_groups=[group],
            flow_classifiers=[foreign["id"]],
        )
        assert "flow_classifiers" in error["message"]
        assert self.rows() == before

    def test_correlation_of_pairs_must_fit(self) -> None:
        pair = self.pair(self.net, service_function_parameters={"correlation": "mpls"})["id"]
        group = self.create("port_pair_group", port_pairs=[pair])["id"]
        self.refused(
            "correlation", port_pair_groups=[group], chain_parameters={"correlation": "nsh"}
        )
        chain = self.create("port_chain", port_pair_groups=[group])
        assert chain["chain_parameters"]["correlation"] == "mpls"

    def test_functions_that_keep_vlan_tags_fit_every_chain(self) -> None:
        pair = self.pair(self.net, service_function_parameters={"correlation": "vlan"})["id"]
        group = self.create("port_pair_group", port_pairs=[pair])["id"]
        for correlation in ("mpls", "nsh"):
            parameters = {"correlation": correlation}
            self.create("port_chain", port_pair_groups=[group], chain_parameters=parameters)
        assert self.call("GET", "/extensions/port-pair-vlan").status_int == 200

    def test_chain_id_can_be_chosen(self) -> None:
        group = self.group(self.net)["id"]
        chain = self.create("port_chain", port_pair_groups=[group], chain_id=4711)
        assert chain["chain_id"] == 4711
        self.refused("chain_id", port_pair_groups=[group], chain_id=4711)
        for wrong in (-1, 65536, "many", None, [1]):
            self.refused("chain_id", port_pair_groups=[group], chain_id=wrong)
        chosen = self.create("port_chain", port_pair_groups=[group], chain_id=0)["chain_id"]
        assert chosen not in (0, 4711)

    def test_update(self) -> None:
        chain = self.chain(self.net, groups=2)
        group = self.group(self.net)["id"]
        classifier = self.classifier(self.port(self.net))["id"]
        wanted = {
            "name": "new",
            "description": "text",
            "port_pair_groups": [group, chain["port_pair_groups"][1]],
            "flow_classifiers": [classifier],
        }
        updated = self.update("port_chain", chain["id"], **wanted)
        del updated["operating_status_reason"], chain["operating_status_reason"]  # names groups
        assert updated == chain | wanted
        # Attributes that the request leaves out keep their value. The removed classifier is free.
        self.delete("flow_classifier", chain["flow_classifiers"][0])
        updated = self.update("port_chain", chain["id"], flow_classifiers=[])
        del updated["operating_status_reason"]
        assert updated == chain | wanted | {"flow_classifiers": []}

    def test_fixed_attributes_cannot_be_updated(self) -> None:
        chain = self.chain(self.net)
        for name in ("chain_id", "chain_parameters", "status", "status_reason"):
            assert name in str(
                self.update("port_chain", chain["id"], expect=400, **{name: chain[name]})
            )

    def test_wrong_updates_change_nothing(self) -> None:
        chain = self.chain(self.net)
        group = chain["port_pair_groups"][0]
        unknown = uuidutils.generate_uuid()
        before = self.rows()
        for expect, attribute, wrong in (
            (400, "port_pair_groups", []),
            (400, "port_pair_groups", None),
            (400, "port_pair_groups", [group, group]),
            (404, "port_pair_groups", [group, unknown]),
            (404, "flow_classifiers", [unknown]),
            (400, "flow_classifiers", "all"),
        ):
            self.update("port_chain", chain["id"], expect=expect, name="x", **{attribute: wrong})
        self.update("port_chain", unknown, expect=404, name="x")
        assert self.rows() == before

    def test_status_cannot_be_set(self) -> None:
        self.refused("status", status="ACTIVE", port_pair_groups=[self.group(self.net)["id"]])

    def test_delete(self) -> None:
        chain = self.chain(self.net)
        self.delete("port_chain", chain["id"])
        self.show("port_chain", chain["id"], expect=404)
        self.delete("port_chain", chain["id"], expect=404)
        # Its groups and classifiers remain and can be used again.
        again = self.create(
            "port_chain",
            port_pair_groups=chain["port_pair_groups"],
            flow_classifiers=chain["flow_classifiers"],
        )
        assert again["port_pair_groups"] == chain["port_pair_groups"]
