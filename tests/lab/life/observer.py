"""Sends packets, and compares what captures see of them with paths, traces and counters."""

import json
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from portchain_lab.errors import DeadlineError
from portchain_lab.observe import packet_paths, traffic
from portchain_lab.observe.capture import CapturedFrame
from portchain_lab.observe.packet_paths import Connection, Path
from portchain_lab.waiting import wait_for

from tests.lab.life.counts import ChainCounts, Figures, seen_figures, shown_figures
from tests.lab.life.model import DESTINATION, SOURCE, WAYS, Cloud, Wish
from tests.lab.life.traces import Prediction, predict
from tests.lab.on_ovn import wait_for_chassis
from tests.lab.workflow import DEADLINE, Workflow

PATIENCE = 1.0
"""Seconds in which a connection that must fail would have succeeded."""
_source_ports = count(10_000)
"""No connection has the source port of another one, which switches and firewalls may remember."""


class Probe(NamedTuple):
    """A connection of the source to the destination."""

    source_port: int
    port: int


@dataclass
class Tally:
    """What has been compared.

    :param traces: packets whose traces agree with captures, by what became of them.
    :param counters: counters whose values are what captures saw.
    :param packets: how often they have counted one.
    """

    checks: int = 0
    traces: Counter[str] = field(default_factory=Counter)
    counters: int = 0
    packets: int = 0

    def __str__(self) -> str:
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(self.traces.items()))
        return (
            f"{self.checks} checks; {self.traces.total()} traces agreed with captures ({kinds});"
            f" {self.counters} counters agreed, which have counted {self.packets} times"
        )


class Observer:
    """Compares what a lab does with what users and operators wanted.

    :param bridging: functions that bridge.
    :param per_port: how many connections to each destination port a check opens.
    :param traced: how many of them it traces; each is two packets if it is answered.
    :param greet: has switches learn where both ends are. A trace says what is true at the moment:
        what is for an address that no switch knows is flooded.
    """

    def __init__(
        self,
        workflow: Workflow,
        cloud: Cloud,
        tally: Tally,
        *,
        bridging: Collection[str],
        per_port: int,
        traced: int,
        greet: Callable[[], None],
    ) -> None:
        self._workflow = workflow
        self._cloud = cloud
        self._tally = tally
        self._bridging = bridging
        self._per_port = per_port
        self._traced = traced
        self._greet = greet
        self._counts: dict[str, ChainCounts] = {}
        self.draw = random.Random(0)

    def note_change(self, wishes: Iterable[Wish]) -> None:
        """Note that chains, or the places of machines, have changed."""
        for wish in wishes:
            hosts, chain_id = self._cloud.hosts_of(wish), wish.chain["id"]
            self._counts.setdefault(chain_id, ChainCounts(hosts)).set_hosts(hosts)

    def check(self, wishes: Collection[Wish], ports: Iterable[int]) -> None:
        """Open connections to ports of the destination, and compare all that is known of them."""
        workflow = self._workflow
        for wish in wishes:
            workflow.wait_status(wish.chain, self._cloud.status(wish))
        if workflow.lab.layout.has_ovn:
            wait_for_chassis(workflow.lab)
        self._greet()
        probes = [Probe(next(_source_ports), port) for port in ports for _ in range(self._per_port)]
        chains = {
            probe: next((one for one in wishes if one.takes(probe.port)), None) for probe in probes
        }
        chosen = self.draw.sample(probes, min(self._traced, len(probes)))
        there = {one: predict(workflow, SOURCE, DESTINATION, one) for one in chosen}
        back = {one: predict(workflow, DESTINATION, SOURCE, one[::-1]) for one in chosen}
        attempts, frames = self._send(chains)
        for probe, wish in chains.items():
            seen = self._connection(self._passed(frames, wish), probe)
            self._check_path(probe, wish, attempts[probe], seen)
            if probe in there:
                self._check_traces(probe, wish, (there[probe], back[probe]), seen)
        for wish in wishes:
            self._check_counters(wish, frames)
        self._tally.checks += 1
        print(f"compared so far: {self._tally}", flush=True)

    def _send(
        self, chains: dict[Probe, Wish | None]
    ) -> tuple[dict[Probe, traffic.ConnectionAttempt], list[CapturedFrame]]:
        """Open connections; return what became of them, and what was captured meanwhile."""
        workflow = self._workflow
        source, destination = workflow.vms[SOURCE], workflow.vms[DESTINATION]

        def connect(probe: Probe) -> traffic.ConnectionAttempt:
            can_fail = self._cloud.can_fail(chains[probe], probe.port)
            return traffic.tcp_connect(
                *(source, destination, probe.port),
                source_port=probe.source_port,
                timeout=PATIENCE if can_fail else 5.0,
            )

        with workflow.captures(*workflow.vms.values()) as capture, ExitStack() as stack:
            for port in {probe.port for probe in chains}:
                stack.enter_context(traffic.TcpEchoServer(destination, port))
            pool = stack.enter_context(ThreadPoolExecutor(len(chains)))
            attempts = dict(zip(chains, pool.map(connect, chains), strict=True))
            capture.wait_until_quiet()
        return attempts, capture.frames

    def _passed(self, seen: Iterable[CapturedFrame], wish: Wish | None) -> list[CapturedFrame]:
        """Return the frames of a chain, or outside of chains, among those of a capture.

        A bridging function in a chain receives frames for other addresses, and outside of a chain
        what switches flood.
        """
        in_chain = self._cloud.functions_of(wish) if wish else set()
        wires = {port for name in self._bridging for port in WAYS[name]}
        bridging = wires & {port for name in in_chain for port in WAYS[name]}
        return [
            one
            for one in seen
            if one.port in bridging or (one.addressed_to_vm and one.port not in wires)
        ]

    @staticmethod
    def _connection(passed: Iterable[CapturedFrame], probe: Probe) -> Connection:
        seen = packet_paths.observations(passed, promiscuous=True)
        found = packet_paths.connections([one for one in seen if set(probe) == set(_ports_of(one))])
        assert len(found) == 1, (probe, found)
        return found[0]

    def _check_path(
        self, probe: Probe, wish: Wish | None, attempt: traffic.ConnectionAttempt, seen: Connection
    ) -> None:
        """Check that all packets of a connection took one path that they may take."""
        what = (probe, wish, attempt, seen)
        assert seen.path in self._cloud.paths(wish, probe.port), what
        arrives = seen.path[-1] == DESTINATION
        assert attempt.ok is arrives, what
        answered = seen.path[::-1] if wish and wish.symmetric else (DESTINATION, SOURCE)
        assert set(seen.replies) == ({answered} if arrives else set()), what

    def _check_traces(
        self,
        probe: Probe,
        wish: Wish | None,
        predicted: tuple[Prediction, Prediction],
        seen: Connection,
    ) -> None:
        """Check that packets of a connection and its replies went where traces had said."""
        keepers = [WAYS[name][0] for name in self._cloud.hung]
        is_sent = probe.port not in self._cloud.not_sent
        for one, paths, end, is_classified in (
            (predicted[0], seen.paths, DESTINATION, is_sent and wish is not None),
            (predicted[1], seen.replies, SOURCE, wish is not None and wish.symmetric),
        ):
            for path in paths:
                what = (probe, wish, path, one.path)
                if not one.agrees(path, end, keepers):
                    print(json.dumps(one.shown, indent=1))  # too long for the failure's own text
                assert one.agrees(path, end, keepers), what
                assert one.is_classified is is_classified, what
                self._tally.traces[_fate(path, end, is_classified=is_classified)] += 1

    def _check_counters(self, wish: Wish, frames: Iterable[CapturedFrame]) -> None:
        """Check that hosts have counted the packets of a chain that captures saw, and no other."""
        counts, ids = self._counts[wish.chain["id"]], self._pair_ids()
        seen = packet_paths.observations(self._passed(frames, wish), promiscuous=True)
        for host, figure in seen_figures(seen, wish, self._cloud, ids):
            counts.add(host, figure)
            self._tally.packets += 1
        last: list[Figures] = []

        def are_right() -> bool:
            stats = self._workflow.stats(wish.chain)
            last[:] = [shown_figures(stats)]
            return not stats["hosts_without_answer"] and counts.accept(last[0])

        try:
            wait_for(are_right, DEADLINE, "hosts to count all packets", interval=0.3)
        except DeadlineError as error:
            message = f"{wish}: read {last[0]}, captured one of {counts.allowed(last[0])}"
            raise AssertionError(message) from error
        self._tally.counters += len(last[0])

    def _pair_ids(self) -> dict[str, str]:
        pairs = self._workflow.pairs
        return {name: pairs[f"PP{n}"]["id"] for n, name in enumerate(WAYS, 1)}


def _ports_of(one: packet_paths.Observation) -> tuple[int, int]:
    return one.five_tuple.source_port, one.five_tuple.destination_port


def _fate(path: Path, end: str, *, is_classified: bool) -> str:
    if path[-1] != end:
        return "dropped"
    return "chained" if is_classified else "unchained"
