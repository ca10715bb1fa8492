"""Tables of the data plane's measurements, with ratios beside their goals. Pure."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table

from bench.dataplane.cases import BARE, CHAIN, DIRECT, NONE, STATIC, Case
from bench.dataplane.goals import COSTS, GROWTH, RATES, goal, is_cost
from bench.dataplane.rows import METRICS, Row, Rows
from bench.points import NETWORKING_SFC, ON_OVN, PORTCHAIN

MET, MISSED = "yes", "no"
EMPTY = ("", "-")
DRAWN = ("tcp cpu", "udp cpu")
"""The metrics of the picture."""


def tables(rows: Sequence[Row], markdown: bool = False) -> Iterator[tuple[str, Table]]:
    """A title and a table for each metric, and for each number of other open connections.

    :param markdown: draw the tables as Markdown.
    """
    found = Rows(rows)
    for metric, alive in found.metrics:
        others = f", with {alive} other connections open" if alive else ""
        yield f"{METRICS[metric]}{others}", _table(found, metric, alive, markdown)


def _table(rows: Rows, metric: str, alive: int, markdown: bool) -> Table:
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    cases = rows.cases(metric, alive)
    lines = [cells(rows, metric, alive, case) for case in cases]
    names = headings(rows)
    used = [n for n in range(len(names)) if any(line[n] not in EMPTY for line in lines)]
    table.add_column("functions")
    for column in used:
        table.add_column(names[column], justify="right")
    for case, line in zip(cases, lines, strict=True):
        table.add_row(str(case), *(line[column] for column in used))
    return table


def headings(rows: Rows) -> list[str]:
    """The headings of the columns after the first."""
    found = []
    for name in rows.implementations:
        found += ["no chain", "by hand", name, "/ no chain", "/ by hand"]
        if name == PORTCHAIN:
            found += ["goal", "met"]
        if name == ON_OVN:
            found += ["nobody has a chain", f"/ {PORTCHAIN}"]
    if _compared(rows):
        found += [f"{PORTCHAIN} / {NETWORKING_SFC}", "no worse"]
    return [*found, "growth", f"<= {GROWTH}"]


def cells(rows: Rows, metric: str, alive: int, case: Case) -> list[str]:
    """The cells of a row after the first."""
    found = []
    for name in rows.implementations:
        plain = rows.median(name, NONE, DIRECT, metric, alive)
        static, chain = (rows.median(name, how, case, metric, alive) for how in (STATIC, CHAIN))
        by_hand = ratio(chain, static)
        found += [number(plain), number(static), number(chain)]
        found += [times(ratio(chain, plain)), times(by_hand)]
        if name == PORTCHAIN:
            found += _judged(metric, case, chain, by_hand)
        if name == ON_OVN:
            found.append(number(rows.median(name, BARE, DIRECT, metric, alive)))
            found.append(times(ratio(chain, rows.median(PORTCHAIN, CHAIN, case, metric, alive))))
    if _compared(rows):
        ours, theirs = (
            _comparable(rows, name, case, metric, alive) for name in (PORTCHAIN, NETWORKING_SFC)
        )
        found += _compare(metric, ours, theirs)
    return [*found, *_growth(rows, metric, alive, case)]


def drawn(rows: Sequence[Row]) -> tuple[list[str], dict[str, list[float | None]]]:
    """The labels of the cases, and what each implementation costs relative to static flows."""
    found = Rows(rows)
    cases = found.cases(DRAWN[0], 0)
    series = {
        f"{name}: {METRICS[metric]}": [
            ratio(*(found.median(name, how, case, metric) for how in (CHAIN, STATIC)))
            for case in cases
        ]
        for metric in DRAWN
        for name in found.implementations
    }
    return [str(case) for case in cases], {
        name: ratios for name, ratios in series.items() if any(ratios)
    }


def _compared(rows: Rows) -> bool:
    return {PORTCHAIN, NETWORKING_SFC} <= set(rows.implementations)


def _judged(metric: str, case: Case, chain: float | None, by_hand: float | None) -> list[str]:
    """The goal, and whether it is met."""
    wanted = goal(metric, case)
    if wanted is None:
        return ["", ""]
    value = by_hand if wanted.relative else chain
    return [str(wanted), "-" if value is None else MET if wanted.is_met(value) else MISSED]


def _comparable(rows: Rows, name: str, case: Case, metric: str, alive: int) -> float | None:
    """A value that two labs can be compared by: what depends on the machine's load is a ratio."""
    chain = rows.median(name, CHAIN, case, metric, alive)
    if metric in COSTS or metric in RATES:
        return ratio(chain, rows.median(name, STATIC, case, metric, alive))
    return chain


def _compare(metric: str, ours: float | None, theirs: float | None) -> list[str]:
    compared = ratio(ours, theirs)
    if ours is None or theirs is None:
        return ["-", "-"]
    good = ours <= theirs if is_cost(metric) else ours >= theirs
    return [times(compared), MET if good else MISSED]


def _growth(rows: Rows, metric: str, alive: int, case: Case) -> list[str]:
    """How much a cost of portchain grows with other connections, and whether that is allowed."""
    if not alive or metric not in COSTS:
        return ["", ""]
    grown = ratio(*(rows.median(PORTCHAIN, CHAIN, case, metric, n) for n in (alive, 0)))
    if grown is None:
        return ["-", "-"]
    return [times(grown), MET if grown <= GROWTH else MISSED]


def ratio(value: float | None, base: float | None) -> float | None:
    """One value divided by another; None if one is missing or the base is 0."""
    return None if value is None or not base else value / base


def times(value: float | None) -> str:
    """A ratio as text."""
    return "-" if value is None else f"{value:.2f}"


def number(value: float | None) -> str:
    """A value as text, with about three significant digits."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"
