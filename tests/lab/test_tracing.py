"""Traces across real hosts agree with captures: of packets in chains, outside of them, and lost."""

from collections.abc import Iterator
from typing import Any

import pytest
from portchain_lab.observe import packet_paths
from portchain_lab.waiting import wait_for

from tests.lab.captures import Captures
from tests.lab.life.traces import path_of, trace
from tests.lab.test_clients import run
from tests.lab.workflow import CHAINED, DIRECT, Workflow

PORTS = range(1000, 1012)
NO_PORTS = {"source_port": None, "destination_port": None}


@pytest.fixture
def workflow(booted: Workflow, captures: Captures) -> Iterator[Workflow]:
    booted.captures = captures
    booted.pairs_and_groups()
    yield booted
    booted.delete_chains()
    booted.wait_no_flows()


def test_traces_agree_with_captures(workflow: Workflow) -> None:
    many = workflow.classifier(source_port_range_min=None, source_port_range_max=None)
    workflow.wait_status(workflow.chain(many))
    seen = set()
    for port in PORTS:
        shown = trace(workflow, source_port=port)
        assert (shown["phase"], shown["outcome"]) == ("SUCCEEDED", "DELIVERED"), shown
        assert {path_of(workflow, shown)} == workflow.paths(source_port=port), shown
        seen.add(path_of(workflow, shown))
    assert seen == CHAINED
    shown = trace(workflow, destination_port=101)
    assert {path_of(workflow, shown)} == DIRECT == workflow.paths(port=101, source_port=23)
    assert "the destination port is 101, not 100" in str(shown["steps"])


def test_what_drops_a_packet_is_named(workflow: Workflow) -> None:
    workflow.wait_status(workflow.chain(workflow.classifier()))
    spoofed = trace(workflow, source_ip_address="10.30.0.249")
    assert spoofed["outcome"] == "DROPPED"
    assert "port security" in spoofed["reason"]
    (group,) = workflow.cloud.security_groups(name="default", project_id=workflow.net.project_id)
    cloud, port = workflow.cloud, workflow.ports["dst"].id
    closed = cloud.create_security_group(name="closed")
    try:
        cloud.update_port(port, security_group_ids=[closed.id])
        wait_for(lambda: _is_refused(workflow), 60, "the destination's host to refuse packets")
    finally:
        cloud.update_port(port, security_group_ids=[group.id])
        cloud.delete_security_group(closed)


def _is_refused(workflow: Workflow) -> bool:
    shown = trace(workflow, destination_port=101)
    return shown["outcome"] == "DROPPED" and "no ingress rule" in shown["reason"]


def sent(workflow: Workflow, **attributes: Any) -> tuple[dict[str, Any], set[tuple[str, ...]]]:
    """Trace a packet and send it. Return the trace, and the ports where captures have it.

    Exactly one packet may be sent. What the source itself sends, in answer to an answer, does not
    count: it passes the port of the source.
    """
    with workflow.captures(*workflow.vms.values()) as capture:
        shown = wait_for(lambda: _sent(workflow, attributes), 60, "the port to send again")
        capture.wait_until_quiet()
    traces = packet_paths.traces(packet_paths.observations(capture.frames))
    source, address = workflow.address("src"), workflow.address("dst")
    ends = (source, address)
    found = [one for one in traces if (one.five_tuple.source, one.five_tuple.destination) == ends]
    paths = [one.ports for one in found if one.ports[0] != "src"]
    assert len(paths) == 1, traces
    return shown, set(paths)


def _sent(workflow: Workflow, attributes: dict[str, Any]) -> dict[str, Any] | None:
    """Return a live trace; None if the host does not let the port send another packet yet."""
    shown = trace(workflow, live=True, **attributes)
    return None if "within the last second" in shown["reason"] else shown


def from_any_port(workflow: Workflow) -> Any:
    """Return a classifier that leaves the source port open.

    Firewalls keep the connection that a packet opens, so that each has a port of its own.
    """
    return workflow.classifier(source_port_range_min=None, source_port_range_max=None)


def seen_at(workflow: Workflow, shown: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the ports where a packet that was sent has been seen."""
    names = {port.id: name for name, port in workflow.ports.items()}
    return tuple(names[step["port_id"]] for step in shown["steps"] if step["seen"] == "SEEN")


def test_a_packet_that_is_sent_is_seen_where_it_passes(workflow: Workflow) -> None:
    workflow.wait_status(workflow.chain(from_any_port(workflow)))
    workflow.warm_up()
    shown, paths = sent(workflow, source_port=4001)
    assert shown["outcome"] == "DELIVERED", shown
    assert {("src", *seen_at(workflow, shown))} <= CHAINED
    assert path_of(workflow, shown) == ("src", *seen_at(workflow, shown))
    assert shown["reason"].endswith(", as predicted")
    assert paths == {seen_at(workflow, shown)}
    for attributes in (
        {"source_port": 4003, "destination_port": 101},
        {"protocol": "icmp", **NO_PORTS},
    ):
        shown, paths = sent(workflow, **attributes)
        assert shown["outcome"] == "DELIVERED", shown
        assert seen_at(workflow, shown) == ("dst",)
        assert paths == {("dst",)}
    source, destination = workflow.ports["src"].id, workflow.address("dst")
    packet = f"--source {source} --destination {destination} --destination-port 53"
    packet += " --protocol udp --live"
    (printed,), complaints = run(workflow.lab, "openstack", [f"sfc trace create {packet} -f json"])
    assert complaints.strip() == ""
    assert (printed["Outcome"], printed["Live"]) == ("DELIVERED", True)
    _, complaints = run(workflow.lab, "openstack", [f"sfc trace delete {printed['ID']}"])
    assert complaints.strip() == ""


def test_a_packet_that_a_function_keeps_is_last_seen_there(workflow: Workflow) -> None:
    workflow.wait_status(workflow.chain(from_any_port(workflow), groups=("PG2",)))
    workflow.warm_up()
    with workflow.lab.vms.hung(workflow.vms["sf3"]):
        shown, paths = sent(workflow, source_port=4002)
    assert path_of(workflow, shown) == ("src", "p5", "p6", "dst")
    assert seen_at(workflow, shown) == ("p5",)
    assert paths == {("p5",)}
    assert shown["outcome"] == "DROPPED"
    last, expected = workflow.ports["p5"].id, workflow.ports["p6"].id
    assert f"last seen at ingress port {last} on host h3" in shown["reason"]
    assert f"expected next at egress port {expected} on host h3" in shown["reason"]


def test_the_clients_show_it(workflow: Workflow) -> None:
    workflow.wait_status(workflow.chain(workflow.classifier()))
    source, destination = workflow.ports["src"].id, workflow.address("dst")
    packet = f"--source {source} --destination {destination} --protocol tcp --source-port 23"
    asked = f"{packet} --destination-port 100 -f json"
    (shown,), complaints = run(workflow.lab, "openstack", [f"sfc trace create {asked}"])
    assert complaints.strip() == ""
    assert shown["Outcome"] == "DELIVERED"
    assert shown["Steps"][0]["decision"] == "CLASSIFIED"
    (again,), _ = run(workflow.lab, "openstack", [f"sfc trace show {shown['ID']} -f json"])
    assert again == shown
    (listed,), _ = run(workflow.lab, "neutron", ["trace-list -f json"])
    assert [one["id"] for one in listed] == [shown["ID"]]
    _, complaints = run(workflow.lab, "openstack", [f"sfc trace delete {shown['ID']}"])
    assert complaints.strip() == ""
