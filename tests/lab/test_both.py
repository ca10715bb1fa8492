"""One cloud with hosts for the driver ovs and hosts for the driver ovn (docs/decisions/0031)."""

from collections.abc import Iterator
from typing import Any

import pytest
from portchain_lab.lab import Lab

from tests.lab.captures import Captures
from tests.lab.labs import Labs
from tests.lab.workflow import DIRECT, PAIR_ATTRIBUTES, Workflow

PORT = 100


@pytest.fixture(scope="module")
def lab(labs: Labs) -> Lab:
    """Three hosts: h1 and h3 have agents, h2 has ovn-controller."""
    return labs.get(network_type="geneve", driver="ovs,ovn")


class Side(Workflow):
    """A network with a client, a server, a function and a chain, all of one driver."""

    def __init__(
        self, lab: Lab, name: str, subnet: str, hosts: tuple[str, str, str], kind: str
    ) -> None:
        super().__init__(lab, Captures(), kinds={"sf": kind}, subnets=(subnet,))
        self.name, self.kind = name, kind
        self.set_up_network()
        roles = {"src": ("src",), "sf": ("in", "out"), "dst": ("dst",)}
        self.make_ports(*(port for ports in roles.values() for port in ports))
        for host, (role, ports) in zip(hosts, roles.items(), strict=True):
            ids = [self.ports[port].id for port in ports]
            how = {"kind": kind if role == "sf" else "plain", "wait": False}
            self.vms[role] = lab.vms.create(f"{name}{role}", host, ids, **how)
        lab.vms.wait_active(self.vms.values())

    def make_chain(self) -> None:
        ids = {name: port.id for name, port in self.ports.items()}
        pair = self.create(
            "port_pair",
            ingress=ids["in"],
            egress=ids["out"],
            **PAIR_ATTRIBUTES.get(self.kind, {}),
        )
        self.groups = {"G": self.create("port_pair_group", port_pairs=[pair["id"]])}
        self.classifier_of_port = self.create(
            "flow_classifier",
            protocol="tcp",
            logical_source_port=ids["src"],
            destination_port_range_min=PORT,
            destination_port_range_max=PORT,
        )
        self.pc1 = self.chain(
            self.classifier_of_port,
            name=self.name,
            groups=["G"],
        )

    def captured_paths(self, captures: Captures, port: int = PORT) -> set[Any]:
        self.captures = captures
        return self.paths(port=port, count=5, answered=None, promiscuous=True)


CHAINED = {("src", "in", "out", "dst")}


@pytest.fixture(scope="module")
def sides(lab: Lab) -> Iterator[dict[str, Side]]:
    """One network for each driver, with its chain."""
    made = {
        "agents": Side(lab, "agents", "10.31.0.0/24", ("h1", "h3", "h3"), "l3"),
        "ovn": Side(lab, "ovn", "10.32.0.0/24", ("h2", "h2", "h2"), "l3"),
    }
    for side in made.values():
        side.make_chain()
    for side in made.values():
        side.wait_status(side.pc1)
    yield made
    for side in made.values():
        side.delete_chains()
    for side in made.values():
        side.clean_up()


def test_each_driver_realises_the_chains_of_its_ports(
    sides: dict[str, Side], captures: Captures
) -> None:
    for side in sides.values():
        assert side.captured_paths(captures) == CHAINED, side.name
        assert side.captured_paths(captures, PORT + 1) == DIRECT, side.name


def test_a_chain_over_hosts_of_both_drivers_is_refused(sides: dict[str, Side]) -> None:
    agents, ovn = sides["agents"], sides["ovn"]
    both = [side.groups["G"]["id"] for side in (agents, ovn)]
    path = f"/sfc/port_chains/{agents.pc1['id']}"
    answer = agents.cloud.put(path, json={"port_chain": {"port_pair_groups": both}})
    assert 400 <= answer.status_code < 500, answer.text
    assert "ovn" in answer.text
    agents.wait_status(agents.pc1)


def test_one_driver_works_while_the_backend_of_the_other_is_stopped(
    lab: Lab, sides: dict[str, Side], captures: Captures
) -> None:
    agents, ovn = sides["agents"], sides["ovn"]
    lab.kill("ovn-nb")
    try:
        for classifiers, expected in (([], DIRECT), ([agents.classifier_of_port["id"]], CHAINED)):
            agents.update("port_chain", agents.pc1, flow_classifiers=classifiers)
            agents.wait_status(agents.pc1)
            assert agents.captured_paths(captures) == expected
    finally:
        lab.start("ovn-nb")
    ovn.wait_status(ovn.pc1)
    assert ovn.captured_paths(captures) == CHAINED
