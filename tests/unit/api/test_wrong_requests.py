"""Random and wrong requests: never a 500, and a refusal names the cause and writes nothing."""

import math
import os
from collections.abc import Collection
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oslo_config import cfg
from oslo_utils import uuidutils

from portchain.api import definitions, descriptors
from tests.full import FULL
from tests.unit.api.base import ApiTestCase

ATTRIBUTES = {
    resource: {*attributes, "tenant_id"} for resource, attributes in definitions.resources().items()
}
UNKNOWN = uuidutils.generate_uuid()
WORDS = (
    "",
    " ",
    "x" * 256,
    "x" * 70000,
    "\N{GRINNING FACE}",
    "\x00",
    "\ud800",
    "'; DROP TABLE ports; --",
    "%s%n",
    "10.0.0.1/8",
    "10.0.0.0/8",
    "::/0",
    "0/0",
    "1:2",
    "-1",
    "0x10",
    "tcp",
    "TCP",
    "IPv6",
    "true",
    UNKNOWN,
    UNKNOWN.upper(),
    UNKNOWN.replace("-", ""),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(
        (-1, 0, 1, 65535, 65536, 2**31, 2**63, 2**70, 0.5, -0.0, 1e308, math.inf, math.nan)
    ),
    st.integers(),
    st.text(max_size=8),
    st.sampled_from(WORDS),
)
KEYS = ("correlation", "weight", "symmetric", "lb_fields", "ppg_n_tuple_mapping", "ingress_n_tuple")
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
EXAMPLES = int(os.environ.get("PORTCHAIN_EXAMPLES", "125" if FULL else "25"))
"""Random requests for each kind of resource."""
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class WrongRequestTest(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        for quota in ("port_chain", "port_pair_group", "port_pair", "flow_classifier"):
            cfg.CONF.set_override(f"quota_{quota}", -1, "QUOTAS")

    def prepare(self) -> None:
        self.net = self.network()
        self.parts = self.chain(self.net)
        self.after = self.chain(self.net)["id"]
        self.ports = [self.port(self.net, "vm") for _ in range(2)]
        (fixed_ip,) = self.call("GET", f"/ports/{self.ports[1]}").json["port"]["fixed_ips"]
        self.destination = fixed_ip["ip_address"]

    def right(self, resource: str) -> dict[str, Any]:
        """Return attributes with which a resource can be created."""
        return {
            "flow_classifier": {"protocol": "tcp", "logical_source_port": self.ports[0]},
            "port_pair": {"ingress": self.ports[0], "egress": self.ports[1]},
            "port_pair_group": {"port_pairs": []},
            "port_chain": {"port_pair_groups": self.parts["port_pair_groups"]},
            "service_graph": {"port_chains": {self.parts["id"]: [self.after]}},
            "trace": {"port_id": self.ports[0], "destination_ip_address": self.destination},
        }[resource]

    def send(self, method: str, path: str, body: Any, names: Collection[str] = ("",)) -> None:
        """Send a request; the message of a refusal has to contain one of the names."""
        before = self.rows()
        response = self.call(method, path, body)
        assert response.status_int < 500, (path, body, response.text)
        if response.status_int >= 400:
            message = response.json["NeutronError"]["message"]
            assert 0 < len(message) <= descriptors.LONGEST_MESSAGE, (path, body)
            assert any(name in message for name in names), (names, message)
            assert self.rows() == before, (path, body)
        elif method == "POST":
            for collection, shown in response.json.items():
                for one in shown if isinstance(shown, list) else [shown]:
                    self.delete(collection.removesuffix("s"), one["id"])

    def fuzz(self, resource: str) -> None:
        names = st.sampled_from(sorted(ATTRIBUTES[resource]))

        @SETTINGS
        @given(st.dictionaries(names, junk, min_size=1, max_size=2), st.booleans())
        def run(wrong: dict[str, Any], change: bool) -> None:
            body = {resource: wrong if change else self.right(resource) | wrong}
            # Neutron has two names for the owning project.
            names = {"project_id" if name == "tenant_id" else name for name in wrong}
            if change:
                target = {
                    "port_chain": self.parts["id"],
                    "port_pair_group": self.parts["port_pair_groups"][0],
                    "flow_classifier": self.parts["flow_classifiers"][0],
                }.get(resource, UNKNOWN)
                self.send("PUT", f"/sfc/{resource}s/{target}", body, {*names, UNKNOWN})
            else:
                # Random attributes can make two classifiers overlap.
                self.send("POST", f"/sfc/{resource}s", body, {*names, "overlaps with"})

        run()

    def test_flow_classifier(self) -> None:
        self.fuzz("flow_classifier")

    def test_port_pair(self) -> None:
        self.fuzz("port_pair")

    def test_port_pair_group(self) -> None:
        self.fuzz("port_pair_group")

    def test_port_chain(self) -> None:
        self.fuzz("port_chain")

    def test_service_graph(self) -> None:
        self.fuzz("service_graph")

    def test_trace(self) -> None:
        self.fuzz("trace")

    def test_random_bodies(self) -> None:
        @SETTINGS
        @given(st.sampled_from(sorted(ATTRIBUTES)), junk, st.booleans())
        def run(resource: str, wrong: Any, bulk: bool) -> None:
            key = f"{resource}s" if bulk else resource
            self.send("POST", f"/sfc/{resource}s", {key: wrong})
            self.send("POST", f"/sfc/{resource}s", wrong)
            self.send("PUT", f"/sfc/{resource}s/{UNKNOWN}", wrong)

        run()

    def test_wrong_queries(self) -> None:
        huge = "9" * 30
        for query, status in (
            (f"limit={huge}", 200),
            ("limit=-1", 400),
            ("limit=many", 400),
            (f"chain_id={huge}", 400),
            ("chain_id=-1", 200),
            ("name=%00", 200),
            ("name=%F0%9F%98%80", 200),
            ("id=%F0%9F%98%80", 200),
            ("name=" + "x" * 5000, 200),
            ("sort_key=name", 400),
            ("sort_key=name&sort_dir=up", 400),
            ("fields=nothing", 200),
        ):
            assert self.call("GET", f"/sfc/port_chains?{query}").status_int == status, query

    def test_urls_that_are_not_utf8(self) -> None:
        for resource in definitions.resources():
            collection, body = f"/sfc/{resource}s", {resource: {}}
            for method, path in (
                ("GET", f"{collection}?name=%ff"),
                ("GET", f"{collection}?%ff=1"),
                ("POST", f"{collection}?name=%ff"),
                *((method, f"{collection}/%ff") for method in ("GET", "PUT", "DELETE")),
                ("GET", f"{collection}/{UNKNOWN}?fields=%ff"),
            ):
                response = self.call(method, path, body if method in ("PUT", "POST") else None)
                assert response.status_int == 400, (method, path)
                assert "UTF-8" in response.json["NeutronError"]["message"]

    def test_lists_of_thousands_of_ids(self) -> None:
        ids = [uuidutils.generate_uuid() for _ in range(5000)]
        for resource, name in (
            ("port_chain", "port_pair_groups"),
            ("port_pair_group", "port_pairs"),
        ):
            error = self.create(resource, expect=404, **{name: ids})
            assert ids[0] in error["message"]
