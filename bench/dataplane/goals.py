"""What a chain may cost, as ratios to flows written by hand in the same switches. Pure."""

from dataclasses import dataclass

from bench.dataplane.cases import Case

COSTS = ("tcp cpu", "tcp cpu 32", "udp cpu")
RATES = {"tcp rate": 0.95, "tcp rate 32": 0.95, "throughput": 0.97, "packets": 0.97}
COUNTS = ("upcalls", "changes")
ONE_PAIR, SEVERAL_PAIRS = 1.2, 1.4
GROWTH = 1.1
"""How much the other open connections may add to a cost."""
NEGLIGIBLE = 0.02
"""Events for a connection that count as none: periodic ones that fall into the measurement."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit for a chain.

    :param at_most: the greatest value that is allowed, or None.
    :param at_least: the smallest value that is allowed, or None.
    :param relative: whether they are ratios to the flows written by hand.
    """

    at_most: float | None = None
    at_least: float | None = None
    relative: bool = True

    def __str__(self) -> str:
        return f"<= {self.at_most:g}" if self.at_most is not None else f">= {self.at_least:g}"

    def is_met(self, value: float) -> bool:
        """Whether a value, or a ratio, is within the limit."""
        if self.at_most is not None:
            return value <= self.at_most + (0 if self.relative else NEGLIGIBLE)
        return self.at_least is None or value >= self.at_least


def goal(metric: str, case: Case) -> Goal | None:
    """The goal of a metric for a chain; None if it has none."""
    if metric in COSTS:
        return Goal(at_most=SEVERAL_PAIRS if case.pairs > 1 else ONE_PAIR)
    if metric in RATES:
        return Goal(at_least=RATES[metric])
    if metric in COUNTS:
        return Goal(at_most=0, relative=False)
    return None


def is_cost(metric: str) -> bool:
    """Whether less of it is better."""
    return metric not in RATES
