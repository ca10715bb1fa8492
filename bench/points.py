"""Measured values and statistics on them. Pure."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

PORTCHAIN = "portchain"
NETWORKING_SFC = "networking-sfc"
ON_OVN = "portchain-ovn"
"""portchain on hosts of OVN; for the data plane only."""

UNITS: Mapping[str, str] = {
    "latency": "ms",
    "cpu": "ms",
    "first packet": "ms",
    "sql": "statements",
    "rpc": "messages",
    "memory": "MiB",
}
"""Each metric, in the order of the report, with its unit."""

TITLES: Mapping[str, str] = {
    "latency": "Response time of a request",
    "cpu": "Processor time of the API workers per request",
    "first packet": "Time from the response to the first steered packet",
    "sql": "SQL statements of the API workers per request",
    "rpc": "RPC messages per request",
    "memory": "Resident memory",
}


@dataclass(frozen=True, slots=True)
class Point:
    """The repeated values of one measurement.

    :param chains: the number of existing port chains.
    :param metric: a key of ``UNITS``.
    :param subject: what was measured, such as ``port_chain create`` or ``agent``.
    :param values: at least one, in the metric's unit.
    """

    implementation: str
    chains: int
    metric: str
    subject: str
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.metric not in UNITS:
            msg = f"metric {self.metric!r}: use one of {', '.join(UNITS)}"
            raise ValueError(msg)
        if not self.values:
            msg = f"{self.subject}: a point needs at least one value"
            raise ValueError(msg)

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def p95(self) -> float:
        """The 95th percentile."""
        return percentile(self.values, 95)

    def to_json(self) -> dict[str, Any]:
        """A dictionary that ``from_json`` turns into an equal point."""
        return {**asdict(self), "values": [round(value, 3) for value in self.values]}

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> "Point":
        """The point that was saved as JSON."""
        return cls(**{**known, "values": tuple(known["values"])})


def percentile(values: Sequence[float], percent: float) -> float:
    """The percentile by nearest rank, which is always one of the values.

    :param percent: above 0, at most 100.
    """
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[rank - 1]


def ratio(theirs: Point | None, ours: Point | None) -> float | None:
    """Their median divided by ours; None if one is missing or ours is not positive."""
    if ours is None or theirs is None or ours.median <= 0:
        return None
    return theirs.median / ours.median


class Measured:
    """The points of a run, for looking up.

    :param points: a later point replaces an earlier one of the same measurement.
    """

    def __init__(self, points: Iterable[Point]) -> None:
        self._points = {
            (point.metric, point.subject, point.implementation, point.chains): point
            for point in points
        }

    @property
    def implementations(self) -> list[str]:
        """The implementations, portchain first."""
        names = dict.fromkeys(name for _, _, name, _ in self._points)
        return sorted(names, key=lambda name: name != PORTCHAIN)

    @property
    def chains(self) -> list[int]:
        """The numbers of chains, in ascending order."""
        return sorted({chains for *_, chains in self._points})

    @property
    def metrics(self) -> list[str]:
        """The metrics, in the order of the report."""
        found = {metric for metric, *_ in self._points}
        return [metric for metric in UNITS if metric in found]

    def subjects(self, metric: str) -> list[str]:
        """The subjects of a metric, in the order of measurement."""
        return list(dict.fromkeys(subject for name, subject, *_ in self._points if name == metric))

    def get(self, metric: str, subject: str, implementation: str, chains: int) -> Point | None:
        """One point; None if it was not measured."""
        return self._points.get((metric, subject, implementation, chains))

    def ratio(self, metric: str, subject: str, chains: int) -> float | None:
        """networking-sfc's median divided by portchain's."""
        return ratio(
            self.get(metric, subject, NETWORKING_SFC, chains),
            self.get(metric, subject, PORTCHAIN, chains),
        )

    def growth(self, metric: str, subject: str, implementation: str) -> float | None:
        """The median with the most chains divided by that with the fewest.

        None if only one number of chains was measured.
        """
        if len(self.chains) < 2:
            return None
        first, last = self.chains[0], self.chains[-1]
        return ratio(
            self.get(metric, subject, implementation, last),
            self.get(metric, subject, implementation, first),
        )
