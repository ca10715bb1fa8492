"""Functions on OVN that keep VLAN tags, shared by several chains (docs/decisions/0038)."""

from collections.abc import Iterator
from typing import Any

import pytest
from portchain_lab.cloud import ovn
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab
from portchain_lab.waiting import wait_for
from scapy.layers.inet import ICMP, TCP
from scapy.layers.l2 import Dot1Q, Ether

from tests.frames import ether
from tests.lab import on_ovn
from tests.lab.captures import Captures
from tests.lab.labs import Labs
from tests.lab.on_ovn import chained, is_dropped, paths, silent, wait_for_chassis
from tests.lab.workflow import (
    DEADLINE,
    DIRECT,
    FUNCTIONS,
    SUBNET,
    VIA_PP1,
    VIA_PP2,
    VIA_PP3,
    Workflow,
)

KEEPS_TAGS = {"function_kind": "l2", "service_function_parameters": {"correlation": "vlan"}}
SUBNETS = (SUBNET, "2001:db8:30::/64")
FORTH, BACK, SHORT, OUTSIDE = 100, 200, 300, 400
"""Destination ports: of a chain through all functions, one in reverse order, one through a single
function, and of no chain.
"""
WAYS = {
    FORTH: (*VIA_PP1, *VIA_PP2, *VIA_PP3),
    BACK: (*VIA_PP3, *VIA_PP2, *VIA_PP1),
    SHORT: VIA_PP2,
}
ORDERS = {FORTH: ("G1", "G2", "G3"), BACK: ("G3", "G2", "G1"), SHORT: ("G2",)}


@pytest.fixture(scope="module")
def lab(labs: Labs) -> Lab:
    """Three hosts with ovn-controller."""
    return on_ovn.lab(labs)


@pytest.fixture(scope="module")
def booted(lab: Lab) -> Iterator[Workflow]:
    workflow = Workflow(lab, Captures(), kinds=dict.fromkeys(FUNCTIONS, "l2"), subnets=SUBNETS)
    workflow.boot()
    yield workflow
    workflow.clean_up()


@pytest.fixture
def workflow(booted: Workflow, captures: Captures) -> Iterator[Workflow]:
    """One group for each function, and no chain."""
    with booted.for_one_test(captures):
        booted.pairs = {
            name: booted.create(
                "port_pair",
                ingress=booted.ports[ingress].id,
                egress=booted.ports[egress].id,
                **KEEPS_TAGS,
            )
            for name, (_, ingress, egress) in FUNCTIONS.items()
        }
        booted.groups = {
            f"G{number}": booted.create("port_pair_group", port_pairs=[pair["id"]])
            for number, pair in enumerate(booted.pairs.values(), 1)
        }
        yield booted
    booted.wait_no_flows()
    wait_for_chassis(booted.lab)


SHUT = "01:00:00:00:00:00"


def make_chain(workflow: Workflow, port: int, version: int = 4) -> Any:
    classifier = workflow.classifier(
        f"to {port} {version}",
        version,
        source_port_range_min=None,
        source_port_range_max=None,
        destination_port_range_min=port,
        destination_port_range_max=port,
    )
    return chained(workflow, classifier, name=f"to {port}", groups=ORDERS[port])


def through(port: int) -> set[Any]:
    return {("src", *WAYS[port], "dst")}


def as_neutron_wrote(lab: Lab) -> dict[str, Any]:
    columns = ("name", "addresses", "port_security", "options", "external_ids")
    rows = ovn.northbound(lab.layout, "Logical_Switch_Port", *columns)
    return {row.pop("name"): row for row in rows}


def test_chains_share_functions_in_any_order(workflow: Workflow) -> None:
    before = as_neutron_wrote(workflow.lab)
    chains = {port: make_chain(workflow, port) for port in WAYS}
    workflow.warm_up()
    for port in WAYS:
        assert paths(workflow, port=port, count=5) == through(port)
    assert paths(workflow, port=OUTSIDE, count=3) == DIRECT

    for port, others in ((FORTH, (BACK, SHORT)), (BACK, (SHORT,))):
        workflow.delete("port_chain", chains.pop(port))
        wait_for_chassis(workflow.lab)
        for other in others:
            assert paths(workflow, port=other, count=3) == through(other)
    workflow.delete("port_chain", chains.pop(SHORT))
    workflow.wait_no_flows()
    assert as_neutron_wrote(workflow.lab) == before
    wait_for_chassis(workflow.lab)
    assert paths(workflow, count=3) == DIRECT


def test_ipv6(workflow: Workflow) -> None:
    for port in (FORTH, BACK):
        make_chain(workflow, port, version=6)
    workflow.warm_up(version=6)
    for port in (FORTH, BACK):
        assert paths(workflow, port=port, count=3, version=6) == through(port)


def test_health_checks_of_a_function_work_for_each_chain(workflow: Workflow) -> None:
    workflow.update("port_pair_group", workflow.groups["G1"], health_check="icmp")
    chains = {port: make_chain(workflow, port) for port in (FORTH, BACK, SHORT)}
    workflow.warm_up()
    with silent(workflow, "sf1"):
        for port in (FORTH, BACK):
            assert "fails its health check" in workflow.wait_status(chains[port], "DOWN")
            assert is_dropped(workflow, port)
        assert paths(workflow, port=SHORT, count=3) == through(SHORT)
    for port in (FORTH, BACK):
        workflow.wait_status(chains[port])
        assert paths(workflow, port=port, count=3) == through(port)


def test_ports_that_neutron_rewrites_are_closed_again(workflow: Workflow) -> None:
    make_chain(workflow, FORTH)
    make_chain(workflow, BACK)
    workflow.warm_up()

    def shut() -> bool:
        rows = as_neutron_wrote(workflow.lab)
        return all(rows[workflow.ports[port].id]["port_security"] == SHUT for port in VIA_PP2)

    assert shut()
    for port in VIA_PP2:
        workflow.cloud.update_port(
            workflow.ports[port].id, allowed_address_pairs=[{"ip_address": "198.51.100.9"}]
        )
    wait_for_chassis(workflow.lab)
    wait_for(shut, DEADLINE, "the functions' ports closed")
    for port in (FORTH, BACK):
        assert paths(workflow, port=port, count=3) == through(port)


def test_a_function_receives_only_traffic_of_chains(workflow: Workflow) -> None:
    """Flooded frames could loop through a function that bridges, and mislead one that learns."""
    make_chain(workflow, FORTH)
    workflow.warm_up()
    functions = [workflow.vms[name] for name in FUNCTIONS]
    with workflow.captures(*functions) as capture:
        for name in ("src", "dst"):
            workflow.lab.vms.announce_addresses(workflow.vms[name])
        # Each function sees this connection after the announcements.
        workflow.warm_up(FORTH)
        capture.wait_until_quiet()
    came_in = [Ether(one.frame) for one in capture.frames if not one.outgoing]
    assert any(TCP in frame for frame in came_in)
    assert [frame.summary() for frame in came_in if Dot1Q not in frame] == []


def test_packets_of_full_size_pass_with_their_tag(workflow: Workflow) -> None:
    ports = ("source_port_range", "destination_port_range")
    any_port = {f"{name}_{end}": None for name in ports for end in ("min", "max")}
    chained(
        workflow, workflow.classifier("pings", protocol="icmp", **any_port), groups=ORDERS[FORTH]
    )
    workflow.warm_up(OUTSIDE)
    headers = 20 + 8
    ping = ("ping", "-c", "1", "-w", "10", "-M", "do", "-s", str(workflow.net.mtu - headers))
    with workflow.captures(workflow.vms["sf2"]) as capture:
        netns.run(workflow.vms["src"].namespace, *ping, workflow.address("dst"))
        capture.wait_until_quiet()
    sizes = {len(one.frame) for one in capture.frames if ICMP in Ether(one.frame)}
    assert sizes == {workflow.net.mtu + len(ether() / Dot1Q())}


@pytest.fixture
def borrower(lab: Lab, workflow: Workflow, captures: Captures) -> Iterator[Workflow]:
    """Another project with the same addresses on a network of its own."""
    fixed = {name: [workflow.address(name)] for name in ("src", "dst")}
    other = Workflow(lab, captures, fixed=fixed)
    other.cloud = lab.sdk("admin").network
    other.set_up_network()
    other.make_ports("src", "dst")
    for name, host in (("src", "h3"), ("dst", "h2")):
        ids = [other.ports[name].id]
        other.vms[name] = lab.vms.create(f"other-{name}", host, ids, wait=False)
    lab.vms.wait_active(other.vms.values())
    yield other
    other.delete_chains()
    for vm in other.vms.values():
        lab.vms.delete(vm)
    for port in other.ports.values():
        other.cloud.delete_port(port)
    other.cloud.delete_network(other.net)
    for rule in other.admitting_rules:
        other.cloud.delete_security_group_rule(rule)


def test_projects_share_a_function(workflow: Workflow, borrower: Workflow) -> None:
    own = make_chain(workflow, FORTH)
    shared = {
        "object_type": "port_pair_group",
        "action": "access_as_shared",
        "target_tenant": borrower.net.project_id,
    }
    for name in ("G1", "G3"):
        group = workflow.groups[name]["id"]
        workflow.cloud.create_rbac_policy(object_id=group, **shared)
    borrower.groups = workflow.groups
    # Without a source port, a classifier means ports on the functions' network.
    source = {"logical_source_port": borrower.ports["src"].id}
    any_port = {"source_port_range_min": None, "source_port_range_max": None}
    theirs = chained(borrower, borrower.classifier(**source, **any_port), groups=("G3", "G1"))
    functions = {name: workflow.vms[name] for name in FUNCTIONS}
    borrower.vms |= functions
    try:
        workflow.warm_up()
        borrower.warm_up()
        assert paths(borrower, count=5) == {("src", *VIA_PP3, *VIA_PP1, "dst")}
        assert paths(workflow, count=5) == through(FORTH)
        workflow.delete("port_chain", own)
        wait_for_chassis(workflow.lab)
        assert paths(borrower, count=3) == {("src", *VIA_PP3, *VIA_PP1, "dst")}
        withdrawn = {"withdraw_from": borrower.net.project_id}
        workflow.update("port_pair_group", workflow.groups["G1"], **withdrawn)
        assert "G1" not in borrower.wait_status(theirs, "ERROR")
        wait_for_chassis(workflow.lab)
        assert borrower.is_dropped(), "the chain no longer has its second function"
    finally:
        borrower.vms = {name: borrower.vms[name] for name in ("src", "dst")}
    borrower.delete("port_chain", theirs)
    for policy in workflow.cloud.rbac_policies():
        if policy.object_type == "port_pair_group":
            workflow.cloud.delete_rbac_policy(policy)
