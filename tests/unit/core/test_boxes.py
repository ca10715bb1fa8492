"""Boxes that overlap, compared with each with each."""

import itertools
from collections.abc import Sequence
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portchain.core import boxes
from portchain.core.boxes import Box, overlapping

SIZE = 12
VALUES = st.integers(0, SIZE)
INTERVALS = st.tuples(VALUES, VALUES).map(lambda ends: tuple(sorted(ends)))
POINTS = VALUES.map(lambda value: (value, value))
EVERYTHING = st.just((0, SIZE))
SHAPES = st.tuples(*[INTERVALS | POINTS | EVERYTHING] * 3)
LABELS = st.tuples(st.integers(0, 3), st.sampled_from("ab"))


def compared(some: Sequence[Box[int]]) -> int:
    """Return how many pairs are compared in order to find those that overlap."""
    count = 0

    def counting(together: Sequence[Box[int]]) -> list[tuple[int, int]]:
        nonlocal count
        count += len(together) * (len(together) - 1) // 2
        return []

    with mock.patch.object(boxes, "_compare", counting):
        assert list(overlapping(some)) == []
    return count


@pytest.mark.parametrize("few", [1, 8])
@given(shapes=st.lists(st.tuples(SHAPES, LABELS), max_size=30))
def test_boxes_are_compared_as_each_with_each(few: int, shapes: list) -> None:
    some = [Box(number, *shape) for number, shape in enumerate(shapes)]
    with mock.patch.object(boxes, "_FEW", few):
        found = list(overlapping(some))
    assert set(found) == {
        (one.item, other.item)
        for one, other in itertools.combinations(some, 2)
        if all(
            low <= other_high and other_low <= high
            for (low, high), (other_low, other_high) in zip(
                one.intervals, other.intervals, strict=True
            )
        )
        and all(a != b for a, b in zip(one.labels, other.labels, strict=True))
    }


def staircase(steps: int) -> list[Box[int]]:
    """Boxes of which no gap divides more than one from the others."""
    shapes = [
        shape
        for step in range(steps)
        for shape in (((step, step), (step, SIZE**9)), ((step + 1, SIZE**9), (step, step)))
    ]
    return [Box(number, shape, (number,)) for number, shape in enumerate(shapes)]


def side_by_side(count: int) -> list[Box[int]]:
    return [Box(number, ((0, 1), (number, number)), (number,)) for number in range(count)]


@pytest.mark.parametrize("shape", [staircase, side_by_side])
def test_comparisons_grow_with_the_number_of_boxes(shape) -> None:  # type: ignore[no-untyped-def]
    assert compared(shape(1000)) <= 3 * compared(shape(500)) + 100 < 20_000


def test_boxes_that_are_not_to_be_compared_cost_nothing() -> None:
    alike = [Box(number, ((0, 1),), (number, "project")) for number in range(1000)]
    assert compared(alike) == 0


def test_a_box_in_two_parts_is_found_in_one_of_them() -> None:
    some = [*staircase(50), Box(-1, ((49, 49), (49, SIZE**9)), ("other",))]
    assert set(overlapping(some)) == {(98, -1)}


def test_boxes_that_touch_overlap_wherever_they_are_divided() -> None:
    touching = [Box(number, ((number, number + 1),), (number,)) for number in range(50)]
    assert set(overlapping(touching)) == set(itertools.pairwise(range(50)))


def test_boxes_on_both_sides_of_a_gap_are_given_in_any_order() -> None:
    sides = [0] * 10 + [1] * 9 + [0]
    some = [Box(number, ((side, side),), (number,)) for number, side in enumerate(sides)]
    assert set(overlapping(some)) == {
        (one, other)
        for one, other in itertools.combinations(range(len(sides)), 2)
        if sides[one] == sides[other]
    }


def test_many_boxes_that_are_alike_all_overlap() -> None:
    count = 20
    alike = [Box(number, ((0, 1), (5, 5)), (number,)) for number in range(count)]
    assert set(overlapping(alike)) == set(itertools.combinations(range(count), 2))


def test_gaps_divide_all_boxes_at_once() -> None:
    with mock.patch.object(boxes, "_divide", wraps=boxes._divide) as divide:
        assert list(overlapping(side_by_side(1000))) == []
    assert divide.call_count == 1


def test_boxes_without_gaps_are_halved_again_and_again() -> None:
    some = staircase(500)
    with mock.patch.object(boxes, "_divide", wraps=boxes._divide) as divide:
        assert list(overlapping(some)) == []
    assert sum(len(call.args[0]) for call in divide.mock_calls) < 20 * len(some)
