"""Flow classifiers: requests and responses."""

from typing import Any

from oslo_utils import uuidutils

from tests.unit.api.base import OTHER_PROJECT, ApiTestCase

DEFAULTS = {
    "name": "",
    "description": "",
    "ethertype": "IPv4",
    "protocol": None,
    "source_port_range_min": None,
    "source_port_range_max": None,
    "destination_port_range_min": None,
    "destination_port_range_max": None,
    "source_ip_prefix": None,
    "destination_ip_prefix": None,
    "logical_source_port": None,
    "logical_destination_port": None,
    "l7_parameters": {},
}
SPECIFICATION: dict[str, Any] = {
    "name": "FC1",
    "ethertype": "IPv4",
    "source_ip_prefix": "22.1.20.1/32",
    "destination_ip_prefix": "171.4.5.6/32",
    "protocol": "tcp",
    "source_port_range_min": 23,
    "source_port_range_max": 23,
    "destination_port_range_min": 100,
    "destination_port_range_max": 100,
}


class FlowClassifierTest(ApiTestCase):
    def refused(self, attribute: str, **attributes: Any) -> None:
        """Expect a 400 that names the attribute, and an unchanged database."""
        before = self.rows()
        error = self.create("flow_classifier", expect=400, **attributes)
        assert attribute in error["message"], error
        assert self.rows() == before

    def test_everything_has_a_default(self) -> None:
        shown = self.create("flow_classifier")
        assert DEFAULTS.items() <= shown.items()
        assert self.show("flow_classifier", shown["id"]) == shown

    def test_null_means_the_default(self) -> None:
        # The description is one of Neutron's standard attributes, which take no null.
        nothing = dict.fromkeys(DEFAULTS.keys() - {"description"})
        assert DEFAULTS.items() <= self.create("flow_classifier", **nothing).items()

    def test_the_specifications_classifier(self) -> None:
        shown = self.create("flow_classifier", **SPECIFICATION)
        assert SPECIFICATION.items() <= shown.items()

    def test_protocol_is_a_name_in_any_case_or_a_number(self) -> None:
        for number, (given, name) in enumerate(
            (
                ("TCP", "tcp"),
                ("17", "udp"),
                (1, "icmp"),
                ("sctp", "sctp"),
                (200, "200"),
                ("gre", "gre"),
            )
        ):
            shown = self.create(
                "flow_classifier", protocol=given, source_ip_prefix=f"10.{number}.0.0/16"
            )
            assert shown["protocol"] == name

    def test_icmp_with_ipv6_means_icmpv6(self) -> None:
        shown = self.create("flow_classifier", ethertype="IPv6", protocol="icmp")
        assert shown["protocol"] == "ipv6-icmp"
        (found,) = self.list_all("flow_classifier", "protocol=ipv6-icmp")
        assert found == shown

    def test_protocol_must_exist(self) -> None:
        for wrong in ("tcpp", 256, -1, "", True, {}, []):
            self.refused("protocol", protocol=wrong)

    def test_ethertype_must_exist(self) -> None:
        self.refused("ethertype", ethertype="IPX")

    def test_port_ranges_need_a_protocol_with_ports(self) -> None:
        for protocol in (None, "gre"):
            self.refused(
                "source_port_range_min",
                protocol=protocol,
                source_port_range_min=1,
                source_port_range_max=2,
            )
        self.create("flow_classifier", protocol="sctp", source_port_range_min=1)

    def test_with_icmp_the_ports_are_type_and_code(self) -> None:
        unreachable = {f"source_port_range_{end}": 3 for end in ("min", "max")}
        for_its_port = {f"destination_port_range_{end}": 3 for end in ("min", "max")}
        shown = self.create("flow_classifier", protocol="icmp", **unreachable, **for_its_port)
        assert (unreachable | for_its_port).items() <= shown.items()
        self.create("flow_classifier", protocol="icmp", **dict.fromkeys(unreachable, 8))
        self.refused("flow_classifier", protocol="icmp", **unreachable)
        for wrong in ({"min": 3}, {"max": 3}, {"min": 3, "max": 4}, {"min": 256, "max": 256}):
            for side, right in (("source", {}), ("destination", unreachable)):
                values = {f"{side}_port_range_{end}": value for end, value in wrong.items()}
                self.refused(f"{side}_port_range_min", protocol="icmp", **right, **values)
        self.refused("destination_port_range_min", protocol="icmp", **for_its_port)

    def test_neighbour_discovery_cannot_be_classified(self) -> None:
        for number in (133, 137):
            self.refused(
                "source_port_range_min",
                ethertype="IPv6",
                protocol="icmp",
                source_port_range_min=number,
                source_port_range_max=number,
            )

    def test_port_range_must_not_be_reversed(self) -> None:
        self.refused(
            "destination_port_range_min",
            protocol="tcp",
            destination_port_range_min=2,
            destination_port_range_max=1,
        )

    def test_ports_are_16_bit_numbers(self) -> None:
        for wrong in (-1, 65536, "a", [1]):
            self.refused("source_port_range_m", protocol="tcp", source_port_range_max=wrong)

    def test_prefix_family_must_match_ethertype(self) -> None:
        self.refused("source_ip_prefix", ethertype="IPv6", source_ip_prefix="10.0.0.0/8")
        self.refused("destination_ip_prefix", ethertype="IPv4", destination_ip_prefix="fd00::/8")
        self.create("flow_classifier", ethertype="IPv6", source_ip_prefix="fd00::/8")

    def test_prefixes_with_host_bits_stand_for_their_network(self) -> None:
        shown = self.create(
            "flow_classifier",
            source_ip_prefix="10.10.0.5/24",
            destination_ip_prefix="10.20.30.40/16",
        )
        normalised = {"source_ip_prefix": "10.10.0.0/24", "destination_ip_prefix": "10.20.0.0/16"}
        assert normalised.items() <= shown.items()
        assert self.show("flow_classifier", shown["id"]) == shown
        for prefix in ("10.10.0.5/24", "10.10.0.0/24"):
            assert self.list_all("flow_classifier", f"source_ip_prefix={prefix}") == [shown]
        self.refused("flow_classifier", source_ip_prefix="10.10.0.9/24")
        other = self.create(
            "flow_classifier", ethertype="IPv6", source_ip_prefix="FD00:0:0:1::1/64"
        )
        assert other["source_ip_prefix"] == "fd00:0:0:1::/64"
        self.refused("source_ip_prefix", ethertype="IPv6", source_ip_prefix="10.0.0.1/8")

    def test_prefix_must_be_in_cidr_notation(self) -> None:
        for wrong in ("10.0.0.1", "10.0.0.0/33", "banana", 10, ["10.0.0.0/8"]):
            self.refused("source_ip_prefix", source_ip_prefix=wrong)

    def test_logical_ports_must_exist_and_be_visible(self) -> None:
        foreign = self.port(self.network(project=OTHER_PROJECT), project=OTHER_PROJECT)
        for end in ("logical_source_port", "logical_destination_port"):
            for unknown in (uuidutils.generate_uuid(), foreign):
                error = self.create("flow_classifier", expect=404, **{end: unknown})
                assert unknown in error["message"]
        self.refused("logical_source_port", logical_source_port="p1")

    def test_unknown_l7_parameters_are_refused(self) -> None:
        network = uuidutils.generate_uuid()
        shown = self.create("flow_classifier", l7_parameters={"logical_source_network": network})
        assert shown["l7_parameters"] == {"logical_source_network": network}
        self.refused("l7_parameters", l7_parameters={"url": "/"})
        self.refused("l7_parameters", l7_parameters="url=/")

    def test_overlap_is_refused_and_named(self) -> None:
        first = self.create("flow_classifier", **SPECIFICATION)
        error = self.create(
            "flow_classifier",
            expect=400,
            protocol="tcp",
            destination_port_range_min=50,
            destination_port_range_max=150,
            source_ip_prefix="22.1.0.0/16",
        )
        assert first["id"] in error["message"]
        assert "flow_classifier" in error["message"]

    def test_two_source_ports_may_have_the_same_classifier(self) -> None:
        network = self.network()
        for _ in range(2):
            self.classifier(self.port(network, "client"))

    def test_one_source_port_may_not_have_overlapping_classifiers(self) -> None:
        port = self.port(self.network(), "client")
        first = self.classifier(port)
        error = self.create("flow_classifier", expect=400, logical_source_port=port, protocol="tcp")
        assert first["id"] in error["message"]

    def test_a_classifier_for_all_ports_overlaps_with_one_for_a_single_port(self) -> None:
        first = self.classifier(self.port(self.network(), "client"))
        assert first["id"] in self.create("flow_classifier", expect=400)["message"]

    def test_projects_may_have_the_same_classifier(self) -> None:
        self.create("flow_classifier", **SPECIFICATION)
        self.create("flow_classifier", as_={"project": OTHER_PROJECT}, **SPECIFICATION)

    def test_only_name_and_description_can_be_updated(self) -> None:
        shown = self.create("flow_classifier", **SPECIFICATION)
        changed = self.update("flow_classifier", shown["id"], name="new", description="text")
        counted = {key: changed[key] for key in changed.keys() & {"updated_at", "revision_number"}}
        assert changed == shown | {"name": "new", "description": "text"} | counted
        for name in SPECIFICATION.keys() - {"name"}:
            error = self.update(
                "flow_classifier", shown["id"], expect=400, **{name: SPECIFICATION[name]}
            )
            assert name in str(error)
        assert self.show("flow_classifier", shown["id"]) == changed

    def test_a_classifier_of_a_chain_cannot_be_deleted(self) -> None:
        chain = self.chain(self.network())
        (classifier,) = chain["flow_classifiers"]
        error = self.delete("flow_classifier", classifier, expect=409)
        assert chain["id"] in error["message"]
        self.delete("port_chain", chain["id"])
        self.delete("flow_classifier", classifier)
        self.show("flow_classifier", classifier, expect=404)
        self.delete("flow_classifier", classifier, expect=404)
