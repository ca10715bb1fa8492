"""What only hosts of OVN have: rows beside Neutron's, security groups in OVN, and its programs.

``test_matrix`` has the packets' paths on OVN.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from portchain_lab.cloud import clients, ovn
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab
from portchain_lab.layout import tap_name
from portchain_lab.observe import packet_paths
from portchain_lab.waiting import wait_for

from tests.full import in_full
from tests.lab import on_ovn
from tests.lab.captures import Captures
from tests.lab.labs import Labs
from tests.lab.on_ovn import neutrons_ports, rows, wait_for_chassis
from tests.lab.test_failures import PORT, RATE, Traffic
from tests.lab.workflow import CHAINED, DEADLINE, DIRECT, Workflow

ANY_SOURCE_PORT = {"source_port_range_min": None, "source_port_range_max": None}
# h1 has the source, h3 the last function and the destination.
PROGRAMS = in_full(
    [
        *("agent@h1", "agent@h3", "ovn-controller@h1", "ovn-controller@h3"),
        *("ovn-northd", "ovn-nb", "ovn-sb"),
    ],
    ["agent@h1", "ovn-controller@h3", "ovn-northd", "ovn-sb"],
)
MOVES = in_full([("src", "h1", "h2"), ("sf2", "h2", "h1")], [("sf2", "h2", "h1")])


@pytest.fixture(scope="module")
def lab(labs: Labs) -> Lab:
    """Three hosts with ovn-controller."""
    return on_ovn.lab(labs)


@pytest.fixture(scope="module")
def booted(lab: Lab) -> Iterator[Workflow]:
    """A chain for TCP from any port to 100, and for datagrams."""
    workflow = Workflow(lab, Captures())
    workflow.boot()
    workflow.pairs_and_groups()
    workflow.pc1 = workflow.chain(
        workflow.classifier(**ANY_SOURCE_PORT),
        workflow.classifier(
            "datagrams", **ANY_SOURCE_PORT, protocol="udp",
            destination_port_range_min=PORT, destination_port_range_max=PORT,
        ),
    )  # fmt: skip
    workflow.wait_status(workflow.pc1)
    workflow.warm_up()
    yield workflow
    workflow.clean_up()


def works(workflow: Workflow) -> bool:
    """Whether all connections take the chain, and others do not."""
    wait_for_chassis(workflow.lab)
    try:
        return workflow.paths(count=20) == CHAINED and workflow.paths(port=101) == DIRECT
    except AssertionError:
        return False


def test_rows_of_neutron_stay_as_they_are(workflow: Workflow) -> None:
    lab = workflow.lab
    with_chain = neutrons_ports(lab)
    classifiers = workflow.pc1["flow_classifiers"]
    workflow.update("port_chain", workflow.pc1, flow_classifiers=[])
    try:
        workflow.wait_status(workflow.pc1)
        assert neutrons_ports(lab) == with_chain
        assert workflow.paths(count=3) == DIRECT
    finally:
        workflow.update("port_chain", workflow.pc1, flow_classifiers=classifiers)
    workflow.wait_status(workflow.pc1)
    assert works(workflow)


def test_what_a_security_group_denies_at_the_destination_is_dropped_there(
    workflow: Workflow,
) -> None:
    with rules(workflow, "ingress", "udp"):
        wait_for(workflow.is_dropped, DEADLINE, "TCP dropped")
        assert seen_at(workflow, "p6"), "it has passed the chain"
    wait_for(lambda: works(workflow), DEADLINE, "the chain as before")


def test_what_a_security_group_denies_at_the_source_reaches_no_function(
    workflow: Workflow,
) -> None:
    with rules(workflow, "egress", "udp"):
        wait_for(workflow.is_dropped, DEADLINE, "TCP dropped")
        assert not seen_at(workflow, "p1")
        assert not seen_at(workflow, "p3")
    wait_for(lambda: works(workflow), DEADLINE, "the chain as before")


def seen_at(workflow: Workflow, port: str) -> bool:
    """Whether the last capture has TCP to port 100 at a port."""
    frames = workflow.captures.all[-1].frames
    traces = packet_paths.traces(packet_paths.observations(frames))
    return any(port in one.ports for one in traces if one.five_tuple.destination_port == 100)


@contextmanager
def rules(workflow: Workflow, direction: str, protocol: str) -> Iterator[None]:
    """Admit nothing over IPv4 in a direction but one protocol, while the context lasts."""
    group = workflow.admitting_rules[0].security_group_id
    own = {"security_group_id": group, "direction": direction, "ethertype": "IPv4"}
    before = list(workflow.cloud.security_group_rules(**own))
    only = workflow.cloud.create_security_group_rule(**own, protocol=protocol)
    for rule in before:
        workflow.cloud.delete_security_group_rule(rule)
    try:
        yield
    finally:
        for rule in before:
            names = ("remote_ip_prefix", "remote_group_id", "protocol")
            again = workflow.cloud.create_security_group_rule(
                **own, **{name: rule[name] for name in names if rule[name]}
            )
            if rule.id == workflow.admitting_rules[0].id:
                workflow.admitting_rules[0] = again
        workflow.cloud.delete_security_group_rule(only)


def test_rows_that_others_remove_are_restored(workflow: Workflow) -> None:
    lab = workflow.lab

    def ours() -> Any:
        """Our rows, without the ids that new rows have."""
        columns = {"Logical_Switch_Port": ("name", "addresses"), "Port_Group": ("name", "acls")}
        return {
            (table, row["name"], len(str(row[names[1]])))
            for table, names in columns.items()
            for row in ovn.northbound(lab.layout, table, *names)
            if row["name"].startswith("pc")
        }

    before = ours()
    for name in [row["name"] for row in rows(lab)["Logical_Switch_Port"]]:
        if name.startswith("pc-gate-"):
            ovn.ctl(lab.layout, "nb", "lsp-del", name)
    for name in [row["name"] for row in rows(lab)["Port_Group"]]:
        if name.startswith("pc_guard_"):
            ovn.ctl(lab.layout, "nb", "clear", "port_group", name, "acls")
    wait_for(lambda: ours() == before, DEADLINE, "the rows to be back")
    wait_for(lambda: works(workflow), DEADLINE, "the chain as before")


def test_neutrons_own_repair_leaves_rows_of_chains_alone(workflow: Workflow) -> None:
    lab = workflow.lab
    before = rows(lab)
    files = [f"--config-file={lab.layout.directory}/{name}.conf" for name in ("neutron",)]
    files.append(f"--config-file={lab.layout.directory}/ml2_conf.ini")
    tool = lab.layout.software.command("neutron-ovn-db-sync-util")
    argv = (tool, *files, "--ovn-neutron_sync_mode=repair")
    done = subprocess.run(
        netns.command(lab.layout.controller_namespace, argv),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    after = rows(lab)
    assert [row for row in after["Port_Group"] if row["name"].startswith("pc_")] == [
        row for row in before["Port_Group"] if row["name"].startswith("pc_")
    ]
    names = {row["name"] for row in before["Logical_Switch_Port"]}
    assert {row["name"] for row in after["Logical_Switch_Port"]} == names
    assert works(workflow)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_dies_and_nothing_goes_around(workflow: Workflow, program: str) -> None:
    name, _, host = program.partition("@")
    with Traffic(workflow) as stream:
        workflow.lab.kill(name, host)
        stream.wait_for_more(RATE)
        workflow.lab.start(program)
        wait_for_chassis(workflow.lab)
        stream.wait_for_more(3 * RATE)
    assert not stream.around
    assert workflow.status(workflow.pc1)[0] == "ACTIVE"
    assert works(workflow)


def test_traffic_of_an_unplugged_function_moves_to_the_other(workflow: Workflow) -> None:
    lab = workflow.lab
    with Traffic(workflow) as stream:
        workflow.vms["sf1"] = lab.vms.detach_port(workflow.vms["sf1"], "p2")
        only = {("src", "p3", "p4", "p5", "p6", "dst")}
        wait_for(lambda: workflow.paths(count=10) == only, DEADLINE, "all by way of PP2")
        workflow.vms["sf1"] = lab.vms.attach_port(workflow.vms["sf1"], workflow.ports["p2"].id)
        workflow.wait_status(workflow.pc1)
    assert not stream.around
    wait_for(lambda: works(workflow), DEADLINE, "both again")


def test_a_source_without_agent_sends_nothing_around(workflow: Workflow) -> None:
    """The source is plugged into br-int while no agent takes it into the chain: OVN drops."""
    lab, port = workflow.lab, workflow.ports["src"].id
    tap = tap_name(port)
    lab.kill("agent", "h1")
    try:
        lab.vsctl(
            "h1",
            *("del-port", f"pc-port-{port}", "--", "del-port", tap),
            *("--", "add-port", "br-int", tap),
            *("--", "set", "interface", tap, f"external_ids:iface-id={port}"),
            applied=True,
        )
        wait_for(lambda: goes_direct(workflow, 101), DEADLINE, "OVN to bind the port")
        assert workflow.is_dropped()
    finally:
        lab.start("agent@h1")
    wait_for(lambda: works(workflow), DEADLINE, "the chain as before")


@pytest.mark.parametrize(("name", "home", "host"), MOVES)
def test_a_machine_migrates_while_it_runs(
    workflow: Workflow, name: str, home: str, host: str
) -> None:
    """Its ports have two bindings meanwhile. Nothing bypasses the chain."""
    lab, nova = workflow.lab, clients.connect(workflow.lab.layout, "neutron", "service")
    for target in (host, home):
        with Traffic(workflow) as stream:
            workflow.vms[name] = lab.vms.live_migrate(
                workflow.vms[name], target, nova, lambda: time.sleep(1)
            )
            workflow.wait_status(workflow.pc1)
            stream.wait_for_more(RATE)
        assert not stream.around
        wait_for(lambda: works(workflow), DEADLINE, "the chain as before")


def goes_direct(workflow: Workflow, port: int) -> bool:
    try:
        return workflow.paths(port=port) == DIRECT
    except AssertionError:
        return False


def test_a_controller_programs_hosts_without_agents(workflow: Workflow) -> None:
    lab, classifiers = workflow.lab, workflow.pc1["flow_classifiers"]
    with on_ovn.controlled(lab) as restart:
        workflow.update("port_chain", workflow.pc1, flow_classifiers=[])
        workflow.wait_status(workflow.pc1)
        assert workflow.paths(count=3) == DIRECT
        workflow.update("port_chain", workflow.pc1, flow_classifiers=classifiers)
        workflow.wait_status(workflow.pc1)
        assert works(workflow)
        with Traffic(workflow) as stream:
            restart()
            stream.wait_for_more(RATE)
            lab.kill("ovs-vswitchd", "h1")
            lab.start("ovs-vswitchd@h1")
            stream.wait_for_more(RATE)
        assert not stream.around
    assert works(workflow)


def test_a_deleted_chain_leaves_nothing(workflow: Workflow) -> None:
    before = neutrons_ports(workflow.lab)
    workflow.delete("port_chain", workflow.pc1)
    workflow.wait_no_flows()
    assert neutrons_ports(workflow.lab) == before
    wait_for_chassis(workflow.lab)
    assert workflow.paths(count=3) == DIRECT
