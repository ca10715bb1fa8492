"""Many clients change the same resources at once, through several API workers on MariaDB."""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from portchain_lab.cloud import clients
from portchain_lab.lab import Lab
from portchain_lab.waiting import wait_for

from portchain.core import rules
from portchain.core.model import FlowClassifier
from tests.full import FULL

CLIENTS, REQUESTS = 8, 60 if FULL else 30
# Each kind before the kinds that it uses.
KINDS = ("service_graph", "port_chain", "port_pair_group", "port_pair", "flow_classifier")
EXPECTED = {200, 201, 204, 400, 404, 409}
DEADLINE = 180


class Client:
    """Sends random requests about resources that all clients share."""

    def __init__(self, lab: Lab, seed: int, ports: list[str], known: dict[str, list[str]]) -> None:
        self._network = clients.connect(lab.layout, "demo").network
        self._random = random.Random(seed)
        self._ports = ports
        self._known = known
        self.answers: Counter[tuple[str, int]] = Counter()
        self.failures: list[str] = []

    def call(self, method: str, path: str, body: Any = None) -> Any:
        response = self._network.request(f"/sfc/{path}", method, json=body, raise_exc=False)
        self.answers[method, response.status_code] += 1
        if response.status_code not in EXPECTED:
            self.failures.append(f"{method} {path} {body}: {response.status_code} {response.text}")
        return response.json() if response.content else {}

    def any(self, kind: str) -> str:
        """An id that some client created; the resource may be deleted by now."""
        return self._random.choice(self._known[kind] or ["00000000-0000-0000-0000-000000000000"])

    def body(self, kind: str) -> dict[str, Any]:
        """Attributes of a new resource."""
        if kind == "flow_classifier":
            number = self._random.choice((80, 81, 82, 443))
            ports = {
                "destination_port_range_min": self._random.choice((80, number)),
                "destination_port_range_max": max(80, number),
            }
            return {"protocol": "tcp", "logical_source_port": self._ports[0], **ports}
        if kind == "port_pair":
            return {"ingress": self._random.choice(self._ports), "egress": self._ports[0]}
        if kind == "port_pair_group":
            return {"port_pairs": [self.any("port_pair")]}
        if kind == "port_chain":
            return {
                "port_pair_groups": [self.any("port_pair_group")],
                "flow_classifiers": [self.any("flow_classifier")],
                "chain_id": self._random.choice((0, 0, 7)),
            }
        return {"port_chains": {self.any("port_chain"): [self.any("port_chain")]}}

    def run(self) -> None:
        """Send the requests."""
        actions: list[Callable[[str], None]] = [self.create] * 3 + [self.update, self.delete]
        for _ in range(REQUESTS):
            self._random.choice(actions)(self._random.choice(KINDS))

    def create(self, kind: str) -> None:
        made = self.call("POST", f"{kind}s", {kind: self.body(kind)})
        if kind in made:
            self._known[kind].append(made[kind]["id"])

    def update(self, kind: str) -> None:
        change = {"name": f"n{self._random.random()}"}
        if kind in ("port_pair_group", "port_chain"):
            change |= self.body(kind)
            change.pop("chain_id", None)
        self.call("PUT", f"{kind}s/{self.any(kind)}", {kind: change})

    def delete(self, kind: str) -> None:
        self.call("DELETE", f"{kind}s/{self.any(kind)}")


@pytest.fixture
def ports(lab: Lab) -> Iterator[list[str]]:
    """Ports of one VM; afterwards the project has no resources left."""
    network = lab.sdk("demo").network
    net = network.create_network(name="many")
    network.create_subnet(network_id=net.id, cidr="10.78.0.0/24", ip_version=4)
    made = [network.create_port(network_id=net.id, device_id="vm").id for _ in range(5)]
    yield made
    for kind in KINDS:
        for one in listed(network, kind):
            network.delete(f"/sfc/{kind}s/{one['id']}")
    for port in made:
        network.delete_port(port)
    network.delete_network(net)


def listed(network: Any, kind: str) -> list[dict[str, Any]]:
    """All resources of a kind that the project has."""
    found: list[dict[str, Any]] = network.get(f"/sfc/{kind}s").json()[f"{kind}s"]
    return found


def test_many_clients_leave_the_database_consistent(lab: Lab, ports: list[str]) -> None:
    known: dict[str, list[str]] = {kind: [] for kind in KINDS}
    crowd = [Client(lab, seed, ports, known) for seed in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(Client.run, crowd))
    answers = sum((client.answers for client in crowd), Counter())
    print("answers:", dict(sorted(answers.items())))
    assert not [failure for client in crowd for failure in client.failures]
    for method, status in (("POST", 201), ("PUT", 200), ("DELETE", 204), ("POST", 409)):
        assert answers[method, status], "the clients have met too little to prove anything"
    network = lab.sdk("demo").network
    check_whole({kind: listed(network, kind) for kind in KINDS})
    wait_for(
        lambda: all(chain["status"] == "DOWN" for chain in listed(network, "port_chain")),
        DEADLINE,
        "the drivers to know every chain, of which no function is bound",
    )


def check_whole(found: dict[str, list[dict[str, Any]]]) -> None:
    """Assert what must hold whatever the order of the requests."""
    ids = {kind: {one["id"] for one in some} for kind, some in found.items()}

    def members(kind: str, attribute: str) -> list[str]:
        return [member for one in found[kind] for member in one[attribute]]

    for kind, attribute, part, exclusive in (
        ("port_chain", "port_pair_groups", "port_pair_group", False),
        ("port_chain", "flow_classifiers", "flow_classifier", True),
        ("port_pair_group", "port_pairs", "port_pair", True),
    ):
        assert set(members(kind, attribute)) <= ids[part]
        assert not exclusive or len(members(kind, attribute)) == len(set(members(kind, attribute)))
    for kind, number in (("port_chain", "chain_id"), ("port_pair_group", "group_id")):
        assert len({one[number] for one in found[kind]}) == len(found[kind])
    graphs = [{*graph["port_chains"], *members_of(graph)} for graph in found["service_graph"]]
    assert sum(map(len, graphs)) == len(set().union(*graphs))
    assert set().union(*graphs) <= ids["port_chain"]
    classifiers = [as_model(one) for one in found["flow_classifier"]]
    assert not [pair for pair in itertools.combinations(classifiers, 2) if rules.overlap(*pair)]


def members_of(graph: dict[str, Any]) -> list[str]:
    return [one for after in graph["port_chains"].values() for one in after]


def as_model(shown: dict[str, Any]) -> FlowClassifier:
    return FlowClassifier(
        id=shown["id"],
        project_id=shown["project_id"],
        protocol=rules.TCP,
        destination_ports=(
            shown["destination_port_range_min"],
            shown["destination_port_range_max"],
        ),
        logical_source_port=shown["logical_source_port"],
    )
