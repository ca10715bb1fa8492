"""Plans that follow each other at once, while packets of earlier plans are in flight."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portchain.dataplane import transition
from portchain.dataplane.compile import compile_chain
from portchain.dataplane.pipeline import ODD_GENERATION, TABLES
from portchain.dataplane.plan import ChainPlan, Hop, Path
from portchain.dataplane.transition import ChainTransition, DrainingPlan, Phase
from portchain.dataplane.transition_flows import compile_transition
from tests.full import FULL
from tests.plans import HOSTS, TUNNEL_IPS, classifier, ident, source, switch
from tests.simulated_network import Packet, move
from tests.stateful import EXPLORE
from tests.unit.dataplane.test_transition import (
    GROUP_OF,
    GROUPS,
    NAMES,
    PORTS,
    TIMEOUTS,
    World,
    accept,
    order_of,
    packets_by_outcome,
    walks,
)

PAIRS = {NAMES[pair.pair_id]: pair for pairs in GROUPS.values() for pair in pairs}


def plan_of(revision: int, *places: str) -> ChainPlan:
    """A plan of one list of groups, each with one pair.

    :param places: names of pairs and their hosts, as ``a1@h1``.
    """
    hops = []
    for name, host in (place.split("@") for place in places):
        pair = replace(PAIRS[name], host=host, tunnel_ip=TUNNEL_IPS[host])
        hops.append(Hop(GROUP_OF[name], (pair,)))
    path = Path((classifier(),), (source("vm", "h1", "10.0.0.10"),), tuple(hops))
    return ChainPlan(ident("pc1"), 1, revision, (path,), generation=0)


def moves(*lists: str) -> tuple[ChainPlan, ...]:
    """Plans whose functions move between hosts; each is a text such as ``a1@h1 d1@h2``."""
    return tuple(plan_of(number, *text.split()) for number, text in enumerate(lists, 1))


def told(world: World, plan: ChainPlan, *hosts: str) -> None:
    """Send a plan to the hosts; only some of them receive it yet."""
    world.notify(plan)
    for host in hosts:
        world._receive(host)


def told_all(world: World, plan: ChainPlan) -> None:
    """Send a plan to the hosts, and have them switch."""
    world.notify(plan)
    while world.inbox:
        world._receive(world.inbox[0][1])
    assert {world.states[host].plan for host in plan.hosts} == {plan}
    assert {world.states[host].phase for host in plan.hosts} == {Phase.SWITCHED}


def packet_in(world: World, function: str) -> Packet:
    """Return a packet that a function has got."""
    packet = Packet(1, classifier())
    while packet.location[0] != "function" or packet.location[2] != function:
        move(packet, world.hosts)
    return packet


def arrive(world: World, packet: Packet) -> None:
    while packet.is_in_flight:
        move(packet, world.hosts)


AWAY_AND_BACK = {
    "found by hypothesis": (
        moves("b1@h2 c1@h3 a1@h1 d1@h1", "b1@h2 c1@h1 a1@h3 d1@h1", "b1@h2 c1@h3 a1@h1 d1@h2"),
        "c1",
        ("h1", "h3"),
    ),
    "smallest": (moves("a1@h1 d1@h1", "a1@h3 d1@h1", "a1@h1 d1@h2"), "a1", ("h1",)),
    "host withdraws": (moves("a1@h2 d1@h2", "a1@h3 d1@h3", "a1@h2 d1@h1"), "a1", ("h2",)),
}


@pytest.mark.parametrize(("plans", "function", "hosts"), AWAY_AND_BACK.values(), ids=AWAY_AND_BACK)
def test_no_packet_is_lost_if_its_function_moves_away_and_back(plans, function, hosts):
    """Not all hosts know yet where the next function moves to when it comes back."""
    first, second, third = plans
    world = World(Random(0), first)
    packet = packet_in(world, function)
    told_all(world, second)
    told(world, third, *hosts)
    arrive(world, packet)
    assert (packet.location, (*packet.visited,)) in {
        (("delivered",), walk) for walk in walks(first)
    }


def test_no_packet_is_lost_if_a_plan_is_replaced_before_all_hosts_know_it():
    """The host has been told of the third plan, and never switched to it. Others know neither."""
    first, second, third, fourth = moves("a1@h1 d1@h1", "a1@h3 d1@h1", "a1@h1 d1@h2", "a1@h1 d1@h3")
    world = World(Random(0), first)
    packet = packet_in(world, "a1")
    told_all(world, second)
    told(world, third, "h1")
    told(world, fourth, "h1")
    arrive(world, packet)
    assert (packet.location, packet.visited) == (("delivered",), ["a1", "d1"])


def test_no_packet_is_lost_if_its_next_function_moves_while_the_list_changes_twice():
    """Frames of the first and the third list have one label, and another TTL."""
    first, second, third = moves("d1@h1 c1@h2", "d2@h1 a1@h1 c1@h3", "d2@h1 c1@h3")
    second = replace(second, path_id=1 | ODD_GENERATION, generation=1)
    world = World(Random(0), first)
    packet = packet_in(world, "d1")
    told_all(world, second)
    told_all(world, replace(third, generation=2))
    arrive(world, packet)
    assert (packet.location, packet.visited) == (("delivered",), ["d1", "c1"])


def test_plans_that_a_host_never_switched_to_drain_after_those_that_it_did():
    plans = moves("a1@h1 d1@h2", "a1@h1 d1@h3", "a1@h3 d1@h3", "a1@h1 d1@h2", "a1@h2 d1@h3")
    state = ChainTransition(plans[0])
    state = transition.switch(accept(state, plans[1], "h1"), 0, TIMEOUTS)
    for plan in plans[2:]:
        state = accept(state, plan, "h1", time=1)
    assert (state.previous, state.plan) == (plans[1], plans[4])
    assert [old.plan for old in state.draining] == [plans[0], plans[2], plans[3]]
    state = transition.withdraw(state, 2, TIMEOUTS)
    assert [old.plan for old in state.draining] == [plans[n] for n in (1, 0, 2, 3, 4)]


FIRST, AWAY, BACK = moves("a1@h1 d1@h1", "a1@h3 d1@h1", "a1@h1 d1@h2")


def prepared_again(**drains: object) -> ChainTransition:
    draining = DrainingPlan(FIRST, **{"until": 6, "leads_until": 3, **drains})
    return ChainTransition(BACK, Phase.PREPARED, AWAY, (draining,))


def matching(plan: ChainPlan, **fields: object) -> ChainPlan:
    """The plan with another classifier."""
    (path,) = plan.paths
    return replace(plan, paths=(replace(path, classifiers=(classifier(**fields),)),))


@pytest.mark.parametrize(
    "fields", [{}, {"source_ports": (1, 60000), "destination_ports": (1, 60000)}], ids=str
)
def test_a_prepared_host_keeps_what_functions_return_in_the_chain_if_no_plan_can_drain(fields):
    """The flows of draining plans yield to those of other chains, and to limits."""
    local = switch("h1", *PORTS["h1"])
    first, away, back = (matching(plan, **fields) for plan in (FIRST, AWAY, BACK))
    back = replace(back, generation=2)  # functions return packets to other path positions
    state = ChainTransition(
        back, Phase.PREPARED, away, (DrainingPlan(first, until=6, leads_until=3),)
    )
    flows = compile_transition(state, local).flows
    table = TABLES["LOCAL_SWITCHING"].number
    returned = {f.key for f in compile_chain(first, local).forwarding if f.key.table == table}
    assert returned
    assert returned <= {flow.key for flow in flows}


def test_a_plan_by_which_hosts_may_deliver_no_more_does_not_precede_the_latest_one():
    local = switch("h1", *PORTS["h1"])
    state = prepared_again(leads_until=None)
    flows = compile_transition(state, local).flows
    assert flows == compile_transition(replace(state, draining=()), local).flows
    assert flows != compile_transition(prepared_again(), local).flows


def test_a_plan_that_drains_leads_for_half_of_the_time():
    half = (TIMEOUTS.switch + TIMEOUTS.drain) / 2
    state = transition.switch(ChainTransition(AWAY, Phase.PREPARED, FIRST), 2, TIMEOUTS)
    (old,) = state.draining
    assert (old.leads_until, old.until) == (2 + half, 2 + 2 * half)
    assert state.next_deadline == 2 + 2 * half, "it has nothing to precede"
    assert accept(state, BACK, "h1", time=2 + half).draining == (replace(old, leads_until=None),)
    state = accept(state, BACK, "h1", time=2.5)
    assert state.next_deadline == 2 + half
    assert transition.advance(state, 2 + half - 0.1, TIMEOUTS) == state
    state = transition.advance(state, 2 + half, TIMEOUTS)
    assert state.draining == (replace(old, leads_until=None),)
    assert state.next_deadline == 2.5 + TIMEOUTS.switch


@st.composite
def histories_of_moves(draw: st.DrawFn) -> list[ChainPlan]:
    """Plans of one list of groups: their functions change, and move between hosts."""
    groups = draw(st.lists(st.sampled_from(sorted(GROUPS)), min_size=1, max_size=3, unique=True))
    made = []
    for revision in range(1, draw(st.integers(3, 5)) + 1):
        hops = []
        for number in groups:
            chosen = draw(st.sets(st.sampled_from(GROUPS[number]), min_size=1))
            targets = []
            for pair in sorted(chosen, key=lambda pair: NAMES[pair.pair_id]):
                host = draw(st.sampled_from(HOSTS))
                targets.append(replace(pair, host=host, tunnel_ip=TUNNEL_IPS[host]))
            hops.append(Hop(number, tuple(targets)))
        path = Path((classifier(),), (source("vm", "h1", "10.0.0.10"),), tuple(hops))
        made.append(ChainPlan(ident("pc1"), 1, revision, (path,), generation=0))
    return made


@settings(max_examples=EXPLORE or (300 if FULL else 40), deadline=None, derandomize=not EXPLORE)
@given(histories_of_moves(), st.randoms(use_true_random=False), st.sampled_from([5, 15, 25, 50]))
def test_no_packet_is_lost_while_functions_move_between_hosts(history, random, steps):
    world = World(random, history[0])
    for plan in history[1:]:
        world.notify(plan)
        for _ in range(steps):
            world.step()
    world.finish()
    found = packets_by_outcome(world)
    assert found.keys() <= {("delivered",)}, found
    for packet in found.get(("delivered",), ()):
        assert [GROUP_OF[name] for name in packet.visited] == order_of(history[0])


# --- A host that does not answer.


def without_answer(world: World, plan: ChainPlan, silent: str) -> None:
    """Send a plan to the hosts, one of which never gets it."""
    world.notify(plan)
    world.inbox = [message for message in world.inbox if message[1] != silent]
    while world.inbox:
        world._receive(world.inbox[0][1])


def test_hosts_wait_no_longer_for_a_host_that_does_not_answer_if_changes_go_on():
    """Others have left the plan by which a host sends while it waits."""
    plans = moves("a1@h2 c1@h3", "a1@h1 c1@h3", "a2@h1 c1@h3", "a1@h1 c1@h3", "a2@h1 c1@h3")
    world = World(Random(0), plans[0])
    for plan in plans[1:]:
        without_answer(world, plan, silent="h3")
        for _ in range(8):
            world._pass_time(0.5)
        packet = Packet(1, classifier(), since=world.time)
        arrive(world, packet)
        assert packet.location == ("delivered",), world.time


def test_the_deadline_of_a_change_is_that_of_the_first_one_that_is_not_complete():
    plans = moves("a1@h1 d1@h2", "a1@h1 d1@h3", "a1@h3 d1@h3", "a1@h2 d1@h2")
    state = accept(ChainTransition(plans[0]), plans[1], "h1", time=1)
    assert accept(state, plans[2], "h1", time=3).deadline == 1 + TIMEOUTS.switch
    state = transition.switch(state, 2, TIMEOUTS)
    state = accept(state, plans[2], "h1", time=3)
    assert state.deadline == 3 + TIMEOUTS.switch
    closed = replace(state, phase=Phase.CLOSED, deadline=4)
    assert accept(closed, plans[3], "h1", time=3.5).deadline == 4
    assert accept(replace(closed, deadline=None), plans[3], "h1", time=3.5).deadline == 8.5
