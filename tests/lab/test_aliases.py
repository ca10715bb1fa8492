"""Servers and agents as deployment tools configure them for networking-sfc: chains work."""

from dataclasses import replace

import pytest
from portchain_lab.lab import Lab
from portchain_lab.layout import Software

from tests.lab.captures import Captures
from tests.lab.labs import FIREWALL, Labs
from tests.lab.workflow import CHAINED, Workflow


@pytest.fixture(scope="module")
def lab(labs: Labs) -> Lab:
    software = replace(
        Software.installed(),
        service_plugins=("flow_classifier", "trunk", "sfc"),
        agent_extensions=("sfc",),
        neutron_options="[sfc]\ndrivers = ovs\n[flowclassifier]\ndrivers = ovs\n",
    )
    return labs.get(firewall=FIREWALL, software=software)


def test_packets_take_the_functions_of_a_chain(lab: Lab, captures: Captures) -> None:
    workflow = Workflow(lab, captures)
    try:
        workflow.boot()
        workflow.pairs_and_groups()
        workflow.wait_status(workflow.chain(workflow.classifier()))
        assert workflow.paths(source_port=23) <= CHAINED
        for agent in lab.sdk("admin").network.agents():
            if agent.agent_type == "Open vSwitch agent":
                assert agent.configuration["extensions"] == ["sfc"]
    finally:
        workflow.clean_up()
