"""Rows of figures, one figure for each size, and their table."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """What one quantity was at each size.

    :param what: the quantity.
    :param unit: such as ``s``, ``ms``, ``MiB``; empty for a count.
    :param values: one for each size; None where it was not measured.
    """

    what: str
    unit: str
    values: tuple[float | None, ...]


def rows_of(runs: Sequence[dict[str, float]]) -> list[Row]:
    """Return a row for each quantity.

    :param runs: for each size, quantity -> figure. A quantity's name ends with its unit in
        parentheses, unless it is a count.
    """
    names = list(dict.fromkeys(name for run in runs for name in run))
    return [_row(name, tuple(run.get(name) for run in runs)) for name in names]


def _row(name: str, values: tuple[float | None, ...]) -> Row:
    what, separator, unit = name.rpartition(" (")
    return Row(what, unit.rstrip(")"), values) if separator else Row(name, "", values)


def text_table(title: str, sizes: Sequence[int], rows: Sequence[Row]) -> str:
    """Return rows as a table, each figure with its growth from the size before."""
    lines = [f"{title:<68}" + "".join(f"{size:>18,}" for size in sizes)]
    for row in rows:
        cells, before = [], None
        for value in row.values:
            growth = f" x{value / before:.1f}" if value is not None and before else ""
            cells.append(f"{'-' if value is None else f'{value:,.4g}'}{growth}".rjust(18))
            before = value
        name = f"{row.what} ({row.unit})" if row.unit else row.what
        lines.append(f"{name:<68}" + "".join(cells))
    return "\n".join(lines)
