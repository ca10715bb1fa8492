"""``python -m bench dataplane``: throughput through chains of 1, 2, 4 and 8 functions, and without.

All cases are measured alternately in one lab. Only ratios within a run are meaningful; the figures
say nothing about a switch with a kernel datapath.
"""

import json
import re
import socket
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portchain_lab import layout
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab
from portchain_lab.observe import traffic
from portchain_lab.waiting import wait_for
from rich import box
from rich.console import Console
from rich.table import Table

from bench.api import Api
from bench.environments import Implementation
from bench.errors import BenchError
from bench.scene import Scene
from portchain.dataplane.flow import COOKIE

FUNCTIONS = (0, 1, 2, 4, 8)
FIRST_PORT = 31000
SMALL, LARGE = 18, 65536
"""Bytes of payload: for a frame of minimum size, and for one write to a socket."""
READY = 60.0
METRICS: Mapping[str, str] = {
    "throughput": "Mbit/s of one TCP connection",
    "packets": "small datagrams per second that arrive",
    "connections": "TCP connections per second, one after the other",
    "upcalls": "datapath cache misses per connection, all hosts",
    "flows": "flows of portchain, all hosts",
}


@dataclass(frozen=True, slots=True)
class Row:
    """The values of a metric through a chain of a given length."""

    functions: int
    metric: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    def to_json(self) -> dict[str, Any]:
        """The row for the results file."""
        values = [round(value, 2) for value in self.values]
        return {"functions": self.functions, "metric": self.metric, "values": values}


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often to measure.

    :param seconds: duration of a stream.
    :param connections: number of TCP connections.
    """

    repeat: int = 3
    seconds: float = 3.0
    connections: int = 50


def measure(implementation: Implementation, plan: Plan, console: Console) -> list[Row]:
    """Measure in a lab of its own.

    :raises BenchError: a connection failed.
    :raises LabError: the lab does not start, or a chain does not become ACTIVE.
    """

    def report(step: str) -> None:
        console.print(f"  [green]✓[/] {step}")

    software = implementation.software(report)
    lab = Lab(layout.Layout("benchdata", 2, "openvswitch", software=software))
    try:
        with console.status("starting the lab"):
            lab.up(report)
        with console.status("starting VMs") as status:
            # A population of this size uses as many functions as the longest chain has.
            longest = max(FUNCTIONS)
            scene = Scene(lab, Api(lab), longest * (longest - 1), status.update)
        flows = {count: _create_chain(scene, count) for count in FUNCTIONS}
        report("the chains are ACTIVE")
        rows = [Row(count, "flows", (float(flows[count]),)) for count in FUNCTIONS]
        return [*rows, *_streams(scene, plan, report)]
    finally:
        lab.down()


def _create_chain(scene: Scene, count: int) -> int:
    """Create a chain of so many functions; returns the number of flows it needs on all hosts."""
    before = _count_flows(scene.lab)
    if count == 0:
        return 0
    port = FIRST_PORT + count
    classifiers = [scene.classifier(port, protocol)["id"] for protocol in ("tcp", "udp")]
    chain = scene.chain(scene.groups[:count], classifiers)

    def is_active() -> bool:
        shown = {one["id"]: one["status"] for one in scene.api.list("port_chain")}
        return shown[chain["id"]] == "ACTIVE"

    wait_for(is_active, READY, f"a chain of {count} functions to become ACTIVE")
    return _count_flows(scene.lab) - before


def _streams(scene: Scene, plan: Plan, report: Callable[[str], None]) -> list[Row]:
    values: dict[tuple[int, str], list[float]] = {}
    for repetition in range(plan.repeat):
        for count in FUNCTIONS:
            port = FIRST_PORT + count
            for metric, value in (
                *_connections(scene, port, plan.connections),
                ("throughput", _throughput(scene, port, plan.seconds)),
                ("packets", _packets(scene, port, plan.seconds)),
            ):
                values.setdefault((count, metric), []).append(value)
        report(f"round {repetition + 1} of {plan.repeat}")
    return [Row(count, metric, tuple(found)) for (count, metric), found in values.items()]


def _connections(scene: Scene, port: int, count: int) -> list[tuple[str, float]]:
    """New TCP connections per second, and cache misses per connection."""
    with traffic.TcpEchoServer(scene.destination, port):
        traffic.tcp_connections(scene.source, scene.destination, port, 3)  # resolve addresses first
        missed, began = _cache_misses(scene.lab), time.monotonic()
        attempts = traffic.tcp_connections(scene.source, scene.destination, port, count)
        seconds = time.monotonic() - began
    failed = [attempt.error for attempt in attempts if not attempt.ok]
    if failed:
        raise BenchError(f"{len(failed)} of {count} connections failed: {failed[0]}")
    upcalls = (_cache_misses(scene.lab) - missed) / count
    return [("connections", count / seconds), ("upcalls", upcalls)]


def _throughput(scene: Scene, port: int, seconds: float) -> float:
    """Throughput of one TCP connection, in Mbit/s."""
    with (
        netns.open_socket(scene.destination.namespace) as listener,
        netns.open_socket(scene.source.namespace) as out,
    ):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((scene.destination.ip, port))
        listener.listen()
        out.settimeout(READY)
        out.connect((scene.destination.ip, port))
        with listener.accept()[0] as into:
            received = _Receiver(into)
            data, until = bytes(LARGE), time.monotonic() + seconds
            while time.monotonic() < until:
                out.sendall(data)
            out.shutdown(socket.SHUT_WR)
            return received.rate() * 8 / 1e6


def _packets(scene: Scene, port: int, seconds: float) -> float:
    """Datagrams per second that arrive if as many as possible are sent."""
    with (
        netns.open_socket(scene.destination.namespace, kind=socket.SOCK_DGRAM) as into,
        netns.open_socket(scene.source.namespace, kind=socket.SOCK_DGRAM) as out,
    ):
        into.bind((scene.destination.ip, port))
        into.settimeout(1.0)
        out.connect((scene.destination.ip, port))
        received = _Receiver(into)
        data, until = bytes(SMALL), time.monotonic() + seconds
        while time.monotonic() < until:
            for _ in range(64):
                out.send(data)
        return received.rate() / SMALL


class _Receiver:
    """Counts the bytes that a socket receives until its peer stops."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._bytes = sock, 0
        self._began = self._ended = 0.0
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def rate(self) -> float:
        """Wait for the end; returns bytes per second between the first and the last arrival."""
        self._thread.join()
        return self._bytes / max(self._ended - self._began, 0.001)

    def _receive(self) -> None:
        try:
            while data := self._sock.recv(LARGE):
                self._ended = time.monotonic()
                self._began = self._began or self._ended
                self._bytes += len(data)
        except TimeoutError:
            return


def _cache_misses(lab: Lab) -> int:
    shown = (lab.appctl(host, "dpctl/show") for host in lab.hosts)
    return sum(int(number) for text in shown for number in re.findall(r"missed:(\d+)", text))


def _count_flows(lab: Lab) -> int:
    own = f"cookie={COOKIE:#x}/-1"
    return sum(
        lab.ofctl(host, "dump-flows", bridge, own).count("actions=")
        for host in lab.hosts
        for bridge in ("br-int", "br-tun")
    )


def write(rows: Sequence[Row], about: Mapping[str, Any], began: str, directory: Path) -> Path:
    """Write the results file and a picture; returns the path of the file."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{began.replace(':', '')}-dataplane.json"
    head = json.dumps({"began": began, "about": about}, indent=1)
    lines = ",\n".join("  " + json.dumps(row.to_json()) for row in rows)
    path.write_text(f'{head.removesuffix("}").rstrip()},\n "rows": [\n{lines}\n ]\n}}\n')
    draw(rows, path.with_suffix(".png"))
    return path


def read(path: Path) -> list[Row]:
    """Read the rows that ``write`` wrote."""
    rows = json.loads(path.read_text())["rows"]
    return [Row(row["functions"], row["metric"], tuple(row["values"])) for row in rows]


def format_table(rows: Sequence[Row], markdown: bool = False) -> Table:
    """A row per metric and a column per length; in parentheses the value relative to no chain."""
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    counts = sorted({row.functions for row in rows})
    table.add_column("")
    for count in counts:
        heading = f"{count} function{'' if count == 1 else 's'}" if count else "no chain"
        table.add_column(heading, justify="right")
    found = {(row.metric, row.functions): row.median for row in rows}
    for metric, title in METRICS.items():
        plain = found.get((metric, 0), 0.0)
        cells = [_cell(found.get((metric, count)), plain, metric) for count in counts]
        table.add_row(title, *cells)
    return table


def _cell(value: float | None, plain: float, metric: str) -> str:
    if value is None:
        return "-"
    text = f"{value:.1f}" if value < 100 and value != int(value) else f"{value:.0f}"
    return text if metric in ("flows", "upcalls") else f"{text} ({value / plain:.2f})"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write a picture of throughput, packets and connections relative to no chain."""
    # matplotlib is an optional dependency, which the table does not need.
    from bench import plot  # noqa: PLC0415

    found = {(row.metric, row.functions): row.median for row in rows}
    relative = {
        METRICS[metric]: [(count, found[metric, count] / found[metric, 0]) for count in FUNCTIONS]
        for metric in ("throughput", "packets", "connections")
    }
    plot.draw_relative(relative, path)
