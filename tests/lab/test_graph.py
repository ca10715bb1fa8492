"""A service graph: traffic that leaves a chain is classified again for the next chains."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab
from portchain_lab.observe import packet_paths, traffic
from portchain_lab.waiting import wait_for
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tests.lab.captures import Captures
from tests.lab.workflow import DIRECT, UNUSED_ADDRESS, VIA_PP1, VIA_PP2, VIA_PP3, Workflow

ANY_SOURCE = {"source_port_range_min": None, "source_port_range_max": None}


@pytest.fixture(scope="module")
def booted(lab: Lab) -> Iterator[Workflow]:
    workflow = Workflow(lab, Captures())
    workflow.boot()
    yield workflow
    workflow.clean_up()
    workflow.wait_no_flows()


@pytest.fixture
def workflow(booted: Workflow, captures: Captures) -> Iterator[Workflow]:
    booted.captures = captures
    assert booted.lab.vms.ping(booted.vms["src"], booted.address("dst"))
    yield booted
    booted.delete_chains()


def through(
    workflow: Workflow, name: str, ports: tuple[str, str], source: str, first: int, last: int
) -> Any:
    """A chain of one function for traffic of a source port to a range of destination ports."""
    ingress, egress = (workflow.ports[port].id for port in ports)
    pair = workflow.create("port_pair", name=name, ingress=ingress, egress=egress)
    group = workflow.create("port_pair_group", name=name, port_pairs=[pair["id"]])
    classifier = workflow.classifier(
        name,
        **ANY_SOURCE,
        logical_source_port=workflow.ports[source].id,
        destination_port_range_min=first,
        destination_port_range_max=last,
    )
    workflow.groups = {name: group}
    return workflow.chain(classifier, name=name, groups=[name])


def test_a_branch(workflow: Workflow) -> None:
    """All traffic visits the first function, then some the second and some the third one."""
    first = through(workflow, "C1", VIA_PP1, "src", 100, 102)
    second = through(workflow, "C2", VIA_PP2, "p2", 101, 101)
    third = through(workflow, "C3", VIA_PP3, "p2", 102, 103)
    chains = (first, second, third)
    for chain in chains:
        workflow.wait_status(chain)
    workflow.warm_up(port=101)
    assert workflow.paths(port=101) == {("src", *VIA_PP1, "dst")}, "not linked yet"
    follow = {first["id"]: [second["id"], third["id"]]}
    graph = workflow.create("service_graph", name="SG", port_chains=follow)
    for chain in chains:
        workflow.wait_status(chain)
    for port in (100, 101, 102):
        workflow.warm_up(port=port)
    assert workflow.paths(port=100) == {("src", *VIA_PP1, "dst")}
    assert workflow.paths(port=101) == {("src", *VIA_PP1, *VIA_PP2, "dst")}
    assert workflow.paths(port=102) == {("src", *VIA_PP1, *VIA_PP3, "dst")}
    assert workflow.paths(port=103) == DIRECT, "did not come through the first chain"
    workflow.delete("service_graph", graph)
    for chain in chains:
        workflow.wait_status(chain)
    assert workflow.paths(port=102) == {("src", *VIA_PP1, "dst")}


def test_a_provider_withdraws_a_group(workflow: Workflow) -> None:
    """The borrower's chain drops its packets until its owner chooses other groups."""
    lab, project = workflow.lab, workflow.net.project_id
    provider = Workflow(lab, workflow.captures)
    provider.cloud = lab.sdk("admin").network
    ingress, egress = (workflow.ports[port].id for port in VIA_PP1)
    pair = provider.create("port_pair", name="PP1", ingress=ingress, egress=egress)
    group = provider.create("port_pair_group", name="offered", port_pairs=[pair["id"]])
    provider.cloud.create_rbac_policy(
        object_type="port_pair_group",
        object_id=group["id"],
        action="access_as_shared",
        target_project_id=project,
    )
    try:
        classifier = workflow.classifier("FC1", **ANY_SOURCE)
        workflow.groups = {"offered": group}
        chain = workflow.chain(classifier, groups=["offered"])
        workflow.wait_status(chain)
        workflow.warm_up()
        assert workflow.paths() == {("src", *VIA_PP1, "dst")}
        unshare = ("sfc", "port", "pair", "group", "unshare", "offered")
        lab.openstack(*unshare, "--project", project, "--force", user="admin")
        assert "offered" not in workflow.wait_status(chain, "ERROR")
        wait_for(lambda: "waiting for" not in workflow.status(chain)[1], 60, "packets dropped")
        provider.delete("port_pair_group", group)
        source, destination = workflow.vms["src"], workflow.vms["dst"]
        with (
            workflow.captures(*workflow.vms.values()) as capture,
            traffic.TcpEchoServer(destination, 100),
        ):
            (attempt,) = traffic.tcp_connections(source, destination, 100, 1)
        assert not attempt.ok
        found = packet_paths.connections(packet_paths.observations(capture.frames))
        seen = packet_paths.select(found, protocol="tcp", destination_port=100)
        assert {path for one in seen for path in one.paths} == {("src",)}
        workflow.delete("port_chain", chain)
        workflow.warm_up()
        assert workflow.paths() == DIRECT
    finally:
        workflow.delete_chains()
        provider.delete_chains()


def test_a_function_cannot_send_for_others(workflow: Workflow) -> None:
    """Its owner may neither turn port security off nor set ``allowed_address_pairs``."""
    ingress, egress = (workflow.ports[port] for port in VIA_PP1)
    pair = workflow.create("port_pair", name="PP1", ingress=ingress.id, egress=egress.id)
    workflow.groups = {"G": workflow.create("port_pair_group", port_pairs=[pair["id"]])}
    anything = workflow.create("flow_classifier", protocol="udp")
    workflow.wait_status(workflow.chain(anything, groups=["G"]))
    function, destination = workflow.vms["sf1"], workflow.vms["dst"]
    own, victim = egress.mac_address, workflow.ports["p6"].mac_address
    frames = [
        Ether(src=mac, dst=workflow.ports["dst"].mac_address)
        / IP(src=address, dst=destination.ip)
        / UDP(sport=9, dport=number)
        for number, (address, mac) in enumerate(
            (
                (UNUSED_ADDRESS, own),
                ("192.0.2.1", own),
                (workflow.address("p6"), victim),
                (workflow.address("src"), victim),
                (workflow.address("src"), own),
            ),
            1001,
        )
    ]
    with (
        workflow.captures(destination) as capture,
        netns.open_socket(function.namespace, socket.AF_PACKET, socket.SOCK_RAW) as sock,
    ):
        sock.bind((function.nic("p2").device, 0))
        for frame in frames:
            sock.send(bytes(frame))
        capture.wait_until_quiet()
    seen = [Ether(one.frame) for one in capture.frames]
    assert [each[UDP].dport for each in seen if UDP in each and each[UDP].sport == 9] == [1005]
    table = workflow.lab.appctl("h1", "fdb/show", "br-int").splitlines()
    at_function = workflow.ofport("h1", "p2")
    assert at_function not in {line.split()[0] for line in table if victim in line}
