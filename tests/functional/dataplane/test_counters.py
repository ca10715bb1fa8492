"""What hosts count is what was sent, over changes of plans, restarts of agents, and repairs."""

from collections import Counter as Tally
from collections.abc import Iterator
from dataclasses import replace

import pytest

from portchain.core.availability import Availability
from portchain.core.counters import Count, CounterKind, DropReason
from portchain.dataplane.flow import COOKIE, Bridge
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.plan import ChainPlan, Target
from portchain.dataplane.planning.planner import Planned
from portchain.rpc import contract
from tests.functional.dataplane.world import TCP, UDP, Header, World
from tests.functional.vswitch import running_vswitch
from tests.plans import after, chain, classifier, ident, source, target

PLACES = {"a": "h1", "b": "h2", "c": "h3", "d": "h2"}
A, B, C, D = (target(name, host) for name, host in PLACES.items())
FIRST, SECOND = (
    classifier(source_ports=None, id=ident("first")),
    classifier(source_ports=None, destination_ports=(200, 200), id=ident("second")),
)
SIZE = len(Header("10.0.0.10", "10.0.0.20", TCP, 1, 100).packet(1, *["00:00:00:00:00:01"] * 2))


@pytest.fixture(scope="module", params=list(Firewall))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with running_vswitch() as vswitch:
        yield World(vswitch, ["vm", "dst"], PLACES, request.param)


class Oracle:
    """Sends probes, and knows from what left the ports what hosts must have counted."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.expected: Tally[tuple[str, str]] = Tally()
        self._port = 1000

    def send(self, count: int, destination_port: int = 100, *, opens: bool = False) -> None:
        """Send packets; ``opens``: those that open connections."""
        probes = []
        for _ in range(count):
            self._port += 1
            header = Header(
                "10.0.0.10", "10.0.0.20", TCP, self._port, destination_port, opens=opens
            )
            probes.append(("vm", header, "dst"))
        chosen = FIRST if destination_port == 100 else SECOND
        self.expected["classified", chosen.id] += count
        for trail in self._world.send(probes):
            for port in trail:
                name, _, side = port.partition("-")
                if side == "in":
                    self.expected["in", ident(name)] += 1
                    self.expected["out", ident(name)] += 1  # all functions forward

    def counted(self, chain_name: str = "pc1") -> dict[tuple[str, str], Count]:
        """Return the sums over all hosts."""
        self._world.vswitch.appctl("revalidator/purge")
        found: dict[tuple[str, str], Count] = {}
        for agent in self._world.agents.values():
            for counter, count in agent.reconciler.counts_of([ident(chain_name)]).items():
                if counter.kind == CounterKind.LEARNED:
                    continue  # not of packets
                assert (counter.chain_id, counter.reverse) == (ident(chain_name), False)
                key = counter.kind, counter.subject
                found[key] = found.get(key, Count()).plus(count)
        return {key: count for key, count in found.items() if count.packets}

    def check(self) -> None:
        expected = {key: Count(n, n * SIZE) for key, n in self.expected.items() if n}
        assert self.counted() == expected


def steered(*hops: list, revision: int, generation: int = 0, both: bool = False) -> ChainPlan:
    classifiers = (FIRST, SECOND) if both else (FIRST,)
    sources = tuple(source("vm", "h1", "10.0.0.10", number=n) for n in range(len(classifiers)))
    plan = chain(*hops, revision=revision, classifiers=classifiers, sources=sources)
    odd = 0x80000 if generation % 2 else 0
    return replace(plan, generation=generation, path_id=plan.path_id | odd)


def start(world: World) -> Oracle:
    world.reset()
    world.place({"vm": "h1", "dst": "h2"})
    for name, host in PLACES.items():
        world.plug(host, f"{name}-in", f"{name}-out")
    return Oracle(world)


def change(world: World, plan: ChainPlan) -> None:
    world.notify([Planned(plan, Availability())])
    world.finish_transitions()


def test_counts_are_exact_over_changes_restarts_and_repairs(world: World) -> None:
    oracle = start(world)
    first = steered([A, B], [C, D], revision=1)
    change(world, first)
    oracle.send(40)
    oracle.check()
    weighted = after(steered([replace(A, weight=3), B], [C, D], revision=2), first)
    change(world, weighted)
    oracle.send(40)
    # Pair B leaves. What it has counted stays.
    change(world, after(steered([A], [C, D], revision=3), first, weighted))
    oracle.send(20)
    oracle.check()
    # Another order and another list: all positions are other ones.
    change(world, steered([C, D], [A], revision=4, generation=1))
    oracle.send(20)
    oracle.check()
    change(world, steered([C, D], [A], revision=5, generation=1, both=True))
    oracle.send(15, destination_port=200)
    oracle.send(15)
    oracle.check()
    for host, agent in world.agents.items():
        agent.restart()
        assert world.synchronise(host) is False
    oracle.check()
    oracle.send(10)
    oracle.check()
    # Flows that others delete, as a restart of the switch does, begin at 0 when they are back.
    for agent in world.agents.values():
        agent.host.ofctl(Bridge.INT, "del-flows", f"cookie={COOKIE:#x}/-1")
        assert agent.reconciler.reconcile() is True
    oracle.check()
    oracle.send(30)
    oracle.check()


def test_counts_are_kept_if_the_switch_lost_its_flows_while_the_agent_was_down(
    world: World,
) -> None:
    oracle = start(world)
    change(world, steered([A], [C], revision=1))
    oracle.send(20)
    oracle.check()
    for host, agent in world.agents.items():
        agent.host.ofctl(Bridge.INT, "del-flows", f"cookie={COOKIE:#x}/-1")
        agent.restart()
        world.synchronise(host)
    oracle.send(30)
    oracle.check()


@pytest.mark.parametrize("is_read", [True, False])
def test_counts_of_flows_that_were_outdated_at_a_start_are_kept(
    world: World, is_read: bool
) -> None:
    """Whether or not somebody has asked for them before the agent stopped."""
    oracle = start(world)
    change(world, steered([A], [C], revision=1))
    oracle.send(20)
    world.vswitch.appctl("revalidator/purge")
    if is_read:
        oracle.check()
    for agent in world.agents.values():
        agent.restart()
    planned = Planned(steered([C], [D], revision=2, generation=1), Availability())
    world.notify([planned], lost_on="")
    for host in world.agents:
        world.synchronise(host)
    world.finish_transitions()
    oracle.send(20)
    oracle.check()


def test_a_deleted_chain_is_forgotten_and_passes_nothing_on(world: World) -> None:
    oracle = start(world)
    change(world, steered([A], [C], revision=1))
    oracle.send(20)
    oracle.check()
    world.notify_deleted(ident("pc1"))
    world.finish_transitions()
    other = replace(steered([A], [C], revision=1), id=ident("pc2"), path_id=2)
    change(world, other)
    assert oracle.counted() == oracle.counted("pc2") == {}
    oracle.expected.clear()
    oracle.send(5)
    assert oracle.counted("pc2")["in", A.pair_id] == Count(5, 5 * SIZE)
    for agent in world.agents.values():
        assert agent.counts.chain_ids() <= {ident("pc2")}


def test_a_chain_counts_while_the_one_before_it_drains(world: World) -> None:
    """Their return flows at the last function are the same flows."""
    oracle = start(world)
    change(world, steered([A], [C], revision=1))
    oracle.send(20)
    oracle.check()
    world.notify_deleted(ident("pc1"))
    other = replace(steered([A], [C], revision=1), id=ident("pc2"), path_id=2)
    world.notify([Planned(other, Availability())])
    for host in world.agents:
        switch = contract.PlanUpdate(switch=((ident("pc2"), 1),))
        world.agents[host].reconciler.update(switch)
    oracle.expected.clear()
    oracle.send(5)
    expected = {key: Count(n, n * SIZE) for key, n in oracle.expected.items()}
    assert oracle.counted("pc2") == expected
    world.finish_transitions()
    assert oracle.counted("pc2") == expected
    assert oracle.counted("pc1") == {}


def test_drops_are_counted_with_their_reason(world: World) -> None:
    oracle = start(world)
    change(world, steered([A], [], revision=1))
    oracle.send(7)
    key = CounterKind.DROPPED, DropReason.NO_FUNCTION
    assert oracle.counted()[key] == Count(7, 7 * SIZE)


def test_packets_of_others_count_for_nobody(world: World) -> None:
    oracle = start(world)
    change(world, steered([A], [C], revision=1))
    header = Header("10.0.0.10", "10.0.0.20", UDP, 5, 100)
    assert world.send([("vm", header, "dst")] * 5) == [("dst",)] * 5
    assert oracle.counted() == {}


@pytest.mark.parametrize("before", [[], [A, B], [A, D]], ids=["nobody", "same", "others"])
def test_packets_for_a_group_of_drained_pairs_count_as_dropped(
    world: World, before: list[Target]
) -> None:
    """New connections do, also while those of before still go to their pairs."""
    oracle = start(world)
    drained = [replace(one, weight=0) for one in (A, B)]
    first, plan = steered(before, [C], revision=1), steered(drained, [C], revision=2)
    if before:
        change(world, first)
        plan = after(plan, first)
    change(world, plan)
    oracle.send(30, opens=True)
    assert oracle.expected["in", C.pair_id] == 0
    oracle.expected["dropped", DropReason.NO_FUNCTION] += 30
    oracle.check()


def test_connections_that_stay_at_a_drained_pair_are_known(world: World) -> None:
    """Those at other pairs have not moved, and need no memory. A pair that leaves has none."""

    def learned() -> dict[str, int]:
        return {
            counter.subject: count.packets
            for agent in world.agents.values()
            for counter, count in agent.reconciler.counts_of().items()
            if counter.kind == CounterKind.LEARNED
        }

    def send(*, opens: bool) -> int:
        """Return how many packets have visited pair A."""
        trails = world.send(("vm", replace(one, opens=opens), "dst") for one in headers)
        return sum("a-in" in trail for trail in trails)

    start(world)
    headers = [Header("10.0.0.10", "10.0.0.20", TCP, 3000 + n, 100) for n in range(30)]
    first = steered([A, B], [C], revision=1)
    change(world, first)
    at_a = send(opens=True)
    assert 0 < at_a < len(headers)
    assert learned() == {}
    drained = after(steered([replace(A, weight=0), B], [C], revision=2), first)
    change(world, drained)
    assert send(opens=False) == at_a
    assert learned() == {A.pair_id: at_a}
    change(world, after(steered([B], [C], revision=3), first, drained))
    assert learned() == {}
