"""Chains on hosts without an agent of ours: Neutron's agents as they come, one controller for all. A lab of its own."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from portchain_lab.lab import Lab
from portchain_lab.waiting import wait_for

from portchain.dataplane.flow import COOKIE
from tests.lab import on_openflow
from tests.lab.captures import Captures
from tests.lab.labs import Labs
from tests.lab.load import FLOWS, Load
from tests.lab.workflow import (
    CHAINED,
    DEADLINE,
    DIRECT,
    VIA_PP1,
    VIA_PP3,
    Workflow,
    without_counters,
)

pytestmark = pytest.mark.alone

CONTROLLER, PORT = "portchain-controller", 7000
ANY_SOURCE_PORT = {"source_port_range_min": None, "source_port_range_max": None}
AT_ONCE = 10
"""Seconds: well below the minute after which rules are compared anyway."""


@pytest.fixture(scope="module")
def lab(labs: Labs) -> Lab:
    """Three hosts with Neutron's agents as they come, and our controller."""
    return on_openflow.lab(labs)


@pytest.fixture(scope="module")
def booted(lab: Lab) -> Iterator[Workflow]:
    """PC1 with the specification's classifier, one without a source port, and one for datagrams."""
    flow = Workflow(lab, Captures())
    flow.boot()
    flow.pairs_and_groups()
    wide = flow.classifier(
        "FC2", **ANY_SOURCE_PORT, destination_port_range_min=200, destination_port_range_max=200
    )
    datagrams = flow.classifier(
        "datagrams", protocol="udp", **ANY_SOURCE_PORT,
        destination_port_range_min=PORT, destination_port_range_max=PORT + FLOWS - 1,
    )  # fmt: skip
    flow.pc1 = flow.chain(flow.classifier(), wide, datagrams)
    flow.wait_status(flow.pc1)
    yield flow
    flow.clean_up()
    flow.wait_no_rules()


@pytest.fixture
def flow(booted: Workflow, captures: Captures) -> Workflow:
    booted.captures = captures
    return booted


def as_ever(flow: Workflow) -> None:
    """Packets take PC1, or do not, as the specification says."""
    assert flow.paths(source_port=23, count=5) <= CHAINED
    assert flow.paths(port=200, count=40) == CHAINED
    assert flow.paths(port=101, source_port=23) == DIRECT


def test_the_agents_are_neutron_s_alone(flow: Workflow) -> None:
    agents = list(flow.lab.sdk("admin").network.agents(agent_type="Open vSwitch agent"))
    assert [agent.configuration["extensions"] for agent in agents] == [[], [], []]
    as_ever(flow)


def test_a_controller_restarts_and_not_one_rule_changes(flow: Workflow) -> None:
    wait_for(lambda: youngest(flow) > 2, DEADLINE, "rules of some age")
    before = without_counters(flow.rules())
    with Load(flow, flow.captures, PORT, rate=200) as load:
        flow.lab.restart(CONTROLLER)
        wait_for(lambda: has_compared(flow), DEADLINE, "the controller to have compared")
        load.wait_for_more()
    assert without_counters(flow.rules()) == before
    assert youngest(flow) > 2, "none was written again"
    assert (load.lost, load.astray(CHAINED)) == (0, {})


def tell(what: str, load: Load) -> None:
    around = dict(load.astray(CHAINED))
    print(
        f"{what}: sent {load.sent}, lost {load.lost}, longest gap {load.gap:.3f} s, around {around}"
    )


def youngest(flow: Workflow) -> float:
    """Age of the youngest rule of ours, in seconds."""
    text = "\n".join(line for lines in flow.rules().values() for line in lines)
    return min(float(age) for age in re.findall(r"duration=([\d.]+)s", text))


def has_compared(flow: Workflow) -> bool:
    """Whether the controller that runs now has read every switch."""
    log = (flow.lab.layout.logs / f"{CONTROLLER}.log").read_text()
    said = log.rpartition("In charge of the switches")[2]
    return all(f"switch of host {host} " in said for host in flow.lab.hosts)


def test_a_controller_that_is_killed_goes_on_where_things_are_by_then(flow: Workflow) -> None:
    before = without_counters(flow.rules())
    flow.lab.kill(CONTROLLER)
    flow.update("port_pair_group", flow.groups["PG1"], port_pairs=[flow.pairs["PP1"]["id"]])
    assert flow.status(flow.pc1)[0] == "BUILD"
    assert flow.paths(port=200, count=20) == CHAINED, "rules stay as they are"
    flow.lab.start(CONTROLLER)
    flow.wait_status(flow.pc1)
    assert flow.paths(port=200, count=20) == {("src", *VIA_PP1, *VIA_PP3, "dst")}
    both = [flow.pairs[name]["id"] for name in ("PP1", "PP2")]
    flow.update("port_pair_group", flow.groups["PG1"], port_pairs=both)
    flow.wait_status(flow.pc1)
    as_ever(flow)
    wait_for(lambda: without_counters(flow.rules()) == before, DEADLINE, "the old rules alone")


def test_a_function_is_unplugged_and_plugged_in_again(flow: Workflow) -> None:
    lab, before = flow.lab, counts(flow)
    flow.vms["sf2"] = lab.vms.detach_port(flow.vms["sf2"], "p4")
    only = {("src", *VIA_PP1, *VIA_PP3, "dst")}
    wait_for(lambda: not flow.rules()["h2"], DEADLINE, "h2 has no part in the chain")
    flow.wait_status(flow.pc1)
    assert flow.paths(port=200, count=20) == only
    flow.vms["sf2"] = lab.vms.attach_port(flow.vms["sf2"], flow.ports["p4"].id)
    wait_for(lambda: flow.rules()["h2"], DEADLINE, "h2 takes part again")
    flow.wait_status(flow.pc1)
    for _ in range(10):
        flow.warm_up(port=200)
    as_ever(flow)
    wait_for(lambda: counts(flow) == before, DEADLINE, "no rules of earlier plans")


def counts(flow: Workflow) -> dict[str, int]:
    return {host: len(rules) for host, rules in flow.rules().items()}


def test_rules_that_somebody_deletes_or_alters_come_back_at_once(flow: Workflow) -> None:
    before, repaired = without_counters(flow.rules()), repairs(flow)
    ofctl, ours = flow.lab.ofctl, f"cookie={COOKIE:#x}/-1"
    ofctl("h1", "del-flows", "br-int", "table=152")
    ofctl("h2", "mod-flows", "br-int", f"{ours},actions=drop")
    ofctl("h3", "del-flows", "br-tun", ours)
    for host in flow.lab.hosts:
        wait_for(
            lambda host=host: repairs(flow)[host] > repaired[host], AT_ONCE, f"repair of {host}"
        )  # type: ignore[misc]
    assert without_counters(flow.rules()) == before
    as_ever(flow)


def repairs(flow: Workflow) -> Counter[str]:
    """How often the controller has repaired each switch."""
    log = (flow.lab.layout.logs / f"{CONTROLLER}.log").read_text()
    return Counter(re.findall(r"The switch of host (\w+) was brought to", log))


def test_an_agent_that_restarts_deletes_rules_and_they_come_back(flow: Workflow) -> None:
    """What goes to another host takes the chain or is lost: it passes a table that the agent does not clean."""
    before = without_counters(flow.rules())
    log = flow.lab.layout.logs / "agent@h1.log"
    with Load(flow, flow.captures, PORT, rate=200) as load:
        flow.lab.restart("agent", "h1")
        deleted = f"Deleting flow with cookie {COOKIE:#x}"
        wait_for(
            lambda: deleted in log.read_text().rpartition("---- started")[2],
            DEADLINE,
            "the agent's clean-up",
        )
        wait_for(lambda: without_counters(flow.rules()) == before, AT_ONCE, "repair")
        load.wait_for_more()
    tell("agent@h1", load)
    assert not load.astray(CHAINED)
    assert load.last() <= CHAINED
    as_ever(flow)


def test_a_switch_that_restarts_gets_its_rules_back(flow: Workflow) -> None:
    before = counts(flow)
    with Load(flow, flow.captures, PORT, rate=200) as load:
        flow.lab.kill("ovs-vswitchd", "h2")
        flow.lab.start("ovs-vswitchd@h2")
        wait_for(lambda: counts(flow) == before, DEADLINE, "rules on h2")
        load.wait_for_more()
    tell("ovs-vswitchd@h2", load)
    assert load.last() <= CHAINED


def test_the_chain_is_taken_away_and_not_one_rule_is_left(flow: Workflow) -> None:
    assert all(flow.rules().values())
    flow.delete("port_chain", flow.pc1)
    flow.wait_no_rules()
    assert flow.paths(source_port=23) == DIRECT
