"""A tap receives one copy of each packet, and the chain works without the tap."""

from collections import Counter
from collections.abc import Iterator

import pytest
from portchain_lab.lab import Lab
from portchain_lab.observe import packet_paths
from portchain_lab.waiting import wait_for

from tests.lab.captures import Captures
from tests.lab.test_kinds import many
from tests.lab.workflow import DEADLINE, VIA_PP1, VIA_PP2, Workflow

TAP = {"p5", "p6"}
AROUND = {("src", *via, "dst") for via in (VIA_PP1, VIA_PP2)}


@pytest.fixture(scope="module")
def booted(lab: Lab) -> Iterator[Workflow]:
    workflow = Workflow(lab, Captures(), kinds={"sf3": "plain"})
    workflow.boot()
    workflow.pairs_and_groups(tap_enabled=True)
    assert lab.vms.ping(workflow.vms["src"], workflow.address("dst"))
    yield workflow
    workflow.clean_up()
    workflow.wait_no_flows()


@pytest.fixture
def workflow(booted: Workflow, captures: Captures) -> Iterator[Workflow]:
    with booted.for_one_test(captures):
        yield booted


def without_tap(paths: Counter[packet_paths.Path]) -> Counter[packet_paths.Path]:
    """The packets' paths without the ports of the tap."""
    found: Counter[packet_paths.Path] = Counter()
    for path, count in paths.items():
        found[tuple(port for port in path if port not in TAP)] += count
    return found


@pytest.mark.parametrize("groups", [("PG1", "PG2"), ("PG2", "PG1"), ("PG2",)], ids="-".join)
def test_a_tap_sees_every_packet_once(workflow: Workflow, groups: tuple[str, ...]) -> None:
    chain = workflow.chain(many(workflow), groups=groups, chain_parameters={"symmetric": True})
    workflow.wait_status(chain)
    expected = AROUND if "PG1" in groups else {("src", "dst")}
    back = {path[::-1] for path in expected}
    seen: set[packet_paths.Path] = set()
    for connection in workflow.connect(count=30, answered=None):
        there, replies = without_tap(connection.paths), without_tap(connection.replies)
        assert len(there) == len(replies) == 1, "all packets of a connection take one way"
        assert set(there) <= expected
        assert set(replies) <= back
        seen |= set(there)
        for way, port in ((connection.paths, "p5"), (connection.replies, "p6")):
            assert {tuple(p for p in path if p in TAP) for path in way} == {(port,)}
    assert seen == expected


def test_the_chain_works_while_its_tap_is_missing(workflow: Workflow) -> None:
    chain = workflow.chain(many(workflow))
    workflow.wait_status(chain)
    tap = workflow.vms["sf3"]
    workflow.lab.vms.delete(tap)
    try:
        wait_for(
            lambda: "PG2 gets no copies" in workflow.status(chain)[1],
            DEADLINE,
            "the chain to say that its tap is away",
        )
        workflow.wait_status(chain)
        vms = {name: m for name, m in workflow.vms.items() if name != "sf3"}
        workflow.vms, everyone = vms, workflow.vms
        assert {connection.path for connection in workflow.connect(count=20)} == AROUND
    finally:
        workflow.vms = everyone
        workflow.start("sf3", "h3", "p5", "p6")
        workflow.lab.vms.wait_active([workflow.vms["sf3"]])
