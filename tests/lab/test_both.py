"""Hosts of Open vSwitch agents and hosts of OVN in one cloud, each with chains of its own driver (docs/decisions/0031)."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from portchain.lab import journey, traffic
from portchain.lab.lab import Lab
from portchain.lab.layout import Layout
from portchain.lab.waiting import wait_for
from tests.lab.conftest import NAME, Captures

DEADLINE = 180
PORT = 100


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """In the place of the session's: h1 and h3 have agents, h2 has ovn-controller. PORTCHAIN_KEEP_LAB=1 keeps it as well."""
    keep = os.environ.get("PORTCHAIN_KEEP_LAB") == "1"
    made = Lab(Layout(f"{NAME[:7]}two", network="geneve", driver="ovs,ovn"))
    if not (keep and made.is_up()):
        made.up(lambda step: print(f"lab: {step}", flush=True))
    yield Lab.open(made.layout.name)
    if not keep:
        made.down()


class Side:
    """A network with a client, a server and a function, all bound by one mechanism driver, and a chain through them."""

    def __init__(self, lab: Lab, name: str, subnet: str, hosts: tuple[str, str, str], kind: str) -> None:  # fmt: skip
        self.lab, self.name, self.kind, self.subnet = lab, name, kind, subnet
        self.cloud = lab.sdk("demo").network
        self.net = self.cloud.create_network(name=name)
        self.cloud.create_subnet(network_id=self.net.id, ip_version=4, cidr=subnet)
        (group,) = self.cloud.security_groups(name="default", project_id=self.net.project_id)
        self.let_in = self.cloud.create_security_group_rule(
            security_group_id=group.id, direction="ingress", remote_ip_prefix=subnet
        )
        self.ports = {
            port: self.cloud.create_port(network_id=self.net.id, name=f"{name}-{port}")
            for port in ("src", "in", "out", "dst")
        }
        roles = {"src": ("src",), "sf": ("in", "out"), "dst": ("dst",)}
        self.machines = {
            role: lab.vms.boot(
                *(f"{name}{role}", host, [self.ports[port].id for port in ports]),
                kind=kind if role == "sf" else "plain",
                wait=False,
            )
            for host, (role, ports) in zip(hosts, roles.items(), strict=True)
        }
        lab.vms.wait_active(self.machines.values())
        self.made: list[str] = []

    def post(self, kind: str, **body: Any) -> Any:
        answer = self.cloud.post(f"/sfc/{kind}s", json={kind: body})
        assert answer.status_code == 201, answer.text
        made = answer.json()[kind]
        self.made.append(f"/sfc/{kind}s/{made['id']}")
        return made

    def make_chain(self) -> None:
        ids = {name: port.id for name, port in self.ports.items()}
        bridges = {"function_kind": "l2"} if self.kind == "l2" else {}
        pair = self.post("port_pair", ingress=ids["in"], egress=ids["out"], **bridges)
        self.group = self.post("port_pair_group", port_pairs=[pair["id"]])
        self.taken = self.post(
            "flow_classifier",
            protocol="tcp",
            logical_source_port=ids["src"],
            destination_port_range_min=PORT,
            destination_port_range_max=PORT,
        )
        self.chain = self.post(
            "port_chain",
            port_pair_groups=[self.group["id"]],
            flow_classifiers=[self.taken["id"]],
            chain_parameters={"symmetric": self.kind == "l2"},
        )

    def wait_active(self) -> None:
        path = f"/sfc/port_chains/{self.chain['id']}"

        def status() -> str:
            return str(self.cloud.get(path).json()["port_chain"]["status"])

        wait_for(lambda: status() == "ACTIVE", DEADLINE, f"the chain of {self.name}")

    def put(self, **body: Any) -> Any:
        path = f"/sfc/port_chains/{self.chain['id']}"
        return self.cloud.put(path, json={"port_chain": body})

    def paths(self, captures: Captures, port: int = PORT) -> set[Any]:
        """The ways of some connections, without this side's name before each port."""
        source, destination = self.machines["src"], self.machines["dst"]
        with (
            captures(*self.machines.values()) as capture,
            traffic.TcpServer(destination, port),
        ):
            attempts = traffic.tcp_connections(source, destination, port, 5)
            capture.settle()
        assert [attempt.error for attempt in attempts if not attempt.ok] == []
        found = journey.connections(journey.sightings(capture.seen, overheard=True))
        seen = journey.select(found, protocol="tcp", destination_port=port)
        assert len(seen) == 5
        return {
            tuple(label.removeprefix(f"{self.name}-") for label in one.path or ()) for one in seen
        }

    def clean_up(self) -> None:
        for path in reversed(self.made):
            assert self.cloud.delete(path).status_code == 204
        for machine in self.machines.values():
            self.lab.vms.delete(machine)
        for port in self.ports.values():
            self.cloud.delete_port(port)
        self.cloud.delete_network(self.net)
        self.cloud.delete_security_group_rule(self.let_in)


CHAINED, DIRECT = {("src", "in", "out", "dst")}, {("src", "dst")}


@pytest.fixture(scope="module")
def sides(lab: Lab) -> Iterator[dict[str, Side]]:
    """Both with their chains."""
    made = {
        "agents": Side(lab, "agents", "10.31.0.0/24", ("h1", "h3", "h3"), "l3"),
        "ovn": Side(lab, "ovn", "10.32.0.0/24", ("h2", "h2", "h2"), "l2"),
    }
    for side in made.values():
        side.make_chain()
    for side in made.values():
        side.wait_active()
    yield made
    for side in made.values():
        side.clean_up()


def test_each_driver_carries_the_chains_of_its_ports(
    sides: dict[str, Side], captures: Captures
) -> None:
    for side in sides.values():
        assert side.paths(captures) == CHAINED, side.name
        assert side.paths(captures, PORT + 1) == DIRECT, side.name


def test_a_chain_over_both_is_refused(sides: dict[str, Side]) -> None:
    agents, ovn = sides["agents"], sides["ovn"]
    answer = agents.put(port_pair_groups=[agents.group["id"], ovn.group["id"]])
    assert 400 <= answer.status_code < 500, answer.text
    assert "ovn" in answer.text
    agents.wait_active()


def test_what_one_driver_needs_may_be_away_for_the_other(
    lab: Lab, sides: dict[str, Side], captures: Captures
) -> None:
    agents, ovn = sides["agents"], sides["ovn"]
    lab.kill("ovn-nb")
    try:
        for classifiers, expected in (([], DIRECT), ([agents.taken["id"]], CHAINED)):
            assert agents.put(flow_classifiers=classifiers).status_code == 200
            agents.wait_active()
            assert agents.paths(captures) == expected
    finally:
        lab.start("ovn-nb")
    ovn.wait_active()
    assert ovn.paths(captures) == CHAINED
