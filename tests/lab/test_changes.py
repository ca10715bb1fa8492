"""Chains change under a steady load: no datagram is lost, none bypasses the chain.

See docs/decisions/0018 and 0053.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pymysql
import pytest
from portchain_lab.cloud import services
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab
from portchain_lab.observe import traffic
from portchain_lab.observe.capture import CapturedFrame
from portchain_lab.waiting import wait_for

from portchain.dataplane.pipeline import ODD_GENERATION
from tests.lab.captures import Captures
from tests.lab.load import FLOWS, Load, Path, paths
from tests.lab.workflow import CHAINED, DEADLINE, DIRECT, VIA_PP1, VIA_PP2, VIA_PP3, Workflow

PORT, OTHER_PORT, UNCHAINED = 7000, 7100, 99
MEMBERS = {"PG1": ("PP1", "PP2"), "PG2": ("PP3",)}
VIA_PP4 = ("p7", "p8")


def through(*groups: Any) -> set[Path]:
    """The paths through one of the pairs of each group."""
    found: set[Path] = {("src",)}
    for pairs in groups:
        found = {(*path, *pair) for path in found for pair in pairs}
    return {(*path, "dst") for path in found}


PG1, PG2, PG3 = (VIA_PP1, VIA_PP2), (VIA_PP3,), (VIA_PP4,)


@pytest.fixture(scope="module")
def booted(lab: Lab) -> Iterator[Workflow]:
    """A chain of PG1 = {PP1, PP2} and PG2 = {PP3}, and a group PG3 = {PP4} outside of it."""
    workflow = Workflow(lab, Captures())
    workflow.boot()
    workflow.make_ports("p7", "p8")
    workflow.start("sf4", "h2", "p7", "p8", kind="l3")
    lab.vms.wait_active(workflow.vms.values())
    workflow.pairs_and_groups()
    pair = {"ingress": workflow.ports["p7"].id, "egress": workflow.ports["p8"].id}
    workflow.pairs["PP4"] = workflow.create("port_pair", name="PP4", **pair)
    workflow.groups["PG3"] = workflow.create(
        "port_pair_group", name="PG3", port_pairs=[workflow.pairs["PP4"]["id"]]
    )
    resolve_destination(workflow, "sf1", "sf2", "sf3", "sf4")
    workflow.datagrams = udp(workflow, PORT)
    workflow.pc1 = workflow.chain(workflow.datagrams)
    workflow.wait_status(workflow.pc1)
    yield workflow
    workflow.clean_up()
    workflow.wait_no_flows()


def resolve_destination(workflow: Workflow, *functions: str) -> None:
    """Let functions resolve the destination's MAC address, which can take a second."""
    for name in functions:
        vm = workflow.vms[name]
        argv = ("ping", "-q", "-i", "0.2", "-c", "1", "-w", "10", "-I", vm.nics[1].ip)
        netns.run(vm.namespace, *argv, workflow.address("dst"))


def udp(workflow: Workflow, port: int) -> Any:
    return workflow.classifier(
        f"udp {port}", protocol="udp", source_port_range_min=None, source_port_range_max=None,
        destination_port_range_min=port, destination_port_range_max=port + FLOWS - 1,
    )  # fmt: skip


def groups(*names: str) -> Callable[[Workflow], None]:
    def change(workflow: Workflow) -> None:
        ids = [workflow.groups[name]["id"] for name in names]
        workflow.update("port_chain", workflow.pc1, port_pair_groups=ids)

    return change


def pairs(*names: str) -> Callable[[Workflow], None]:
    def change(workflow: Workflow) -> None:
        ids = [workflow.pairs[name]["id"] for name in names]
        workflow.update("port_pair_group", workflow.groups["PG1"], port_pairs=ids)

    return change


def weight(name: str, value: int) -> Callable[[Workflow], None]:
    def change(workflow: Workflow) -> None:
        given = {"service_function_parameters": {"weight": value}}
        workflow.update("port_pair", workflow.pairs[name], **given)

    return change


def forget_earlier_pairs(workflow: Workflow) -> None:
    """Let the server believe that the last changes were long ago, and wait until it forgets."""
    socket = str(services.mariadb_socket(workflow.lab.layout))
    connection = pymysql.connect(
        unix_socket=socket, user="root", database="neutron", autocommit=True
    )
    with connection, connection.cursor() as cursor:

        def forgotten() -> bool:
            return not cursor.execute(
                "SELECT 1 FROM portchain_pair_sets WHERE replaced_at IS NOT NULL"
            )

        assert not forgotten()
        cursor.execute("UPDATE portchain_pair_sets SET replaced_at = replaced_at - INTERVAL 1 DAY")
        wait_for(forgotten, DEADLINE, "earlier pairs are forgotten")


@dataclass(frozen=True)
class Change:
    """A change of the chain, with the paths before and after it.

    :param interrupts: packets may be lost for as long as the option ``drain_time`` says.
    """

    name: str
    do: Callable[[Workflow], None]
    before: set[Path]
    after: set[Path]
    interrupts: bool = field(default=False)


THROUGH_ALL = through(PG1, PG2)
THROUGH_THREE, PG3_LAST = through(PG1, PG3, PG2), through(PG1, PG2, PG3)
CHANGES = (
    Change("a pair is removed", pairs("PP2"), THROUGH_ALL, through([VIA_PP2], PG2)),
    Change("a pair is put in", pairs("PP1", "PP2"), through([VIA_PP2], PG2), THROUGH_ALL),
    Change("a pair is drained", weight("PP1", 0), THROUGH_ALL, THROUGH_ALL),
    Change("a drained pair is used again", weight("PP1", 3), THROUGH_ALL, THROUGH_ALL),
    Change("earlier pairs are forgotten", forget_earlier_pairs, THROUGH_ALL, THROUGH_ALL),
    Change("a group is put in between", groups("PG1", "PG3", "PG2"), THROUGH_ALL, THROUGH_THREE),
    Change("the first group is removed", groups("PG3", "PG2"), THROUGH_THREE, through(PG3, PG2)),
    Change("a group is put first", groups("PG1", "PG3", "PG2"), through(PG3, PG2), THROUGH_THREE),
    Change("the last group is removed", groups("PG1", "PG3"), THROUGH_THREE, through(PG1, PG3)),
    Change("a group is exchanged", groups("PG1", "PG2"), through(PG1, PG3), THROUGH_ALL),
    Change("a group is put at the end", groups("PG1", "PG2", "PG3"), THROUGH_ALL, PG3_LAST),
    Change("the middle is removed", groups("PG1", "PG3"), PG3_LAST, through(PG1, PG3)),
    Change(
        "the order is reversed",
        groups("PG3", "PG1"),
        through(PG1, PG3),
        through(PG3, PG1),
        interrupts=True,
    ),
    Change("all groups are exchanged", groups("PG2"), through(PG3, PG1), through(PG2)),
    Change("all as it was", groups("PG1", "PG2"), through(PG2), THROUGH_ALL),
)  # fmt: skip


def wait_until_drained(workflow: Workflow) -> None:
    """Wait until no host has flows for the list of groups before the present one.

    An order that a host still has flows for makes the next change interrupt the chain.
    """

    def has_one_generation() -> bool:
        labels = {
            int(value, 16)
            for lines in workflow.flows().values()
            for line in lines
            for value in re.findall(r"\breg8=(0x[0-9a-f]+)", line)
        }
        own = {label for label in labels if label & 0xFFFF == workflow.pc1["chain_id"]}
        return len({label & ODD_GENERATION for label in own}) == 1

    wait_for(has_one_generation, DEADLINE, "no flows of the list of groups before")


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name.replace(" ", "-"))
def test_a_change_loses_nothing_and_nothing_bypasses_the_chain(
    workflow: Workflow, change: Change
) -> None:
    wait_until_drained(workflow)
    with Load(workflow, workflow.captures, PORT) as load:
        change.do(workflow)
        workflow.wait_status(workflow.pc1)
        load.wait_for_more(200)
    print(f"{change.name}: sent {load.sent}, lost {load.lost}, longest gap {load.gap:.3f} s")
    assert not load.misrouted(change.before | change.after)
    assert load.last() <= change.after
    if not change.interrupts:
        assert load.lost == 0


def test_a_classifier_comes_and_goes(workflow: Workflow) -> None:
    other = udp(workflow, OTHER_PORT)
    both = [workflow.datagrams["id"], other["id"]]
    with (
        Load(workflow, workflow.captures, PORT, rate=300) as steady,
        Load(workflow, workflow.captures, OTHER_PORT, rate=300) as load,
    ):
        for classifiers in (both, both[:1]):
            workflow.update("port_chain", workflow.pc1, flow_classifiers=classifiers)
            workflow.wait_status(workflow.pc1)
            load.wait_for_more()
    workflow.delete("flow_classifier", other)
    assert not steady.misrouted(CHAINED)
    assert not load.misrouted(CHAINED | DIRECT)
    assert set(load.arrived) & CHAINED, "the traffic visited the chain"
    assert load.last() == DIRECT, "and bypasses it afterwards"
    assert (steady.lost, load.lost) == (0, 0)


def test_a_chain_comes_and_goes(workflow: Workflow) -> None:
    other = udp(workflow, OTHER_PORT)
    with Load(workflow, workflow.captures, OTHER_PORT) as load:
        chain = workflow.chain(other, name="PC2")
        workflow.wait_status(chain)
        load.wait_for_more()
        workflow.delete("port_chain", chain)
        load.wait_for_more(200)
    workflow.delete("flow_classifier", other)
    assert not load.misrouted(CHAINED | DIRECT)
    assert set(load.arrived) & CHAINED
    assert load.last() == DIRECT
    assert load.lost == 0


def empty_groups(workflow: Workflow) -> None:
    for name in MEMBERS:
        workflow.update("port_pair_group", workflow.groups[name], port_pairs=[])


def fill_groups(workflow: Workflow) -> None:
    for name, members in MEMBERS.items():
        ids = [workflow.pairs[pair]["id"] for pair in members]
        workflow.update("port_pair_group", workflow.groups[name], port_pairs=ids)


def test_all_functions_are_removed_and_restored(workflow: Workflow) -> None:
    """The classifier names no source: the functions' network decides which traffic is dropped."""
    with Load(workflow, workflow.captures, PORT) as load:
        empty_groups(workflow)
        reason = workflow.wait_status(workflow.pc1, "DOWN")
        load.wait_for_sent()
        fill_groups(workflow)
        workflow.wait_status(workflow.pc1)
        load.wait_for_more(200)
    assert reason.count("it is empty") == len(MEMBERS)
    assert not load.misrouted(CHAINED)
    assert load.last() <= CHAINED
    assert load.lost >= 100 * FLOWS


def test_without_functions_requests_and_replies_are_dropped_wherever_the_source_is(
    workflow: Workflow,
) -> None:
    lab, vms = workflow.lab, workflow.vms
    classifier = udp(workflow, OTHER_PORT)
    chain = workflow.chain(classifier, name="PC2", chain_parameters={"symmetric": True})
    workflow.wait_status(chain)
    assert_both_directions_pass(workflow)
    empty_groups(workflow)
    workflow.wait_status(chain, "DOWN")
    assert paths_by_direction(workflow) == (set(), set())
    for host in ("h2", "h1"):
        vms["src"] = lab.vms.migrate(vms["src"], host)
        lab.vms.wait_active(vms.values())
        lab.vms.announce_addresses(vms["src"])
        workflow.warm_up(UNCHAINED)
        workflow.wait_status(chain, "DOWN")
        assert paths_by_direction(workflow) == (set(), set())
    fill_groups(workflow)
    for each in (chain, workflow.pc1):
        workflow.wait_status(each)
    assert_both_directions_pass(workflow)
    workflow.delete("port_chain", chain)
    workflow.delete("flow_classifier", classifier)


def assert_both_directions_pass(workflow: Workflow) -> None:
    there, back = paths_by_direction(workflow)
    assert there
    assert there <= CHAINED
    assert back
    assert back <= {path[::-1] for path in CHAINED}


def paths_by_direction(workflow: Workflow) -> tuple[set[Path], set[Path]]:
    """The paths of datagrams of PC2 that arrive, and of those in the other direction."""
    source, destination = workflow.vms["src"], workflow.vms["dst"]
    there, back = range(OTHER_PORT, OTHER_PORT + 2), range(OTHER_PORT + 2, OTHER_PORT + FLOWS)
    streams = [
        *(traffic.UdpStream(source, destination, port) for port in there),
        *(traffic.UdpStream(destination, source, port, source_port=port) for port in back),
    ]
    with workflow.captures(*workflow.vms.values()) as capture:
        for stream in streams:
            stream.start()
        for stream in streams:
            wait_for(lambda stream=stream: stream.result.sent >= 50, DEADLINE, "datagrams sent")
        traffic.stop_all(streams)
    return arrived(capture.frames, there, "dst"), arrived(capture.frames, back, "src")


def arrived(seen: Iterable[CapturedFrame], ports: range, end: str) -> set[Path]:
    return {path for path in paths(seen, ports).values() if path[-1] == end}


def test_a_function_moves_to_another_host(workflow: Workflow) -> None:
    """Datagrams for the function that moves may be lost; none bypasses the chain."""
    lab, vm = workflow.lab, workflow.vms["sf2"]
    with Load(workflow, workflow.captures, PORT) as load:
        workflow.vms["sf2"] = lab.vms.migrate(vm, "h1")
        workflow.wait_status(workflow.pc1)
        load.wait_for_more(200)
    print(f"sf2 moved: sent {load.sent}, lost {load.lost}, longest gap {load.gap:.3f} s")
    workflow.vms["sf2"] = lab.vms.migrate(workflow.vms["sf2"], "h2")
    workflow.wait_status(workflow.pc1)
    assert not load.misrouted(CHAINED)
