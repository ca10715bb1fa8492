"""Service functions that are virtual machines of a real Nova."""

from collections.abc import Iterator
from typing import Any

import pytest
from portchain_lab.lab import Lab
from portchain_lab.waiting import patient, wait_for

from tests.lab.captures import Captures
from tests.lab.labs import FIREWALL, Labs
from tests.lab.workflow import CHAINED, DIRECT, Workflow

SECONDS = patient(300)
FORWARDS = "guest: forwards between eth0 eth1"
"""What a guest with two ports writes on its console, once it has their addresses."""
MACHINES = {"vm1": ("p1", "p2"), "vm2": ("p3", "p4"), "vm3": ("p5", "p6")}
WITH = ("--image", "function", "--flavor", "function")


@pytest.fixture(scope="module")
def lab(labs: Labs) -> Lab:
    return labs.get(firewall=FIREWALL, nova=True)


@pytest.fixture
def workflow(lab: Lab, captures: Captures) -> Iterator[Workflow]:
    """Network and ports; the two end points run in namespaces, which Nova does not know."""
    made = Workflow(lab, captures)
    made.set_up_network()
    made.make_ports("src", "dst", *(port for ports in MACHINES.values() for port in ports))
    made.start("src", "h1", "src")
    made.start("dst", "h3", "dst")
    yield made
    made.delete_chains()
    delete_servers(lab)
    made.clean_up()


def delete_servers(lab: Lab) -> None:
    compute = lab.sdk("demo").compute
    servers = list(compute.servers())
    for server in servers:
        compute.delete_server(server)
    for server in servers:
        compute.wait_for_delete(server, wait=int(SECONDS))


def boot(workflow: Workflow, name: str, *ports: str) -> None:
    """Boot a machine as the specification does."""
    nics = [word for port in ports for word in ("--nic", f"port-id={workflow.ports[port].id}")]
    workflow.lab.run_client("nova", "boot", *WITH, *nics, name)


def server_of(lab: Lab, name: str) -> Any:
    return lab.sdk("admin").compute.find_server(name, all_projects=True, ignore_missing=False)


def wait_active(lab: Lab, name: str) -> None:
    compute = lab.sdk("demo").compute
    server = compute.find_server(name, ignore_missing=False)
    compute.wait_for_server(server, status="ACTIVE", interval=1, wait=int(SECONDS))


def console(lab: Lab, name: str) -> str:
    compute = lab.sdk("demo").compute
    server = compute.find_server(name, ignore_missing=False)
    return str(compute.get_server_console_output(server)["output"])


def observe(workflow: Workflow, name: str, boots: int = 1) -> None:
    """Wait until a machine forwards; captures see its ports from now on.

    :param boots: how often its console has said so.
    """
    lab = workflow.lab

    def forwards() -> bool:
        return console(lab, name).count(FORWARDS) >= boots

    wait_for(forwards, SECONDS, f"{name} forwards", interval=1)
    workflow.vms[name] = lab.vms.of_nova(server_of(lab, name))
    lab.vms.wait_active([workflow.vms[name]])


def make_chain(workflow: Workflow) -> Any:
    workflow.pairs_and_groups()
    chain = workflow.chain(workflow.classifier())
    workflow.wait_status(chain)
    return chain


def assert_chained(workflow: Workflow) -> None:
    workflow.warm_up(source_port=23)
    assert workflow.paths(source_port=23) <= CHAINED
    assert workflow.paths(port=99) == DIRECT


def test_boot_with_two_ports(workflow: Workflow) -> None:
    lab = workflow.lab
    for name, ports in MACHINES.items():
        boot(workflow, name, *ports)
    for name in MACHINES:
        observe(workflow, name)
    chain = make_chain(workflow)
    assert_chained(workflow)

    delete_servers(lab)
    assert workflow.wait_status(chain, "DOWN")
