"""A function that translates addresses, with other functions before and after it."""

import ipaddress
from collections import Counter
from collections.abc import Iterator

import pytest
from portchain_lab.guests import service_function
from portchain_lab.lab import Lab
from portchain_lab.observe import packet_paths, traffic

from tests.lab.captures import Captures
from tests.lab.workflow import VIA_PP1, VIA_PP2, Workflow

OWN = "10.30.0.21"
TRANSLATED = str(
    ipaddress.ip_address(int(ipaddress.ip_address(OWN)) ^ service_function.TRANSLATED_BIT)
)
MAPPING = {
    "ingress_n_tuple": {"source_ip_prefix": f"{OWN}/32"},
    "egress_n_tuple": {"source_ip_prefix": f"{TRANSLATED}/32"},
}


@pytest.fixture(scope="module")
def booted(lab: Lab) -> Iterator[Workflow]:
    """The source has the translated address as well, so that replies arrive without a function."""
    workflow = Workflow(lab, Captures(), kinds={"sf3": "nat"}, fixed={"src": (OWN, TRANSLATED)})
    workflow.boot()
    workflow.pairs_and_groups(port_pair_group_parameters={"ppg_n_tuple_mapping": MAPPING})
    for address in (OWN, TRANSLATED):
        assert lab.vms.ping(workflow.vms["dst"], address)
    yield workflow
    workflow.clean_up()
    workflow.wait_no_flows()


@pytest.fixture
def workflow(booted: Workflow, captures: Captures) -> Iterator[Workflow]:
    with booted.for_one_test(captures):
        yield booted


BEHIND = {("p6", *via, "dst") for via in (VIA_PP1, VIA_PP2)}
BEFORE = {("src", *via, "p5") for via in (VIA_PP1, VIA_PP2)}


@pytest.mark.parametrize(
    ("groups", "before", "behind"),
    [
        (("PG2", "PG1"), {("src", "p5")}, BEHIND),
        (("PG1", "PG2"), BEFORE, {("p6", "dst")}),
    ],
    ids=["before others", "behind others"],
)
def test_translated_packets_stay_in_the_chain_both_ways(
    workflow: Workflow,
    groups: tuple[str, str],
    before: set[packet_paths.Path],
    behind: set[packet_paths.Path],
) -> None:
    classifier = workflow.classifier(
        source_ip_prefix=f"{OWN}/32", source_port_range_min=None, source_port_range_max=None
    )
    workflow.wait_status(
        workflow.chain(classifier, groups=groups, chain_parameters={"symmetric": True})
    )
    source, destination = workflow.vms["src"], workflow.vms["dst"]
    with (
        workflow.captures(*workflow.vms.values()) as capture,
        traffic.TcpEchoServer(destination, 100),
    ):
        attempts = traffic.tcp_connections(source, destination, 100, 30, source_address=OWN)
        capture.wait_until_quiet()
    assert [attempt.error for attempt in attempts if not attempt.ok] == []
    traces = packet_paths.traces(packet_paths.observations(capture.frames, promiscuous=True))
    ways = Counter(
        (w.five_tuple.source, w.five_tuple.destination, w.ports)
        for w in traces
        if w.five_tuple.protocol == "tcp"
    )
    server = destination.ip
    assert set(ways) == {
        *((OWN, server, way) for way in before),
        *((TRANSLATED, server, way) for way in behind),
        *((server, TRANSLATED, way[::-1]) for way in behind),
        *((server, OWN, way[::-1]) for way in before),
    }
