"""Packets while hosts hear one after the other of a failed function, and the server plans."""

from collections.abc import Collection, Iterator
from dataclasses import replace

import pytest

from portchain.core.model import (
    ChainSnapshot,
    FailureMode,
    FlowClassifier,
    HealthCheck,
    PairHealth,
    Port,
    PortChain,
    PortPair,
    PortPairGroup,
)
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.plan import EarlierPairs
from portchain.dataplane.planning.planner import plan_chain
from tests.functional.dataplane.world import TCP, UDP, Header, World
from tests.functional.vswitch import running_vswitch
from tests.plans import HOSTS, TUNNEL_IPS, ident, mac

PLACES = {"a": "h1", "b": "h2", "c": "h3", "d": "h2"}
ENDS = {"vm": ("h1", "10.0.0.10"), "dst": ("h3", "10.0.0.20")}
THERE = [
    Header("10.0.0.10", "10.0.0.20", protocol, number, 100)
    for protocol in (TCP, UDP)
    for number in range(1000, 1024)
]
PROBES = [("vm", header, "dst") for header in THERE] + [("dst", one.reply, "vm") for one in THERE]

LOST = "lost"


@pytest.fixture(scope="module")
def switched() -> Iterator[World]:
    with running_vswitch() as vswitch:
        yield World(vswitch, ENDS, PLACES, Firewall.OPENVSWITCH)


@pytest.fixture
def world(switched: World) -> World:
    switched.reset()
    switched.place({name: host for name, (host, _) in ENDS.items()})
    for name, host in PLACES.items():
        switched.plug(host, f"{name}-in", f"{name}-out")
    return switched


class Server:
    """Plans a symmetric chain through a group that is checked, and through function d.

    :param group: the first one.
    """

    def __init__(self, world: World, group: PortPairGroup) -> None:
        self.world, self.group, self.revision = world, group, 0
        self.sets: list[dict[str, int]] = []

    def plan(self, failed: Collection[str] = ()) -> None:
        self.revision += 1
        last = PortPairGroup(ident("last"), ident("project"), 2, (pair("d"),))
        classifier = FlowClassifier(ident("fc"), ident("project"))
        chain = PortChain(
            *(ident("pc"), ident("project"), 1, (self.group, last), (classifier,)),
            symmetric=True,
            revision=self.revision,
        )
        snapshot = ChainSnapshot(
            chain,
            {one.id: one for one in ports()},
            {classifier.id: (ident("vm"),)},
            {classifier.id: (ident("dst"),)},
            failed={ident(name): "no answer" for name in failed},
        )
        earlier = tuple(EarlierPairs(tuple(one.items()), new_flows=True) for one in self.sets)
        planned = plan_chain(snapshot, TUNNEL_IPS, {self.group.id: earlier})
        targets = planned.plan.paths[0].hops[0].targets
        self.sets.append({target.pair_id: target.weight for target in targets})
        self.world.notify([planned])
        self.world.finish_transitions()


def ports() -> Iterator[Port]:
    functions = {
        f"{name}-{side}": (host, f"10.0.1.{2 * number + (side == 'in')}")
        for number, (name, host) in enumerate(PLACES.items(), 1)
        for side in ("in", "out")
    }
    for name, (host, address) in (ENDS | functions).items():
        yield Port(
            *(ident(name), ident("net"), ident("project"), mac(name), (address,), host),
            plugged=True,
            name=name,
        )


def pair(name: str, *, backup: bool = False) -> PortPair:
    ends = ident(f"{name}-in"), ident(f"{name}-out")
    return PortPair(ident(name), ident("project"), *ends, backup=backup)


def group(*names: str, backups: str = "", opens: bool = False) -> PortPairGroup:
    return PortPairGroup(
        *(ident("pg"), ident("project"), 1),
        tuple(pair(name, backup=name in backups) for name in names),
        health_check=HealthCheck.ICMP,
        failure_mode=FailureMode.OPEN if opens else FailureMode.CLOSED,
    )


def say(world: World, listener: str, name: str, *, is_up: bool = False) -> None:
    heard = PairHealth(ident(name), is_up)
    world.agents[listener].reconciler.note_health(PLACES[name], [heard])


def visits(world: World) -> list[str]:
    """Return which function of the first group each packet visited, and check its way.

    :returns: the function's name; empty for none, and ``LOST`` for packets that did not arrive.
    """
    visited = []
    for (_, _, receiver), trail in zip(PROBES, world.send(PROBES), strict=True):
        *functions, end = [name.partition("-")[0] for name in trail] or [""]
        if end != receiver:
            visited.append(LOST)
            continue
        assert "d" in functions, trail
        functions.remove("d")
        assert len(functions) <= 1, trail
        visited.append("".join(functions))
    return visited


def test_flows_of_a_failed_function_go_to_others_and_stay_there(world: World) -> None:
    server = Server(world, group("a", "b", "c"))
    server.plan()
    before = visits(world)
    assert set(before) == {"a", "b", "c"}
    for host in HOSTS:
        say(world, host, "a")
        for was, now in zip(before, visits(world), strict=True):
            # Hosts that have not heard go on sending to the dead one, if it is on another host.
            assert now == was if was != "a" else now in ("a", "b", "c", LOST)
    left_out = visits(world)
    assert set(left_out) == {"b", "c"}
    server.plan(failed=["a"])
    assert visits(world) == left_out
    for host in HOSTS:
        say(world, host, "a", is_up=True)
        assert visits(world) == left_out
    server.plan()
    assert visits(world) == left_out  # established connections; datagrams for some time


def test_functions_that_recover_before_the_server_has_heard_are_back(world: World) -> None:
    Server(world, group("a", "b", "c")).plan()
    before = visits(world)
    for is_up in (False, True):
        for host in HOSTS:
            say(world, host, "b", is_up=is_up)
    assert "b" not in visits(world)
    world.finish_transitions()
    assert visits(world) == before


def test_flows_stay_if_a_function_is_back_before_the_server_has_planned_without_it(
    world: World,
) -> None:
    server = Server(world, group("a", "b", "c"))
    server.plan()
    for is_up in (False, True):
        for host in HOSTS:
            say(world, host, "a", is_up=is_up)
    left_out = visits(world)
    assert set(left_out) == {"b", "c"}
    for failed in (["a"], []):
        server.plan(failed)
        assert visits(world) == left_out


@pytest.mark.parametrize(
    ("checked", "then"),
    [
        (group("a", "c", backups="c"), {"c"}),
        (group("a", opens=True), {""}),
        (replace(group("a", "b", "c", opens=True), min_healthy=3), {""}),
    ],
    ids=["a backup steps in", "packets pass", "packets pass if too few are left"],
)
def test_hosts_do_at_once_what_the_server_will(
    world: World, checked: PortPairGroup, then: set[str]
) -> None:
    server = Server(world, checked)
    server.plan()
    before = visits(world)
    for host in HOSTS:
        say(world, host, "a")
        assert set(visits(world)) <= {*before, *then, LOST}
    assert set(visits(world)) == then
    server.plan(failed=["a"])
    assert set(visits(world)) == then


def test_a_group_without_functions_drops(world: World) -> None:
    server = Server(world, group("a"))
    server.plan()
    for host in HOSTS:
        say(world, host, "a")
    assert set(visits(world)) == {LOST}
    server.plan(failed=["a"])
    assert set(visits(world)) == {LOST}
