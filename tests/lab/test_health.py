"""Functions that stop forwarding, and those that take over."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from portchain_lab.lab import Lab
from portchain_lab.waiting import wait_for

from tests.full import in_full
from tests.lab.captures import Captures
from tests.lab.load import FLOWS, Load
from tests.lab.workflow import DEADLINE, FUNCTIONS, Workflow

PORT = 7100
CHECK = {
    "health_check": "icmp",
    "health_check_parameters": {"delay": 0.2, "max_retries_down": 3, "max_retries": 3},
}
KINDS = in_full(["l3", "l2", "mpls", "nsh"], ["l3", "l2"])
LEFT_OUT = {("src", "dst")}


@pytest.fixture(scope="module")
def ends(lab: Lab) -> Iterator[Workflow]:
    workflow = Workflow(lab, Captures())
    workflow.boot(functions=())
    yield workflow
    workflow.clean_up()
    workflow.wait_no_flows()


@pytest.fixture(scope="module", params=KINDS)
def booted(ends: Workflow, request: pytest.FixtureRequest) -> Iterator[Workflow]:
    ends.kinds = dict.fromkeys(FUNCTIONS, request.param)
    ends.start_functions()
    ends.make_pairs()
    ends.groups = {}
    yield ends
    ends.delete_chains()
    for name in FUNCTIONS:
        ends.lab.vms.delete(ends.vms.pop(name))
    ends.wait_no_flows()


@pytest.fixture
def workflow(booted: Workflow, captures: Captures) -> Iterator[Workflow]:
    with booted.for_one_test(captures):
        assert booted.lab.vms.ping(booted.vms["src"], booted.address("dst"))
        yield booted
    booted.wait_no_flows()


def checked_chain(workflow: Workflow, *pairs: str, **attributes: Any) -> Any:
    """A chain for datagrams through a group whose functions are checked."""
    workflow.groups["PG1"] = workflow.create(
        "port_pair_group",
        name="PG1",
        port_pairs=[workflow.pairs[pair]["id"] for pair in pairs],
        **CHECK | attributes,
    )
    header = {"correlation": kind} if (kind := workflow.kinds["sf1"]) in ("mpls", "nsh") else {}
    chain = workflow.chain(
        workflow.classifier(
            "datagrams",
            protocol="udp",
            source_port_range_min=None,
            source_port_range_max=None,
            destination_port_range_min=PORT,
            destination_port_range_max=PORT + FLOWS - 1,
        ),
        groups=["PG1"],
        chain_parameters=header,
    )
    workflow.wait_status(chain)
    return chain


def operating_status(workflow: Workflow, pair: str) -> str:
    made = workflow.pairs[pair]
    shown = workflow.cloud.get(f"/sfc/port_pairs/{made['id']}").json()["port_pair"]
    return str(shown["operating_status"])


def wait_for_status(workflow: Workflow, pair: str, *wanted: str) -> None:
    wait_for(
        lambda: operating_status(workflow, pair) in wanted,
        DEADLINE,
        f"{pair} to be {' or '.join(wanted)}",
        interval=0.2,
    )


def hung(workflow: Workflow, function: str) -> AbstractContextManager[None]:
    return workflow.lab.vms.hung(workflow.vms[function])


def load(workflow: Workflow) -> Load:
    bridges = workflow.kinds["sf1"] == "l2"
    return Load(workflow, workflow.captures, PORT, promiscuous=bridges)


def paths(workflow: Workflow, *functions: str) -> set[tuple[str, ...]]:
    return {("src", *workflow.way(function), "dst") for function in functions}


def test_another_function_takes_over(workflow: Workflow) -> None:
    checked_chain(workflow, "PP1", "PP2")
    for pair in ("PP1", "PP2"):
        wait_for_status(workflow, pair, "ONLINE")
    both = paths(workflow, "sf1", "sf2")
    with load(workflow) as sent:
        # The flows visit one of the two, and then the other.
        for function, pair in (("sf1", "PP1"), ("sf2", "PP2")):
            with hung(workflow, function):
                wait_for_status(workflow, pair, "ERROR")
                sent.wait_for_more()
            wait_for_status(workflow, pair, "ONLINE")
            sent.wait_for_more()
    print(f"{workflow.kinds['sf1']}: lost {sent.lost} of {sent.sent}, gap {sent.gap:.2f} s")
    assert not sent.misrouted(both)
    assert sent.arrived.keys() == both


def test_a_group_that_fails_open_is_left_out(workflow: Workflow) -> None:
    chain = checked_chain(workflow, "PP1", failure_mode="open")
    wait_for_status(workflow, "PP1", "ONLINE")
    with load(workflow) as sent:
        with hung(workflow, "sf1"):
            wait_for_status(workflow, "PP1", "ERROR")
            sent.wait_for_more()
        wait_for_status(workflow, "PP1", "ONLINE")
        sent.wait_for_more()
    assert sent.last() == paths(workflow, "sf1")
    assert not sent.misrouted(paths(workflow, "sf1") | LEFT_OUT)
    workflow.wait_status(chain)


def test_a_group_that_fails_closed_drops(workflow: Workflow) -> None:
    chain = checked_chain(workflow, "PP1")
    wait_for_status(workflow, "PP1", "ONLINE")
    with load(workflow) as sent:
        with hung(workflow, "sf1"):
            assert "PP1" in workflow.wait_status(chain, "DOWN")
            sent.wait_for_sent()
        wait_for_status(workflow, "PP1", "ONLINE")
        sent.wait_for_more()
    assert sent.arrived.keys() == paths(workflow, "sf1")


def test_a_backup_works_only_while_no_other_does(workflow: Workflow) -> None:
    workflow.update("port_pair", workflow.pairs["PP2"], backup=True)
    try:
        checked_chain(workflow, "PP1", "PP2")
        for pair in ("PP1", "PP2"):
            wait_for_status(workflow, pair, "ONLINE")
        with load(workflow) as before:
            before.wait_for_more()
        with load(workflow) as sent, hung(workflow, "sf1"):
            wait_for_status(workflow, "PP1", "ERROR")
            sent.wait_for_more()
    finally:
        workflow.update("port_pair", workflow.pairs["PP2"], backup=False)
    assert before.arrived.keys() == paths(workflow, "sf1")
    assert not sent.misrouted(paths(workflow, "sf1", "sf2"))
    assert sent.last() == paths(workflow, "sf2")


def test_the_functions_of_a_host_without_power_are_left_out(workflow: Workflow) -> None:
    """Nobody reports them but other hosts, whose frames the switch there does not return."""
    lab = workflow.lab
    workflow.update("port_pair", workflow.pairs["PP1"], backup=True)
    try:
        checked_chain(workflow, "PP1", "PP2")
        for pair in ("PP1", "PP2"):
            wait_for_status(workflow, pair, "ONLINE")
        with load(workflow) as sent:
            lab.power_off("h2")
            wait_for_status(workflow, "PP2", "ERROR")
            sent.wait_for_more()
            lab.power_on("h2")
            lab.vms.wait_active([workflow.vms["sf2"]])
            wait_for_status(workflow, "PP2", "ONLINE")
            sent.wait_for_more()
    finally:
        workflow.update("port_pair", workflow.pairs["PP1"], backup=False)
    print(f"h2 off, {workflow.kinds['sf1']}: gap {sent.gap:.2f} s")
    both = paths(workflow, "sf1", "sf2")
    assert sent.arrived.keys() == both
    assert not sent.misrouted(both)


def test_no_connection_is_lost_when_a_function_comes_back(workflow: Workflow) -> None:
    checked_chain(workflow, "PP1", "PP2")
    for pair in ("PP1", "PP2"):
        wait_for_status(workflow, pair, "ONLINE")
    with hung(workflow, "sf1"):
        wait_for_status(workflow, "PP1", "ERROR")
        with load(workflow) as sent:
            sent.wait_for_more()
    # A function that has come back gets new flows only.
    assert sent.arrived.keys() == paths(workflow, "sf2")
