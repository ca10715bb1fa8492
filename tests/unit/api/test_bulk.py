"""Requests that create several resources create all of them or none."""

from typing import Any

from oslo_config import cfg

from tests.unit.api.base import ApiTestCase

RESOURCES = ("flow_classifier", "port_pair", "port_pair_group", "port_chain", "service_graph")


class BulkTest(ApiTestCase):
    def prepare(self) -> None:
        self.net = self.network()

    def bulk(self, resource: str, items: list[dict[str, Any]], expect: int = 201) -> Any:
        """Create several resources; return them as the API shows them, or its error message."""
        response = self.call("POST", f"/sfc/{resource}s", {f"{resource}s": items})
        assert response.status_int == expect, response.text
        if expect == 201:
            return response.json[f"{resource}s"]
        return response.json["NeutronError"]["message"]

    def three(self, resource: str) -> list[dict[str, Any]]:
        """Return the attributes of three resources that do not conflict with each other."""
        group = self.create("port_pair_group")["id"]
        if resource == "flow_classifier":
            return [{"logical_source_port": self.port(self.net)} for _ in range(3)]
        if resource == "port_pair":
            ports = [self.port(self.net, "vm") for _ in range(4)]
            return [{"ingress": ports[0], "egress": port} for port in ports[1:]]
        if resource == "port_pair_group":
            return [{"port_pairs": [self.pair(self.net)["id"]]} for _ in range(3)]
        sources = [self.classifier(self.port(self.net))["id"] for _ in range(3)]
        chains = [{"port_pair_groups": [group], "flow_classifiers": [one]} for one in sources]
        if resource == "port_chain":
            return chains
        bare = [self.create("port_chain", port_pair_groups=[group])["id"] for _ in range(6)]
        return [{"port_chains": {one: [other]}} for one, other in zip(bare, bare[3:], strict=False)]

    def wrong(self, resource: str) -> list[tuple[dict[str, Any], int]]:
        """Return wrong attributes, each with the status code of the answer."""
        attribute = {
            "flow_classifier": {"source_ip_prefix": "fd00::/8"},
            "port_pair": {"egress": self.port(self.net)},
            "port_pair_group": {"port_pairs": [self.net]},
            "port_chain": {"port_pair_groups": [self.net]},
            "service_graph": {"port_chains": {self.net: [self.net]}},
        }[resource]
        return [
            ({"name": 5}, 400),
            (attribute, 404 if resource in ("port_pair_group", "port_chain") else 400),
        ]

    def test_resources_are_created_in_the_order_of_the_request(self) -> None:
        for resource in RESOURCES:
            items = self.three(resource)
            named = [item | {"name": f"{n}"} for n, item in zip("bca", items, strict=True)]
            made = self.bulk(resource, named)
            assert [one | named[n] for n, one in enumerate(made)] == made
            assert [self.show(resource, one["id"]) for one in made] == made

    def test_one_wrong_resource_refuses_the_whole_request(self) -> None:
        for resource in RESOURCES:
            good = self.three(resource)
            for wrong, status in self.wrong(resource):
                (attribute,) = wrong
                for place in (0, 2):
                    items = [*good]
                    items[place] = good[place] | wrong
                    before = self.rows()
                    assert attribute in self.bulk(resource, items, status), resource
                    assert self.rows() == before, resource
            assert len(self.bulk(resource, good)) == 3

    def test_resources_of_one_request_are_checked_against_each_other(self) -> None:
        """A resource can be valid alone and conflict with another of the same request."""
        for resource, attribute, status in (
            ("flow_classifier", "overlaps", 400),
            ("port_pair", "ingress", 400),
            ("port_pair_group", "port_pairs", 409),
            ("port_chain", "flow_classifiers", 409),
            ("service_graph", "port_chains", 409),
        ):
            first, *rest = self.three(resource)
            before = self.rows()
            assert attribute in self.bulk(resource, [first, *rest, first], status)
            assert self.rows() == before, resource

    def test_classifiers_of_one_request_are_compared_with_one_query(self) -> None:
        client = self.port(self.net, "client")
        self.classifier(client)  # creates the row by which requests of the project are locked
        counts = []
        for first, number in ((1, 3), (100, 30)):
            items = [
                {
                    "protocol": "udp",
                    "logical_source_port": client,
                    "destination_port_range_min": port,
                    "destination_port_range_max": port,
                }
                for port in range(first, first + number)
            ]
            with self.statements() as seen:
                assert len(self.bulk("flow_classifier", items)) == number
            compared = [one for one in seen if "UNION ALL" in one and "flow_classifiers" in one]
            assert len(compared) <= 1
            counts.append(sum("FROM ports" in one or "project_locks" in one for one in seen))
        assert counts[0] == counts[1]

    def test_a_request_beyond_the_quota_creates_nothing(self) -> None:
        self.enforce_quotas()
        for resource in RESOURCES:
            items = self.three(resource)
            there = len(self.list_all(resource))
            cfg.CONF.set_override(f"quota_{resource}", there + 2, "QUOTAS")
            before = self.rows()
            assert "Quota exceeded" in self.bulk(resource, items, 409)
            assert self.rows() == before, resource
            self.bulk(resource, items[:2])
            cfg.CONF.set_override(f"quota_{resource}", -1, "QUOTAS")
