"""Minute after minute: connections, a change of the group, and sometimes a restart."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from portchain_lab import layout
from portchain_lab.errors import LabError
from portchain_lab.hosts import processes
from portchain_lab.lab import Lab
from portchain_lab.restarts import restart_switch
from rich import box
from rich.console import Console
from rich.table import Table

from bench import cpu
from bench.api import Api
from bench.dataplane.alive import OpenConnections
from bench.errors import BenchError
from bench.results import write_file
from bench.soak.load import PacedConnections
from bench.soak.site import BOTH_WAYS, HOPS, ONE_WAY, SoakSite
from bench.soak.verdict import Minute, judge, totals
from bench.soak.watch import Watch

LAB, HOSTS = "benchsoak", 3
OPEN = 50
"""Connections of each chain that stay open during the minute."""
SETTLE = 2.0
MICROSECONDS = 1e6
COLUMNS: Mapping[str, str] = {
    "finished": "connections",
    "failed": "failed",
    "split": "at two pairs",
    "two_ways": "directions differ",
    "bypassed": "packets around",
    "cpu": "µs of ovs-vswitchd each",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, and how many connections.

    :param minutes: how many changes, and as many minutes of connections.
    :param rate: new connections per second, of both chains together.
    :param seconds: how long a minute is; another number is for trying.
    """

    minutes: int = 60
    rate: float = 200.0
    seconds: float = 60.0


def run(plan: Plan, console: Console) -> Iterator[Minute]:
    """Start a lab, and yield each minute of the soak.

    :raises BenchError: a request fails, or the capture has lost packets.
    :raises LabError: the lab does not start, or a process does not come back.
    """
    lab = Lab(layout.Layout(LAB, HOSTS))
    try:
        with console.status("starting the lab") as status:
            lab.up(status.update)
            status.update("functions and chains")
            soak = Soak(plan, SoakSite(lab, Api(lab)))
        yield from soak.minutes()
    finally:
        lab.down()


class Soak:
    """The soak in a lab that is up."""

    def __init__(self, plan: Plan, site: SoakSite) -> None:
        self._plan, self._site = plan, site
        ports = (ONE_WAY, BOTH_WAYS)
        self._connections = PacedConnections(site.source, site.destination, ports)
        self._changes = site.changes()

    def minutes(self) -> Iterator[Minute]:
        """Yield the minutes."""
        restarts = schedule(programs(self._site.lab), self._plan.minutes)
        with self._site.watch() as watch:
            for number in range(self._plan.minutes):
                yield self._minute(watch, restarts.get(number, ""))

    def _minute(self, watch: Watch, restarted: str) -> Minute:
        site, plan = self._site, self._plan
        change, do = next(self._changes)
        events = [(plan.seconds / 2, do)]
        if restarted:
            events.insert(0, (plan.seconds / 6, lambda: self._restart(restarted)))
        watch.take()
        before = self._spent()
        with contextlib.ExitStack() as stack:
            for port in (ONE_WAY, BOTH_WAYS):
                others = OpenConnections(site.source, site.destination, port + 1, OPEN)
                stack.enter_context(others)
            with _Events(events):
                finished, failed = self._connections.run(plan.seconds, plan.rate)
        time.sleep(SETTLE)
        after = self._spent()
        busy = sum(seconds - before.get(pid, 0) for pid, seconds in after.items())
        site.wait_active()
        split, two_ways, bypassed = judge(watch.take(), HOPS, frozenset({BOTH_WAYS, BOTH_WAYS + 1}))
        event = f"{change}; {restarted} restarts" if restarted else change
        cost = busy / max(1, finished) * MICROSECONDS
        return Minute(event, finished, failed, split, two_ways, bypassed, cost)

    def _restart(self, program: str) -> None:
        kind, _, host = program.partition("@")
        if kind == "ovs-vswitchd":
            restart_switch(self._site.lab, host)
        else:
            self._site.lab.restart(program)

    def _spent(self) -> dict[int, float]:
        lab = self._site.lab
        records = [lab.processes.read(f"ovs-vswitchd@{host}") for host in lab.hosts]
        return cpu.spent(pid for one in records if one for pid in processes.group_pids(one))


class _Events:
    """Acts at certain times within its context, and waits for the last action at its end.

    :param events: seconds from the beginning, in order, and what to do then.
    """

    def __init__(self, events: Sequence[tuple[float, Callable[[], None]]]) -> None:
        self._events = events
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="events")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        if self._error:
            raise self._error

    def _run(self) -> None:
        began = time.monotonic()
        try:
            for at, do in self._events:
                time.sleep(max(0.0, began + at - time.monotonic()))
                do()
        except (BenchError, LabError) as error:
            self._error = error


def programs(lab: Lab) -> list[str]:
    """The programs of a lab that are restarted once: all but what only starts others."""
    return [name for name, _, _ in lab.status() if "launcher" not in name and name != "epmd"]


def schedule(names: Sequence[str], minutes: int) -> dict[int, str]:
    """Distribute restarts evenly: minute -> program. With too few minutes, some are left out."""
    step = max(1, minutes // (len(names) + 1))
    return {step * (index + 1): name for index, name in enumerate(names)}


def cells(minute: Minute) -> dict[str, float]:
    """The values of a minute by the titles of their columns."""
    return {title: getattr(minute, name) for name, title in COLUMNS.items()}


def table(minutes: Sequence[Minute], markdown: bool = False) -> Table:
    """The minutes, and their totals."""
    drawn = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    drawn.add_column("minute", justify="right")
    drawn.add_column("change")
    for title in COLUMNS.values():
        drawn.add_column(title, justify="right")
    rows = [*((str(number), minute) for number, minute in enumerate(minutes, 1))]
    for number, minute in (*rows, ("", replace(totals(minutes), event="all; median minute"))):
        drawn.add_row(number, minute.event, *(f"{value:.0f}" for value in cells(minute).values()))
    return drawn


def write(minutes: Sequence[Minute], about: Mapping[str, Any], began: str, directory: Path) -> Path:
    """Write the results file; returns its path."""
    return write_file(directory, began, about, "minutes", minutes, suffix="-soak")
