"""Packets that functions receive and return count for the limits of Neutron's QoS policies."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from portchain_lab.errors import LabError
from portchain_lab.lab import Lab
from portchain_lab.waiting import wait_for

from tests.lab.captures import Captures
from tests.lab.workflow import DEADLINE, DIRECT, VIA_PP3, Workflow

CONNECTIONS = 3
KILOPACKETS_PER_SECOND = 100  # more than the lab can send
RECEIVED, SENT = "table=58,dl_dst={mac}", "table=58,dl_src={mac}"


@pytest.fixture
def workflow(lab: Lab, captures: Captures) -> Iterator[Workflow]:
    workflow = Workflow(lab, captures)
    workflow.boot(functions=("sf3",))
    yield workflow
    workflow.clean_up()
    workflow.wait_no_flows()


@pytest.fixture
def policy(lab: Lab) -> Iterator[Any]:
    cloud = lab.sdk("admin").network
    made = cloud.create_qos_policy(name="limit", shared=True)
    for direction in ("ingress", "egress"):
        cloud.create_qos_packet_rate_limit_rule(
            made, max_kpps=KILOPACKETS_PER_SECOND, direction=direction
        )
    yield made
    cloud.delete_qos_policy(made)


def counted(workflow: Workflow, match: str, port: str) -> int | None:
    """Return how many packets the meters of a function's port have seen; None without meters."""
    flows = match.format(mac=workflow.ports[port].mac_address)
    dump = workflow.lab.ofctl("h3", "dump-flows", "br-int", flows)
    metered = re.findall(r"n_packets=(\d+).*actions=.*meter:", dump)
    return sum(map(int, metered)) if metered else None


def has_counted(workflow: Workflow, limit: tuple[str, str], least: int) -> bool:
    try:
        known = counted(workflow, *limit)
    except LabError:  # the switch closes connections when Neutron's agent changes its protocols
        return False
    return known is not None and known >= least


def test_packets_of_chains_count_for_the_limits_of_functions(
    policy: Any, workflow: Workflow
) -> None:
    cloud = workflow.lab.sdk("admin").network
    ingress, egress = VIA_PP3
    for port in VIA_PP3:
        cloud.update_port(workflow.ports[port].id, qos_policy_id=policy.id)
    limits = ((RECEIVED, ingress), (SENT, egress))
    for limit in limits:
        has_meter = partial(has_counted, workflow, limit, 0)
        wait_for(has_meter, DEADLINE, f"meters for {limit}")
    pair = workflow.create(
        "port_pair",
        name="PP3",
        ingress=workflow.ports[ingress].id,
        egress=workflow.ports[egress].id,
    )
    workflow.groups = {
        "PG2": workflow.create("port_pair_group", name="PG2", port_pairs=[pair["id"]])
    }
    assert workflow.paths(source_port=23) == DIRECT
    before = [counted(workflow, *limit) or 0 for limit in limits]
    taken = workflow.classifier(source_port_range_min=None, source_port_range_max=None)
    workflow.wait_status(workflow.chain(taken, groups=("PG2",)))
    seen = workflow.connect(count=CONNECTIONS)
    assert {one.path for one in seen} == {("src", *VIA_PP3, "dst")}
    sent = sum(one.paths[one.path] for one in seen)
    assert sent >= 3 * CONNECTIONS
    for limit, known in zip(limits, before, strict=True):
        has_all = partial(has_counted, workflow, limit, known + sent)
        wait_for(has_all, DEADLINE, f"{sent} packets of the chain at the meter for {limit}")
