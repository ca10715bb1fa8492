"""Chains on OVN: three chassis with ovn-controller, unmodified ML2/OVN and ovn-northd."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import product
from socket import SOCK_DGRAM
from typing import Any

import pytest
from portchain_lab.cloud import ovn
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab
from portchain_lab.waiting import wait_for

from tests.lab import matrix, on_ovn
from tests.lab.captures import Captures
from tests.lab.labs import Labs
from tests.lab.on_ovn import (
    BOTH_WAYS,
    all_active,
    chained,
    is_dropped,
    paths,
    paths_or_none,
    silent,
    wait_for_chassis,
)
from tests.lab.workflow import DEADLINE, DIRECT, FUNCTIONS, SUBNET, Workflow
from tests.pairwise import Case

ANY_SOURCE_PORT = {"source_port_range_min": None, "source_port_range_max": None}
SUBNETS = (SUBNET, "2001:db8:30::/64")
TO_101 = {"destination_port_range_min": 101, "destination_port_range_max": 101}
UDP = {**ANY_SOURCE_PORT, "protocol": "udp"}


@pytest.fixture(scope="module")
def lab(labs: Labs) -> Lab:
    """Three hosts with ovn-controller."""
    return on_ovn.lab(labs)


class TestMatrix:
    """OVN's part of the matrix, with functions on other hosts than in the tests below."""

    @pytest.fixture(scope="class")
    def ends(self, lab: Lab) -> Iterator[Workflow]:
        workflow = Workflow(lab, Captures(), subnets=SUBNETS)
        workflow.boot(functions=())
        yield workflow
        workflow.clean_up()

    @pytest.fixture
    def arranged(self, ends: Workflow, captures: Captures, case: Case) -> Iterator[Workflow]:
        ends.captures = captures
        matrix.arrange(ends, case)
        yield ends
        matrix.delete_case(ends)

    @pytest.mark.parametrize("case", matrix.cases({matrix.OVN}), ids=matrix.name_of)
    def test_packets_visit_the_chain_and_nothing_else(self, arranged: Workflow, case: Case) -> None:
        matrix.check(arranged, case)


@pytest.fixture(scope="module")
def booted(lab: Lab) -> Iterator[Workflow]:
    kinds = dict.fromkeys(FUNCTIONS, "l2")
    workflow = Workflow(lab, Captures(), kinds=kinds, subnets=SUBNETS)
    workflow.boot()
    workflow.make_ports("p7", "p8")
    workflow.start("sf4", "h2", "p7", "p8", kind="l2")
    lab.vms.wait_active(workflow.vms.values())
    workflow.pairs_and_groups()
    ends = {"ingress": workflow.ports["p7"].id, "egress": workflow.ports["p8"].id}
    workflow.pairs["PP4"] = workflow.create("port_pair", name="PP4", function_kind="l2", **ends)
    yield workflow
    workflow.clean_up()


@pytest.fixture
def workflow(booted: Workflow, captures: Captures) -> Iterator[Workflow]:
    """The specification's groups, and no chain before or after the test."""
    booted.captures = captures
    yield booted
    leave_no_chain(booted)


def leave_no_chain(workflow: Workflow) -> None:
    for made in ("port_chain", "flow_classifier"):
        for kind, an_id in list(workflow.made):
            if kind == made:
                workflow.delete(kind, {"id": an_id})
    workflow.wait_no_flows()
    wait_for(lambda: all_active(workflow), DEADLINE, "every port ACTIVE again")
    wait_for_chassis(workflow.lab)


def test_vms_reach_each_other_without_chains(workflow: Workflow) -> None:
    for one in workflow.vms.values():
        for other in ("src", "dst"):
            if one.name in ("src", "dst") and one.name != other:
                assert workflow.lab.vms.ping(one, workflow.address(other))
    assert paths(workflow) == DIRECT


def test_ports_of_a_deleted_chain_are_as_neutron_wrote_them(workflow: Workflow) -> None:
    def as_neutron_wrote() -> dict[str, Any]:
        columns = ("name", "addresses", "port_security", "options")
        rows = ovn.northbound(workflow.lab.layout, "Logical_Switch_Port", *columns)
        return {row.pop("name"): row for row in rows}

    before = as_neutron_wrote()
    chain = chained(workflow, workflow.classifier(**ANY_SOURCE_PORT))
    workflow.warm_up()
    assert as_neutron_wrote() != before
    workflow.delete("port_chain", chain)
    workflow.wait_no_flows()
    assert as_neutron_wrote() == before
    wait_for_chassis(workflow.lab)
    assert paths(workflow, count=3) == DIRECT


def test_security_groups_apply_to_chained_traffic(workflow: Workflow) -> None:
    """The destination's group drops what it does not admit, also behind a chain."""
    wide = {"destination_port_range_min": 100, "destination_port_range_max": 200}
    chained(workflow, workflow.classifier(**ANY_SOURCE_PORT, **wide))
    workflow.warm_up()
    with narrowed(workflow):
        wait_for(lambda: is_dropped(workflow, 150), DEADLINE, "port 150 dropped")
        assert paths(workflow, count=3) <= workflow.chained


@contextmanager
def narrowed(workflow: Workflow) -> Iterator[None]:
    """Admit nothing from the subnet but TCP to port 100, while the context lasts."""
    group = workflow.admitting_rules[0].security_group_id
    rules = [
        rule
        for rule in workflow.cloud.security_group_rules(
            security_group_id=group, direction="ingress"
        )
        if rule.ether_type == "IPv4"
    ]
    only = workflow.cloud.create_security_group_rule(
        security_group_id=group, direction="ingress", ethertype="IPv4", protocol="tcp",
        port_range_min=100, port_range_max=100, remote_ip_prefix=SUBNET,
    )  # fmt: skip
    for rule in rules:
        workflow.cloud.delete_security_group_rule(rule)
    try:
        yield
    finally:
        for rule in rules:
            sources = ("remote_ip_prefix", "remote_group_id")
            again = workflow.cloud.create_security_group_rule(
                **{"security_group_id": group, "direction": "ingress", "ethertype": "IPv4"},
                **{name: rule[name] for name in sources if rule[name]},
            )
            if rule.id == workflow.admitting_rules[0].id:
                workflow.admitting_rules[0] = again
        workflow.cloud.delete_security_group_rule(only)


@pytest.fixture(scope="class")
def standing(booted: Workflow) -> Iterator[Workflow]:
    """A chain that several tests share: to make and delete one moves all ports of functions."""
    booted.pc1 = chained(booted, booted.classifier(**ANY_SOURCE_PORT))
    booted.warm_up()
    yield booted
    leave_no_chain(booted)


class TestOneChain:
    """What happens to a chain through both groups; after each test it is as before."""

    @pytest.fixture
    def workflow(self, standing: Workflow, captures: Captures) -> Iterator[Workflow]:
        standing.captures = captures
        own = standing.pc1["flow_classifiers"]
        yield standing
        standing.update("port_chain", standing.pc1, flow_classifiers=own)
        for kind, an_id in list(standing.made):
            if kind == "flow_classifier" and an_id not in own:
                standing.delete(kind, {"id": an_id})
        standing.wait_status(standing.pc1)
        wait_for(lambda: all_active(standing), DEADLINE, "every port ACTIVE again")
        wait_for_chassis(standing.lab)

    @pytest.mark.parametrize("port", ["p1", "p6"])
    def test_rows_that_neutron_rewrites_are_repaired(self, workflow: Workflow, port: str) -> None:
        """Neutron writes whole columns of a port when any attribute changes."""
        workflow.cloud.update_port(
            workflow.ports[port], description="seen by nobody", name=f"{port}-renamed"
        )
        workflow.cloud.update_port(workflow.ports[port], name=port)
        wait_for(lambda: is_moved(workflow, port), DEADLINE, f"{port} as the chain wants it")
        wait_for(
            lambda: paths_or_none(workflow, count=20) == workflow.chained,
            DEADLINE,
            "the chain as before",
        )

    def test_removed_rows_are_restored(self, workflow: Workflow) -> None:
        for row in ovn.northbound(workflow.lab.layout, "Logical_Switch", "name", "external_ids"):
            if "portchain:" in str(row["external_ids"]):
                ovn.ctl(workflow.lab.layout, "nb", "--type=switch", "acl-del", row["name"])
        for row in ovn.northbound(workflow.lab.layout, "Port_Group", "name", "external_ids"):
            if "portchain:" in str(row["external_ids"]):
                ovn.ctl(workflow.lab.layout, "nb", "clear", "port_group", row["name"], "acls")
        wait_for(
            lambda: paths_or_none(workflow, count=20) == workflow.chained,
            DEADLINE,
            "the chain repaired",
        )

    def test_traffic_of_an_unplugged_function_moves_to_the_other(self, workflow: Workflow) -> None:
        lab = workflow.lab
        workflow.vms["sf1"] = lab.vms.detach_port(workflow.vms["sf1"], "p2")
        only = {("src", "p3", "p4", "p5", "p6", "dst")}
        wait_for(lambda: paths_or_none(workflow, count=10) == only, DEADLINE, "all by way of PP2")
        workflow.vms["sf1"] = lab.vms.attach_port(workflow.vms["sf1"], workflow.ports["p2"].id)
        workflow.wait_status(workflow.pc1)
        wait_for(
            lambda: paths_or_none(workflow, count=40) == workflow.chained, DEADLINE, "both again"
        )

    @pytest.mark.parametrize(
        "program", ["ovn-controller@h1", "ovn-controller@h3", "ovn-northd", "ovn-nb"]
    )
    def test_the_chain_survives_the_death_of_a_program(
        self, workflow: Workflow, program: str
    ) -> None:
        name, _, host = program.partition("@")
        workflow.lab.kill(name, host)
        workflow.lab.start(program)
        wait_for_chassis(workflow.lab)
        wait_for(
            lambda: paths_or_none(workflow, count=20) == workflow.chained,
            DEADLINE,
            "the chain as before",
        )
        elsewhere = workflow.classifier("FC2", **ANY_SOURCE_PORT, **TO_101)
        workflow.update("port_chain", workflow.pc1, flow_classifiers=[elsewhere["id"]])
        workflow.wait_status(workflow.pc1)
        wait_for_chassis(workflow.lab)
        assert paths(workflow, count=2) == DIRECT
        assert paths(workflow, port=101, count=2) <= workflow.chained

    def test_a_function_of_another_chain_is_refused(self, workflow: Workflow) -> None:
        other = workflow.classifier(
            "FC2", destination_port_range_min=300, destination_port_range_max=300
        )
        message = refused(workflow, flow_classifiers=[other["id"]], chain_parameters=BOTH_WAYS)
        assert workflow.pc1["id"] in message
        assert "add the flow classifier to that chain" in message


def is_moved(workflow: Workflow, port: str) -> bool:
    rows = ovn.northbound(
        workflow.lab.layout, "Logical_Switch_Port", "name", "addresses", "port_security"
    )
    (row,) = [row for row in rows if row["name"] == workflow.ports[port].id]
    return "unknown" in str(row["addresses"]) and row["port_security"] == ["set", []]


def test_learned_addresses_do_not_outlive_a_change_of_the_chain(workflow: Workflow) -> None:
    """Logical switches are reused, and OVN remembers at which port it saw an address."""
    first, second = {("p1", "p2"), ("p3", "p4")}, {("p5", "p6")}
    chain = chained(workflow, workflow.classifier(**ANY_SOURCE_PORT), groups=("PG1",))
    workflow.warm_up()
    for order in ((first, second), (second,), (second, first), (first,), (first, second)):
        groups = [workflow.groups["PG1" if group is first else "PG2"]["id"] for group in order]
        workflow.update("port_chain", chain, port_pair_groups=groups)
        workflow.wait_status(chain)
        wanted = {
            ("src", *(port for pair in way for port in pair), "dst") for way in product(*order)
        }
        wait_for(lambda w=wanted: paths_or_none(workflow, count=20) == w, DEADLINE, str(wanted))


def test_a_standby_pair_replaces_the_active_one(workflow: Workflow) -> None:
    """Between groups of one pair each, a group of two cannot be balanced."""
    last = workflow.create("port_pair_group", name="PG3", port_pairs=[workflow.pairs["PP4"]["id"]])
    workflow.groups["PG3"] = last
    chain = chained(workflow, workflow.classifier(**ANY_SOURCE_PORT), groups=("PG2", "PG1", "PG3"))
    assert "PG1 is not balanced" in workflow.wait_status(chain)
    workflow.warm_up()

    def by(*pair: str) -> set[tuple[str, ...]]:
        return {("src", "p5", "p6", *pair, "p7", "p8", "dst")}

    wait_for(lambda: paths_or_none(workflow, count=10) == by("p1", "p2"), DEADLINE, "by way of PP1")
    workflow.vms["sf1"] = workflow.lab.vms.detach_port(workflow.vms["sf1"], "p2")
    wait_for(lambda: paths_or_none(workflow, count=10) == by("p3", "p4"), DEADLINE, "by way of PP2")
    workflow.vms["sf1"] = workflow.lab.vms.attach_port(workflow.vms["sf1"], workflow.ports["p2"].id)
    wait_for(lambda: all_active(workflow), DEADLINE, "PP1's ports ACTIVE again")
    workflow.wait_status(chain)
    for _ in range(3):
        assert paths_or_none(workflow, count=10) == by("p3", "p4"), "PP2 stays active"
    workflow.vms["sf2"] = workflow.lab.vms.detach_port(workflow.vms["sf2"], "p4")
    wait_for(lambda: paths_or_none(workflow, count=10) == by("p1", "p2"), DEADLINE, "PP1 again")
    workflow.vms["sf2"] = workflow.lab.vms.attach_port(workflow.vms["sf2"], workflow.ports["p4"].id)
    wait_for(lambda: all_active(workflow), DEADLINE, "PP2's ports ACTIVE again")
    workflow.delete("port_chain", chain)
    workflow.delete("port_pair_group", workflow.groups.pop("PG3"))


@pytest.fixture
def checked(workflow: Workflow) -> Iterator[Workflow]:
    """OVN checks the functions of both groups; PG2 fails open."""
    workflow.update("port_pair_group", workflow.groups["PG1"], health_check="icmp")
    workflow.update(
        "port_pair_group", workflow.groups["PG2"], health_check="icmp", failure_mode="open"
    )
    yield workflow
    for group in workflow.groups.values():
        workflow.update("port_pair_group", group, health_check="none", failure_mode="closed")


def test_functions_that_forward_nothing_fail_their_health_check(checked: Workflow) -> None:
    """One of two fails: the other gets all traffic. Both fail: traffic is dropped.

    A group that fails open is skipped.
    """
    workflow = checked
    chain = chained(workflow, workflow.classifier(**ANY_SOURCE_PORT))
    workflow.warm_up()
    assert paths(workflow, count=20) == workflow.chained
    with silent(workflow, "sf1"):
        reason = workflow.wait_status(chain, "BUILD")
        assert "the function behind port p2 to pass its health check" in reason
        by_sf2 = {("src", "p3", "p4", "p5", "p6", "dst")}
        wait_for(lambda: paths_or_none(workflow, count=10) == by_sf2, DEADLINE, "all by way of PP2")
        with silent(workflow, "sf2"):
            assert "PP2: it fails its health check" in workflow.wait_status(chain, "DOWN")
            assert workflow.is_dropped()
        workflow.wait_status(chain, "BUILD")
        wait_for(lambda: paths_or_none(workflow, count=10) == by_sf2, DEADLINE, "PP2 again")
    workflow.wait_status(chain)
    wait_for(lambda: paths_or_none(workflow, count=40) == workflow.chained, DEADLINE, "both again")
    with silent(workflow, "sf3"):
        past = {("src", "p1", "p2", "dst"), ("src", "p3", "p4", "dst")}
        wait_for(lambda: paths_or_none(workflow, count=40) == past, DEADLINE, "PG2 left out")
        wait_for(lambda: "PG2 is skipped" in workflow.status(chain)[1], DEADLINE, "which is said")
    workflow.wait_status(chain)
    wait_for(lambda: paths_or_none(workflow, count=40) == workflow.chained, DEADLINE, "PG2 again")


def test_traffic_bypasses_a_chain_whose_groups_all_fail_open(workflow: Workflow) -> None:
    """An unplugged function has failed, without any check. Open connections still get answers."""
    workflow.update("port_pair_group", workflow.groups["PG2"], failure_mode="open")
    chain = chained(workflow, workflow.classifier(**ANY_SOURCE_PORT), groups=("PG2",))
    workflow.warm_up()
    by_sf3 = {("src", "p5", "p6", "dst")}
    assert paths(workflow, count=3) == by_sf3
    udp = workflow.classifier("FC2", **UDP)
    workflow.update("port_chain", chain, flow_classifiers=[*chain["flow_classifiers"], udp["id"]])
    workflow.wait_status(chain)
    try:
        with answering(workflow) as answer_arrives:
            wait_for(lambda: answer_arrives(question=True), DEADLINE, "an answer")
            workflow.vms["sf3"] = workflow.lab.vms.detach_port(workflow.vms["sf3"], "p6")
            wait_for(
                lambda: paths_or_none(workflow, count=3) == DIRECT, DEADLINE, "by the function"
            )
            wait_for(lambda: answer_arrives(question=True), 30, "an answer as before")
        wait_for(lambda: "PG2 is skipped" in workflow.status(chain)[1], DEADLINE, "which is said")
        workflow.update("port_pair_group", workflow.groups["PG2"], failure_mode="closed")
        assert "PG2 has no available pair" in workflow.wait_status(chain, "DOWN")
        assert workflow.is_dropped()
    finally:
        workflow.update("port_pair_group", workflow.groups["PG2"], failure_mode="closed")
        workflow.vms["sf3"] = workflow.lab.vms.attach_port(
            workflow.vms["sf3"], workflow.ports["p6"].id
        )
    workflow.wait_status(chain)
    wait_for(lambda: paths_or_none(workflow, count=3) == by_sf3, DEADLINE, "through the function")


@contextmanager
def answering(workflow: Workflow) -> Iterator[Callable[..., bool]]:
    """Open two UDP sockets, and yield a function that sends an answer from ``dst``.

    The function sends a question first if asked to, and returns whether the answer arrives.
    """
    source, destination = workflow.vms["src"], workflow.vms["dst"]
    ends = [netns.open_socket(one.namespace, kind=SOCK_DGRAM) for one in (source, destination)]
    asking, answering = ends
    asking.bind((source.ip, 0))
    answering.bind((destination.ip, 100))
    here = asking.getsockname()

    def answer_arrives(question: bool) -> bool:
        with suppress(TimeoutError):
            if question:
                asking.sendto(b"question", (destination.ip, 100))
                answering.recv(100)
            answering.sendto(b"answer", here)
            return asking.recv(100) == b"answer"
        return False

    for one in ends:
        one.settimeout(2)
    try:
        yield answer_arrives
    finally:
        for one in ends:
            one.close()


def test_traffic_is_dropped_while_no_function_is_available(workflow: Workflow) -> None:
    """New connections, and replies on open ones, until the functions are back."""
    chain = chained(
        workflow, workflow.classifier(**ANY_SOURCE_PORT), workflow.classifier("FC2", **UDP)
    )
    workflow.warm_up()
    group, pairs = workflow.groups["PG2"], workflow.groups["PG2"]["port_pairs"]
    with answering(workflow) as answer_arrives:
        assert answer_arrives(question=True)
        workflow.update("port_pair_group", group, port_pairs=[])
        try:
            assert "it is empty" in workflow.wait_status(chain, "DOWN")
            wait_for_chassis(workflow.lab)
            assert all(workflow.is_dropped() for _ in range(3))
            assert not any(answer_arrives(question=False) for _ in range(3))
            assert not answer_arrives(question=True)
        finally:
            workflow.update("port_pair_group", group, port_pairs=pairs)
    workflow.wait_status(chain)
    wait_for(
        lambda: paths_or_none(workflow, count=20) == workflow.chained,
        DEADLINE,
        "the chain as before",
    )


REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "asymmetric": ({"chain_parameters": {"symmetric": False}}, ("symmetric false", "driver ovn")),
    "nsh": ({"chain_parameters": {"symmetric": True, "correlation": "nsh"}}, ("correlation nsh",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unsupported_chains_are_refused(workflow: Workflow, case: str) -> None:
    attributes, words = REFUSED[case]
    message = refused(workflow, flow_classifiers=[workflow.classifier()["id"]], **attributes)
    assert all(word in message for word in words), message


def refused(workflow: Workflow, **attributes: Any) -> str:
    """Post a chain that must be refused, and return the message."""
    groups = [group["id"] for group in workflow.groups.values()]
    body = {"port_chain": {"port_pair_groups": groups, **attributes}}
    answer = workflow.cloud.post("/sfc/port_chains", json=body)
    assert answer.status_code == 400, answer.text
    assert workflow.cloud.get("/sfc/port_chains").json()["port_chains"] == [
        chain
        for chain in workflow.cloud.get("/sfc/port_chains").json()["port_chains"]
        if ("port_chain", chain["id"]) in workflow.made
    ]
    return str(answer.json()["NeutronError"]["message"])
