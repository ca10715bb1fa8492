"""From plan to plan: what hosts wait for, and packets that cross the network while its hosts are anywhere in a change."""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portchain.dataplane import balance, transition
from portchain.dataplane.compile import compile_chain, compile_frame_guard
from portchain.dataplane.pipeline import ODD_GENERATION
from portchain.dataplane.plan import ChainPlan, Hop, Path
from portchain.dataplane.transition import (
    ABSENT,
    ChainTransition,
    Phase,
    TransitionTimeouts,
    compile_transition,
)
from tests.plans import HOSTS, chain, classifier, ident, source, switch, target
from tests.simulated_network import Host, Packet, move

PATIENCE = TransitionTimeouts(switch=5, drain=1)
DEAL = balance.assign_slots
A, B, C = target("a", "h1"), target("b", "h2"), target("c", "h3")


def accept(now, plan, host, prepare=True, time=0.0):
    return transition.accept(now, plan, host, prepare=prepare, time=time, timeouts=PATIENCE)


def settled(plan):
    return ChainTransition(plan)


# --- What has to wait.

OTHER = classifier(destination_ports=(200, 200))
VM = source("vm", "h1", "10.0.0.10")
OLD = chain([A, B], [C])
CASES = [
    ("new chain", None, chain([B]), "h1", Phase.PREPARED),
    ("new chain, host that only hands back to Neutron", None, chain([B]), "h2", Phase.SWITCHED),
    ("new chain on one host", None, chain([A]), "h1", Phase.SWITCHED),
    ("pair goes", OLD, chain([A], [C]), "h1", Phase.SWITCHED),
    ("pair comes", chain([A], [C]), OLD, "h1", Phase.PREPARED),
    ("weights", OLD, chain([replace(A, weight=3), B], [C]), "h1", Phase.SWITCHED),
    ("classifier comes", OLD, chain([A, B], [C], classifiers=(classifier(), OTHER)), "h1", Phase.PREPARED),
    ("classifier goes", chain([A, B], [C], classifiers=(classifier(), OTHER)), OLD, "h1", Phase.SWITCHED),
    ("source comes", OLD, chain([A, B], [C], sources=(VM, source("vm2"))), "h1", Phase.PREPARED),
    ("source goes", chain([A, B], [C], sources=(VM, source("vm2"))), OLD, "h1", Phase.SWITCHED),
    ("pair moves", OLD, chain([A, replace(B, host="h3")], [C]), "h1", Phase.PREPARED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "plan", "host", "phase"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_only_what_others_must_know_first_waits(before, plan, host, phase):
    then = accept(settled(before), replace(plan, revision=2), host)
    assert then.phase is phase
    assert (
        accept(settled(before), replace(plan, revision=2), host, prepare=False).phase
        is Phase.SWITCHED
    )


def test_a_host_that_hears_nothing_goes_on_by_itself():
    then = accept(settled(chain([A], [C])), replace(OLD, revision=2), "h1")
    assert transition.advance(then, PATIENCE.switch - 0.1, PATIENCE) == then
    then = transition.advance(then, PATIENCE.switch, PATIENCE)
    assert (then.phase, then.previous) == (Phase.SWITCHED, None)
    assert [past.plan for past in then.draining] == [chain([A], [C])]
    end = then.next_deadline
    assert transition.advance(then, end, PATIENCE) == settled(replace(OLD, revision=2))


def test_order_is_turned_with_a_gap():
    turned = replace(chain([A], [C]), path_id=1 | ODD_GENERATION, revision=2)
    (path,) = turned.paths
    turned = replace(turned, paths=(replace(path, hops=tuple(reversed(path.hops))),))
    then = accept(settled(chain([A], [C])), turned, "h3")
    assert then.phase is Phase.PREPARED, "though it sends to Neutron only"
    then = transition.switch(then, 1, PATIENCE)
    assert (then.phase, then.deadline) == (Phase.CLOSED, 1 + PATIENCE.drain)
    then = transition.advance(then, 2, PATIENCE)
    assert then == settled(turned), "nothing of before is under way"


def test_a_deleted_chain_lets_out_what_has_entered_and_takes_in_nothing():
    local = switch("h1", "vm", "a-in", "a-out")
    gone = transition.withdraw(settled(OLD), 0, PATIENCE)
    standing = compile_transition(gone, local)
    assert standing.flows == frozenset()
    assert standing.draining == compile_chain(OLD, local).transit
    assert not standing.draining & compile_chain(OLD, local).classification
    assert transition.advance(gone, gone.next_deadline, PATIENCE) == ABSENT


VM2 = source("vm2", "h1", "10.0.0.11")


def waiting(before, plan):
    """The rules of h1 by a plan that it is prepared for, with ``vm`` and ``vm2`` plugged in."""
    local = switch("h1", "vm", "vm2", "a-in", "a-out")
    now = accept(settled(before), replace(plan, revision=2), "h1")
    assert now.phase is Phase.PREPARED
    standing = compile_transition(now, local)
    return standing.flows | standing.bypass_guard, local


def entrance(plan, local):
    return compile_chain(plan, local).classification


def test_a_source_that_comes_to_a_chain_does_not_go_around_until_the_switch():
    flows, local = waiting(OLD, chain([A, B], [C], sources=(VM, VM2)))
    come = entrance(chain([A, B], [C], sources=(VM2,)), local)
    assert come
    assert {replace(flow, actions="drop") for flow in come} < flows
    assert entrance(OLD, local) < flows


def test_a_source_that_moves_to_a_host_that_had_no_part_in_the_chain_does_not_go_around():
    flows, local = waiting(None, chain([B], [C], sources=(VM,)))
    assert {flow for flow in flows if flow.key in {one.key for one in entrance(OLD, local)}} == {
        replace(flow, actions="drop") for flow in entrance(OLD, local)
    }


def test_where_the_order_is_turned_newcomers_are_held_back_too():
    (path,) = chain([A, B], [C], sources=(VM, VM2)).paths
    path = replace(path, hops=tuple(reversed(path.hops)))
    turned = ChainPlan(OLD.id, 1 | ODD_GENERATION, 2, (path,))
    flows, local = waiting(OLD, turned)
    come = entrance(chain([A, B], [C], sources=(VM2,)), local)
    assert flows == compile_chain(OLD, local).flows | {replace(f, actions="drop") for f in come}


def test_what_a_classifier_takes_that_comes_goes_its_way_until_the_switch():
    sources = (VM, replace(VM, classifier=1), replace(VM2, classifier=1))
    flows, _ = waiting(OLD, chain([A, B], [C], classifiers=(classifier(), OTHER), sources=sources))
    assert not any(flow.actions == "drop" and "tp_dst=200" in flow.key.match for flow in flows)


# --- Packets while hosts change.

GROUPS = {
    1: (target("a1", "h1"), target("a2", "h2")),
    2: (target("b1", "h2"), target("b2", "h3")),
    3: (target("c1", "h3"),),
    4: (target("d1", "h1"), target("d2", "h1")),
}
NAMES = {ident(f"{letter}{n}"): f"{letter}{n}" for letter in "abcd" for n in (1, 2)}
PORTS = {
    host: [f"{NAMES[t.pair_id]}-{end}" for group in GROUPS.values() for t in group if t.host == host for end in ("in", "out")]
    for host in HOSTS
}  # fmt: skip
PORTS["h1"] = ["vm", *PORTS["h1"]]


@st.composite
def plans(draw, revision=1, generation=0, groups=None):
    order = groups or draw(st.permutations(list(GROUPS)))[: draw(st.integers(1, 4))]
    hops = []
    for number in order:
        pairs = GROUPS[number]
        some = draw(st.sets(st.sampled_from(range(len(pairs))), min_size=1))
        hops.append(Hop(number, tuple(pairs[i] for i in sorted(some))))
    paths = (Path((classifier(),), (source("vm", "h1", "10.0.0.10"),), tuple(hops)),)
    odd = ODD_GENERATION if generation % 2 else 0
    return ChainPlan(ident("pc1"), 1 | odd, revision, paths)


def order_of(plan):
    return [hop.group_id for hop in plan.paths[0].hops]


@st.composite
def histories(draw, length):
    """Plans of a chain, one after the other."""
    made = [draw(plans())]
    generation = 0
    while len(made) < length:
        same = draw(st.booleans())
        groups = order_of(made[-1]) if same else None
        plan = draw(plans(revision=len(made) + 1, groups=groups))
        generation += order_of(plan) != order_of(made[-1])
        odd = ODD_GENERATION if generation % 2 else 0
        made.append(replace(plan, path_id=1 | odd))
    return made


def walks(plan: ChainPlan) -> set[tuple[str, ...]]:
    """What packets of a plan may visit: any pair of each group, since the sets of pairs of two plans may mix."""
    groups = (GROUPS[number] for number in order_of(plan))
    return set(product(*([NAMES[pair.pair_id] for pair in group] for group in groups)))


def contains(visited: Iterable[str], walk: Iterable[str]) -> bool:
    rest = iter(visited)
    return all(function in rest for function in walk)


@pytest.fixture(scope="module", autouse=True)
def dealt():
    """Deal slots once for each set of pairs: the rules are compiled thousands of times here."""
    deal = lru_cache(lambda weights: DEAL(dict(weights)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(balance, "assign_slots", lambda weights: deal(tuple(weights.items())))
        yield


class World:
    """Hosts with their switches, a server that says when to switch, and packets, in an order that ``random`` draws."""

    def __init__(self, random: Random, first: ChainPlan | None) -> None:
        self.random, self.time = random, 0.0
        self.hosts = {}
        for name in HOSTS:
            local = switch(name, *PORTS[name])
            self.hosts[name] = Host(local, {port: local.ports[ident(port)].ofport for port in PORTS[name]})  # fmt: skip
        takes_part = {name: first if first and name in first.hosts else None for name in HOSTS}
        self.steering = {name: ChainTransition(plan) for name, plan in takes_part.items()}
        self.latest = first
        self.inbox: list[tuple[str, str, ChainPlan, float]] = []
        self.told_to_switch: set[int] = {first.revision} if first else set()
        self.packets: list[Packet] = []
        for name in HOSTS:
            self._install(name)

    def _install(self, name: str) -> None:
        here = self.hosts[name]
        standing = compile_transition(self.steering[name], here.local)
        rules = standing.all_flows
        here.hold(rules | compile_frame_guard(here.local))

    def tell(self, plan: ChainPlan) -> None:
        """Send a plan to the hosts."""
        before = self.latest.hosts if self.latest else frozenset()
        self._post("prepare", sorted(plan.hosts), plan)
        self._post("remove", sorted(before - plan.hosts), plan)
        self.latest = plan

    def _post(self, kind: str, hosts: Iterable[str], plan: ChainPlan) -> None:
        self.inbox += [(kind, host, plan, self.time) for host in hosts]

    def _receive(self, host: str) -> None:
        # Messages to one host keep their order, or are passed over for being old.
        message = next(m for m in self.inbox if m[1] == host)
        self.inbox.remove(message)
        kind, _, plan, _ = message
        now = self.steering[host]
        if kind == "prepare":
            now = accept(now, plan, host, time=self.time)
        elif kind == "remove":
            now = transition.withdraw(now, self.time, PATIENCE)
        elif now.plan is plan:
            now = transition.switch(now, self.time, PATIENCE)
        self.steering[host] = now
        self._install(host)
        self._tell_to_switch()

    def _tell_to_switch(self) -> None:
        plan = self.latest
        there = all(self.steering[host].plan is plan for host in plan.hosts)
        if there and plan.revision not in self.told_to_switch:
            self.told_to_switch.add(plan.revision)
            self._post("switch", sorted(plan.hosts), plan)

    def send(self) -> None:
        self.packets.append(Packet(self.random.randrange(1000), classifier(), since=self.time))

    def step(self) -> None:
        under_way = [packet for packet in self.packets if packet.is_under_way]
        match self.random.choice(["message", "packet", "packet", "send", "time"]):
            case "message" if self.inbox:
                self._receive(self.random.choice([message[1] for message in self.inbox]))
            case "packet" if under_way:
                move(self.random.choice(under_way), self.hosts)
            case "send":
                self.send()
            case "time":
                self._let_pass(0.4)

    def _let_pass(self, seconds: float) -> None:
        # No message takes as long as hosts wait, and no packet longer on its way than the drain time says.
        while self.inbox and self.time + seconds - self.inbox[0][3] > PATIENCE.switch / 3:
            self._receive(self.inbox[0][1])
        for packet in self.packets:
            while packet.is_under_way and self.time + seconds - packet.since >= PATIENCE.drain:
                move(packet, self.hosts)
        self.time += seconds
        for host, now in self.steering.items():
            then = transition.advance(now, self.time, PATIENCE)
            if then is not now:
                self.steering[host] = then
                self._install(host)

    def settle(self) -> None:
        """Let everything come to its end."""
        while self.inbox:
            self._receive(self.inbox[0][1])
        for _ in range(40):
            self._let_pass(0.5)
        for packet in self.packets:
            while packet.is_under_way:
                move(packet, self.hosts)


def ends(world: World) -> dict[tuple, list[Packet]]:
    found: dict[tuple, list[Packet]] = {}
    for packet in world.packets:
        found.setdefault(packet.place[:1], []).append(packet)
    return found


@settings(max_examples=60, deadline=None)
@given(histories(2), st.randoms(use_true_random=False))
def test_every_packet_goes_all_of_one_way(history, random):
    old, new = history
    world = World(random, old)
    world.tell(new)
    for _ in range(80):
        world.step()
    world.settle()
    world.send()
    world.settle()
    found = ends(world)
    assert not {("direct",), ("looped",)} & found.keys()
    for packet in found.get(("delivered",), ()):
        assert tuple(packet.visited) in walks(old) | walks(new)
    gap = transition._is_ambiguous(ChainTransition(new, previous=old))
    assert gap or ("dropped",) not in found, [packet.place for packet in found[("dropped",)]]
    assert tuple(world.packets[-1].visited) in walks(new)
    for host, now in world.steering.items():
        local = world.hosts[host].local
        assert compile_transition(now, local).flows == compile_chain(new, local).flows
        assert compile_transition(now, local).draining == frozenset()


@settings(max_examples=40, deadline=None)
@given(plans(), st.randoms(use_true_random=False))
def test_a_new_chain_takes_packets_all_the_way_or_not_at_all(plan, random):
    world = World(random, None)
    world.tell(plan)
    for _ in range(60):
        world.step()
    world.settle()
    found = ends(world)
    assert ("dropped",) not in found, [packet.place for packet in found[("dropped",)]]
    assert all(packet.visited == [] for packet in found.get(("direct",), ()))
    assert all(tuple(packet.visited) in walks(plan) for packet in found.get(("delivered",), ()))


@settings(max_examples=40, deadline=None)
@given(histories(4), st.randoms(use_true_random=False))
def test_changes_in_quick_succession_let_nothing_around(history, random):
    world = World(random, history[0])
    for plan in history[1:]:
        world.tell(plan)
        for _ in range(25):
            world.step()
    world.settle()
    found = ends(world)
    assert not {("direct",), ("looped",)} & found.keys()
    for packet in found.get(("delivered",), ()):
        assert any(contains(packet.visited, walk) for plan in history for walk in walks(plan)), packet.visited  # fmt: skip
