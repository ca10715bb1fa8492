"""The specification's workflow with real servers and real packets."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from portchain_lab.cloud import clients
from portchain_lab.hosts import netns
from portchain_lab.hosts.underlay import UNDERLAY_LEG
from portchain_lab.lab import Lab
from portchain_lab.layout import PROJECT_MTU, UNDERLAY_MTU
from portchain_lab.observe import packet_paths, traffic
from portchain_lab.observe.capture import CapturedFrame
from portchain_lab.waiting import wait_for

from portchain.dataplane.flow import COOKIE
from tests.lab.captures import Captures
from tests.lab.workflow import CHAINED, DIRECT, SUBNET, VIA_PP1, VIA_PP3, Workflow, without_counters


@pytest.fixture
def workflow(booted: Workflow, captures: Captures) -> Iterator[Workflow]:
    """Pairs and groups, for chains of one test; afterwards no host has a flow of ours."""
    booted.captures = captures
    booted.pairs_and_groups()
    yield booted
    booted.delete_chains()
    booted.wait_no_flows()


def test_each_connection_takes_one_pair_of_pg1_and_then_pp3(workflow: Workflow) -> None:
    chain = workflow.chain(workflow.classifier())
    workflow.wait_status(chain)
    paths = workflow.paths(source_port=23, count=100)
    assert len(paths) == 1, "one 5-tuple stays with one pair"
    assert paths <= CHAINED


def test_many_flows_are_balanced_over_both_pairs(workflow: Workflow) -> None:
    many = workflow.classifier(source_port_range_min=None, source_port_range_max=None)
    workflow.wait_status(workflow.chain(many))
    assert workflow.paths(count=60) == CHAINED


def test_other_traffic_goes_direct(workflow: Workflow) -> None:
    workflow.wait_status(workflow.chain(workflow.classifier()))
    assert workflow.paths(source_port=24) == DIRECT
    assert workflow.paths(port=101, source_port=23) == DIRECT
    assert workflow.lab.vms.ping(workflow.vms["src"], workflow.address("dst"))


def test_after_the_deletion_nothing_is_left_and_connections_go_direct(workflow: Workflow) -> None:
    before = workflow.flows()
    assert not any(before.values())
    chain = workflow.chain(workflow.classifier())
    workflow.wait_status(chain)
    assert all(workflow.flows().values())
    workflow.delete("port_chain", chain)
    workflow.wait_no_flows()
    assert workflow.paths(source_port=23) == DIRECT


def test_two_chains_share_groups_without_disturbing_each_other(workflow: Workflow) -> None:
    one = workflow.chain(workflow.classifier())
    flows = workflow.flows
    workflow.wait_status(one)
    alone = flows()
    second = workflow.classifier(
        "FC2",
        destination_port_range_min=200,
        destination_port_range_max=299,
        source_port_range_min=None,
        source_port_range_max=None,
    )
    other = workflow.chain(second, name="PC2")
    workflow.wait_status(other)
    assert workflow.paths(port=250, count=20) <= CHAINED
    assert workflow.paths(source_port=23, count=5) <= CHAINED
    workflow.delete("port_chain", other)
    wait_for(lambda: _counts(flows()) == _counts(alone), 30, "flows of the first chain only")
    assert workflow.paths(source_port=23, count=5) <= CHAINED
    assert workflow.paths(port=250) == DIRECT


def _counts(flows: dict[str, list[str]]) -> dict[str, int]:
    return {host: len(lines) for host, lines in flows.items()}


def test_the_chain_follows_its_groups(workflow: Workflow) -> None:
    many = workflow.classifier(source_port_range_min=None, source_port_range_max=None)
    chain = workflow.chain(many)
    workflow.wait_status(chain)
    workflow.update(
        "port_pair_group", workflow.groups["PG1"], port_pairs=[workflow.pairs["PP1"]["id"]]
    )
    workflow.wait_status(chain)
    assert workflow.paths(count=20) == {("src", *VIA_PP1, *VIA_PP3, "dst")}
    workflow.update(
        "port_chain",
        chain,
        port_pair_groups=[workflow.groups["PG2"]["id"], workflow.groups["PG1"]["id"]],
    )
    workflow.wait_status(chain)
    assert workflow.paths(count=5) == {("src", *VIA_PP3, *VIA_PP1, "dst")}
    workflow.update("port_chain", chain, flow_classifiers=[])
    workflow.wait_status(chain)
    assert workflow.paths(count=3) == DIRECT


def test_a_function_that_is_missing_is_not_bypassed_and_is_used_again(workflow: Workflow) -> None:
    chain = workflow.chain(workflow.classifier())
    workflow.wait_status(chain)
    function = workflow.vms["sf3"]
    workflow.lab.vms.delete(function)
    del workflow.vms["sf3"]
    reason = workflow.wait_status(chain, "DOWN")
    assert "PG2" in reason
    assert "p5" in reason
    assert workflow.is_dropped(source_port=23)
    assert workflow.paths(source_port=24) == DIRECT
    workflow.start("sf3", "h2", "p5", "p6", kind="l3")
    workflow.wait_status(chain)
    workflow.warm_up(source_port=23)
    assert workflow.paths(source_port=23, count=3) <= CHAINED
    workflow.vms["sf3"] = workflow.lab.vms.migrate(workflow.vms["sf3"], "h3")
    workflow.wait_status(chain)
    workflow.warm_up(source_port=23)
    assert workflow.paths(source_port=23, count=3) <= CHAINED


def test_the_remaining_pair_gets_all_traffic(workflow: Workflow) -> None:
    many = workflow.classifier(source_port_range_min=None, source_port_range_max=None)
    chain = workflow.chain(many)
    workflow.wait_status(chain)
    workflow.vms["sf2"] = workflow.lab.vms.detach_port(workflow.vms["sf2"], "p4")
    only_pp1 = {("src", *VIA_PP1, *VIA_PP3, "dst")}
    wait_for(lambda: len(workflow.flows()["h2"]) == 0, 30, "h2 has no part in the chain")
    workflow.wait_status(chain)
    assert workflow.paths(count=20) == only_pp1
    workflow.vms["sf2"] = workflow.lab.vms.attach_port(workflow.vms["sf2"], workflow.ports["p4"].id)
    wait_for(lambda: len(workflow.flows()["h2"]) > 0, 30, "h2 takes part again")
    workflow.wait_status(chain)
    for _ in range(10):
        workflow.warm_up()
    assert workflow.paths(count=40) == CHAINED


def test_a_source_that_comes_later_is_classified_from_its_first_packet(workflow: Workflow) -> None:
    """The specification's classifier names no port, so it includes ports that appear later."""
    anyone = workflow.classifier(
        source_ip_prefix=SUBNET, source_port_range_min=None, source_port_range_max=None
    )
    chain = workflow.chain(anyone)
    workflow.wait_status(chain)
    workflow.make_ports("late")
    workflow.start("late", "h2", "late")
    try:
        workflow.lab.vms.wait_active([workflow.vms["late"]])
        workflow.wait_status(chain)
        late, dst = workflow.vms["late"], workflow.vms["dst"]
        with workflow.captures(*workflow.vms.values()) as capture, traffic.TcpEchoServer(dst, 100):
            assert all(attempt.ok for attempt in traffic.tcp_connections(late, dst, 100, 3))
            capture.wait_until_quiet()
        assert _paths(capture.frames, 100) <= {("late", *path[1:]) for path in CHAINED}
    finally:
        workflow.lab.vms.delete(workflow.vms.pop("late"))
        workflow.cloud.delete_port(workflow.ports.pop("late"))


def test_a_packet_that_the_security_group_drops_does_not_enter_the_chain(
    workflow: Workflow,
) -> None:
    """With the firewall driver noop nothing is dropped, as in Neutron itself."""
    # Each connection has its own source port: Neutron marks connections that were half open when
    # their rules disappeared, and keeps refusing them.
    anyone = workflow.classifier(source_port_range_min=None, source_port_range_max=None)
    workflow.wait_status(workflow.chain(anyone))
    assert workflow.paths() <= CHAINED
    cloud, port = workflow.cloud, workflow.ports["src"]
    closed = cloud.create_security_group(name="closed")
    for rule in closed.security_group_rules:
        cloud.delete_security_group_rule(rule["id"])
    groups = cloud.get_port(port.id).security_group_ids
    try:
        cloud.update_port(port.id, security_group_ids=[closed.id])
        if workflow.lab.layout.firewall == "noop":
            log = workflow.lab.layout.logs / "agent@h1.log"
            wait_for(lambda: closed.id in log.read_text(), 60, "the agent to handle the port")
            assert workflow.paths() <= CHAINED
            return
        functions = [workflow.vms[name] for name in ("sf1", "sf2", "sf3")]

        def reaches_functions() -> bool:
            with workflow.captures(*functions) as capture:
                workflow.is_dropped()
            return bool(_paths(capture.frames, 100))

        # The destination's host may be ahead of the source's: wait until no function gets a packet.
        wait_for(lambda: not reaches_functions(), 60, "the source's security group to take effect")
        assert not reaches_functions()
        assert workflow.is_dropped()
    finally:
        cloud.update_port(port.id, security_group_ids=groups)
        cloud.delete_security_group(closed.id)
    wait_for(lambda: not workflow.is_dropped(), 30, "the security group to be gone")
    assert workflow.paths() <= CHAINED


def test_damaged_flows_are_repaired(workflow: Workflow) -> None:
    chain = workflow.chain(workflow.classifier())
    workflow.wait_status(chain)
    ofctl, bridge = workflow.lab.ofctl, workflow.bridge("h1")
    before = without_counters(workflow.flows())
    ours, strangers = f"cookie={COOKIE:#x}", "cookie=0x77,table=152,in_port=4243"
    ofctl("h1", "del-flows", bridge, "table=152")
    ofctl("h2", "mod-flows", bridge, f"{ours}/-1,actions=drop")
    ofctl("h3", "add-flow", bridge, f"{ours},table=152,in_port=4242,actions=drop")
    ofctl("h3", "add-flow", bridge, f"{strangers},actions=drop")
    damaged = without_counters(workflow.flows())
    if not workflow.lab.layout.has_ovn:  # whose hosts notice at once
        assert all(damaged[host] != before[host] for host in workflow.lab.hosts)
    wait_for(lambda: without_counters(workflow.flows()) == before, 90, "repair")
    assert "in_port=4243" in ofctl("h3", "dump-flows", bridge, "cookie=0x77/-1")
    ofctl("h3", "del-flows", bridge, "cookie=0x77/-1")
    assert workflow.paths(source_port=23) <= CHAINED


def test_a_port_in_use_cannot_be_deleted(workflow: Workflow) -> None:
    # Neutron itself lets only administrators and services delete a port that a VM uses.
    answer = workflow.lab.sdk("admin").network.delete(f"/ports/{workflow.ports['p1'].id}")
    assert answer.status_code == 409
    assert "PP1" in answer.text


def test_the_real_client_works_with_names(workflow: Workflow) -> None:
    workflow.delete_chains()
    src, dst = workflow.address("src"), workflow.address("dst")
    _client(
        workflow.lab,
        "sfc flow classifier create FC1 --ethertype IPv4 --protocol tcp"
        f" --source-ip-prefix {src}/32 --destination-ip-prefix {dst}/32"
        " --source-port 23:23 --destination-port 100:100",
        "sfc port pair create PP1 --ingress p1 --egress p2",
        "sfc port pair create PP2 --ingress p3 --egress p4",
        "sfc port pair create PP3 --ingress p5 --egress p6",
        "sfc port pair group create PG1 --port-pair PP1 --port-pair PP2",
        "sfc port pair group create PG2 --port-pair PP3",
        "sfc port chain create PC1 --port-pair-group PG1 --port-pair-group PG2"
        " --flow-classifier FC1",
    )
    chain = workflow.cloud.get("/sfc/port_chains?name=PC1").json()["port_chains"][0]
    workflow.wait_status(chain)
    assert workflow.paths(source_port=23, count=3) <= CHAINED
    said = _client(
        workflow.lab,
        "sfc port chain unset PC1 --flow-classifier FC1",
        "sfc port chain set PC1 --description seen-PC1 --flow-classifier FC1",
        "sfc port pair group unset PG1 --port-pair PP2",
        "sfc port pair group set PG1 --port-pair PP2 --description seen-PG1",
        "sfc port pair set PP1 --description seen-PP1",
        "sfc flow classifier set FC1 --description seen-FC1",
        *(f"sfc {kind} show {name}" for kind, (name, *_) in NAMES.items()),
        *(f"sfc {kind} list -c Name -f value" for kind in NAMES),
    )
    assert {f"seen-{name}" for name, *_ in NAMES.values()} <= set(said.split())
    assert {name for names in NAMES.values() for name in names} <= set(said.split())
    workflow.wait_status(chain)
    assert workflow.paths(source_port=23, count=3) <= CHAINED
    _client(
        workflow.lab, *(f"sfc {kind} delete {' '.join(names)}" for kind, names in NAMES.items())
    )
    for kind in ("port_chains", "port_pair_groups", "port_pairs", "flow_classifiers"):
        assert workflow.cloud.get(f"/sfc/{kind}").json() == {kind: []}


NAMES = {
    "port chain": ("PC1",),
    "port pair group": ("PG1", "PG2"),
    "port pair": ("PP1", "PP2", "PP3"),
    "flow classifier": ("FC1",),
}


def _client(lab: Lab, *commands: str) -> str:
    """Run commands in one interactive ``openstack`` process, and return its output."""
    done = subprocess.run(
        clients.argv(lab.layout, "openstack"),
        env=clients.environment(lab.layout, "demo"),
        input="\n".join(commands) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == "", f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _paths(seen: list[CapturedFrame], port: int) -> set[Any]:
    found = packet_paths.connections(packet_paths.observations(seen))
    return {one.path for one in packet_paths.select(found, protocol="tcp", destination_port=port)}


def set_underlay_mtu(lab: Lab, mtu: int) -> None:
    for host in lab.hosts:
        netns.run(lab.layout.namespace(host), "ip", "link", "set", UNDERLAY_LEG, "mtu", str(mtu))


def passes(workflow: Workflow, size: int) -> bool:
    """Whether an IP packet of this many bytes, which nobody may fragment, is answered."""
    argv = ["ping", "-M", "do", "-c", "1", "-W", "2", "-s", str(size - 28)]
    command = netns.command(workflow.vms["src"].namespace, [*argv, workflow.address("dst")])
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_labels_between_hosts_take_eight_bytes(workflow: Workflow) -> None:
    """As the server computes it: VXLAN takes 50 bytes, and the labels 8."""
    source = workflow.ports["src"].id
    ping = workflow.create("flow_classifier", protocol="icmp", logical_source_port=source)
    workflow.wait_status(workflow.chain(ping, groups=["PG2"]))
    wait_for(lambda: passes(workflow, PROJECT_MTU), 30, "pings through the chain")
    try:
        for spare in (0, -1):
            set_underlay_mtu(workflow.lab, PROJECT_MTU + 50 + 8 + spare)
            assert passes(workflow, PROJECT_MTU + spare)
            assert passes(workflow, PROJECT_MTU) is (spare == 0)
    finally:
        set_underlay_mtu(workflow.lab, UNDERLAY_MTU)
