"""Random changes of random chains; after each change an oracle says which path connections take.

tests/functional/dataplane/test_random.py does the same on a simulated network, for many more steps.
Here the changes go through the API to real servers and agents. ``PORTCHAIN_EXPLORE=<examples>``
tries other changes than those of every run.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from portchain_lab.lab import Lab
from portchain_lab.observe import packet_paths, traffic
from portchain_lab.observe.capture import CapturedFrame

from tests.lab.captures import Captures
from tests.lab.workflow import DIRECT, Workflow
from tests.stateful import run_stateful

HOSTS = ("h1", "h2", "h3")
KINDS = {"sf1": "l3", "sf2": "l2", "sf3": "l3"}
PAIRS = dict(zip(("PP1", "PP2", "PP3"), KINDS, strict=True))
GROUPS = ("PG1", "PG2", "PG3")
PORTS, UNCHAINED = (100, 101, 102), 99
RANGES = ((100, 100), (101, 101), (100, 101), (102, 102), (100, 102))
PATIENCE = 1.0  # seconds in which a connection that must fail would have succeeded


@dataclass
class Wish:
    """A chain as a user requested it.

    :param ports: first and last destination port.
    """

    ports: tuple[int, int]
    groups: tuple[str, ...]
    symmetric: bool
    chain: dict[str, Any] = field(default_factory=dict)
    classifier: dict[str, Any] = field(default_factory=dict)

    def takes(self, port: int) -> bool:
        return self.ports[0] <= port <= self.ports[1]


some_groups = st.lists(st.sampled_from(GROUPS), min_size=1, max_size=3, unique=True)


class Life(RuleBasedStateMachine):
    """Changes by users and operators, in any order."""

    world: Workflow

    def __init__(self) -> None:
        super().__init__()
        self.wishes: list[Wish] = []
        self.members: dict[str, list[str]] = {
            group: [pair] for group, pair in zip(GROUPS, PAIRS, strict=True)
        }
        self.groups = {
            group: self.world.create(
                "port_pair_group", name=group, port_pairs=self._ids(self.members[group])
            )
            for group in GROUPS
        }

    # Changes.

    @initialize(hosts=st.tuples(*[st.sampled_from(HOSTS)] * (2 + len(KINDS))))
    def place(self, hosts: tuple[str, ...]) -> None:
        for name, host in zip(("src", "dst", *KINDS), hosts, strict=True):
            self._move(name, host)

    @rule(ports=st.sampled_from(RANGES), groups=some_groups, symmetric=st.booleans())
    def create_chain(self, ports: tuple[int, int], groups: list[str], symmetric: bool) -> None:
        first, last = ports
        if any(one.takes(port) for one in self.wishes for port in range(first, last + 1)):
            return
        workflow = self.world
        wish = Wish(ports, tuple(groups), symmetric)
        wish.classifier = workflow.classifier(
            f"FC{first}",
            source_port_range_min=None,
            source_port_range_max=None,
            destination_port_range_min=first,
            destination_port_range_max=last,
            **({"logical_destination_port": workflow.ports["dst"].id} if symmetric else {}),
        )
        wish.chain = workflow.create(
            "port_chain",
            name=f"PC{first}",
            port_pair_groups=self._group_ids(groups),
            flow_classifiers=[wish.classifier["id"]],
            chain_parameters={"symmetric": symmetric},
        )
        self.wishes.append(wish)

    @precondition(lambda self: self.wishes)
    @rule(data=st.data())
    def delete_chain(self, data: st.DataObject) -> None:
        wish = self.wishes.pop(data.draw(st.integers(0, len(self.wishes) - 1)))
        self.world.delete("port_chain", wish.chain)
        self.world.delete("flow_classifier", wish.classifier)

    @precondition(lambda self: self.wishes)
    @rule(data=st.data(), groups=some_groups)
    def change_chain(self, data: st.DataObject, groups: list[str]) -> None:
        wish = self.wishes[data.draw(st.integers(0, len(self.wishes) - 1))]
        wish.groups = tuple(groups)
        self.world.update("port_chain", wish.chain, port_pair_groups=self._group_ids(groups))

    @rule(pair=st.sampled_from(sorted(PAIRS)), to=st.sampled_from(["", *GROUPS, *GROUPS]))
    def change_groups(self, pair: str, to: str) -> None:
        """Take a pair out of the group that has it, and put it into another or into none.

        The API refuses a group with functions of two kinds.
        """
        if any(KINDS[PAIRS[member]] != KINDS[PAIRS[pair]] for member in self.members.get(to, [])):
            return
        for group, pairs in self.members.items():
            if pair in pairs and group != to:
                pairs.remove(pair)
                self._update(group)
        if to and pair not in self.members[to]:
            self.members[to].append(pair)
            self._update(to)

    @rule(name=st.sampled_from(["src", "dst", *KINDS]), host=st.sampled_from(HOSTS))
    def move(self, name: str, host: str) -> None:
        self._move(name, host)

    @rule(host=st.sampled_from(HOSTS))
    def restart_agent(self, host: str) -> None:
        self.world.lab.restart("agent", host)

    @rule()
    def restart_server(self) -> None:
        self.world.lab.restart("neutron-rpc-server")

    def _update(self, group: str) -> None:
        pairs = self._ids(self.members[group])
        self.world.update("port_pair_group", self.groups[group], port_pairs=pairs)

    def _move(self, name: str, host: str) -> None:
        lab, vms = self.world.lab, self.world.vms
        if vms[name].host != host:
            vms[name] = lab.vms.migrate(vms[name], host)
            lab.vms.wait_active(vms.values())
            lab.flush_mac_tables()
            for vm in vms.values():
                lab.vms.announce_addresses(vm)
            self.world.warm_up(port=UNCHAINED)

    def _ids(self, pairs: list[str]) -> list[str]:
        return [self.world.pairs[pair]["id"] for pair in pairs]

    def _group_ids(self, groups: list[str]) -> list[str]:
        return [self.groups[group]["id"] for group in groups]

    # Assertions.

    @invariant()
    def connections_go_where_they_must(self) -> None:
        for wish in self.wishes:
            self.world.wait_status(wish.chain, "ACTIVE" if self._allowed(wish) else "DOWN")
        for port, (attempt, seen) in self._connect().items():
            wish = self._chain_of(port)
            allowed = self._allowed(wish)
            assert attempt.ok is bool(allowed), (port, wish, attempt)
            for one in packet_paths.select(
                self._followed(seen, wish), "tcp", destination_port=port
            ):
                if not allowed:
                    assert not any("dst" in path for path in one.paths), (port, wish, one)
                    continue
                assert one.path in allowed, (port, wish, one)
                back = one.path[::-1] if wish and wish.symmetric else ("dst", "src")
                assert set(one.replies) == {back}, (port, wish, one)

    def _connect(self) -> dict[int, tuple[traffic.ConnectionAttempt, list[CapturedFrame]]]:
        """Try one connection to each port, and return what was captured meanwhile."""
        vms = self.world.vms
        source, destination = vms["src"], vms["dst"]
        with self.world.captures(*vms.values()) as capture, ExitStack() as servers:
            for port in PORTS:
                servers.enter_context(traffic.TcpEchoServer(destination, port))
            attempts = {
                port: traffic.tcp_connect(source, destination, port, timeout=self._patience(port))
                for port in PORTS
            }
            capture.wait_until_quiet()
        return {port: (attempt, capture.frames) for port, attempt in attempts.items()}

    def _followed(
        self, seen: list[CapturedFrame], wish: Wish | None
    ) -> list[packet_paths.Connection]:
        """The connections in a capture.

        A bridging function in a chain receives frames for other addresses, and outside of a chain
        what switches flood.
        """
        functions = (
            {PAIRS[pair] for group in wish.groups for pair in self.members[group]}
            if wish
            else set()
        )
        wires = {
            port for name, kind in KINDS.items() if kind == "l2" for port in self.world.way(name)
        }
        bridging = wires & {port for name in functions for port in self.world.way(name)}
        passed = [
            one
            for one in seen
            if one.port in bridging or (one.addressed_to_vm and one.port not in wires)
        ]
        return packet_paths.connections(packet_paths.observations(passed, promiscuous=True))

    def _chain_of(self, port: int) -> Wish | None:
        return next((one for one in self.wishes if one.takes(port)), None)

    def _patience(self, port: int) -> float:
        return 5.0 if self._allowed(self._chain_of(port)) else PATIENCE

    def _allowed(self, wish: Wish | None) -> set[packet_paths.Path]:
        """The paths that a chain allows."""
        if wish is None:
            return DIRECT
        hops = [[self.world.way(PAIRS[pair]) for pair in self.members[g]] for g in wish.groups]
        return {("src", *(p for way in ways for p in way), "dst") for ways in product(*hops)}

    def teardown(self) -> None:
        """The last chain leaves nothing behind."""
        for wish in self.wishes:
            self.world.delete("port_chain", wish.chain)
            self.world.delete("flow_classifier", wish.classifier)
        for group in self.groups.values():
            self.world.delete("port_pair_group", group)
        self.world.wait_no_flows()


@pytest.fixture
def workflow(lab: Lab, captures: Captures) -> Iterator[Workflow]:
    made = Workflow(
        lab, captures, kinds={name: kind for name, kind in KINDS.items() if kind != "l3"}
    )
    made.boot()
    made.make_pairs()
    yield made
    made.clean_up()


def test_any_changes_in_any_order(workflow: Workflow) -> None:
    run_stateful(Life, workflow, examples=1, steps=12)
