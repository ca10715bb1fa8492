"""A cloud that networking-sfc built moves to this package, and back, while packets flow.

The steps are those of docs/migration.md.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from portchain_lab import startup
from portchain_lab.cloud import services
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab
from portchain_lab.layout import Software
from portchain_lab.waiting import wait_for

from bench.environments import networking_sfc
from tests.lab.captures import Captures
from tests.lab.labs import Labs
from tests.lab.load import Load
from tests.lab.workflow import CHAINED, DEADLINE, OUR_FLOWS, Workflow

pytestmark = pytest.mark.only_in_full

SERVERS = ("neutron-api", "neutron-rpc-server", "neutron-periodic")
PORT, RATE = 5000, 400.0
THEIR_TABLES = (5, 10)


@pytest.fixture(scope="module")
def theirs() -> Software:
    return networking_sfc(print)


@pytest.fixture
def lab(labs: Labs, theirs: Software) -> Iterator[Lab]:
    """With networking-sfc, no connection opens through a chain with the other firewall."""
    yield labs.get(firewall="noop", software=theirs)
    labs.stop()


@pytest.fixture
def workflow(lab: Lab, captures: Captures) -> Workflow:
    """A chain of networking-sfc that works."""
    made = Workflow(lab, captures)
    made.boot()
    made.pairs_and_groups()
    classifier = made.classifier(
        protocol="udp",
        source_port_range_min=None,
        source_port_range_max=None,
        destination_port_range_min=None,
        destination_port_range_max=None,
        logical_source_port=made.ports["src"].id,
    )
    made.pc1 = made.chain(classifier)
    wait_for(lambda: paths(made, captures) <= CHAINED, DEADLINE, "networking-sfc's chain")
    return made


def paths(workflow: Workflow, captures: Captures) -> set[tuple[str, ...]]:
    with Load(workflow, captures, PORT, rate=RATE) as load:
        pass
    return load.last()


def change_servers(lab: Lab, software: Software, *commands: tuple[str, ...]) -> None:
    """Exchange the software of Neutron's servers.

    :param commands: to run while they are stopped, without ``--config-file``.
    """
    for name in (*SERVERS, services.LAUNCHER):
        lab.stop(name)
    lab.layout = replace(lab.layout, software=software)
    startup.write_neutron_files(lab.layout)
    startup.write_agent_files(lab.layout)
    config = f"--config-file={lab.layout.directory}/neutron.conf"
    for program, *arguments in commands:
        argv = (software.command(program), config, *arguments)
        print(netns.run(lab.layout.controller_namespace, *argv))
    for name in (services.LAUNCHER, *SERVERS):
        lab.start(name)


def restart_agents(lab: Lab) -> None:
    for host in lab.hosts:
        lab.restart("agent", host)


def remove_their_flows(lab: Lab) -> None:
    """Remove what Neutron's agent leaves of networking-sfc's flows."""
    for host in lab.hosts:
        for table in THEIR_TABLES:
            lab.ofctl(host, "del-flows", "br-int", f"table={table}")
        lab.ofctl(host, "del-groups", "br-int")


def remove_our_flows(lab: Lab) -> None:
    for host in lab.hosts:
        for bridge in lab.vsctl(host, "list-br").split():
            lab.ofctl(host, "del-flows", bridge, OUR_FLOWS)


@contextmanager
def under_load(workflow: Workflow, captures: Captures, where: str) -> Iterator[None]:
    """Send datagrams while something happens in the context; none goes around the chain."""
    with Load(workflow, captures, PORT, rate=RATE) as load:
        yield
        load.wait_for_more()
    print(f"{where}: sent {load.sent}, lost {load.lost}, longest gap {load.gap:.1f} s")
    assert not load.misrouted(CHAINED)
    assert load.last() <= CHAINED


def test_a_chain_moves_host_by_host_and_back(
    workflow: Workflow, theirs: Software, captures: Captures
) -> None:
    lab = workflow.lab
    with under_load(workflow, captures, "to portchain"):
        change_servers(
            lab,
            Software.installed(),
            ("neutron-db-manage", "--subproject", "neutron-portchain", "upgrade", "heads"),
            ("portchain-import", "--apply"),
        )
        restart_agents(lab)
        workflow.wait_status(workflow.pc1)
    with under_load(workflow, captures, "without networking-sfc's flows"):
        remove_their_flows(lab)
    with under_load(workflow, captures, "back to networking-sfc"):
        change_servers(lab, theirs)
        restart_agents(lab)
    with under_load(workflow, captures, "without our flows"):
        remove_our_flows(lab)
