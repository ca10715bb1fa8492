"""Which of many boxes overlap, without comparing each with each.

A box has an interval in every dimension, and boxes that overlap do so in each. The boxes are
divided where a dimension has a gap, or at a value that few of them contain, again and again, until
no division saves comparisons. Only boxes that stay together are compared. What users type mostly
differs in one attribute, or in two: then that costs a few sorts for each dimension.
"""

from bisect import bisect_left
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Generic, TypeVar

Interval = tuple[Any, Any]
"""The least and the greatest value, both included."""

T = TypeVar("T")

_FEW = 8
"""Comparing this number of boxes with each other costs less than dividing them."""
_WORTHWHILE = 0.9
"""A division that leaves more than this part of all comparisons is not worth its price."""
_MOST_CUTS = 32
"""So many values are tried in each dimension to divide boxes that no gap divides."""


@dataclass(frozen=True, slots=True)
class Box(Generic[T]):
    """Something with an interval in every dimension.

    :param intervals: one for each dimension, in the same order in all boxes.
    :param labels: two boxes are compared if all their labels differ.
    """

    item: T
    intervals: tuple[Interval, ...]
    labels: tuple[Hashable, ...]

    def overlaps(self, other: "Box[T]") -> bool:
        """Return whether the boxes have a point in common."""
        return all(
            low <= other_high and other_low <= high
            for (low, high), (other_low, other_high) in zip(
                self.intervals, other.intervals, strict=True
            )
        )


def overlapping(boxes: Sequence[Box[T]]) -> Iterator[tuple[T, T]]:
    """Yield the pairs of items whose boxes overlap and differ in all labels.

    A pair can occur more than once. Its items are in the order in which they were given.

    :param boxes: with the same number of intervals and labels in each.
    """
    pending: list[Sequence[Box[T]]] = [boxes]
    while pending:
        together = pending.pop()
        labels = zip(*(box.labels for box in together), strict=True)
        if any(len(set(each)) < 2 for each in labels):
            continue
        if len(together) > _FEW and (parts := _divide(together)):
            pending += parts
        else:
            yield from _compare(together)


def _compare(boxes: Sequence[Box[T]]) -> Iterator[tuple[T, T]]:
    for one, other in combinations(boxes, 2):
        if all(map(_differ, one.labels, other.labels)) and one.overlaps(other):
            yield one.item, other.item


def _differ(one: Hashable, other: Hashable) -> bool:
    return one != other


def _divide(boxes: Sequence[Box[T]]) -> list[list[Box[T]]]:
    """Divide boxes into sets so that those that overlap are together in one of them, at least.

    :returns: empty if no division saves enough.
    """
    all_pairs = len(boxes) ** 2
    dimensions = range(len(boxes[0].intervals))
    for dimension in dimensions:
        parts = _divide_at_gaps(dimension, boxes)
        if sum(len(part) ** 2 for part in parts) <= all_pairs / 2:
            return parts
    cost, dimension, value = min(
        (cut for dimension in dimensions for cut in _cuts(dimension, boxes)),
        default=(all_pairs, 0, None),
    )
    if cost > _WORTHWHILE * all_pairs:
        return []
    return [
        [box for box in boxes if box.intervals[dimension][0] < value],
        [box for box in boxes if box.intervals[dimension][1] >= value],
    ]


def _divide_at_gaps(dimension: int, boxes: Sequence[Box[T]]) -> list[list[Box[T]]]:
    part_of = [0] * len(boxes)
    number, end = 0, None
    for index in sorted(range(len(boxes)), key=lambda one: boxes[one].intervals[dimension][0]):
        low, high = boxes[index].intervals[dimension]
        if end is not None and low > end:
            number += 1
            end = high
        else:
            end = high if end is None else max(end, high)
        part_of[index] = number
    parts: list[list[Box[T]]] = [[] for _ in range(number + 1)]
    for box, part in zip(boxes, part_of, strict=True):
        parts[part].append(box)
    return parts


def _cuts(dimension: int, boxes: Sequence[Box[T]]) -> Iterator[tuple[int, int, Any]]:
    """Yield values to divide boxes at: how many comparisons remain, the dimension, and the value.

    A box that contains the value is on both sides.
    """
    lows = sorted(box.intervals[dimension][0] for box in boxes)
    highs = sorted(box.intervals[dimension][1] for box in boxes)
    values = sorted(set(lows))[1:]
    for value in values[:: len(values) // _MOST_CUTS + 1]:
        below = bisect_left(lows, value)
        above = len(boxes) - bisect_left(highs, value)
        yield below**2 + above**2, dimension, value
