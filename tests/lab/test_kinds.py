"""Functions that route, one way and both ways."""

from collections.abc import Iterator
from typing import Any

import pytest

from portchain.lab.lab import Lab
from tests.lab.conftest import Captures
from tests.lab.workflow import CHAINED, DIRECT, Workflow

SYMMETRIC = {"chain_parameters": {"symmetric": True}}
BACK = {tuple(reversed(path)) for path in CHAINED}


@pytest.fixture(scope="module", params=["l3"])
def booted(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Workflow]:
    workflow = Workflow(lab, Captures())
    workflow.boot(kind=request.param)
    workflow.pairs_and_groups(kind=request.param)
    workflow.kind = request.param
    yield workflow
    workflow.clean_up()
    workflow.wait_no_rules()


@pytest.fixture
def workflow(booted: Workflow, captures: Captures) -> Iterator[Workflow]:
    booted.captures = captures
    # End points know each other's addresses: no switch has to flood.
    assert booted.lab.vms.ping(booted.machines["src"], booted.address("dst"))
    kept = list(booted.made)
    yield booted
    for kind, an_id in reversed([item for item in booted.made if item not in kept]):
        booted.delete(kind, {"id": an_id})


def many(workflow: Workflow) -> Any:
    return workflow.classifier(source_port_range_min=None, source_port_range_max=None)


def test_one_way(workflow: Workflow) -> None:
    workflow.wait_status(workflow.chain(many(workflow)))
    overheard = workflow.kind == "l2"
    assert {c.path for c in workflow.connect(count=40, overheard=overheard)} == CHAINED
    assert {c.path for c in workflow.connect(port=101, overheard=overheard)} == DIRECT


def test_both_ways_visit_the_same_pairs(workflow: Workflow) -> None:
    workflow.wait_status(workflow.chain(many(workflow), **SYMMETRIC))
    connections = workflow.connect(count=40, answered=BACK, overheard=workflow.kind == "l2")
    assert {connection.path for connection in connections} == CHAINED
    for connection in connections:
        assert connection.path is not None
        assert set(connection.replies) == {tuple(reversed(connection.path))}


def test_no_switch_learns_an_address_at_a_functions_place(workflow: Workflow) -> None:
    workflow.wait_status(workflow.chain(many(workflow), **SYMMETRIC))
    overheard = workflow.kind == "l2"
    workflow.connect(count=20, answered=BACK, overheard=overheard)
    for end, home in (("src", "h1"), ("dst", "h3")):
        address = workflow.ports[end].mac_address
        for host in workflow.lab.hosts:
            table = workflow.lab.appctl(host, "fdb/show", "br-int").splitlines()
            places = {line.split()[0] for line in table if address in line}
            own = workflow.ofport(host, end) if host == home else workflow.patch_to_tun(host)
            assert places <= {own}, f"{end} on {host}"
    assert {c.path for c in workflow.connect(port=101, count=5, overheard=overheard)} == DIRECT
