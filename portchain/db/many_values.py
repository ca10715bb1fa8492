"""Divides long lists of values into those that a query may contain."""

from collections.abc import Iterable, Iterator

_MOST = 900
"""MariaDB puts a list of 1,000 values or more (``in_predicate_conversion_threshold``) into a
temporary table, and reads that for each row."""


def in_parts(values: Iterable[str]) -> Iterator[list[str]]:
    """Yield sorted parts of some values, each for one query; nothing if there are none."""
    ordered = sorted(values)
    for start in range(0, len(ordered), _MOST):
        yield ordered[start : start + _MOST]
