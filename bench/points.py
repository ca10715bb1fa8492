"""What was measured, as values, and what can be said of it. Nothing here acts."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

PORTCHAIN = "portchain"
NETWORKING_SFC = "networking-sfc"

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
    "latency": "Time from a request to its answer",
    "cpu": "Processor time of the API workers for a request",
    "first packet": "Time from the answer to the first steered packet",
    "sql": "SQL statements of the API workers for a request",
    "rpc": "RPC messages published because of a request",
    "memory": "Resident memory",
}


@dataclass(frozen=True, slots=True)
class Point:
    """All values of one thing, measured under the same circumstances.

    :param chains: port chains that were there at the time.
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
            msg = f"metric {self.metric!r}: one of {', '.join(UNITS)}, please"
            raise ValueError(msg)
        if not self.values:
            msg = f"{self.subject}: a point without values says nothing"
            raise ValueError(msg)

    @property
    def median(self) -> float:
        """The middle value; half of them are not above it."""
        return statistics.median(self.values)

    @property
    def p95(self) -> float:
        """The least value that 95 of 100 do not exceed."""
        return percentile(self.values, 95)

    def to_json(self) -> dict[str, Any]:
        """A dictionary from which ``from_json`` makes the same point."""
        return {**asdict(self), "values": [round(value, 3) for value in self.values]}

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> "Point":
        """The point that was written as JSON."""
        return cls(**{**known, "values": tuple(known["values"])})


def percentile(values: Sequence[float], percent: float) -> float:
    """The least of the values that at least ``percent`` of 100 do not exceed (nearest rank: always
    one that was measured, never one between two).

    :param percent: above 0, at most 100.
    """
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[rank - 1]


def ratio(theirs: Point | None, ours: Point | None) -> float | None:
    """How many times our median fits into theirs; None if one was not measured or ours is not
    positive.
    """
    if ours is None or theirs is None or ours.median <= 0:
        return None
    return theirs.median / ours.median


class Measured:
    """All points of a run, to be looked up.

    :param points: a later point replaces an earlier one of the same thing.
    """

    def __init__(self, points: Iterable[Point]) -> None:
        self._points = {
            (point.metric, point.subject, point.implementation, point.chains): point
            for point in points
        }

    @property
    def implementations(self) -> list[str]:
        """What was measured, ours first."""
        names = dict.fromkeys(name for _, _, name, _ in self._points)
        return sorted(names, key=lambda name: name != PORTCHAIN)

    @property
    def chains(self) -> list[int]:
        """With how many chains, growing."""
        return sorted({chains for *_, chains in self._points})

    @property
    def metrics(self) -> list[str]:
        """Which metrics, in the order of the report."""
        found = {metric for metric, *_ in self._points}
        return [metric for metric in UNITS if metric in found]

    def subjects(self, metric: str) -> list[str]:
        """A metric's subjects in the order in which they were measured."""
        return list(dict.fromkeys(subject for name, subject, *_ in self._points if name == metric))

    def get(self, metric: str, subject: str, implementation: str, chains: int) -> Point | None:
        """One point, None if it was not measured."""
        return self._points.get((metric, subject, implementation, chains))

    def ratio(self, metric: str, subject: str, chains: int) -> float | None:
        """How many times portchain's median fits into networking-sfc's."""
        return ratio(
            self.get(metric, subject, NETWORKING_SFC, chains),
            self.get(metric, subject, PORTCHAIN, chains),
        )

    def growth(self, metric: str, subject: str, implementation: str) -> float | None:
        """How many times the median with the fewest chains fits into that with the most; None if
        there are not two numbers of chains.
        """
        if len(self.chains) < 2:
            return None
        first, last = self.chains[0], self.chains[-1]
        return ratio(
            self.get(metric, subject, implementation, last),
            self.get(metric, subject, implementation, first),
        )
