"""Measures one implementation in a lab of its own."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from portchain_lab import layout
from portchain_lab.lab import Lab
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import measure
from bench.api import Api
from bench.environments import Implementation
from bench.points import Point
from bench.scene import Scene

WARM_UP = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and how often.

    :param chains: numbers of existing chains, in ascending order.
    :param repeat: repetitions of response times and first packets.
    :param count: repetitions of counting statements and messages.
    :param listen: seconds for learning which messages are periodic.
    """

    chains: Sequence[int]
    repeat: int
    count: int
    listen: float
    hosts: int
    firewall: str


def run(implementation: Implementation, plan: Plan, points: list[Point], console: Console) -> None:
    """Measure an implementation in a lab of its own.

    :param points: receives each measurement at once, so that a later failure does not lose it.
    """

    def report(step: str) -> None:
        console.print(f"  [green]✓[/] {step}")

    console.rule(f"{implementation.name} {implementation.version}")
    with console.status("preparing the environment"):
        software = implementation.software(report)
    lab = Lab(layout.Layout("bench", plan.hosts, plan.firewall, software=software))
    # uWSGI imports from its current directory, where it would find portchain.
    layout.ROOT.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(layout.ROOT):
        try:
            with console.status("starting the lab"):
                lab.up(report)
            _measure(lab, implementation.name, plan, points, console)
        finally:
            lab.down()


def _measure(lab: Lab, name: str, plan: Plan, points: list[Point], console: Console) -> None:
    began = time.monotonic()

    def report(step: str) -> None:
        console.print(f"  [green]✓[/] {step} ({time.monotonic() - began:.0f} s)")

    with console.status("service functions") as status:
        scene = Scene(lab, Api(lab), max(plan.chains), status.update)
    report("VMs and service functions are up")
    with console.status("warming up"):
        measure.warm_up(scene, WARM_UP)
        known = measure.background(scene, plan.listen)
    report("every API worker has served every request")
    measurements = _Measurements(scene, plan, known, measure.Recorder(name, points))
    for chains in plan.chains:
        with _progress(console) as progress:
            measurements.run(chains, partial(_Bar, progress))
        report(f"measured with {chains} chains")


@dataclass(frozen=True, slots=True)
class _Measurements:
    """All measurements of one implementation.

    :param known: the RPC methods not to count.
    """

    scene: Scene
    plan: Plan
    known: set[str]
    recorder: measure.Recorder

    def run(self, chains: int, bar: Callable[[str, int], "_Bar"]) -> None:
        """Make all measurements with a number of existing chains."""
        scene, repeat, count, add = self.scene, self.plan.repeat, self.plan.count, self.recorder.add
        scene.populate(chains, bar(f"creating chains, {chains} in total", chains - scene.chains))
        values = measure.resident_memory(scene)
        scene.check()
        add("memory", chains, values)
        elapsed, busy = measure.latency(scene, repeat, bar("latency", repeat))
        add("latency", chains, elapsed)
        add("cpu", chains, busy)
        first = measure.first_packet(scene, repeat, bar("first packet", repeat))
        add("first packet", chains, first)
        step = bar("statements and messages", count)
        statements, messages = measure.counts(scene, count, self.known, step)
        add("sql", chains, statements)
        add("rpc", chains, messages)


class _Bar:
    """A progress bar that advances when it is called."""

    def __init__(self, progress: Progress, text: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(text, total=total)

    def __call__(self) -> None:
        self._progress.advance(self._task)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), console=console)
