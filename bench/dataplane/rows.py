"""Measured values of the data plane, and their file. Pure, but for reading and writing it."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.dataplane.cases import CHAIN, NONE, Case
from bench.points import PORTCHAIN
from bench.results import write_file

METRICS: Mapping[str, str] = {
    "tcp cpu": "µs of all ovs-vswitchd for a TCP connection, one after the other",
    "tcp rate": "TCP connections per second, one after the other",
    "tcp cpu 32": "µs of all ovs-vswitchd for a TCP connection, 32 at a time",
    "tcp rate 32": "TCP connections per second, 32 at a time",
    "udp cpu": "µs of all ovs-vswitchd for a datagram with a new header",
    "upcalls": "upcalls for a TCP connection, all hosts",
    "changes": "flows added or changed for a TCP connection, all hosts",
    "entries": "datapath entries after some hundred connections, all hosts",
    "throughput": "Mbit/s of one TCP connection",
    "packets": "small datagrams per second that arrive",
    "connections": "TCP connections per second, one after the other",
    "flows": "flows of the steering, all hosts",
}
"""Each metric in the order of the report. ``connections`` is in old files only."""


@dataclass(frozen=True, slots=True)
class Row:
    """The repeated values of one measurement.

    :param implementation: whose lab it was measured in.
    :param steering: ``NONE``, ``STATIC`` or ``CHAIN``.
    :param alive: how many other TCP connections were open.
    """

    implementation: str
    steering: str
    case: Case
    metric: str
    values: tuple[float, ...]
    alive: int = 0

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    def to_json(self) -> dict[str, Any]:
        """The row for the results file."""
        return {
            "implementation": self.implementation,
            "steering": self.steering,
            "functions": self.case.functions,
            "pairs": self.case.pairs,
            "symmetric": self.case.symmetric,
            "alive": self.alive,
            "metric": self.metric,
            "values": [round(value, 2) for value in self.values],
        }

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> "Row":
        """The row that was saved as JSON, by this version or by the first one."""
        functions = known["functions"]
        return cls(
            known.get("implementation", PORTCHAIN),
            known.get("steering", CHAIN if functions else NONE),
            Case(functions, known.get("pairs", 1), known.get("symmetric", False)),
            known["metric"],
            tuple(known["values"]),
            known.get("alive", 0),
        )


class Rows:
    """Rows, for looking up."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = {
            (row.implementation, row.steering, row.case, row.metric, row.alive): row for row in rows
        }

    def __iter__(self) -> Iterable[Row]:
        return iter(self._rows.values())

    @property
    def implementations(self) -> list[str]:
        """The implementations, portchain first."""
        names = dict.fromkeys(row.implementation for row in self._rows.values())
        return sorted(names, key=lambda name: name != PORTCHAIN)

    @property
    def metrics(self) -> list[tuple[str, int]]:
        """Each metric with each number of open connections, in the order of the report."""
        found = {(row.metric, row.alive) for row in self._rows.values()}
        order = list(METRICS)
        return sorted(found, key=lambda one: (one[1], order.index(one[0])))

    def cases(self, metric: str, alive: int) -> list[Case]:
        """The chains for which a metric was measured."""
        found = {
            row.case
            for row in self._rows.values()
            if (row.metric, row.alive) == (metric, alive) and row.case.functions
        }
        return sorted(found, key=lambda case: (case.pairs, case.functions, case.symmetric))

    def median(
        self, implementation: str, steering: str, case: Case, metric: str, alive: int = 0
    ) -> float | None:
        """One median; None if it was not measured."""
        row = self._rows.get((implementation, steering, case, metric, alive))
        return row.median if row else None


def write(rows: Sequence[Row], about: Mapping[str, Any], began: str, directory: Path) -> Path:
    """Write the results file; returns its path."""
    return write_file(directory, began, about, "rows", rows, suffix="-dataplane")


def read(path: Path) -> list[Row]:
    """Read the rows of a results file."""
    return [Row.from_json(row) for row in json.loads(path.read_text())["rows"]]
