"""The measurements of the data plane, in a lab that is up."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from portchain_lab.progress import Progress

from bench import cpu
from bench.dataplane import cases, counters, streams
from bench.dataplane.alive import OpenConnections
from bench.dataplane.cases import BARE, CHAIN, NONE, STATIC, Case, Subject
from bench.dataplane.fabric import StaticSteering
from bench.dataplane.load import Connections, Datagrams
from bench.dataplane.rows import Row
from bench.dataplane.site import ChainSite
from bench.errors import BenchError

MICROSECONDS = 1e6
WARM_UP = 512
"""Connections before those that are measured: the goal is the cost after the first few hundred."""
AT_ONCE = 32
IDLE = 2.0
"""Seconds for which the switches' processor time without the load is measured."""
MAY_BE_LOST = 0.02

Value = tuple[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, how often and how long.

    :param repeat: rounds through all cases.
    :param connections: TCP connections of a burst.
    :param datagrams: with a new header, of a burst.
    :param seconds: duration of a stream; 0 for none.
    :param alive: numbers of other connections to measure with, apart from none.
    :param crowded: the cases that are measured with other connections.
    """

    cases: tuple[Case, ...]
    repeat: int = 3
    connections: int = 300
    datagrams: int = 500
    seconds: float = 1.0
    alive: tuple[int, ...] = ()
    crowded: tuple[Case, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The plan for the results file."""
        names = {
            "cases": [str(case) for case in self.cases],
            "crowded": [str(case) for case in self.crowded],
        }
        return {**asdict(self), **names}


_ALL = cases.combine((1, 2, 4, 8), (1, 3))
QUICK = Plan(cases.combine((1, 2), (1, 3)), 1, 150, 200, 0.5, crowded=(Case(1), Case(1, 3)))
DEFAULT = Plan(_ALL, repeat=2, alive=(10_000, 50_000), crowded=(Case(1), Case(1, 3)))
FULL = Plan(
    _ALL,
    repeat=5,
    seconds=3.0,
    alive=(10_000, 50_000),
    crowded=(Case(1), Case(1, 3), Case(2, 3, symmetric=True)),
)


class Bench:
    """Measures in one lab.

    :param implementation: the implementation that runs in the lab.
    """

    def __init__(self, implementation: str, plan: Plan, site: ChainSite) -> None:
        self._implementation = implementation
        self._plan = plan
        self._site = site
        self._is_ovn = site.lab.layout.has_ovn
        self._subjects = cases.subjects(plan.cases, by_hand=not self._is_ovn)
        self._values: dict[tuple[Subject, str, int], list[float]] = {}
        lab = site.lab
        self._switches = cpu.Meter(lab, *(f"ovs-vswitchd@{host}" for host in lab.hosts))
        self._idle = 0.0
        """Processor time in a second that the switches take without the load."""

    @property
    def rows(self) -> list[Row]:
        """What was measured so far."""
        return [
            Row(self._implementation, one.steering, one.case, metric, tuple(values), alive)
            for (one, metric, alive), values in self._values.items()
        ]

    def prepare(self, report: Progress) -> None:
        """Create the chains, and write the flows by hand."""
        if self._is_ovn:
            self._measure_without_chains()
            report("packets before there is a chain")
        static = None if self._is_ovn else StaticSteering(self._site)
        before = counters.count_flows(self._site.lab)
        for subject in self._subjects:
            if subject.steering == CHAIN:
                self._site.steer(subject)
            elif static is not None and subject.steering == STATIC:
                static.steer(subject)
            after = counters.count_flows(self._site.lab)
            self._add(subject, [("flows", after - before)])
            before = after
        report("chains and static flows")

    def _measure_without_chains(self) -> None:
        (direct,) = [one for one in self._subjects if one.steering == NONE]
        for _ in range(self._plan.repeat):
            self._measure_once(replace(direct, steering=BARE))

    def run(self, report: Progress) -> None:
        """Make all measurements: the cases alternate."""
        for number in range(self._plan.repeat):
            for subject in self._subjects:
                self._measure_once(subject)
            report(f"round {number + 1} of {self._plan.repeat}")
        for alive in self._plan.alive:
            for subject in self._crowded():
                with self._others(subject, alive):
                    self._measure_idle()
                    for _ in range(self._plan.repeat):
                        self._add(subject, self._bursts(subject), alive)
                report(f"{alive} connections open: {subject.case}, {subject.steering}")

    def _measure_once(self, subject: Subject) -> None:
        self._measure_idle()
        self._add(subject, self._bursts(subject))
        if self._plan.seconds:
            self._add(subject, self._streams(subject))

    def _crowded(self) -> Sequence[Subject]:
        crowded = self._plan.crowded
        return [one for one in self._subjects if one.steering != NONE and one.case in crowded]

    def _others(self, subject: Subject, count: int) -> OpenConnections:
        site = self._site
        return OpenConnections(site.source, site.destination, subject.other_port, count)

    def _add(
        self, subject: Subject, values: Sequence[Value] | Iterator[Value], alive: int = 0
    ) -> None:
        for metric, value in values:
            self._values.setdefault((subject, metric, alive), []).append(value)

    def _bursts(self, subject: Subject) -> Iterator[Value]:
        yield from self._connections(subject)
        yield from self._datagrams(subject)

    def _connections(self, subject: Subject) -> Iterator[Value]:
        lab, count = self._site.lab, self._plan.connections
        counters.forget_entries(lab)
        with Connections(self._site.source, self._site.destination, subject.port) as connections:
            connections.run(WARM_UP, AT_ONCE)
            time.sleep(counters.SETTLE)
            missed = counters.misses(counters.show_datapaths(lab))
            for suffix, at_once in (("", 1), (f" {AT_ONCE}", AT_ONCE)):
                seconds, busy = self._busy(partial(connections.run, count, at_once))
                yield f"tcp cpu{suffix}", busy / count * MICROSECONDS
                yield f"tcp rate{suffix}", count / seconds
            shown = counters.show_datapaths(lab)
            yield "upcalls", (counters.misses(shown) - missed) / (2 * count)
            yield "entries", counters.entries(shown)
            with counters.FlowChanges(lab) as changes:
                connections.run(count, AT_ONCE)
            yield "changes", changes.count / count

    def _datagrams(self, subject: Subject) -> Iterator[Value]:
        count = self._plan.datagrams
        with Datagrams(self._site.source, self._site.destination, subject.port) as datagrams:
            datagrams.run(WARM_UP)
            arrived, busy = self._busy(partial(datagrams.run, count))
        if arrived < count * (1 - MAY_BE_LOST):
            raise BenchError(f"{count - arrived} of {count} datagrams were lost: {subject}")
        yield "udp cpu", busy / count * MICROSECONDS

    def _streams(self, subject: Subject) -> Iterator[Value]:
        seconds = self._plan.seconds
        yield "throughput", streams.throughput(self._site, subject.port, seconds)
        yield "packets", streams.packets(self._site, subject.port, seconds)

    def _measure_idle(self) -> None:
        """Measure what the switches take without the load, which is subtracted."""
        before, began = self._switches.seconds(), time.monotonic()
        time.sleep(IDLE)
        self._idle = (self._switches.seconds() - before) / (time.monotonic() - began)

    def _busy(self, action: Callable[[], float]) -> tuple[float, float]:
        """Act; returns its result, and the seconds of processor time that the switches took."""
        before, began = self._switches.seconds(), time.monotonic()
        result = action()
        time.sleep(counters.SETTLE)
        idle = self._idle * (time.monotonic() - began)
        return result, self._switches.seconds() - before - idle
