"""Formats measurements as tables."""

from rich import box
from rich.table import Table

from bench.points import NETWORKING_SFC, PORTCHAIN, TITLES, UNITS, Measured, Point


def tables(measured: Measured, markdown: bool = False) -> list[tuple[str, Table]]:
    """A title and a table for each measured metric.

    Columns: each implementation with each number of chains, its growth, and the ratios.

    :param markdown: draw the tables as Markdown.
    """
    return [(_title(metric), _table(measured, metric, markdown)) for metric in measured.metrics]


def _title(metric: str) -> str:
    return f"{TITLES[metric]} ({UNITS[metric]})"


def _table(measured: Measured, metric: str, markdown: bool) -> Table:
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for heading in headings(measured):
        # Markdown allows only one line.
        text = heading if markdown else heading.replace(" ", "\n")
        table.add_column(text, justify="right", no_wrap=True)
    for subject in measured.subjects(metric):
        table.add_row(subject.replace("_", " "), *cells(measured, metric, subject))
    return table


def _compared(measured: Measured) -> bool:
    return {PORTCHAIN, NETWORKING_SFC} <= set(measured.implementations)


def headings(measured: Measured) -> list[str]:
    """The headings of the columns after the first."""
    found = []
    for name in measured.implementations:
        found += [f"{name} {chains}" for chains in measured.chains]
        found += ["growth"] if len(measured.chains) > 1 else []
    if _compared(measured):
        found += [f"ratio {chains}" for chains in measured.chains]
    return found


def cells(measured: Measured, metric: str, subject: str) -> list[str]:
    """The cells of a row after its subject."""
    found = []
    for name in measured.implementations:
        points = [measured.get(metric, subject, name, chains) for chains in measured.chains]
        found += [point_text(point) for point in points]
        if len(measured.chains) > 1:
            found.append(times(measured.growth(metric, subject, name)))
    if _compared(measured):
        found += [times(measured.ratio(metric, subject, chains)) for chains in measured.chains]
    return found


def times(value: float | None) -> str:
    """A factor as text."""
    return "-" if value is None else f"x{value:.1f}"


def point_text(point: Point | None) -> str:
    """The median, followed by the 95th percentile in parentheses if the values differ."""
    if point is None:
        return "-"
    if len(set(point.values)) == 1:
        return number(point.median)
    return f"{number(point.median)} ({number(point.p95)})"


def number(value: float) -> str:
    """A number with about three significant digits."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}"
