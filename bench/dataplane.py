"""``python -m bench dataplane``: what packets pay for a chain of 1, 2, 4 and 8 functions, beside the same hosts without one.

Everything is measured in turn, several times, on one lab: the figures say something as ratios of one run, and nothing of a
machine with a kernel datapath.
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
SMALL, LARGE = 18, 65536  # bytes of payload: a frame of 60 bytes, and as much as a socket takes
READY = 60.0
METRICS: Mapping[str, str] = {
    "throughput": "Mbit/s of one TCP connection",
    "packets": "small datagrams a second that arrive",
    "connections": "TCP connections a second, one after the other, from SYN to FIN",
    "upcalls": "packets a connection that a switch could not forward from its cache, all hosts",
    "rules": "rules of ours, all hosts",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: values of a metric through so many functions."""

    functions: int
    metric: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    def to_json(self) -> dict[str, Any]:
        """For the results file."""
        values = [round(value, 2) for value in self.values]
        return {"functions": self.functions, "metric": self.metric, "values": values}


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often.

    :param seconds: of a stream. ``connections``: of a burst.
    """

    repeat: int = 3
    seconds: float = 3.0
    connections: int = 50


def measure(implementation: Implementation, plan: Plan, console: Console) -> list[Row]:
    """Measure in a lab of its own.

    :raises BenchError: connections failed.
    :raises LabError: the lab or a chain does not come up.
    """

    def report(step: str) -> None:
        console.print(f"  [green]✓[/] {step}")

    software = implementation.software(report)
    lab = Lab(layout.Layout("benchdata", 2, "openvswitch", software=software))
    try:
        with console.status("bringing up the lab"):
            lab.up(report)
        with console.status("machines") as status:
            # So many chains in every order of two take as many functions as the longest chain.
            longest = max(FUNCTIONS)
            scene = Scene(lab, Api(lab), longest * (longest - 1), status.update)
        rules = {count: _make_chain(scene, count) for count in FUNCTIONS}
        report("chains are there")
        rows = [Row(count, "rules", (float(rules[count]),)) for count in FUNCTIONS]
        return [*rows, *_streams(scene, plan, report)]
    finally:
        lab.down()


def _make_chain(scene: Scene, count: int) -> int:
    """Make the chain of so many functions; returns how many rules that took on all hosts."""
    before = _rules(scene.lab)
    if count == 0:
        return 0
    port = FIRST_PORT + count
    classifiers = [scene.classifier(port, protocol)["id"] for protocol in ("tcp", "udp")]
    chain = scene.chain(scene.groups[:count], classifiers)

    def is_active() -> bool:
        shown = {one["id"]: one["status"] for one in scene.api.list("port_chain")}
        return shown[chain["id"]] == "ACTIVE"

    wait_for(is_active, READY, f"a chain of {count} functions")
    return _rules(scene.lab) - before


def _streams(scene: Scene, plan: Plan, report: Callable[[str], None]) -> list[Row]:
    values: dict[tuple[int, str], list[float]] = {}
    for turn in range(plan.repeat):
        for count in FUNCTIONS:
            port = FIRST_PORT + count
            for metric, value in (
                *_connections(scene, port, plan.connections),
                ("throughput", _throughput(scene, port, plan.seconds)),
                ("packets", _packets(scene, port, plan.seconds)),
            ):
                values.setdefault((count, metric), []).append(value)
        report(f"turn {turn + 1} of {plan.repeat}")
    return [Row(count, metric, tuple(found)) for (count, metric), found in values.items()]


def _connections(scene: Scene, port: int, count: int) -> list[tuple[str, float]]:
    """New connections a second, and upcalls for each."""
    with traffic.TcpEchoServer(scene.destination, port):
        traffic.tcp_connections(scene.source, scene.destination, port, 3)  # addresses are known now
        missed, began = _missed(scene.lab), time.monotonic()
        attempts = traffic.tcp_connections(scene.source, scene.destination, port, count)
        seconds = time.monotonic() - began
    failed = [attempt.error for attempt in attempts if not attempt.ok]
    if failed:
        raise BenchError(f"{len(failed)} of {count} connections failed: {failed[0]}")
    upcalls = (_missed(scene.lab) - missed) / count
    return [("connections", count / seconds), ("upcalls", upcalls)]


def _throughput(scene: Scene, port: int, seconds: float) -> float:
    """Mbit/s of one TCP connection that sends as fast as it can."""
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
    """Datagrams a second that arrive of as many as can be sent."""
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
    """Counts bytes until there are no more."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._bytes = sock, 0
        self._began = self._ended = 0.0
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def rate(self) -> float:
        """Bytes a second between the first and the last that came, after the end."""
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


def _missed(lab: Lab) -> int:
    shown = (lab.appctl(host, "dpctl/show") for host in lab.hosts)
    return sum(int(number) for text in shown for number in re.findall(r"missed:(\d+)", text))


def _rules(lab: Lab) -> int:
    own = f"cookie={COOKIE:#x}/-1"
    return sum(
        lab.ofctl(host, "dump-flows", bridge, own).count("actions=")
        for host in lab.hosts
        for bridge in ("br-int", "br-tun")
    )


# What is left behind.


def write(rows: Sequence[Row], about: Mapping[str, Any], began: str, directory: Path) -> Path:
    """Write the file and the picture beside it; returns the file."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{began.replace(':', '')}-dataplane.json"
    head = json.dumps({"began": began, "about": about}, indent=1)
    lines = ",\n".join("  " + json.dumps(row.to_json()) for row in rows)
    path.write_text(f'{head.removesuffix("}").rstrip()},\n "rows": [\n{lines}\n ]\n}}\n')
    draw(rows, path.with_suffix(".png"))
    return path


def read(path: Path) -> list[Row]:
    """The rows that were written."""
    rows = json.loads(path.read_text())["rows"]
    return [Row(row["functions"], row["metric"], tuple(row["values"])) for row in rows]


def table(rows: Sequence[Row], markdown: bool = False) -> Table:
    """A line for each metric, a column for each length of chain, with the part of what is had without a chain."""
    made = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    counts = sorted({row.functions for row in rows})
    made.add_column("")
    for count in counts:
        made.add_column(f"{count} functions" if count else "no chain", justify="right")
    found = {(row.metric, row.functions): row.median for row in rows}
    for metric, title in METRICS.items():
        plain = found.get((metric, 0), 0.0)
        cells = [_cell(found.get((metric, count)), plain, metric) for count in counts]
        made.add_row(title, *cells)
    return made


def _cell(value: float | None, plain: float, metric: str) -> str:
    if value is None:
        return "-"
    text = f"{value:.1f}" if value < 100 and value != int(value) else f"{value:.0f}"
    return text if metric in ("rules", "upcalls") else f"{text} ({value / plain:.2f})"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write a picture: the part of throughput, packets and connections that is left."""
    # Drawing is an extra of its own, and the tests of the rest do without it.
    from bench import plot  # noqa: PLC0415

    found = {(row.metric, row.functions): row.median for row in rows}
    parts = {
        METRICS[metric]: [(count, found[metric, count] / found[metric, 0]) for count in FUNCTIONS]
        for metric in ("throughput", "packets", "connections")
    }
    plot.draw_parts(parts, path)
