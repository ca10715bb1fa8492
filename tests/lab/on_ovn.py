"""What tests of chains on OVN ask of a workflow."""

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


def all_active(flow: Workflow) -> bool:
    names = {port.id for port in flow.ports.values()}
    return all(port.status == "ACTIVE" for port in flow.cloud.ports() if port.id in names)


def settle(lab: Lab) -> None:
    """Wait until every chassis has caught up with the Northbound database."""
    ovn.ctl(lab.layout, "nb", "--wait=hv", "sync")


def chained(flow: Workflow, *classifiers: Any, **attributes: Any) -> Any:
    chain = flow.chain(*classifiers, chain_parameters=BOTH_WAYS, **attributes)
    flow.wait_status(chain)
    return chain


def connect(flow: Workflow, **how: Any) -> list[packet_paths.Connection]:
    """Connections of which the path of the replies is checked against that of the requests."""
    found = flow.connect(answered=None, promiscuous=True, **how)
    for one in found:
        assert one.path is not None, one.paths
        assert set(one.replies) == {tuple(reversed(one.path))}, (one.path, one.replies)
    return found


def paths(flow: Workflow, **how: Any) -> set[Any]:
    return {one.path for one in connect(flow, **how)}


def paths_or_none(flow: Workflow, **how: Any) -> Any:
    """The paths if every connection is answered."""
    settle(flow.lab)
    try:
        return paths(flow, **how)
    except AssertionError:
        return None


def held_back(flow: Workflow, port: int) -> bool:
    return flow.held_back(port=port)


@contextmanager
def silent(flow: Workflow, *names: str) -> Iterator[None]:
    """While it lasts, functions are plugged in and hand on nothing."""
    vms = [flow.vms[name].namespace for name in names]
    for namespace in vms:
        netns.ip("link set br0 down", namespace=namespace)
    try:
        yield
    finally:
        for namespace in vms:
            netns.ip("link set br0 up", namespace=namespace)
