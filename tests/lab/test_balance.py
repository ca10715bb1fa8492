"""TCP connections that stay open while their port pair group changes."""

from collections.abc import Iterator

import pytest
from portchain_lab.lab import Lab
from portchain_lab.observe import packet_paths, traffic

from portchain.dataplane.pipeline import TABLES
from tests.lab.captures import Captures
from tests.lab.workflow import VIA_PP1, VIA_PP2, Workflow

PORT, COUNT = 100, 30
SYMMETRIC = {"chain_parameters": {"symmetric": True}}


@pytest.fixture(scope="module")
def booted(lab: Lab) -> Iterator[Workflow]:
    workflow = Workflow(lab, Captures())
    workflow.boot()
    workflow.pairs_and_groups()
    yield workflow
    workflow.clean_up()
    workflow.wait_no_flows()


@pytest.fixture
def workflow(booted: Workflow, captures: Captures) -> Iterator[Workflow]:
    with booted.for_one_test(captures):
        assert booted.lab.vms.ping(booted.vms["src"], booted.address("dst"))
        yield booted
    booted.wait_no_flows()


Places = dict[packet_paths.FiveTuple, tuple[object, object]]


def talk(workflow: Workflow, conversations: traffic.OpenConnections) -> Places:
    """Ask and answer on every connection; return the paths of requests and replies."""
    with workflow.captures(*workflow.vms.values()) as capture:
        assert conversations.exchange() == []
        capture.wait_until_quiet()
    found = packet_paths.connections(packet_paths.observations(capture.frames))
    seen = packet_paths.select(found, protocol="tcp", destination_port=PORT)
    assert len(seen) == COUNT
    return {one.five_tuple: (one.path, frozenset(one.replies)) for one in seen}


def regroup(workflow: Workflow, chain: dict[str, object], *pairs: str) -> None:
    """Give PG1 these pairs, and wait until all hosts have confirmed."""
    ids = [workflow.pairs[name]["id"] for name in pairs]
    workflow.update("port_pair_group", workflow.groups["PG1"], port_pairs=ids)
    workflow.wait_status(chain)


def open_chain(workflow: Workflow, *pairs: str) -> dict[str, object]:
    many = workflow.classifier(source_port_range_min=None, source_port_range_max=None)
    chain: dict[str, object] = workflow.chain(many, groups=["PG1"], **SYMMETRIC)
    regroup(workflow, chain, *pairs)
    return chain


def through(*via: tuple[str, str]) -> set[tuple[object, object]]:
    return {(("src", *pair, "dst"), frozenset({("dst", *reversed(pair), "src")})) for pair in via}


def open_connections(workflow: Workflow) -> traffic.OpenConnections:
    vms = workflow.vms
    return traffic.OpenConnections(vms["src"], vms["dst"], PORT, COUNT)


def learned(workflow: Workflow) -> int:
    table = f"table={TABLES['AFFINITY'].number}"
    return sum(
        "load:" in line
        for host in workflow.lab.hosts
        for line in workflow.lab.ofctl(
            host, "dump-flows", workflow.bridge(host), table
        ).splitlines()
    )


def test_established_connections_stay_when_a_pair_is_added(workflow: Workflow) -> None:
    chain = open_chain(workflow, "PP1")
    with open_connections(workflow) as conversations:
        before = talk(workflow, conversations)
        assert set(before.values()) == through(VIA_PP1)
        regroup(workflow, chain, "PP1", "PP2")
        assert talk(workflow, conversations) == before
    with open_connections(workflow) as conversations:
        assert set(talk(workflow, conversations).values()) == through(VIA_PP1, VIA_PP2)


def test_removing_a_pair_moves_only_its_own_connections(workflow: Workflow) -> None:
    chain = open_chain(workflow, "PP1", "PP2")
    with open_connections(workflow) as conversations:
        before = talk(workflow, conversations)
        regroup(workflow, chain, "PP1")
        # These functions keep no state, so the connections of the removed pair stay open, too.
        assert set(talk(workflow, conversations).values()) == through(VIA_PP1)
        regroup(workflow, chain, "PP1", "PP2")
        assert set(talk(workflow, conversations).values()) == through(VIA_PP1)
    assert set(before.values()) == through(VIA_PP1, VIA_PP2)


def test_a_drained_pair_keeps_its_connections_and_gets_no_others(workflow: Workflow) -> None:
    chain = open_chain(workflow, "PP1", "PP2")
    with open_connections(workflow) as conversations:
        before = talk(workflow, conversations)
        assert set(before.values()) == through(VIA_PP1, VIA_PP2)
        workflow.update(
            "port_pair", workflow.pairs["PP1"], service_function_parameters={"weight": 0}
        )
        workflow.wait_status(chain)
        assert talk(workflow, conversations) == before
    with open_connections(workflow) as conversations:
        assert set(talk(workflow, conversations).values()) == through(VIA_PP2)
    workflow.update("port_pair", workflow.pairs["PP1"], service_function_parameters={"weight": 1})
    workflow.wait_status(chain)


def test_learned_flows_outlive_the_agents_and_end_with_the_chain(workflow: Workflow) -> None:
    chain = open_chain(workflow, "PP1", "PP2")
    with open_connections(workflow) as conversations:
        before = talk(workflow, conversations)
        remembered = learned(workflow)
        # Of the connections whose pair the second pair would change, or has.
        assert 0 < remembered < 2 * COUNT
        for host in workflow.lab.hosts:
            workflow.lab.restart(f"agent@{host}")
        assert learned(workflow) == remembered
        assert talk(workflow, conversations) == before
        workflow.delete("port_chain", chain)
        workflow.wait_no_flows()
        assert learned(workflow) == 0
        assert set(talk(workflow, conversations).values()) == {
            (("src", "dst"), frozenset({("dst", "src")}))
        }
    for host in workflow.lab.hosts:
        bridge = workflow.bridge(host)
        limits = workflow.lab.vsctl(host, "get", "bridge", bridge, "flow_tables").strip()
        assert limits == "{}", "nothing of ours in the database either"
