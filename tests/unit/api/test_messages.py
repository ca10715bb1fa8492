"""Messages about wrong values name the attribute and what is allowed, however long the value is."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from neutron_lib.api.definitions import port
from oslo_utils import uuidutils

from portchain.api import checks, descriptors
from tests.unit.api.base import OTHER_PROJECT, ApiTestCase

HUGE = "x" * 70000
DEEP: Any = {"deep": None}
for _ in range(90):
    DEEP = {"deep": [DEEP]}
IDS = [uuidutils.generate_uuid() for _ in range(2000)]
UNKNOWN = IDS[0]
LOOP = {one: [following] for one, following in zip(IDS, (*IDS[1:], UNKNOWN), strict=True)}

Row = tuple[str, Sequence[Any], str]
"""An attribute, or a key of one after a dot; wrong values; words of the message."""

# Names follow the rule that Neutron has for names of its own resources, which came with release 29.
STRICT_NAMES: Sequence[Row] = (
    (("name", (" x", "\x00"), "printable text of at most 255"),)
    if "type:name_string" in port.RESOURCE_ATTRIBUTE_MAP[port.COLLECTION_NAME]["name"]["validate"]
    else ()
)
TEXT: Sequence[Row] = (
    ("name", (HUGE, "x" * 256, 5, ["x"], DEEP), "text of at most 255"),
    *STRICT_NAMES,
    ("description", (HUGE, "x" * 256, 5, ["x"], DEEP), "text of at most 255 characters"),
    ("name", ("\ud800",), "not valid Unicode"),
    ("description", ("\ud800",), "not valid Unicode"),
)
OWNER: Sequence[Row] = (
    ("project_id", (OTHER_PROJECT, HUGE, 5, ""), "project"),
    ("id", (UNKNOWN, None), "not allowed in POST"),
    ("colour", ("red",), "Unrecognized"),
    (HUGE, (1,), "Unrecognized"),
)
PORTS: Sequence[Row] = (
    (
        "port_range_min",
        (-1, 65536, 1.5, "http", "", True, [], {}, float("inf"), float("nan")),
        "not an integer from 0 to 65535",
    ),
    ("port_range_max", (-1, 65536, "2:3", False, [1]), "not an integer from 0 to 65535"),
    ("port_range_max", (2**70, "9" * 4000), "is too large"),
)
PREFIXES: Sequence[Row] = (
    ("ip_prefix", ("10.0.0.0", "10.0.0.0/33", "0/0", "any", "", 5, [], DEEP, HUGE), "CIDR"),
)


def both_sides(rows: Sequence[Row], before: str = "") -> Iterator[Row]:
    """Yield rows for the attributes of both the source and the destination."""
    for name, values, words in rows:
        for side in ("source", "destination"):
            yield f"{before}{side}_{name}", values, words


NOT_UUIDS = ("p1", "", HUGE, 5, 1.5, True, [UNKNOWN], DEEP)
NOT_OBJECTS = ("x", HUGE, 5, True, ["x"], IDS)
N_TUPLE = "port_pair_group_parameters.ppg_n_tuple_mapping.ingress_n_tuple."

WRONG: Mapping[str, Sequence[Row]] = {
    "flow_classifier": (
        ("ethertype", ("IPv5", "", HUGE, 4, ["IPv4"], DEEP), "not one of IPv4, IPv6"),
        (
            "protocol",
            ("xcp", "", HUGE, -1, 256, "256", 2**70, 1.5, True, ["tcp"], DEEP),
            "neither the name of an IP protocol nor a number from 0 to 255",
        ),
        *both_sides(PORTS),
        *both_sides([("port_range_min", (1,), "tcp, udp or sctp")]),
        *both_sides([("port_range_max", (1,), "tcp, udp or sctp")]),
        *both_sides(PREFIXES),
        *both_sides([("ip_prefix", ("::1/8",), "not a prefix of ethertype IPv4")]),
        *both_sides([("ip_prefix", ("fd00::/8",), "not a prefix of ethertype IPv4")]),
        ("logical_source_port", NOT_UUIDS, "not a UUID"),
        ("logical_destination_port", NOT_UUIDS, "not a UUID"),
        ("logical_source_port", (UNKNOWN,), "could not be found"),
        ("logical_destination_port", (UNKNOWN,), "could not be found"),
        ("l7_parameters", NOT_OBJECTS, "not an object"),
        ("l7_parameters", ({"url": "x"}, {HUGE: 1}, DEEP), "not an allowed key"),
        ("l7_parameters.logical_source_network", NOT_UUIDS, "not a UUID"),
        ("l7_parameters.logical_destination_network", NOT_UUIDS, "not a UUID"),
    ),
    "port_pair": (
        ("ingress", (None, *NOT_UUIDS), "not a UUID"),
        ("egress", (None, *NOT_UUIDS), "not a UUID"),
        ("ingress", (UNKNOWN,), "could not be found"),
        ("egress", (UNKNOWN,), "could not be found"),
        ("service_function_parameters", NOT_OBJECTS, "not an object"),
        ("service_function_parameters", ({"colour": 1}, {HUGE: 1}, DEEP), "not an allowed key"),
        (
            "service_function_parameters.correlation",
            ("qinq", "", HUGE, 5, ["nsh"], DEEP),
            "not one of null, mpls, nsh, vlan",
        ),
        (
            "service_function_parameters.weight",
            (-1, 1.5, "many", None, True, [1], DEEP, HUGE),
            "not an integer of 0 or more",
        ),
        ("service_function_parameters.weight", (65536, 2**62), "between 0 and 65535"),
        ("service_function_parameters.weight", (2**70,), "is too large"),
        ("function_kind", ("l4", "", HUGE, 3, ["l2"], DEEP), "not one of l3, l2"),
        ("admin_state_up", ("perhaps", HUGE, 2, [], DEEP), "neither true nor false"),
        ("backup", ("perhaps", HUGE, 2, [], DEEP), "neither true nor false"),
    ),
    "trace": (
        ("port_id", (None, *NOT_UUIDS), "not a UUID"),
        ("port_id", (UNKNOWN,), "could not be found"),
        ("destination_ip_address", (None, "x", "", HUGE, 5, ["10.0.0.1"], DEEP), "IP address"),
        ("source_ip_address", ("x", "10.0.0.0/8", HUGE, 5, DEEP), "IP address"),
        (
            "protocol",
            ("xcp", "", HUGE, -1, 256, 1.5, True, ["tcp"], DEEP),
            "neither the name of an IP protocol nor a number from 0 to 255",
        ),
        ("source_port", (-1, 65536, 1.5, "http", True), "not an integer from 0 to 65535"),
        ("destination_port", (-1, 65536, "x", [1]), "not an integer from 0 to 65535"),
        ("established", ("maybe", HUGE, 2, [], DEEP), "neither true nor false"),
        ("live", ("maybe", HUGE, 2, [], DEEP), "neither true nor false"),
    ),
    "port_pair_group": (
        ("port_pairs", ("x", HUGE, 5, True, DEEP), "not a list"),
        ("port_pairs", (["PP1"], [HUGE], [None], [[UNKNOWN]], [DEEP]), "not a UUID"),
        ("port_pairs", ([UNKNOWN, UNKNOWN],), "more than once"),
        ("port_pairs", ([UNKNOWN], IDS), "could not be found"),
        ("tap_enabled", ("perhaps", HUGE, 2, [], DEEP), "neither true nor false"),
        ("health_check", ("tcp", "", HUGE, 3, ["icmp"], DEEP), "not one of none, icmp, l2"),
        ("health_check_parameters", NOT_OBJECTS, "not an object"),
        ("health_check_parameters", ({"colour": 1}, DEEP), "not an allowed key"),
        *(
            (
                f"health_check_parameters.{name}",
                (0, 0.09, -1, 3601, "1", None, True, [1], DEEP, HUGE),
                "not a number of seconds from 0.1 to 3600",
            )
            for name in ("delay", "timeout")
        ),
        *(
            (
                f"health_check_parameters.{name}",
                (0, 11, 1.5, "many", None, True, [1], DEEP, HUGE),
                "not an integer from 1 to 10",
            )
            for name in ("max_retries", "max_retries_down")
        ),
        (
            "health_check_parameters.destination",
            ("host", "10.0.0.0/8", "", 5, ["10.0.0.1"], DEEP, HUGE),
            "not an IP address",
        ),
        ("min_healthy", (0, 65536, 1.5, "many", True, [1], DEEP), "not an integer from 1 to 65535"),
        ("on_failure", ("stay", "", HUGE, 3, ["keep"], DEEP), "not one of rebalance, keep"),
        ("failure_mode", ("ajar", "", HUGE, 3, ["open"], DEEP), "not one of closed, open"),
        ("port_pair_group_parameters", NOT_OBJECTS, "not an object"),
        ("port_pair_group_parameters", ({"colour": 1}, DEEP), "not an allowed key"),
        ("port_pair_group_parameters.lb_fields", ("ip_src", 5, DEEP), "not a list"),
        (
            "port_pair_group_parameters.lb_fields",
            (["ip"], ["ip_src\n"], [HUGE], [5], [DEEP]),
            "does not match",
        ),
        ("port_pair_group_parameters.lb_fields", (["ip_src", "ip_src"],), "more than once"),
        ("port_pair_group_parameters.ppg_n_tuple_mapping", NOT_OBJECTS, "not an object"),
        ("port_pair_group_parameters.ppg_n_tuple_mapping", ({"x": 1}, DEEP), "not an allowed key"),
        (N_TUPLE[:-1], NOT_OBJECTS, "not an object"),
        (N_TUPLE[:-1], ({"protocol": "tcp"}, DEEP), "not an allowed key"),
        *both_sides(PREFIXES, N_TUPLE),
        *both_sides(PORTS, N_TUPLE),
    ),
    "port_chain": (
        ("port_pair_groups", (None, "x", HUGE, 5, True, DEEP), "not a list"),
        ("port_pair_groups", ([],), "must not be empty"),
        ("port_pair_groups", (["PG1"], [HUGE], [None], [[UNKNOWN]], [DEEP]), "not a UUID"),
        ("port_pair_groups", ([UNKNOWN, UNKNOWN],), "more than once"),
        ("port_pair_groups", ([UNKNOWN], IDS), "could not be found"),
        ("flow_classifiers", ("FC1", ["FC1"], [HUGE], 5, [None], DEEP), "not a UUID"),
        ("flow_classifiers", ([UNKNOWN, UNKNOWN],), "more than once"),
        ("flow_classifiers", ([UNKNOWN], IDS), "could not be found"),
        ("chain_id", (-1, 65536, 1.5, "many", None, True, [1], DEEP), "an integer from 0 to 65535"),
        ("chain_id", (2**70,), "is too large"),
        ("chain_parameters", NOT_OBJECTS, "not an object"),
        ("chain_parameters", ({"colour": 1}, DEEP), "not an allowed key"),
        ("chain_parameters.correlation", ("vlan", None, HUGE, 5, []), "not one of mpls, nsh"),
        ("chain_parameters.symmetric", ("perhaps", HUGE, 2, [], DEEP), "neither true nor false"),
        ("status", ("ACTIVE",), "not allowed in POST"),
    ),
    "service_graph": (
        ("port_chains", (None, *NOT_OBJECTS), "not an object"),
        ("port_chains", ({},), "at least one branching point"),
        ("port_chains", ({UNKNOWN: []},), "no chain follows"),
        ("port_chains", ({UNKNOWN: IDS[1]}, {UNKNOWN: DEEP}), "not a list"),
        ("port_chains", ({"PC1": [UNKNOWN]}, {UNKNOWN: ["PC1"]}, {UNKNOWN: [None]}), "not a UUID"),
        ("port_chains", ({UNKNOWN: [IDS[1], IDS[1]]},), "more than once"),
        ("port_chains", (LOOP,), "loop"),
        ("port_chains", ({UNKNOWN: IDS[1:]},), "could not be found"),
    ),
}
CHANGED: Mapping[str, Sequence[Row]] = {
    "port_pair": [
        row
        for row in WRONG["port_pair"]
        if row[0].startswith(("service_function_parameters", "admin_state_up", "backup"))
    ],
    "port_pair_group": [
        row
        for row in WRONG["port_pair_group"]
        if row[0].startswith(("port_pairs", "health_check", "failure", "min_healthy", "on_failure"))
    ]
    + [
        ("withdraw_from", (HUGE, 5, True, None, ["*"], DEEP), "not text of at most 255"),
        ("withdraw_from", (UNKNOWN, "*", ""), "no RBAC policy shares the group"),
    ],
    "port_chain": [
        row for row in WRONG["port_chain"] if row[0] in ("port_pair_groups", "flow_classifiers")
    ],
}
"""Rows for attributes that updates can set, besides name and description."""


def within(attribute: str, value: Any) -> tuple[list[str], Any]:
    """Split an attribute such as ``a.b`` into its keys; return them, and ``{"b": value}``."""
    names = attribute.split(".")
    for key in reversed(names[1:]):
        value = {key: value}
    return names, value


def test_only_the_beginning_of_a_value_is_repeated() -> None:
    for value in (HUGE, IDS, DEEP, {HUGE: HUGE}):
        assert len(checks.quote(value)) < 100


class MessageTest(ApiTestCase):
    def prepare(self) -> None:
        self.net = self.network()
        self.ports = [self.port(self.net, "vm") for _ in range(2)]
        (fixed_ip,) = self.call("GET", f"/ports/{self.ports[1]}").json["port"]["fixed_ips"]
        self.destination = fixed_ip["ip_address"]
        chains = [self.chain(self.net) for _ in range(2)]
        self.group_id = chains[0]["port_pair_groups"][0]
        self.chain_ids = [chain["id"] for chain in chains]
        self.there = {
            "flow_classifier": chains[0]["flow_classifiers"][0],
            "port_pair": self.show("port_pair_group", self.group_id)["port_pairs"][0],
            "port_pair_group": self.group_id,
            "port_chain": chains[0]["id"],
        }

    def right(self, resource: str) -> dict[str, Any]:
        """Return attributes with which a resource can be created."""
        rest: dict[str, dict[str, Any]] = {
            "flow_classifier": {"logical_source_port": self.ports[0]},
            "port_pair": {"ingress": self.ports[0], "egress": self.ports[1]},
            "port_pair_group": {},
            "port_chain": {"port_pair_groups": [self.group_id]},
            "service_graph": {"port_chains": {self.chain_ids[0]: [self.chain_ids[1]]}},
            "trace": {"port_id": self.ports[0], "destination_ip_address": self.destination},
        }
        return rest[resource]

    def refused(self, method: str, path: str, body: Any, *words: str) -> None:
        response = self.call(method, path, body)
        assert response.status_int in (400, 404), (words, response.text[:300])
        message = response.json["NeutronError"]["message"]
        assert len(message) <= descriptors.LONGEST_MESSAGE, words
        for word in words:
            assert word in message, (word, message)

    def check(self, resource: str) -> None:
        before, path = self.rows(), f"/sfc/{resource}s"
        for attribute, values, words in (*TEXT, *OWNER, *WRONG[resource]):
            for value in values:
                names, whole = within(attribute, value)
                body = self.right(resource) | {names[0]: whole}
                # The name of an unknown attribute may be long too.
                said = [one[:100] for one in names]
                self.refused("POST", path, {resource: body}, *said, words)
        bulk = [self.right(resource), self.right(resource) | {"name": HUGE}]
        self.refused("POST", path, {f"{resource}s": bulk}, "name", "text of at most 255")
        assert self.rows() == before
        self.check_changes(resource)

    def check_changes(self, resource: str) -> None:
        an_id = self.there.get(resource) or self.create(resource, **self.right(resource))["id"]
        before, path = self.rows(), f"/sfc/{resource}s/{an_id}"
        changeable = CHANGED.get(resource, ())
        for attribute, values, words in (*TEXT, *changeable):
            for value in values:
                names, whole = within(attribute, value)
                self.refused("PUT", path, {resource: {names[0]: whole}}, *names, words)
        fixed = {row[0].partition(".")[0] for row in WRONG[resource]}
        for name in {"id", *fixed} - {row[0] for row in changeable}:
            self.refused("PUT", path, {resource: {name: None}}, name, "read-only")
        assert self.rows() == before

    def test_flow_classifier(self) -> None:
        self.check("flow_classifier")

    def test_port_pair(self) -> None:
        self.check("port_pair")

    def test_port_pair_group(self) -> None:
        self.check("port_pair_group")

    def test_port_chain(self) -> None:
        self.check("port_chain")

    def test_service_graph(self) -> None:
        self.check("service_graph")

    def test_trace(self) -> None:
        self.check("trace")

    def test_values_that_are_wrong_beside_other_values(self) -> None:
        """Each value is valid alone."""
        chain, bare = self.there["port_chain"], self.port(self.net)
        foreign = self.create("port_pair_group", as_={"project": OTHER_PROJECT})["id"]
        shown = self.show("port_chain", chain)
        reversed_range = {"source_port_range_min": 2, "source_port_range_max": 1}
        for resource, attributes, words in (
            (
                "flow_classifier",
                {"protocol": "tcp", **reversed_range},
                ("source_port_range_min. Reason: 2", "greater than source_port_range_max, 1"),
            ),
            (
                "flow_classifier",
                {"protocol": "icmp", "destination_port_range_max": 0},
                ("destination_port_range_max", "needs an ICMP type"),
            ),
            (
                "flow_classifier",
                {"logical_source_port": None},
                ("overlaps with", "Make them differ"),
            ),
            ("port_pair", {"ingress": bare}, ("ingress", "attach it to an instance")),
            ("port_pair", {"egress": bare}, ("egress", "attach it to an instance")),
            ("port_pair", {"egress": self.port(self.net, "other")}, ("egress", "the same device")),
            (
                "port_pair_group",
                {
                    "port_pair_group_parameters": {
                        "ppg_n_tuple_mapping": {"egress_n_tuple": reversed_range}
                    }
                },
                ("port_pair_group_parameters", "source_port_range_min", "greater than"),
            ),
            (
                "port_chain",
                {"port_pair_groups": [foreign]},
                ("port_pair_groups", "could not be found"),
            ),
            (
                "port_chain",
                {"chain_id": shown["chain_id"]},
                ("chain_id", "taken; 0 lets the server"),
            ),
        ):
            body = {resource: self.right(resource) | attributes}
            self.refused("POST", f"/sfc/{resource}s", body, *words)

    def test_missing_attributes(self) -> None:
        for resource, name in (
            ("port_pair", "ingress"),
            ("port_pair", "egress"),
            ("port_chain", "port_pair_groups"),
            ("service_graph", "port_chains"),
        ):
            body = self.right(resource)
            del body[name]
            self.refused("POST", f"/sfc/{resource}s", {resource: body}, name, "not specified")

    def test_wrong_bodies(self) -> None:
        for resource in WRONG:
            path = f"/sfc/{resource}s"
            for wrong in (HUGE, 5, IDS, True):
                self.refused("POST", path, wrong, "body", "a JSON object")
                self.refused("PUT", f"{path}/{UNKNOWN}", wrong, "body", "a JSON object")
                self.refused("POST", path, {resource: wrong}, resource)
                self.refused("PUT", f"{path}/{UNKNOWN}", {resource: wrong}, resource)
            self.refused("POST", path, {}, "body required")
            self.refused("POST", path, {"colour": {}}, resource)
            self.refused("POST", path, {f"{resource}s": []}, "Resources required")
