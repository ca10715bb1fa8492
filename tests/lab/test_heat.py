"""The templates in ``examples/heat``, with a real Heat."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from portchain_lab.lab import Lab
from portchain_lab.waiting import patient, wait_for

from tests.lab.labs import FIREWALL, Labs
from tests.lab.test_scripts import NOTHING, left
from tests.lab.workflow import CHAINED, DIRECT, VIA_PP1, VIA_PP3, Workflow

TEMPLATES = Path(__file__).parents[2] / "examples" / "heat"
FIREWALLS = Path(__file__).with_name("heat") / "firewall-ports.env.yaml"
SECONDS = int(patient(180))
PORTS = ("p1", "p2", "p3", "p4", "p5", "p6")


@pytest.fixture(scope="module")
def lab(labs: Labs) -> Lab:
    return labs.get(firewall=FIREWALL, heat=True)


@contextmanager
def stack(lab: Lab, name: str, *environments: Path, **parameters: Any) -> Iterator[Any]:
    """Create a stack and wait until it is complete; delete it afterwards, with all it created."""
    cloud = lab.sdk("demo")
    try:
        yield cloud.create_stack(
            name,
            template_file=str(TEMPLATES / f"{name}.yaml"),
            environment_files=[str(path) for path in environments],
            rollback=False,
            wait=True,
            timeout=SECONDS,
            **parameters,
        )
    finally:
        cloud.delete_stack(name, wait=True)
    assert left(lab) == NOTHING


def output(made: Any, key: str) -> str:
    (value,) = (one["output_value"] for one in made.outputs if one["output_key"] == key)
    return str(value)


def wait_active(lab: Lab) -> None:
    """Wait until all chains are ACTIVE."""
    network = lab.sdk("demo").network

    def active() -> bool:
        chains = network.get("/sfc/port_chains").json()["port_chains"]
        return {chain["status"] for chain in chains} == {"ACTIVE"}

    wait_for(active, SECONDS, "all chains ACTIVE", interval=0.4)


def test_chain(lab: Lab, workflow: Workflow) -> None:
    ports = {name: workflow.ports[name].id for name in PORTS}
    with stack(lab, "chain", source=workflow.ports["src"].id, **ports):
        wait_active(lab)
        assert workflow.paths(port=100) <= CHAINED
        assert workflow.paths(port=99) == DIRECT
    assert workflow.paths(port=100) == DIRECT


def test_graph(lab: Lab, workflow: Workflow) -> None:
    """Only packets that the second chain's classifier matches go on in it."""
    ports = {name: workflow.ports[name].id for name in ("p1", "p2", "p5", "p6")}
    with stack(lab, "graph", source=workflow.ports["src"].id, **ports):
        wait_active(lab)
        assert workflow.paths(port=100) == {("src", *VIA_PP1, *VIA_PP3, "dst")}
        assert workflow.paths(port=101) == {("src", *VIA_PP1, "dst")}


def test_firewalls_scale_and_are_drained(lab: Lab, workflow: Workflow) -> None:
    cloud = lab.sdk("demo")
    fixed = {"source": workflow.ports["src"].id, "network": workflow.net.id, "drain_seconds": 15}
    with stack(lab, "firewalls", FIREWALLS, firewall_count=2, **fixed) as made:
        path = f"/sfc/port_pair_groups/{output(made, 'group')}"

        def members() -> set[str]:
            return set(cloud.network.get(path).json()["port_pair_group"]["port_pairs"])

        def scale(count: int, wait: bool) -> None:
            cloud.update_stack(
                "firewalls",
                template_file=str(TEMPLATES / "firewalls.yaml"),
                environment_files=[str(FIREWALLS)],
                wait=wait,
                timeout=SECONDS,
                firewall_count=count,
                **fixed,
            )

        two = members()
        assert len(two) == 2
        scale(3, wait=True)
        three = members()
        assert len(three) == 3
        assert two < three

        scale(1, wait=False)
        drained = set()

        def one_is_left() -> bool:
            inside = members()
            for pair in cloud.network.get("/sfc/port_pairs").json()["port_pairs"]:
                weight = pair["service_function_parameters"]["weight"]
                if pair["id"] in inside and weight == 0:
                    drained.add(pair["id"])
            return len(inside) == 1

        wait_for(one_is_left, SECONDS, "one firewall is left", interval=0.3)
        assert drained == three - members()

        def is_complete() -> bool:
            return cloud.get_stack("firewalls").status == "UPDATE_COMPLETE"

        wait_for(is_complete, SECONDS, "the stack is updated", interval=0.5)
        pairs = cloud.network.get("/sfc/port_pairs").json()["port_pairs"]
        assert {pair["id"] for pair in pairs} == members()
