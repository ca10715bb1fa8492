"""What hosts count is what captures at the functions see, in both directions."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from portchain_lab.cloud import clients
from portchain_lab.errors import DeadlineError
from portchain_lab.lab import Lab
from portchain_lab.layout import PROMETHEUS_URL
from portchain_lab.observe import packet_paths
from portchain_lab.waiting import wait_for

from tests.lab.captures import Captures
from tests.lab.test_kinds import many
from tests.lab.workflow import DEADLINE, Workflow

FUNCTIONS = ("sf1", "sf2", "sf3")
Figures = Counter[tuple[str, ...]]
"""Direction, counter and name -> packets."""


@pytest.fixture(scope="module")
def booted(lab: Lab) -> Iterator[Workflow]:
    workflow = Workflow(lab, Captures())
    workflow.boot()
    workflow.pairs_and_groups()
    workflow.warm_up()
    yield workflow
    workflow.clean_up()
    workflow.wait_no_flows()


@pytest.fixture
def workflow(booted: Workflow, captures: Captures) -> Iterator[Workflow]:
    with booted.for_one_test(captures):
        yield booted


def counted(shown: dict[str, Any]) -> Figures:
    found: Figures = Counter()
    assert shown["hosts_without_answer"] == []
    for path in shown["paths"]:
        way = path["direction"]
        for one in path["flow_classifiers"]:
            found[way, "classified", one["name"]] += one["packets"]
        for hop in path["hops"]:
            for pair in hop["port_pairs"]:
                found[way, "in", pair["name"]] += pair["packets_in"]
                found[way, "out", pair["name"]] += pair["packets_out"]
        assert path["dropped"] == []
    return +found


def captured(workflow: Workflow, connections: list[packet_paths.Connection]) -> Figures:
    """Return what hosts must have counted of connections."""
    names = {workflow.way(function): f"PP{n}" for n, function in enumerate(FUNCTIONS, 1)}
    found: Figures = Counter()
    for one in connections:
        for way, paths in (("forward", one.paths), ("reverse", one.replies)):
            for path, packets in paths.items():
                found[way, "classified", "FC1"] += packets
                for visited in itertools.pairwise(path):
                    if name := names.get(visited if way == "forward" else visited[::-1]):
                        found[way, "in", name] += packets
                        found[way, "out", name] += packets
    return found


def forward(figures: Figures) -> Figures:
    """Return the figures of one direction."""
    return Counter({key: count for key, count in figures.items() if key[0] == "forward"})


def wait_equal(read: Callable[[], Figures], expected: Figures, what: str) -> None:
    last: list[Figures] = []

    def is_right() -> bool:
        last[:] = [read()]
        return last[0] == expected

    try:
        wait_for(is_right, DEADLINE, what)
    except DeadlineError as error:
        raise AssertionError(f"read {last}, captured {expected}") from error


def wait_counted(workflow: Workflow, chain: dict[str, Any], expected: Figures) -> None:
    wait_equal(lambda: counted(workflow.stats(chain)), expected, "hosts to count all packets")


def test_counters_are_what_captures_see(workflow: Workflow) -> None:
    """Also over a change of weights, another list of groups, and agents that are killed."""
    chain = workflow.chain(many(workflow), chain_parameters={"symmetric": True})
    workflow.wait_status(chain)
    expected: Figures = Counter()

    def visit(count: int) -> None:
        seen = workflow.connect(count=count, answered=None)
        expected.update(captured(workflow, seen))
        wait_counted(workflow, chain, expected)

    visit(20)
    assert {key[:2] for key in expected} == {
        (way, kind) for way in ("forward", "reverse") for kind in ("classified", "in", "out")
    }
    workflow.update("port_pair", workflow.pairs["PP1"], service_function_parameters={"weight": 9})
    workflow.wait_status(chain)
    visit(20)
    groups = [workflow.groups[name]["id"] for name in ("PG2", "PG1")]
    workflow.update("port_chain", chain, port_pair_groups=groups)
    workflow.wait_status(chain)
    visit(10)
    for host in ("h1", "h2", "h3"):
        workflow.lab.kill(f"agent@{host}")
        workflow.lab.start(f"agent@{host}")
    wait_counted(workflow, chain, expected)
    visit(10)
    shown = workflow.stats(chain)
    hosts = {
        pair["name"]: pair["host"]
        for hop in shown["paths"][0]["hops"]
        for pair in hop["port_pairs"]
    }
    assert hosts == {"PP1": "h1", "PP2": "h2", "PP3": "h3"}


def test_the_client_shows_them(workflow: Workflow) -> None:
    chain = workflow.chain(many(workflow))
    workflow.wait_status(chain)
    seen = workflow.connect(count=5)
    expected = captured(workflow, seen)
    wait_counted(workflow, chain, forward(expected))
    command = ("sfc", "port", "chain", "stats", "show", "PC1", "-f", "json")
    rows = json.loads(workflow.lab.openstack(*command))
    by_counter = {row["Counter"]: row for row in rows}
    assert by_counter["classified by FC1"]["Packets In"] == expected["forward", "classified", "FC1"]
    for name, host in (("PP1", "h1"), ("PP2", "h2"), ("PP3", "h3")):
        row = by_counter[name]
        assert row["Host"] == host
        assert row["Packets In"] == row["Packets Out"] == expected["forward", "in", name]


def test_prometheus_reads_the_same(workflow: Workflow) -> None:
    """Its own figures, too; an alert's expression that joins the names finds the chain."""
    chain = workflow.chain(many(workflow))
    workflow.wait_status(chain)
    expected = captured(workflow, workflow.connect(count=5))
    session = clients.http_session(workflow.lab.layout)

    def query(text: str) -> list[tuple[dict[str, str], float]]:
        answer = session.get(f"{PROMETHEUS_URL}/api/v1/query", params={"query": text}, timeout=20)
        answer.raise_for_status()
        found = answer.json()["data"]["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def read() -> Figures:
        of_chain = f'{{chain_id="{chain["id"]}"}}'
        side = query(f"sum by (port_pair_id, side) (portchain_hop_packets_total{of_chain})")
        found: Figures = Counter()
        names = {pair["id"]: name for name, pair in workflow.pairs.items()}
        for labels, value in side:
            found["forward", labels["side"], names[labels["port_pair_id"]]] += int(value)
        classified = query(f"sum (portchain_classified_packets_total{of_chain})")
        found["forward", "classified", "FC1"] += sum(int(value) for _, value in classified)
        return +found

    wait_equal(read, forward(expected), "Prometheus to have read all packets")
    join = "* on (chain_id) group_left (name) portchain_chain_info"
    active = query(f'portchain_chain_status{{status="ACTIVE"}} {join} == 1')
    assert [labels["name"] for labels, _ in active] == ["PC1"]
    ups = query("up")
    assert {labels["job"] for labels, value in ups if value} == {
        "portchain-hosts",
        "portchain-server",
    }
    assert all(value for _, value in ups)


def test_a_host_that_is_down_is_named(workflow: Workflow) -> None:
    chain = workflow.chain(many(workflow))
    workflow.wait_status(chain)
    lab = workflow.lab
    lab.stop("agent@h2")
    try:
        silent = workflow.stats(chain)["hosts_without_answer"]
        assert [one["host"] for one in silent] == ["h2"]
    finally:
        lab.start("agent@h2")
