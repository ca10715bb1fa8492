"""One implementation from its lab's beginning to its end."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import measure
from bench.api import Api
from bench.environments import Implementation
from bench.points import Point
from bench.scene import Scene
from portchain.lab import layout
from portchain.lab.lab import Lab

WARM_UP = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    :param chains: numbers of chains, growing.
    :param repeat: how often each latency is measured, and each first packet.
    :param count: how often statements and messages are counted.
    :param listen: seconds to learn which messages are periodic.
    """

    chains: Sequence[int]
    repeat: int
    count: int
    listen: float
    hosts: int
    firewall: str


def run(implementation: Implementation, plan: Plan, points: list[Point], console: Console) -> None:
    """Measure an implementation in a lab of its own.

    :param points: what was measured is added here, so that it is not lost if a later part fails.
    """

    def report(step: str) -> None:
        console.print(f"  [green]✓[/] {step}")

    console.rule(f"{implementation.name} {implementation.version}")
    software = implementation.software(report)
    lab = Lab(layout.Layout("bench", plan.hosts, plan.firewall, software))
    # uWSGI finds distributions in the directory it is started in: here, it would find portchain.
    layout.ROOT.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(layout.ROOT):
        try:
            with console.status("bringing up the lab"):
                lab.up(report)
            _measure(lab, implementation.name, plan, points, console)
        finally:
            lab.down()


def _measure(lab: Lab, name: str, plan: Plan, points: list[Point], console: Console) -> None:
    with console.status("service functions") as status:
        scene = Scene(lab, Api(lab), max(plan.chains), status.update)
    recorder = measure.Recorder(name, points)
    with _progress(console) as progress:

        def bar(text: str, total: int) -> "_Bar":
            return _Bar(progress, text, total)

        measure.warm_up(scene, WARM_UP)
        known = measure.background(scene, plan.listen)
        for chains in plan.chains:
            scene.populate(chains, bar(f"up to {chains} chains", chains - scene.chains))
            values = measure.resident_memory(scene)
            scene.check()
            recorder.add("memory", chains, values)
            step = bar(f"{chains} chains: latency", plan.repeat)
            elapsed, busy = measure.latency(scene, plan.repeat, step)
            recorder.add("latency", chains, elapsed)
            recorder.add("cpu", chains, busy)
            step = bar(f"{chains} chains: first packet", plan.repeat)
            recorder.add("first packet", chains, measure.first_packet(scene, plan.repeat, step))
            step = bar(f"{chains} chains: statements and messages", plan.count)
            statements, messages = measure.counts(scene, plan.count, known, step)
            recorder.add("sql", chains, statements)
            recorder.add("rpc", chains, messages)


class _Bar:
    """A progress bar that is called for each step."""

    def __init__(self, progress: Progress, text: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(text, total=total)

    def __call__(self) -> None:
        self._progress.advance(self._task)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), console=console)
