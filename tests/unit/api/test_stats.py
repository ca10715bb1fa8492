"""What a request shows of the counters of a chain, and to whom."""

import re
from typing import Any

from neutron import policy
from oslo_policy import policy as oslo_policy

from portchain.core.counters import Count, Counter, CounterKind, DropReason, HostCounts
from portchain.core.model import ChainStatus, Port
from portchain.drivers.manager import DriverManager
from portchain.drivers.noop import NoopDriver
from portchain.server_metrics import ChainCollector
from tests.unit.api.base import HOST, OTHER_PROJECT, PROJECT, ApiTestCase
from tests.unit.api.provider import TENANT, ProviderTestCase

ADMIN = {"roles": "admin"}


class CountingDriver(NoopDriver):
    """Has counted what a test says."""

    counts: HostCounts | None = HostCounts()

    def claims(self, port: Port) -> bool:
        return True

    def read_counters(self, context: Any, chain_id: str) -> HostCounts | None:
        return self.counts


def restrict(rule: str) -> None:
    """Let a policy allow what it protects to nobody of these tests."""
    rules = oslo_policy.Rules.from_dict({rule: "role:auditor"})
    policy._ENFORCER.set_rules(rules, overwrite=False)


class StatsCase(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.driver = CountingDriver()
        self.plugin.drivers = DriverManager({"counting": self.driver})

    def stats(self, chain_id: str, *, expect: int = 200, **as_: str) -> Any:
        response = self.call("GET", f"/sfc/port_chains/{chain_id}/stats", **as_)
        return self._result(response, "stats", expect)


class StatsTest(StatsCase):
    def prepare(self) -> None:
        self.net = self.network()
        parameters = {"symmetric": True}
        self.shown = self.chain(self.net, groups=2, name="web", chain_parameters=parameters)
        self.chain_id = self.shown["id"]
        (self.classifier_id,) = self.shown["flow_classifiers"]
        groups = [self.show("port_pair_group", one) for one in self.shown["port_pair_groups"]]
        self.pairs = [group["port_pairs"][0] for group in groups]
        self.bind(self.show("port_pair", self.pairs[0])["ingress"])

    def counted(self, kind: str, subject: str, reverse: bool = False) -> Counter:
        return Counter(self.chain_id, reverse, kind, subject)

    def test_a_tree_of_what_all_hosts_have_counted(self) -> None:
        first, second = self.pairs
        self.driver.counts = HostCounts(
            {
                "h1": {
                    self.counted(CounterKind.CLASSIFIED, self.classifier_id): Count(9, 900),
                    self.counted(CounterKind.IN, first): Count(7, 700),
                    self.counted(CounterKind.OUT, first): Count(6, 600),
                    self.counted(CounterKind.DROPPED, DropReason.FRAGMENT): Count(2, 20),
                },
                "h2": {
                    self.counted(CounterKind.IN, first): Count(1, 100),
                    self.counted(CounterKind.IN, second, reverse=True): Count(4, 400),
                },
            },
            {"h3": "no answer within 5 s"},
        )
        shown = self.stats(self.chain_id)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", shown["updated_at"])
        assert (shown["id"], shown["name"], shown["project_id"]) == (self.chain_id, "web", PROJECT)
        assert shown["hosts_without_answer"] == [{"host": "h3", "reason": "no answer within 5 s"}]
        forward, reverse = shown["paths"]
        assert forward["flow_classifiers"] == [
            {"id": self.classifier_id, "name": "", "packets": 9, "bytes": 900}
        ]
        assert forward["dropped"] == [{"reason": "fragment", "packets": 2, "bytes": 20}]
        assert [hop["port_pair_group"]["id"] for hop in forward["hops"]] == self.shown[
            "port_pair_groups"
        ]
        (pair,) = forward["hops"][0]["port_pairs"]
        assert pair == {
            "id": first,
            "name": "",
            "host": HOST,
            "packets_in": 8,
            "bytes_in": 800,
            "packets_out": 6,
            "bytes_out": 600,
            "learned_flows": 0,
        }
        assert (forward["direction"], reverse["direction"]) == ("forward", "reverse")
        assert [hop["port_pairs"][0]["packets_in"] for hop in reverse["hops"]] == [4, 0]
        assert reverse["dropped"] == []

    def test_a_network_that_does_not_count_has_counted_nothing(self) -> None:
        self.driver.counts = None
        (pair,) = self.stats(self.chain_id)["paths"][0]["hops"][0]["port_pairs"]
        assert (pair["packets_in"], pair["packets_out"]) == (0, 0)

    def test_other_projects_get_nothing(self) -> None:
        self.stats(self.chain_id, expect=404, project=OTHER_PROJECT)
        self.stats(PROJECT, expect=404)
        self.stats(self.chain_id, project=OTHER_PROJECT, **ADMIN)

    def test_a_policy_decides(self) -> None:
        self.stats(self.chain_id)
        restrict("get_port_chain_stats")
        error = self.stats(self.chain_id, expect=403)
        assert "get_port_chain_stats" in error["message"]

    def test_hosts_are_shown_to_those_who_get_the_reason_of_the_status(self) -> None:
        self.driver.counts = HostCounts(failures={"h3": "it cannot be reached"})
        assert self.stats(self.chain_id)["hosts_without_answer"][0]["host"] == "h3"
        restrict("get_port_chain:status_reason")
        shown = self.stats(self.chain_id)
        assert "host" not in shown["paths"][0]["hops"][0]["port_pairs"][0]
        assert shown["hosts_without_answer"] == [{"reason": "it cannot be reached"}]

    def test_it_can_only_be_read(self) -> None:
        for method in ("PUT", "POST", "DELETE"):
            response = self.call(method, f"/sfc/port_chains/{self.chain_id}/stats", {})
            assert response.status_int in (404, 405), response

    def test_no_other_resource_has_it(self) -> None:
        assert self.call("GET", f"/sfc/port_pairs/{self.pairs[0]}/stats").status_int == 404
        assert self.call("GET", f"/sfc/port_chains/{self.chain_id}/nothing").status_int == 404


class MetricsTest(ApiTestCase):
    def test_prometheus_gets_the_name_and_the_status_of_each_chain(self) -> None:
        names = {}
        for project in (PROJECT, OTHER_PROJECT):
            group = self.create("port_pair_group", as_={"project": project})["id"]
            chain = self.create(
                "port_chain", as_={"project": project}, name="web", port_pair_groups=[group]
            )
            names[chain["id"]] = project
        info, status = ChainCollector().collect()
        shown = {(one.labels["chain_id"], one.labels["project_id"]) for one in info.samples}
        assert shown == set(names.items())
        assert {one.labels["name"] for one in info.samples} == {"web"}
        for chain_id in names:
            present = self.show("port_chain", chain_id, roles="admin")["status"]
            of_chain = [one for one in status.samples if one.labels["chain_id"] == chain_id]
            assert {one.labels["status"] for one in of_chain if one.value} == {present}
            assert len(of_chain) == len(ChainStatus)


class BorrowedStatsTest(StatsCase, ProviderTestCase):
    def test_a_borrowed_group_shows_no_names_and_no_hosts(self) -> None:
        self.lend()
        chain_id = self.borrow(name="tenant's")["id"]
        (pair_id,) = self.show("port_pair_group", self.group_id)["port_pairs"]
        self.update("port_pair", pair_id, name="secret")
        self.bind(self.show("port_pair", pair_id)["ingress"])
        self.driver.counts = HostCounts(
            {"h1": {Counter(chain_id, False, CounterKind.IN, pair_id): Count(3, 30)}},
            {"h2": "it cannot be reached"},
        )
        shown = self.stats(chain_id, **TENANT)
        (hop,) = shown["paths"][0]["hops"]
        assert hop["port_pair_group"] == {"id": self.group_id, "name": "firewall"}
        (pair,) = hop["port_pairs"]
        assert pair == {
            "id": pair_id,
            "name": "",
            "packets_in": 3,
            "bytes_in": 30,
            "packets_out": 0,
            "bytes_out": 0,
            "learned_flows": 0,
        }
        assert shown["hosts_without_answer"] == [{"reason": "it cannot be reached"}]
        self.stats(chain_id, expect=404)  # the group's owner does not see the chain
        seen = self.stats(chain_id, **ADMIN)["paths"][0]["hops"][0]["port_pairs"][0]
        assert (seen["name"], seen["host"]) == ("secret", HOST)
