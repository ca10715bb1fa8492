"""Random changes of chains, groups, pairs and ports on three hosts; packets check each of them.

The oracle knows nothing of flows or plans: it computes from the user's requests where a packet must
go. Each run makes the same changes; ``PORTCHAIN_EXPLORE=<examples>`` tries that many others.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from portchain.core.model import (
    ChainSnapshot,
    FlowClassifier,
    FunctionKind,
    Port,
    PortChain,
    PortPair,
    PortPairGroup,
)
from portchain.dataplane.balance import dispensable
from portchain.dataplane.flow import COOKIE, Bridge
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.plan import EarlierPairs
from portchain.dataplane.planning.planner import plan_chain
from tests.functional.dataplane.counted import Oracle
from tests.functional.dataplane.world import TCP, UDP, Header, World
from tests.functional.vswitch import running_vswitch
from tests.plans import HOSTS, TUNNEL_IPS, ident, mac
from tests.stateful import run_stateful

SOURCES, DESTINATION = ("vm1", "vm2"), "dst"
# Groups, and the kind of their functions.
GROUPS = {"A": FunctionKind.L3, "B": FunctionKind.L3, "C": FunctionKind.L2}
PAIRS = {"a1": "A", "a2": "A", "a3": "A", "b1": "B", "b2": "B", "c1": "C", "c2": "C"}
# A function that sends traffic of its own, with ports that no other classifier names.
SPEAKER, ITS_OWN = "b1-out", (200, 203)
ANY_PORTS = (0, 65535)
ADDRESSES = {
    name: f"10.0.{number // 100}.{number % 100}"
    for name, number in [
        ("vm1", 1),
        ("vm2", 2),
        ("dst", 9),
        *(
            (f"{pair}-{side}", 100 + 2 * n + out)
            for n, pair in enumerate(PAIRS)
            for out, side in enumerate(("in", "out"))
        ),
    ]
}
OWNERS = {address: name for name, address in ADDRESSES.items()}
ROUNDS_WITHOUT_A_READING = 3
UNTRACKED = 1999  # source port of packets whose learned flows the oracle ignores
HEADERS = [
    Header(ADDRESSES[source], ADDRESSES[DESTINATION], protocol, source_port, port)
    for source in (*SOURCES, SPEAKER)
    for protocol in (TCP, UDP)
    for port in ((200,) if source == SPEAKER else (100, 101, 107))
    for source_port in (1000, 1001, 1002)
]


@dataclass(frozen=True, slots=True)
class RequestedChain:
    """A chain as the user requested it.

    :param source: the logical source port; empty for all of ``SOURCES``.
    :param ports: first and last destination port.
    """

    name: str
    source: str
    protocol: int | None
    ports: tuple[int, int]
    groups: tuple[str, ...]
    symmetric: bool
    number: int
    revision: int = 1
    generation: int = 0

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,) if self.source else SOURCES

    def matches(self, header: Header) -> bool:
        return (
            OWNERS[header.source] in self.sources
            and self.protocol in (None, header.protocol)
            and self.ports[0] <= header.destination_port <= self.ports[1]
        )

    def collides(self, other: "RequestedChain") -> bool:
        """Whether a packet could match both, which the API rejects."""
        return (
            not set(self.sources).isdisjoint(other.sources)
            and (None in (self.protocol, other.protocol) or self.protocol == other.protocol)
            and self.ports[0] <= other.ports[1]
            and other.ports[0] <= self.ports[1]
        )


Weights = tuple[tuple[str, int], ...]
MAX_SETS = 9

AffinityKey = tuple[str, bool, int, Header, str]
"""Where a flow has a learned pair: chain, whether replies, hop, header, selecting host."""


class UserActions(RuleBasedStateMachine):
    """Actions of users and operators, in any order."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.world.reset()
        self.requested: dict[str, RequestedChain] = {}
        self.members: dict[str, dict[str, int]] = {
            group: {p: 1 for p, of in PAIRS.items() if of == group and p[1] == "1"}
            for group in GROUPS
        }
        self.made = 0
        self.rounds = 0
        self.counted = Oracle(self.world)
        self.learned: dict[AffinityKey, str] = {}
        self.history: dict[str, list[Weights]] = {group: [] for group in GROUPS}
        self.world.bridging = {p for p, of in PAIRS.items() if GROUPS[of] is FunctionKind.L2}
        self.home = dict(zip((*SOURCES, DESTINATION), HOSTS, strict=True))
        self.home |= {pair: HOSTS[n % 3] for n, pair in enumerate(PAIRS)}
        self.down: set[str] = set()
        self.packet_hosts = set(HOSTS)
        self.world.place(
            {port: host for name, host in self.home.items() for port in _ports_of(name)}
        )

    # Actions.

    @rule(
        source=st.sampled_from(["", *SOURCES, SPEAKER]),
        protocol=st.sampled_from([TCP, UDP, None]),
        ports=st.sampled_from([(100, 100), (101, 101), (100, 107), (107, 107)]),
        groups=st.lists(st.sampled_from(sorted(GROUPS)), min_size=1, max_size=3, unique=True),
        symmetric=st.booleans(),
        lost_on=st.sampled_from(["", *HOSTS]),
    )
    def create_chain(
        self,
        source: str,
        protocol: int | None,
        ports: tuple[int, int],
        groups: list[str],
        symmetric: bool,
        lost_on: str,
    ) -> None:
        if source == SPEAKER:
            groups = [group for group in groups if group != PAIRS[SPEAKER[:2]]] or ["A"]
            protocol, ports = protocol or UDP, ITS_OWN
        elif protocol is None:
            ports = ANY_PORTS
        self.made += 1
        wanted = RequestedChain(
            f"pc{self.made}", source, protocol, ports, tuple(groups), symmetric, self.made
        )
        if not any(wanted.collides(other) for other in self.requested.values()):
            self.requested[wanted.name] = wanted
            self._notify([wanted.name], lost_on)

    @precondition(lambda self: self.requested)
    @rule(data=st.data(), lost_on=st.sampled_from(["", *HOSTS]))
    def delete_chain(self, data: st.DataObject, lost_on: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.requested)))
        del self.requested[name]
        self.world.notify_deleted(ident(name), lost_on)
        self._catch_up(lost_on)

    @precondition(lambda self: self.requested)
    @rule(
        data=st.data(),
        groups=st.lists(st.sampled_from(sorted(GROUPS)), min_size=1, max_size=3, unique=True),
    )
    def reorder_chain(self, data: st.DataObject, groups: list[str]) -> None:
        name = data.draw(st.sampled_from(sorted(self.requested)))
        if self.requested[name].source != SPEAKER and self.requested[name].groups != tuple(groups):
            generation = self.requested[name].generation + 1
            self.requested[name] = replace(
                self.requested[name], groups=tuple(groups), generation=generation
            )
            # A change of the list of groups resets flow affinity (docs/decisions/0018).
            self.learned = {key: p for key, p in self.learned.items() if key[0] != name}
            self._notify([name])

    @rule(
        pair=st.sampled_from(sorted(PAIRS)),
        weight=st.sampled_from([0, 1, 1, 3, None]),
        lost_on=st.sampled_from(["", *HOSTS]),
        restart=st.booleans(),
    )
    def change_group(
        self, pair: str, weight: int | None, lost_on: str, restart: bool = False
    ) -> None:
        """Add a pair, change its weight or, without a weight, remove it.

        :param restart: whether the agent that does not get the message was down.
        """
        group = self.members[PAIRS[pair]]
        if weight is None:
            group.pop(pair, None)
        else:
            group[pair] = weight
        self._notify(self._users_of(PAIRS[pair]), lost_on, restart=restart)

    @rule(name=st.sampled_from([DESTINATION, *sorted(PAIRS)]), host=st.sampled_from(HOSTS))
    def move(self, name: str, host: str) -> None:
        self.home[name] = host
        self.down.discard(name)
        self.world.plug(host, *_ports_of(name))
        self._notify(self.requested)

    @precondition(lambda self: self.requested)
    @rule(name=st.sampled_from(SOURCES), host=st.sampled_from(HOSTS))
    def move_source(self, name: str, host: str) -> None:
        self.home[name] = host
        self.world.plug(host, name)
        self._notify(self.requested, before_all_switch=lambda: self._does_not_bypass(name))

    def _does_not_bypass(self, name: str) -> None:
        """Packets of a VM that has just moved follow the old or the new plan or are lost."""
        headers = [replace(h, source_port=UNTRACKED) for h in HEADERS if OWNERS[h.source] == name]
        headers = [header for header in headers if self._chain_of(header)]
        probes = [(name, header, DESTINATION) for header in headers]
        self.counted.forget_left()
        chains = []
        for header, trail in zip(headers, self.world.send(probes), strict=True):
            wanted = self._chain_of(header)
            assert wanted is not None
            chains.append(wanted.name)
            self.counted.note_visits(wanted.name, header, trail, (name, DESTINATION), "in")
            assert trail[-1:] != (DESTINATION,) or len(trail) > len(wanted.groups), (
                header,
                trail,
            )
        self.counted.accept_entries(chains)

    @rule(pair=st.sampled_from(sorted(PAIRS)))
    def unplug(self, pair: str) -> None:
        self.down.add(pair)
        self.world.plug("", *_ports_of(pair))
        self._notify(self._users_of(PAIRS[pair]))

    @rule(host=st.sampled_from(HOSTS), lost_on=st.sampled_from(["", *HOSTS]))
    def change_release(self, host: str, lost_on: str) -> None:
        """Others send packets or frames to a host, as the server says what its release accepts."""
        self.packet_hosts ^= {host}
        self._notify(self.requested, lost_on)

    @precondition(lambda self: self.requested)
    @rule(host=st.sampled_from(HOSTS))
    def restart_agent(self, host: str) -> None:
        self.world.agents[host].restart()
        assert self.world.synchronise(host) is False, "correct flows are not changed"

    @precondition(lambda self: self.requested)
    @rule(
        host=st.sampled_from(HOSTS),
        table=st.sampled_from(["", *("table=0", "table=94", "table=150", "table=152")]),
        delete=st.booleans(),
    )
    def repair(self, host: str, table: str, delete: bool) -> None:
        """Somebody deletes or changes flows, and the agent puts them right again."""
        self.counted.check()  # what nobody has read is lost with a flow
        agent = self.world.agents[host]
        ours = f"cookie={COOKIE:#x}/-1,{table}"
        if delete:
            agent.host.ofctl(Bridge.INT, "del-flows", ours)
        else:
            agent.host.ofctl(Bridge.INT, "mod-flows", f"{ours},actions=drop")
        agent.reconciler.reconcile()

    def _notify(
        self,
        names: object,
        lost_on: str = "",
        before_all_switch: Callable[[], object] = lambda: None,
        *,
        restart: bool = False,
    ) -> None:
        planned, history = [], self._history()
        for name in sorted(names):  # type: ignore[call-overload]
            self.requested[name] = replace(
                self.requested[name], revision=self.requested[name].revision + 1
            )
            snapshot = self._snapshot(self.requested[name])
            found = plan_chain(snapshot, TUNNEL_IPS, history)
            accepting = tuple(sorted(self.packet_hosts & found.plan.hosts))
            planned.append(replace(found, plan=replace(found.plan, packet_hosts=accepting)))
        self.world.notify(planned, lost_on)
        before_all_switch()
        if lost_on and restart:
            self.world.agents[lost_on].restart()
        self._catch_up(lost_on)

    def _catch_up(self, lost_on: str) -> None:
        if lost_on:
            self.world.synchronise(lost_on)
        self.world.finish_transitions()
        self.counted.forget_left()

    def _history(self) -> dict[str, tuple[EarlierPairs, ...]]:
        """Record what groups select from now, and return what they did before."""
        for group, sets in self.history.items():
            usable = self._usable(group).items()
            present = tuple(sorted((ident(pair), weight) for pair, weight in usable))
            if sets and not sets[-1]:
                sets.pop()  # while there was no pair, no flow went to another one
            if not sets or sets[-1] != present:
                sets.append(present)
            if len(sets) > MAX_SETS:
                del sets[dispensable([dict(each) for each in sets])]
        return {
            ident(group): tuple(EarlierPairs(each, new_flows=True) for each in sets[:-1])
            for group, sets in self.history.items()
        }

    def _users_of(self, group: str) -> list[str]:
        return [wanted.name for wanted in self.requested.values() if group in wanted.groups]

    def _snapshot(self, wanted: RequestedChain) -> ChainSnapshot:
        project, network = ident("project"), ident("net")
        ports = {
            ident(port): Port(
                ident(port), network, project, mac(port), (ADDRESSES[port],), host,
                plugged=name not in self.down, name=port,
            )
            for name, host in self.home.items()
            for port in _ports_of(name)
        }  # fmt: skip
        groups = tuple(
            PortPairGroup(
                ident(group),
                project,
                number,
                tuple(
                    PortPair(
                        ident(p),
                        project,
                        ident(f"{p}-in"),
                        ident(f"{p}-out"),
                        p,
                        weight=weight,
                        kind=GROUPS[group],
                    )
                    for p, weight in self.members[group].items()
                ),
            )
            for number, group in enumerate(wanted.groups, 1)
        )
        source, destination = ADDRESSES.get(wanted.source), ADDRESSES[DESTINATION]
        classifier = FlowClassifier(
            ident(f"fc-{wanted.name}"),
            project,
            protocol=wanted.protocol,
            destination_ports=wanted.ports if wanted.protocol else None,
            source_prefix=f"{source}/32" if source else "10.0.0.0/29",
            destination_prefix=f"{destination}/32",
            logical_source_port=ident(wanted.source) if wanted.source else None,
        )
        return ChainSnapshot(
            PortChain(
                ident(wanted.name), project, wanted.number, groups, (classifier,), wanted.name,
                symmetric=wanted.symmetric, revision=wanted.revision, generation=wanted.generation,
            ),
            ports,
            {classifier.id: tuple(map(ident, wanted.sources))},
            {classifier.id: (ident(DESTINATION),)},
        )  # fmt: skip

    # Invariants.

    @invariant()
    def no_host_reports_an_error(self) -> None:
        for agent in self.world.agents.values():
            assert {r.error for r in agent.reports.values() if r.chain_id in self.world.plans} <= {
                ""
            }

    @invariant()
    def packets_visit_the_right_functions(self) -> None:
        self._forget_learned()
        headers = [header for header in HEADERS if self._can_send(header)]
        answered = [h for h in headers if (w := self._chain_of(h)) is None or w.symmetric]
        probes = [(OWNERS[h.source], h, DESTINATION) for h in headers]
        probes += [(DESTINATION, h.reply, OWNERS[h.source]) for h in answered]
        trails = self.world.send(probes)
        outward = dict(zip(headers, trails, strict=False))
        back = dict(zip(answered, trails[len(headers) :], strict=True))
        for header, trail in outward.items():
            self._note(header, trail, reverse=False)
            fresh = self._check_trail(header, trail, reverse=False)
            if header in back:
                self._note(header, back[header], reverse=True)
                fresh_back = self._check_trail(header, back[header], reverse=True)
                both = {(fresh[hop], fresh_back[hop]) for hop in fresh.keys() & fresh_back.keys()}
                assert all(one == other for one, other in both), (header, trail, back[header])
        self.rounds += 1
        if self.rounds % ROUNDS_WITHOUT_A_READING == 0:
            self.counted.check()
        else:
            # What follows must not find packets that the switch has not counted yet.
            self.world.vswitch.appctl("revalidator/purge")

    def _note(self, header: Header, trail: tuple[str, ...], *, reverse: bool) -> None:
        """Note what hosts must count of a packet."""
        if wanted := self._chain_of(header):
            ends = OWNERS[header.source], DESTINATION
            side = "out" if reverse else "in"
            self.counted.note(wanted.name, header, trail, ends[::-1] if reverse else ends, side)

    def _can_send(self, header: Header) -> bool:
        return OWNERS[header.source] != SPEAKER or SPEAKER[:2] not in self.down

    def _chain_of(self, header: Header) -> RequestedChain | None:
        return next((wanted for wanted in self.requested.values() if wanted.matches(header)), None)

    def _check_trail(
        self, header: Header, trail: tuple[str, ...], *, reverse: bool
    ) -> dict[str, str]:
        """Check the trail of a packet; returns group -> pair where a pair was newly selected."""
        wanted = self._chain_of(header)
        end = OWNERS[header.source] if reverse else DESTINATION
        host = self.home[_owner(DESTINATION if reverse else OWNERS[header.source])]
        entrance = "out" if reverse else "in"
        rest, fresh = list(trail), {}
        groups = wanted.groups if wanted else ()
        for hop, group in enumerate(reversed(groups) if reverse else groups):
            assert wanted is not None
            usable = self._usable(group)
            key = (wanted.name, reverse, hop, header, host)
            known = self.learned.get(key)
            # A host that has not seen the flow goes by what the group selected from before.
            before = {pair for earlier in self.history[group] for pair, weight in earlier if weight}
            fresh_for = {pair for pair, weight in usable.items() if weight or ident(pair) in before}
            allowed = {known} if known else fresh_for
            if not allowed:
                assert rest == [], f"{trail} although {group} has no pair for {header} of {wanted}"
                return fresh
            visited = rest.pop(0) if rest else ""
            assert visited in {f"{pair}-{entrance}" for pair in allowed}, (
                f"{header} of {wanted} visited {trail}; hop {hop} should be one of {allowed}"
            )
            pair = visited.partition("-")[0]
            if known is None:
                fresh[group] = pair
            self.learned[key] = pair
            host = self.home[pair]
        assert rest == [end], f"{header} of {wanted}, replies: {reverse}, was at {trail}"
        return fresh

    def _usable(self, group: str) -> dict[str, int]:
        return {p: w for p, w in self.members[group].items() if p not in self.down}

    def _forget_learned(self) -> None:
        """Forget pairs that left their hop, and hops that the host selects no pair for any more."""
        for key, pair in list(self.learned.items()):
            name, reverse, hop, _, host = key
            wanted = self.requested.get(name)
            groups = (wanted.groups[::-1] if reverse else wanted.groups) if wanted else ()
            if hop < len(groups) and pair in self._usable(groups[hop]):
                assert wanted is not None
                first = (DESTINATION,) if reverse else tuple(map(_owner, wanted.sources))
                senders = self._usable(groups[hop - 1]) if hop else first
                if host in {self.home[sender] for sender in senders}:
                    continue
            del self.learned[key]

    def teardown(self) -> None:
        """All packets have been counted. Deleting the last chain removes all our flows."""
        self.counted.check()
        for name in self.requested:
            self.world.notify_deleted(ident(name))
        self.world.finish_transitions()
        assert {
            name: host.flow_counts() for name, host in self.world.hosts.items()
        } == self.neutron_flow_counts()

    def neutron_flow_counts(self) -> dict[str, object]:
        """Return how many flows are Neutron's, for each host and bridge."""
        return {name: host.neutron_flow_counts() for name, host in self.world.hosts.items()}


def _ports_of(name: str) -> tuple[str, ...]:
    return (f"{name}-in", f"{name}-out") if name in PAIRS else (name,)


def _owner(port: str) -> str:
    return port.partition("-")[0]


@pytest.fixture(scope="module", params=list(Firewall))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with running_vswitch() as vswitch:
        yield World(vswitch, [*SOURCES, DESTINATION], PAIRS, request.param)


def test_any_actions_in_any_order(world: World) -> None:
    run_stateful(UserActions, world, examples=5, steps=14)


def test_moving_vm_does_not_bypass_its_chain(world: World) -> None:
    class Actions(UserActions):
        pass

    Actions.world = world
    actions = Actions()
    actions.create_chain("vm1", TCP, (100, 100), ["A", "B"], symmetric=False, lost_on="")
    for host in (*HOSTS, *HOSTS):
        actions.move_source("vm1", host)
        actions.packets_visit_the_right_functions()
    actions.teardown()
