"""Port pairs: requests and responses."""

from typing import Any

from neutron.objects import trunk
from oslo_utils import uuidutils

from tests.unit.api.base import OTHER_PROJECT, ApiTestCase

DEFAULT_PARAMETERS = {"correlation": None, "weight": 1}


class PortPairTest(ApiTestCase):
    def prepare(self) -> None:
        self.net = self.network()
        self.ingress = self.port(self.net, "vm1", "p1")
        self.egress = self.port(self.net, "vm1", "p2")

    def refused(self, attribute: str, expect: int = 400, **attributes: Any) -> None:
        before = self.rows()
        ports = {"ingress": self.ingress, "egress": self.egress}
        error = self.create("port_pair", expect=expect, **(ports | attributes))
        assert attribute in error["message"], error
        assert self.rows() == before

    def test_created_with_defaults(self) -> None:
        shown = self.create("port_pair", name="PP1", ingress=self.ingress, egress=self.egress)
        assert shown["service_function_parameters"] == DEFAULT_PARAMETERS
        assert self.show("port_pair", shown["id"]) == shown

    def test_a_trunk_subport_belongs_to_the_device_of_its_parent(self) -> None:
        parents = [self.port(self.net, device) for device in ("vm3", "vm3", "vm4", "")]
        subports = [self._subport_of(parent) for parent in parents]
        self.create("port_pair", ingress=subports[0], egress=subports[1])
        self.refused("egress", ingress=subports[0], egress=subports[2])
        self.refused("ingress", ingress=subports[3], egress=subports[3])

    def _subport_of(self, parent: str) -> str:
        port = self.port(self.net)
        made = trunk.Trunk(self.context, id=uuidutils.generate_uuid(), port_id=parent)
        made.create()
        trunk.SubPort(
            self.context,
            trunk_id=made.id,
            port_id=port,
            segmentation_type="vlan",
            segmentation_id=100,
        ).create()
        return port

    def test_partial_parameters_are_completed(self) -> None:
        for number, (given, shown) in enumerate(
            (
                ({}, {}),
                (None, {}),
                ({"weight": 0}, {"weight": 0}),
                ({"weight": "3"}, {"weight": 3}),
                ({"correlation": "mpls"}, {"correlation": "mpls"}),
                ({"correlation": "nsh", "weight": 2}, {"correlation": "nsh", "weight": 2}),
                ({"correlation": "vlan"}, {"correlation": "vlan"}),
            )
        ):
            pair = self.pair(self.net, f"vm{number}", service_function_parameters=given)
            assert pair["service_function_parameters"] == DEFAULT_PARAMETERS | shown

    def test_the_default_function_kind_is_l3(self) -> None:
        for number, (given, shown) in enumerate(
            (({}, "l3"), ({"function_kind": "l3"}, "l3"), ({"function_kind": "l2"}, "l2"))
        ):
            pair = self.pair(self.net, f"vm{number}", **given)
            assert pair["function_kind"] == shown
            assert self.show("port_pair", pair["id"])["function_kind"] == shown
        self.update("port_pair", pair["id"], expect=400, function_kind="l3")

    def test_wrong_function_kinds_are_refused(self) -> None:
        for wrong in ("l4", "", 2, ["l2"], {"l2": True}):
            self.refused("function_kind", function_kind=wrong)

    def test_a_group_cannot_mix_function_kinds(self) -> None:
        kinds = [
            self.pair(self.net, f"vm{kind}", function_kind=kind)["id"] for kind in ("l2", "l3")
        ]
        before = self.rows()
        error = self.create("port_pair_group", expect=400, port_pairs=kinds)
        assert "port_pairs" in error["message"]
        assert "function_kind" in error["message"]
        assert self.rows() == before

    def test_wrong_parameters_are_refused(self) -> None:
        for wrong in (
            {"weight": -1},
            {"weight": "heavy"},
            {"weight": None},
            {"weight": 2**70},
            {"correlation": "qinq"},
            {"colour": "red"},
            "mpls",
            ["mpls"],
            3,
        ):
            self.refused("service_function_parameters", service_function_parameters=wrong)

    def test_function_kind_can_be_set_but_not_updated(self) -> None:
        assert self.call("GET", "/extensions/port-pair-function-kind").status_int == 200
        for number, (given, shown) in enumerate(
            (({}, "l3"), ({"function_kind": None}, "l3"), ({"function_kind": "l2"}, "l2"))
        ):
            pair = self.pair(self.net, f"kind{number}", **given)
            assert pair["function_kind"] == shown
            assert self.show("port_pair", pair["id"]) == pair
            error = self.update("port_pair", pair["id"], expect=400, function_kind="l3")
            assert "function_kind" in str(error)
        for wrong in ("L7", "", 2, ["l2"], {}):
            self.refused("function_kind", function_kind=wrong)

    def test_ingress_and_egress_can_be_one_port_unless_the_function_bridges(self) -> None:
        self.refused("egress", egress=self.ingress, function_kind="l2")
        pair = self.create("port_pair", ingress=self.ingress, egress=self.ingress)
        assert pair["ingress"] == pair["egress"] == self.ingress

    def test_ports_must_exist_and_be_visible(self) -> None:
        foreign = self.port(self.network(project=OTHER_PROJECT), "vm1", project=OTHER_PROJECT)
        for unknown in (uuidutils.generate_uuid(), foreign):
            self.refused(unknown, expect=404, ingress=unknown)
            self.refused(unknown, expect=404, egress=unknown)
        self.refused("ingress", ingress="p1")

    def test_both_ports_are_required(self) -> None:
        self.create("port_pair", expect=400, ingress=self.ingress)
        self.create("port_pair", expect=400, egress=self.egress)

    def test_both_ports_must_belong_to_one_device(self) -> None:
        self.refused("egress", egress=self.port(self.net, "vm2"))

    def test_both_ports_must_belong_to_a_device(self) -> None:
        loose = [self.port(self.net) for _ in range(2)]
        self.refused("ingress", ingress=loose[0], egress=loose[1])
        self.refused("egress", egress=loose[1])

    def test_two_pairs_cannot_have_the_same_ingress_and_egress(self) -> None:
        first = self.create("port_pair", ingress=self.ingress, egress=self.egress)
        self.refused(first["id"])
        # The reverse direction is another function, and so is one with a single port.
        self.create("port_pair", ingress=self.egress, egress=self.ingress)
        self.create("port_pair", ingress=self.ingress, egress=self.ingress)

    def test_name_and_description_can_be_updated(self) -> None:
        shown = self.create("port_pair", ingress=self.ingress, egress=self.egress)
        changed = self.update("port_pair", shown["id"], name="new", description="text")
        assert changed == shown | {"name": "new", "description": "text"}
        for name in ("ingress", "egress"):
            assert name in str(
                self.update("port_pair", shown["id"], expect=400, **{name: shown[name]})
            )

    def test_weight_is_the_only_parameter_that_can_be_updated(self) -> None:
        assert self.call("GET", "/extensions/port-pair-weight").status_int == 200
        parameters = "service_function_parameters"
        shown = self.pair(self.net, "vm2", **{parameters: {"correlation": "mpls"}})
        for given, weight in (
            ({"weight": 0}, 0),
            ({}, 0),
            (None, 0),
            ({"correlation": "mpls"}, 0),
            ({"correlation": "mpls", "weight": "7"}, 7),
        ):
            changed = self.update("port_pair", shown["id"], **{parameters: given})
            assert changed == shown | {parameters: {"correlation": "mpls", "weight": weight}}
            assert self.show("port_pair", shown["id"]) == changed
        for wrong in (
            {"correlation": "nsh"},
            {"correlation": None, "weight": 1},
            {"weight": 65536},
            {"weight": -1},
            {"colour": "red"},
            "heavy",
        ):
            error = self.update(
                "port_pair", shown["id"], expect=400, name="x", **{parameters: wrong}
            )
            assert parameters in error["message"]
            assert self.show("port_pair", shown["id"]) == changed

    def test_a_pair_of_a_group_cannot_be_deleted(self) -> None:
        group = self.group(self.net)
        (pair,) = group["port_pairs"]
        assert group["id"] in self.delete("port_pair", pair, expect=409)["message"]
        self.update("port_pair_group", group["id"], port_pairs=[])
        self.delete("port_pair", pair)
        self.show("port_pair", pair, expect=404)
        self.delete("port_pair", pair, expect=404)


class PortInUseTest(ApiTestCase):
    """A Neutron port cannot be deleted while a pair or a classifier names it."""

    def test_port_of_a_pair_cannot_be_deleted(self) -> None:
        pair = self.pair(self.network(), name="PP1")
        for side in ("ingress", "egress"):
            response = self.call("DELETE", f"/ports/{pair[side]}")
            assert response.status_int == 409
            assert f"port pair PP1 ({pair['id']})" in response.json["NeutronError"]["message"]
        self.delete("port_pair", pair["id"])
        assert self.call("DELETE", f"/ports/{pair['ingress']}").status_int == 204

    def test_port_of_a_classifier_cannot_be_deleted(self) -> None:
        port = self.port(self.network())
        classifier = self.classifier(port, name="FC1")
        response = self.call("DELETE", f"/ports/{port}")
        assert response.status_int == 409
        assert classifier["id"] in response.json["NeutronError"]["message"]

    def test_other_ports_can_be_deleted(self) -> None:
        network = self.network()
        self.pair(network)
        assert self.call("DELETE", f"/ports/{self.port(network)}").status_int == 204
