"""Bridging functions on every host do not disturb the MAC learning of their network."""

import itertools
import re
from collections.abc import Iterator

import pytest
from portchain_lab.lab import Lab
from portchain_lab.observe import traffic
from portchain_lab.restarts import restart_switch
from portchain_lab.waiting import wait_for

from tests.lab.captures import Captures
from tests.lab.test_kinds import SYMMETRIC
from tests.lab.workflow import DEADLINE, FUNCTIONS, Workflow

HOMES = {"src": "h1", "other": "h2", "dst": "h3"}
MARK = "portchain-no-flood"
MANY = 100


@pytest.fixture(scope="module")
def booted(lab: Lab) -> Iterator[Workflow]:
    workflow = Workflow(lab, Captures(), kinds=dict.fromkeys(FUNCTIONS, "l2"))
    workflow.boot()
    workflow.make_ports("other")
    workflow.start("other", HOMES["other"], "other")
    workflow.lab.vms.wait_active([workflow.vms["other"]])
    workflow.pairs_and_groups()
    for one, another in itertools.permutations(HOMES, 2):
        assert workflow.lab.vms.ping(workflow.vms[one], workflow.address(another))
    yield workflow
    workflow.clean_up()
    workflow.wait_no_flows()


@pytest.fixture
def workflow(booted: Workflow, captures: Captures) -> Iterator[Workflow]:
    with booted.for_one_test(captures):
        taken = booted.classifier(
            source_port_range_min=None, source_port_range_max=None, destination_port_range_max=199
        )
        booted.pc1 = booted.chain(taken, **SYMMETRIC)
        booted.wait_status(booted.pc1)
        yield booted
    booted.wait_no_flows()


def streams(workflow: Workflow) -> list[traffic.UdpStream]:
    """A stream of datagrams, direct ones, from every VM to every other."""
    return [
        traffic.UdpStream(workflow.vms[one], workflow.vms[another], port, rate=20)
        for port, (one, another) in enumerate(itertools.permutations(HOMES, 2), 9000)
    ]


def learnt_places(workflow: Workflow, end: str) -> Iterator[tuple[str, str, str]]:
    """Host, table and port for each entry of a MAC table that has a VM's address."""
    address = workflow.ports[end].mac_address
    for host in workflow.lab.hosts:
        for bridge in workflow.lab.vsctl(host, "list-br").split():
            for line in workflow.lab.appctl(host, "fdb/show", bridge).splitlines():
                if address in line:
                    yield host, bridge, line.split()[0]
        for line in workflow.lab.ofctl(host, "dump-flows", "br-tun", "table=20").splitlines():
            if f"dl_dst={address}" in line and "hard_timeout" in line:
                (port,) = re.findall(r"output:\"?([\w-]+)", line)
                yield host, "br-tun learned", port


def tunnel_to(workflow: Workflow, host: str, home: str) -> set[str]:
    """The port of br-tun that leads to another host, by number and name."""
    ip, vsctl = workflow.lab.layout.tunnel_ip(home), workflow.lab.vsctl
    found = f'options:remote_ip="{ip}"'
    name = vsctl(host, "--bare", "--columns=name", "find", "interface", found).strip()
    return {name, vsctl(host, "get", "interface", name, "ofport").strip()}


def test_direct_traffic_is_lossless_and_no_table_learns_a_functions_port(
    workflow: Workflow,
) -> None:
    running, connections = [stream.start() for stream in streams(workflow)], []
    try:
        # At the same time, until every stream has sent enough.
        for port in itertools.count(100):
            connections += workflow.connect(port, 20, answered=workflow.answered, promiscuous=True)
            if min(len(stream.result.received) for stream in running) >= MANY:
                break
    finally:
        results = traffic.stop_all(running)
    assert {connection.path for connection in connections} == workflow.chained
    assert [(result.lost, result.duplicates) for result in results] == [([], 0)] * len(results)
    for end, home in HOMES.items():
        for host, table, place in learnt_places(workflow, end):
            if host == home:
                right = {workflow.ofport(host, end)} if table == "br-int" else {"no other table"}
            elif table == "br-int":
                right = {workflow.patch_to_tun(host)}
            else:
                right = tunnel_to(workflow, host, home)
            assert place in right, f"{end} is in {table} of {host}"


def no_flood(workflow: Workflow) -> dict[str, set[str]]:
    """The OpenFlow ports of each host's br-int with NO_FLOOD."""
    found = {}
    for host in workflow.lab.hosts:
        text = workflow.lab.ofctl(host, "dump-ports-desc", version="OpenFlow10")
        ports = re.findall(r"^ (\d+)\(.*\n +config: +(.*)$", text, re.MULTILINE)
        found[host] = {number for number, config in ports if "NO_FLOOD" in config}
    return found


def wait_no_flood(workflow: Workflow, wanted: dict[str, set[str]]) -> None:
    wait_for(lambda: no_flood(workflow) == wanted, DEADLINE, f"no-flood at {wanted}")


def test_flooding_to_functions_is_off_while_a_chain_needs_it(workflow: Workflow) -> None:
    lab = workflow.lab
    wanted = {
        host: {workflow.ofport(host, port) for port in ports} for host, *ports in FUNCTIONS.values()
    }
    assert no_flood(workflow) == wanted
    restart_switch(lab, "h2")
    wait_no_flood(workflow, wanted)
    workflow.delete("port_chain", workflow.pc1)
    wait_no_flood(workflow, {host: set() for host in wanted})


def test_a_no_flood_setting_of_another_program_stays(workflow: Workflow) -> None:
    lab, first = workflow.lab, workflow.ofport("h1", "p1")
    workflow.delete("port_chain", workflow.pc1)
    wait_no_flood(workflow, {"h1": set(), "h2": set(), "h3": set()})
    lab.ofctl("h1", "mod-port", "br-int", first, "no-flood", version="OpenFlow10")
    workflow.pc1 = workflow.chain(
        workflow.classifier("again", destination_port_range_min=200, destination_port_range_max=200)
    )
    workflow.wait_status(workflow.pc1)
    assert first in no_flood(workflow)["h1"]
    workflow.delete("port_chain", workflow.pc1)
    wait_no_flood(workflow, {"h1": {first}, "h2": set(), "h3": set()})
    marks = lab.vsctl("h1", "--bare", "--columns=external_ids", "list", "interface")
    assert MARK not in marks
    lab.ofctl("h1", "mod-port", "br-int", first, "flood", version="OpenFlow10")
