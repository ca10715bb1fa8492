"""Chains on hosts with Neutron's agents alone: a controller of ours programs their switches."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from portchain_lab.lab import Lab
from portchain_lab.waiting import wait_for

from portchain.dataplane.flow import COOKIE
from portchain.dataplane.pipeline import TABLES
from tests.lab import on_openflow
from tests.lab.captures import Captures
from tests.lab.labs import Labs
from tests.lab.load import FLOWS, Load
from tests.lab.on_openflow import CONTROLLER
from tests.lab.workflow import (
    CHAINED,
    DEADLINE,
    DIRECT,
    VIA_PP1,
    VIA_PP3,
    Workflow,
    without_counters,
)

PORT = 7000
ANY_SOURCE_PORT = {"source_port_range_min": None, "source_port_range_max": None}
AT_ONCE = 10
SELECTION = re.compile(r"reg10=(0x[0-9a-f]+)")
SET_SELECTION = re.compile(r"set_field:(0x[0-9a-f]+)->reg10")
"""Seconds: well below the time after which the controller compares all flows anyway."""


@pytest.fixture(scope="module")
def lab(labs: Labs) -> Lab:
    """Three hosts with Neutron's agents as they come, and our controller."""
    return on_openflow.lab(labs)


@pytest.fixture(scope="module")
def booted(lab: Lab) -> Iterator[Workflow]:
    """PC1 with FC1 of the specification, a classifier without a source port, and one for UDP."""
    workflow = Workflow(lab, Captures())
    workflow.boot()
    workflow.pairs_and_groups()
    wide = workflow.classifier(
        "FC2", **ANY_SOURCE_PORT, destination_port_range_min=200, destination_port_range_max=200
    )
    datagrams = workflow.classifier(
        "datagrams", protocol="udp", **ANY_SOURCE_PORT,
        destination_port_range_min=PORT, destination_port_range_max=PORT + FLOWS - 1,
    )  # fmt: skip
    workflow.pc1 = workflow.chain(workflow.classifier(), wide, datagrams)
    workflow.wait_status(workflow.pc1)
    yield workflow
    workflow.clean_up()
    workflow.wait_no_flows()


def assert_paths(workflow: Workflow) -> None:
    """Assert that packets take PC1, or bypass it, as the specification says."""
    assert workflow.paths(source_port=23, count=5) <= CHAINED
    assert workflow.paths(port=200, count=40) == CHAINED
    assert workflow.paths(port=101, source_port=23) == DIRECT


def test_the_agents_run_without_our_extension(workflow: Workflow) -> None:
    agents = list(workflow.lab.sdk("admin").network.agents(agent_type="Open vSwitch agent"))
    assert [agent.configuration["extensions"] for agent in agents] == [[], [], []]
    assert_paths(workflow)


def test_a_restart_of_the_controller_changes_no_flow(workflow: Workflow) -> None:
    wait_for(lambda: youngest(workflow) > 2, DEADLINE, "flows older than two seconds")
    before = without_counters(workflow.flows())
    with Load(workflow, workflow.captures, PORT, rate=200) as load:
        workflow.lab.restart(CONTROLLER)
        wait_for(lambda: has_compared(workflow), DEADLINE, "the controller to have compared")
        load.wait_for_more()
    assert without_counters(workflow.flows()) == before
    assert youngest(workflow) > 2, "no flow was written again"
    assert (load.lost, load.misrouted(CHAINED)) == (0, {})


def report(what: str, load: Load) -> None:
    around = dict(load.misrouted(CHAINED))
    print(
        f"{what}: sent {load.sent}, lost {load.lost}, longest gap {load.gap:.3f} s, around {around}"
    )


def youngest(workflow: Workflow) -> float:
    """Age of the youngest flow of ours, in seconds."""
    text = "\n".join(line for lines in workflow.flows().values() for line in lines)
    return min(float(age) for age in re.findall(r"duration=([\d.]+)s", text))


def has_compared(workflow: Workflow) -> bool:
    """Whether the controller has read every switch since it was started."""
    log = (workflow.lab.layout.logs / f"{CONTROLLER}.log").read_text()
    said = log.rpartition("Programming the switches")[2]
    return all(f"switch of host {host} " in said for host in workflow.lab.hosts)


def test_a_killed_controller_realises_missed_changes_after_its_restart(workflow: Workflow) -> None:
    before = without_selection(workflow)
    workflow.lab.kill(CONTROLLER)
    workflow.update(
        "port_pair_group", workflow.groups["PG1"], port_pairs=[workflow.pairs["PP1"]["id"]]
    )
    assert workflow.status(workflow.pc1)[0] == "BUILD"
    assert workflow.paths(port=200, count=20) == CHAINED, "the flows stay"
    workflow.lab.start(CONTROLLER)
    workflow.wait_status(workflow.pc1)
    assert workflow.paths(port=200, count=20) == {("src", *VIA_PP1, *VIA_PP3, "dst")}
    both = [workflow.pairs[name]["id"] for name in ("PP1", "PP2")]
    workflow.update("port_pair_group", workflow.groups["PG1"], port_pairs=both)
    workflow.wait_status(workflow.pc1)
    assert_paths(workflow)
    wait_for(
        lambda: without_selection(workflow) == before and not drains(workflow),
        DEADLINE,
        "only the flows from before",
    )


def without_selection(workflow: Workflow) -> dict[str, set[str]]:
    """The flows but those that select pairs: they also know what the group had before."""
    tables = tuple(f"table={TABLES[name].number}," for name in ("HOP", "BALANCE", "CHOICE"))
    flows = without_counters(workflow.flows())
    return {
        host: {line for line in lines if not any(table in line for table in tables)}
        for host, lines in flows.items()
    }


def drains(workflow: Workflow) -> bool:
    """Whether a host still has flows of an earlier selection of pairs."""
    hop, balance = (f"table={TABLES[name].number}," for name in ("HOP", "BALANCE"))
    for lines in workflow.flows().values():
        used = {n for line in lines if hop in line for n in SET_SELECTION.findall(line)}
        if {n for line in lines if balance in line for n in SELECTION.findall(line)} - used:
            return True
    return False


def test_a_function_is_unplugged_and_plugged_in_again(workflow: Workflow) -> None:
    lab, before = workflow.lab, counts(workflow)
    workflow.vms["sf2"] = lab.vms.detach_port(workflow.vms["sf2"], "p4")
    only = {("src", *VIA_PP1, *VIA_PP3, "dst")}
    wait_for(lambda: not workflow.flows()["h2"], DEADLINE, "h2 has no part in the chain")
    workflow.wait_status(workflow.pc1)
    assert workflow.paths(port=200, count=20) == only
    workflow.vms["sf2"] = lab.vms.attach_port(workflow.vms["sf2"], workflow.ports["p4"].id)
    wait_for(lambda: workflow.flows()["h2"], DEADLINE, "h2 takes part again")
    workflow.wait_status(workflow.pc1)
    for _ in range(10):
        workflow.warm_up(port=200)
    assert_paths(workflow)
    wait_for(
        lambda: counts(workflow) == before and not drains(workflow),
        DEADLINE,
        "no flows of earlier plans",
    )


def counts(workflow: Workflow) -> dict[str, int]:
    return {host: len(flows) for host, flows in workflow.flows().items()}


def test_deleted_and_altered_flows_are_restored_at_once(workflow: Workflow) -> None:
    before, repaired = without_counters(workflow.flows()), repairs(workflow)
    ofctl, ours = workflow.lab.ofctl, f"cookie={COOKIE:#x}/-1"
    ofctl("h1", "del-flows", "br-int", "table=152")
    ofctl("h2", "mod-flows", "br-int", f"{ours},actions=drop")
    ofctl("h3", "del-flows", "br-tun", ours)
    for host in workflow.lab.hosts:
        wait_for(
            lambda host=host: repairs(workflow)[host] > repaired[host], AT_ONCE, f"repair of {host}"
        )  # type: ignore[misc]
    assert without_counters(workflow.flows()) == before
    assert_paths(workflow)


def repairs(workflow: Workflow) -> Counter[str]:
    """How often the controller has repaired each host's switch."""
    log = (workflow.lab.layout.logs / f"{CONTROLLER}.log").read_text()
    return Counter(re.findall(r"The switch of host (\w+) was changed to hold", log))


def test_flows_that_a_restarting_agent_deletes_are_restored(workflow: Workflow) -> None:
    """Traffic to another host never bypasses the chain: the agent leaves one table alone."""
    before = without_counters(workflow.flows())
    log = workflow.lab.layout.logs / "agent@h1.log"
    with Load(workflow, workflow.captures, PORT, rate=200) as load:
        workflow.lab.restart("agent", "h1")
        deleted = f"Deleting flow with cookie {COOKIE:#x}"
        wait_for(
            lambda: deleted in log.read_text().rpartition("---- started")[2],
            DEADLINE,
            "the agent's clean-up",
        )
        wait_for(lambda: without_counters(workflow.flows()) == before, AT_ONCE, "repair")
        load.wait_for_more()
    report("agent@h1", load)
    assert not load.misrouted(CHAINED)
    assert load.last() <= CHAINED
    assert_paths(workflow)


def test_flows_are_restored_after_a_restart_of_the_switch(workflow: Workflow) -> None:
    before = counts(workflow)
    with Load(workflow, workflow.captures, PORT, rate=200) as load:
        workflow.lab.kill("ovs-vswitchd", "h2")
        workflow.lab.start("ovs-vswitchd@h2")
        wait_for(lambda: counts(workflow) == before, DEADLINE, "flows on h2")
        load.wait_for_more()
    report("ovs-vswitchd@h2", load)
    assert load.last() <= CHAINED


def test_a_deleted_chain_leaves_no_flow(workflow: Workflow) -> None:
    assert all(workflow.flows().values())
    workflow.delete("port_chain", workflow.pc1)
    workflow.wait_no_flows()
    assert workflow.paths(source_port=23) == DIRECT
