"""What tests of chains on OVN have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from portchain_lab.cloud import ovn
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab
from portchain_lab.observe import packet_paths

from tests.lab.labs import Labs
from tests.lab.workflow import Workflow

BOTH_WAYS = {"symmetric": True}


def lab(labs: Labs) -> Lab:
    """The lab that tests of chains on OVN share."""
    return labs.get(network_type="geneve", driver="ovn")


def all_active(workflow: Workflow) -> bool:
    wanted = {port.id for port in workflow.ports.values()}
    query = [("fields", "id"), ("status", "ACTIVE"), *(("id", port) for port in wanted)]
    active = workflow.cloud.get("/ports", params=query).json()["ports"]
    return {port["id"] for port in active} == wanted


def wait_for_chassis(lab: Lab) -> None:
    """Wait until every chassis has caught up with the Northbound database."""
    ovn.ctl(lab.layout, "nb", "--wait=hv", "sync")


def chained(workflow: Workflow, *classifiers: Any, **attributes: Any) -> Any:
    chain = workflow.chain(*classifiers, chain_parameters=BOTH_WAYS, **attributes)
    workflow.wait_status(chain)
    return chain


def connect(workflow: Workflow, **how: Any) -> list[packet_paths.Connection]:
    """Open connections, and assert that replies take the reverse path of the requests."""
    found = workflow.connect(answered=None, promiscuous=True, **how)
    for one in found:
        assert one.path is not None, one.paths
        assert set(one.replies) == {tuple(reversed(one.path))}, (one.path, one.replies)
    return found


def paths(workflow: Workflow, **how: Any) -> set[Any]:
    return {one.path for one in connect(workflow, **how)}


def paths_or_none(workflow: Workflow, **how: Any) -> Any:
    """The paths, or None if a connection fails."""
    wait_for_chassis(workflow.lab)
    try:
        return paths(workflow, **how)
    except AssertionError:
        return None


def is_dropped(workflow: Workflow, port: int) -> bool:
    return workflow.is_dropped(port=port)


@contextmanager
def silent(workflow: Workflow, *names: str) -> Iterator[None]:
    """Let functions stay plugged in but forward nothing, while the context lasts."""
    vms = [workflow.vms[name].namespace for name in names]
    for namespace in vms:
        netns.ip("link set br0 down", namespace=namespace)
    try:
        yield
    finally:
        for namespace in vms:
            netns.ip("link set br0 up", namespace=namespace)
