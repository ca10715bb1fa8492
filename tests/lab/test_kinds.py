"""Functions of every kind, one way and both ways."""

from collections.abc import Iterator
from typing import Any

import pytest
from portchain_lab.lab import Lab
from portchain_lab.observe import packet_paths
from scapy.layers.l2 import Ether

from tests.full import in_full
from tests.lab import matrix
from tests.lab.captures import Captures
from tests.lab.workflow import DIRECT, Workflow

SYMMETRIC = {"chain_parameters": {"symmetric": True}}
HEADERS = {"mpls": 0x8847, "nsh": 0x894F}


ONE_PORT = "-1"
# Kinds of the functions of PG1 and of PG2: each kind before or after another one, some with one
# port, and bridges before bridges. The full run also has the other kinds with themselves.
FEW = [("l2", "l2"), ("l3-1", "nsh"), ("mpls-1", "l2"), ("nsh-1", "l3-1")]
KINDS = in_full([*FEW, ("l3", "l3"), ("mpls", "mpls"), ("nsh", "nsh")], FEW)


@pytest.fixture(scope="module")
def ends(lab: Lab) -> Iterator[Workflow]:
    """A network with two end points, for functions of one kind after the other."""
    workflow = Workflow(lab, Captures())
    workflow.boot(functions=())
    yield workflow
    workflow.clean_up()
    workflow.wait_no_flows()


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def booted(ends: Workflow, request: pytest.FixtureRequest) -> Iterator[Workflow]:
    first, second = request.param
    wanted = {"sf1": first, "sf2": first, "sf3": second}
    ends.kinds = {name: kind.removesuffix(ONE_PORT) for name, kind in wanted.items()}
    ends.one_port = [name for name, kind in wanted.items() if kind.endswith(ONE_PORT)]
    ends.start_functions()
    ends.pairs_and_groups()
    yield ends
    matrix.delete_case(ends)


@pytest.fixture
def workflow(booted: Workflow, captures: Captures) -> Iterator[Workflow]:
    with booted.for_one_test(captures):
        # The end points resolve each other's addresses, so that no switch floods later.
        assert booted.lab.vms.ping(booted.vms["src"], booted.address("dst"))
        yield booted


def chain(workflow: Workflow, **parameters: Any) -> None:
    """PC1 for all source ports, with the chain header that its functions support."""
    headers = {"mpls", "nsh"} & set(workflow.kinds.values())
    header = {"correlation": headers.pop()} if headers else {}
    made = workflow.chain(many(workflow), chain_parameters=parameters | header)
    workflow.wait_status(made)


def promiscuous(workflow: Workflow) -> bool:
    """Whether a function gets frames for other MAC addresses."""
    return "l2" in workflow.kinds.values()


def many(workflow: Workflow) -> Any:
    return workflow.classifier(source_port_range_min=None, source_port_range_max=None)


def test_one_way(workflow: Workflow) -> None:
    chain(workflow)
    assert workflow.paths(count=40, promiscuous=promiscuous(workflow)) == workflow.chained
    direct = workflow.connect(port=101, promiscuous=promiscuous(workflow))
    assert {connection.path for connection in direct} == DIRECT


def test_both_ways_visit_the_same_pairs(workflow: Workflow) -> None:
    chain(workflow, symmetric=True)
    connections = workflow.connect(
        count=40, answered=workflow.answered, promiscuous=promiscuous(workflow)
    )
    assert {connection.path for connection in connections} == workflow.chained
    for connection in connections:
        assert connection.path is not None
        assert set(connection.replies) == {tuple(reversed(connection.path))}


def test_no_switch_learns_an_address_at_a_functions_port(workflow: Workflow) -> None:
    chain(workflow, symmetric=True)
    workflow.connect(count=20, answered=workflow.answered, promiscuous=promiscuous(workflow))
    for end, home in (("src", "h1"), ("dst", "h3")):
        address = workflow.ports[end].mac_address
        for host in workflow.lab.hosts:
            table = workflow.lab.appctl(host, "fdb/show", "br-int").splitlines()
            places = {line.split()[0] for line in table if address in line}
            assert places <= home_of(workflow, end, home, host), f"{end} on {host}"
    direct = workflow.connect(port=101, count=5, promiscuous=promiscuous(workflow))
    assert {connection.path for connection in direct} == DIRECT


def home_of(workflow: Workflow, end: str, home: str, host: str) -> set[str]:
    """The ports of a host's br-int at which an address is right; OVN's br-int learns none."""
    if workflow.lab.layout.driver_of(host) == "ovn":
        return set()
    return {workflow.ofport(host, end) if host == home else workflow.patch_to_tun(host)}


def test_chain_headers_reach_only_functions_that_support_them(workflow: Workflow) -> None:
    chain(workflow, symmetric=True)
    workflow.connect(count=20, answered=workflow.answered, promiscuous=promiscuous(workflow))
    seen = {
        one.port: Ether(one.frame).type
        for one in packet_paths.unexpected_frames(workflow.captures.all[-1].frames)
    }
    understood = {
        port: HEADERS[kind]
        for function, kind in workflow.kinds.items()
        for port in workflow.way(function)
        if kind in HEADERS
    }
    assert seen == understood
