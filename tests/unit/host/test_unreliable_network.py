"""No packet bypasses a group or meets groups in a mixed order, whatever happens to messages.

The agents' own code runs on three simulated hosts. An adversary chooses what happens next: messages
are delayed, lost, repeated and reordered; agents restart; switches do not answer, or forward for a
while by flows that they no longer have; packets take any time up to ``drain_time``. The server's
part is played by its messages: whatever order a server or several of its workers send them in, an
agent sees some sequence of them.
"""

from collections.abc import Iterator
from itertools import product
from random import Random

import pytest

from portchain.dataplane.pipeline import ODD_GENERATION
from portchain.dataplane.plan import ChainPlan, Hop, Path
from portchain.host.reconciler import Reconciler
from portchain.rpc.contract import PlanUpdate
from tests.full import FULL
from tests.plans import HOSTS, classifier, ident, source, switch, target
from tests.simulated_network import Host, Packet, move
from tests.unit.host.in_memory_switch import TIMEOUTS, Clock, MemorySwitch

SEEDS = (
    *range(3000 if FULL else 100),
    18588,  # an agent restarts while its host has no part in the chain, which then comes back
)
STEPS = 200
FAULTS = ("restart", "fail")
SETTLE = TIMEOUTS.settle
PAIRS = {
    name: target(name, host)
    for name, host in (("a", "h1"), ("b", "h2"), ("c", "h3"), ("d", "h2"), ("e", "h1"))
}
NAMES = {pair.pair_id: name for name, pair in PAIRS.items()}
PORTS = {
    host: [f"{name}-{end}" for name, pair in PAIRS.items() if pair.host == host
           for end in ("in", "out")]
    for host in HOSTS
}  # fmt: skip
PORTS["h1"].append("vm")

Groups = tuple[tuple[int, tuple[str, ...]], ...]
"""The groups of a chain: the number of each, and the names of its pairs."""


def plan_of(groups: Groups, revision: int, generation: int) -> ChainPlan:
    hops = tuple(Hop(number, tuple(PAIRS[name] for name in names)) for number, names in groups)
    path = Path((classifier(),), (source("vm", "h1", "10.0.0.10"),), hops)
    odd = ODD_GENERATION if generation % 2 else 0
    # The releases of hosts change, too.
    packet_hosts = tuple(host for number, host in enumerate(HOSTS) if revision >> number & 1)
    return ChainPlan(
        ident("pc1"), 1 | odd, revision, (path,), generation=generation, packet_hosts=packet_hosts
    )


class Agent:
    """An agent, the switch of its host, and the flows that the datapath still has cached."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name, self.clock = name, clock
        self.memory = MemorySwitch()
        self.memory.local = switch(name, *PORTS[name])
        ports = {port: self.memory.local.ports[ident(port)].ofport for port in PORTS[name]}
        self.host = Host(self.memory.local, ports)
        self.versions: list[tuple[float, dict]] = []  # (time of the change, flows until then)
        self.start()

    def start(self) -> None:
        self.reconciler = Reconciler(
            self.memory, self.name, lambda reports: None, TIMEOUTS, self.clock
        )

    def do(self, act) -> None:
        """Let the agent do something; its switch may fail."""
        before = dict(self.memory.flows)
        try:
            act()
        except RuntimeError:
            assert self.memory.is_down
        if self.memory.flows != before:
            self.versions.append((self.clock.now, before))

    def choose_flows(self, random: Random, packet: Packet) -> None:
        """Forward by the present flows, or by some that the datapath has cached.

        It caches what it did with a packet like this one. A function got none before there were
        flows for what it returns.
        """
        self.versions = [
            (end, flows) for end, flows in self.versions if end > self.clock.now - SETTLE
        ]
        cached = [flows for _, flows in self.versions]
        if packet.location[0] == "function":
            port = f"in_port={self.host.ports[packet.location[2] + '-out']}"
            cached = [flows for flows in cached if any(port in key.match for key in flows)]
        self.host.install(random.choice([self.memory.flows, self.memory.flows, *cached]).values())


class World:
    """Three agents, packets, and the messages under way."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = Clock()
        self.agents = {name: Agent(name, self.clock) for name in HOSTS}
        self.hosts = {name: agent.host for name, agent in self.agents.items()}
        self.history: list[tuple[Groups, ChainPlan]] = []
        self.generation = 0
        self.messages: list[tuple[str, object]] = []
        self.packets: list[Packet] = []
        self.log: list[str] = []
        self.change()
        self.messages.clear()
        for agent in self.agents.values():
            agent.do(lambda agent=agent: agent.reconciler.synchronise(self.answer({}, agent.name)))
            agent.versions.clear()

    # --- The server.

    @property
    def latest(self) -> ChainPlan:
        return self.history[-1][1]

    def change(self) -> None:
        """Make a new plan, and send it to the hosts."""
        before = self.history[-1] if self.history else None
        groups = self._next_groups(before[0] if before else ())
        if before and [number for number, _ in groups] != [number for number, _ in before[0]]:
            self.generation += 1
        plan = plan_of(groups, len(self.history) + 1, self.generation)
        self.history.append((groups, plan))
        self.log.append(f"change {plan.revision}: {groups} generation {self.generation}")
        for host in sorted(plan.hosts):
            self.send(host, PlanUpdate((plan,), prepare=frozenset({plan.id})))
        for host in sorted((before[1].hosts if before else frozenset()) - plan.hosts):
            self.send(host, PlanUpdate(removed=((plan.id, plan.revision),)))

    def _next_groups(self, before: Groups) -> Groups:
        """Reverse or shuffle the groups, go back to an earlier list, or change pairs."""
        kinds = ["any", "reverse", "reverse", "earlier", "pairs"] if before else ["any"]
        match self.random.choice(kinds):
            case "reverse" if len(before) > 1:
                return before[::-1]
            case "earlier" if len(self.history) > 2:
                return self.history[-2][0]
            case "pairs":
                pairs = self._deal([number for number, _ in before])
            case _:
                numbers = self.random.sample([1, 2, 3, 4], self.random.choice([1, 2, 2, 3, 3, 4]))
                pairs = self._deal(numbers)
        return pairs

    def _deal(self, numbers: list[int]) -> Groups:
        """Give each group some pairs; usually the same ones, so that few changes are ambiguous."""
        dealt = {1: "ad", 2: "b", 3: "c", 4: "e"}
        if self.random.random() < 0.15:
            one, other = self.random.sample([1, 2, 3, 4], 2)
            dealt[one], dealt[other] = dealt[other], dealt[one]
        chosen = {n: self.random.sample(dealt[n], self.random.randint(1, len(dealt[n])))
                  for n in numbers}  # fmt: skip
        return tuple((n, tuple(sorted(chosen[n]))) for n in numbers)

    def answer(self, known: dict[str, int], host: str) -> PlanUpdate:
        """Answer an agent that asks for the plans that it does not have."""
        plan = self.latest
        if host not in plan.hosts:
            return PlanUpdate(removed=tuple(known.items()))
        if known.get(plan.id) == plan.revision:
            return PlanUpdate()
        return PlanUpdate((plan,), prepare=frozenset({plan.id}))

    def send(self, host: str, update: PlanUpdate, known: dict[str, int] | None = None) -> None:
        self.messages.append((host, (update, known)))

    # --- What happens.

    def step(self) -> None:
        random = self.random
        agent = self.agents[random.choice(HOSTS)]
        match random.choice(
            ["packet"] * 10 + ["new packet"] * 5 + ["message"] * 6 + ["time"] * 3
            + ["change", "switch", "switch", "sync", "lose", *FAULTS]
        ):  # fmt: skip
            case "packet":
                self._move_one()
            case "new packet":
                self.packets.append(
                    Packet(random.randrange(1000), classifier(), since=self.clock.now)
                )
            case "message" if self.messages:
                self._deliver(random.randrange(len(self.messages)))
            case "lose" if self.messages:
                del self.messages[random.randrange(len(self.messages))]
            case "time":
                self.pass_time(random.choice([0.1, 0.3, 0.6, 1.1, 2.5]))
            case "change" if random.random() < 0.7:
                self.change()
            case "switch":
                for host in sorted(self.latest.hosts):
                    pair = (self.latest.id, self.latest.revision)
                    self.send(host, PlanUpdate(switch=(pair,)))
            case "sync":
                known = agent.reconciler.known_revisions
                self.send(agent.name, self.answer(known, agent.name), known)
            case "restart" if random.random() < 0.3:
                self.log.append(f"{self.clock.now:.1f} {agent.name} restarts")
                agent.start()
                self.messages = [one for one in self.messages if one[0] != agent.name]
                self.send(agent.name, self.answer({}, agent.name), {})
            case "fail" if random.random() < 0.5:
                agent.memory.is_down = not agent.memory.is_down
                self.log.append(f"{self.clock.now:.1f} {agent.name} down {agent.memory.is_down}")

    def _deliver(self, index: int) -> None:
        """Deliver a message, sometimes without removing it: it may come again."""
        host, (update, known) = self.messages[index]
        if self.random.random() < 0.9:
            del self.messages[index]
        agent = self.agents[host]
        self.log.append(
            f"{self.clock.now:.1f} {host} gets {[plan.revision for plan in update.chains]}"
            f" removed {[r for _, r in update.removed]} switch {[r for _, r in update.switch]}"
            f" {'sync' if known is not None else ''}"
        )
        if known is None:
            agent.do(lambda: agent.reconciler.update(update))
        else:
            agent.do(lambda: agent.reconciler.synchronise(update, known))

    def _move_one(self) -> None:
        if moving := [packet for packet in self.packets if packet.is_in_flight]:
            self.move(self.random.choice(moving))

    def move(self, packet: Packet) -> None:
        agent = self.agents[packet.location[1]]
        agent.choose_flows(self.random, packet)
        before = packet.location
        move(packet, self.hosts)
        self.log.append(
            f"{self.clock.now:.1f} packet {id(packet) % 9973} {before} -> {packet.location}"
        )
        if packet.location[0] == "direct" or packet.location[0] == "delivered":
            self.check(packet)

    def check(self, packet: Packet) -> None:
        assert tuple(packet.visited) in set(self.walks()), (packet.visited, packet.location)

    def walks(self) -> Iterator[tuple[str, ...]]:
        """All walks through the groups of one list; pairs of one group may come from any plan."""
        pairs: dict[int, set[str]] = {}
        for groups, _ in self.history:
            for number, names in groups:
                pairs.setdefault(number, set()).update(names)
        for groups, _ in self.history:
            yield from product(*(sorted(pairs[number]) for number, _ in groups))

    def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps. Packets are faster than the drain time, agents punctual
        or late."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now = min(end, self.clock.now + 0.1)
            for packet in self.packets:
                while packet.is_in_flight and self.clock.now - packet.since >= TIMEOUTS.drain:
                    self.move(packet)
            for agent in self.agents.values():
                if self.random.random() < 0.7:
                    self.work(agent)

    def work(self, agent: Agent) -> None:
        """What the agent's thread does without a message."""
        reconciler = agent.reconciler
        if reconciler.seconds_until_due == 0:
            agent.do(reconciler.advance_transitions)
        elif not reconciler.is_in_sync:
            agent.do(reconciler.reconcile)

    def settle(self) -> None:
        """Let all agents learn the latest plan, and all deadlines pass."""
        for agent in self.agents.values():
            agent.memory.is_down = False
            known = agent.reconciler.known_revisions
            agent.do(lambda agent=agent, known=known: agent.reconciler.synchronise(
                self.answer(known, agent.name), known))  # fmt: skip
        for _ in range(40):
            self.pass_time(1)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_packet_bypasses_a_group_or_meets_groups_in_a_mixed_order(seed):
    world = World(seed)
    try:
        for _ in range(STEPS):
            world.step()
        world.settle()
    except AssertionError:
        print(*world.log, sep="\n")
        raise
    last = Packet(world.random.randrange(1000), classifier(), since=world.clock.now)
    while last.is_in_flight:
        world.move(last)
    groups = dict(world.history[-1][0])
    assert last.location == ("delivered",)
    assert all(name in names for name, names in zip(last.visited, groups.values(), strict=True))
