"""The number of SQL statements of a request does not depend on the number of chains."""

from collections.abc import Callable
from typing import Any

from oslo_config import cfg

from portchain.db import snapshots
from tests import full
from tests.unit.api.base import HOST, ApiTestCase

# A count that grows with the chains differs between one chain and ten already.
MANY = 30 if full.FULL else 4

MOST = {"create port chain": 25, "show port chain": 6, "list port_chain": 6, "weigh port pair": 33}
"""SQL statements, those for Neutron's quotas included."""


class QueryCountTest(ApiTestCase):
    service_plugins = (
        "port_chain",
        "revisions",
        "timestamp",
        "tag",
    )  # Neutron's defaults among them
    enforces_quotas = True

    def setUp(self) -> None:
        super().setUp()
        for quota in ("port_chain", "port_pair_group", "port_pair", "flow_classifier", "port"):
            cfg.CONF.set_override(f"quota_{quota}", -1, "QUOTAS")

    def prepare(self) -> None:
        self.net = self.network()

    def fill(self, chains: int) -> None:
        for _ in range(chains):
            self.chain(self.net)

    def measure(self, request: Callable[[], Any]) -> tuple[int, Any]:
        """Return how many statements a request runs, and its result."""
        with self.statements() as seen:
            result = request()
        return len(seen), result

    def requests(self) -> dict[str, int]:
        """Send each request once; return how many statements each ran."""
        counts: dict[str, int] = {}

        def run(label: str, request: Callable[[], Any]) -> Any:
            counts[label], result = self.measure(request)
            return result

        ports = [self.port(self.net, "vm") for _ in range(4)]
        client = self.port(self.net, "client")
        pair = run(
            "create port pair",
            lambda: self.create("port_pair", ingress=ports[0], egress=ports[1]),
        )["id"]
        other = self.create("port_pair", ingress=ports[2], egress=ports[3])["id"]
        group = run(
            "create port pair group", lambda: self.create("port_pair_group", port_pairs=[pair])
        )["id"]
        classifier = run("create flow classifier", lambda: self.classifier(client))["id"]
        chain = run(
            "create port chain",
            lambda: self.create(
                "port_chain", port_pair_groups=[group], flow_classifiers=[classifier]
            ),
        )["id"]
        run("show port chain", lambda: self.show("port_chain", chain))
        run("rename port chain", lambda: self.update("port_chain", chain, name="new"))
        run("update port pair", lambda: self.update("port_pair", pair, name="new"))
        weight = {"service_function_parameters": {"weight": 2}}
        run("weigh port pair", lambda: self.update("port_pair", pair, **weight))
        run(
            "update port pair group",
            lambda: self.update("port_pair_group", group, port_pairs=[pair, other]),
        )
        run(
            "empty port pair group",
            lambda: self.update("port_pair_group", group, port_pairs=[]),
        )
        run(
            "fill port pair group",
            lambda: self.update("port_pair_group", group, port_pairs=[pair]),
        )
        run(
            "update port chain",
            lambda: self.update("port_chain", chain, flow_classifiers=[]),
        )
        for resource in ("port_chain", "port_pair_group", "port_pair", "flow_classifier"):
            run(f"list {resource}", lambda resource=resource: self.list_all(resource))
        run("delete port chain", lambda: self.delete("port_chain", chain))
        run("delete flow classifier", lambda: self.delete("flow_classifier", classifier))
        run("delete port pair group", lambda: self.delete("port_pair_group", group))
        run("delete port pair", lambda: self.delete("port_pair", pair))
        return counts

    def test_requests_need_as_many_statements_with_many_chains(self) -> None:
        self.fill(1)
        self.requests()  # warms up what a process does once, such as for quotas
        few = self.requests()
        self.fill(MANY - 1)
        many = self.requests()
        print("\nSQL statements per request, with 1 and with", MANY, "chains present")
        for label, count in few.items():
            print(f"  {label:24} {count:3} {many[label]:3}")
        assert many == few
        assert {label: many[label] for label in MOST if many[label] > MOST[label]} == {}

    def test_a_port_without_chains_costs_one_statement(self) -> None:
        """Every update of a port in the deployment costs one statement of ours."""
        port = self.port(self.network("10.9.0.0/24"), "vm")
        for present in (0, MANY):
            self.fill(present)
            with self.statements() as seen:
                self.bind(port, HOST, status="ACTIVE" if present else "DOWN")
            ours = [statement for statement in seen if "portchain_" in statement]
            assert len(ours) == 1, ours

    def test_snapshots_of_many_chains_need_as_many_statements_as_one(self) -> None:
        """The ports of many chains are loaded together."""
        self.fill(10)
        ids = [chain["id"] for chain in self.list_all("port_chain")]
        counts = [
            self.measure(lambda ids=some: snapshots.load(self.context, ids))[0]
            for some in (ids[:1], ids)
        ]
        assert counts[0] == counts[1]

    def test_snapshots_of_chains_without_functions_need_no_more_statements(self) -> None:
        group = self.group(self.net)["id"]
        for protocol in ("tcp", "udp", "sctp"):
            fc = self.create("flow_classifier", protocol=protocol)["id"]
            self.create("port_chain", port_pair_groups=[group], flow_classifiers=[fc])
        ids = [chain["id"] for chain in self.list_all("port_chain")]
        whole = self.measure(lambda: snapshots.load(self.context, ids))[0]
        self.update("port_pair_group", group, port_pairs=[])
        counts = [
            self.measure(lambda ids=some: snapshots.load(self.context, ids))[0]
            for some in (ids[:1], ids)
        ]
        # They have no function ports, and one query for the networks that are recorded.
        assert max(counts) <= whole

    def test_emptying_a_group_of_many_chains_needs_as_many_statements(self) -> None:
        def empty(chains: int) -> int:
            group = self.group(self.net)["id"]
            for _ in range(chains):
                self.create("port_chain", port_pair_groups=[group])
            counts, _ = self.measure(lambda: self.update("port_pair_group", group, port_pairs=[]))
            return counts

        assert empty(2) == empty(12)

    def test_a_changed_port_needs_as_many_statements_with_many_chains(self) -> None:
        def moves() -> int:
            chain = self.chain(self.net)
            group = self.show("port_pair_group", chain["port_pair_groups"][0])
            port = self.show("port_pair", group["port_pairs"][0])["ingress"]
            with self.statements() as seen:
                self.bind(port, HOST)
            return len([one for one in seen if "portchain_" in one])

        few = moves()
        assert few > 0
        self.fill(MANY)
        assert moves() == few
