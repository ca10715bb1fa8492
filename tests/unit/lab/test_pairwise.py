from itertools import combinations, product

from hypothesis import given
from hypothesis import strategies as st

from tests.pairwise import all_pairs

sizes = st.lists(st.integers(1, 4), min_size=2, max_size=4)


@given(sizes)
def test_every_two_choices_meet(sizes: list[int]) -> None:
    dimensions = {str(index): range(size) for index, size in enumerate(sizes)}
    cases = all_pairs(dimensions)
    for (one, first), (other, second) in combinations(dimensions.items(), 2):
        met = {(case[one], case[other]) for case in cases}
        assert met == set(product(first, second))
    largest = sorted(sizes)[-2:]
    assert len(cases) >= largest[0] * largest[1]


def test_what_cannot_be_is_left_out() -> None:
    dimensions = {"a": (1, 2), "b": (1, 2), "c": (1, 2)}
    cases = all_pairs(dimensions, lambda case: case["a"] != case["b"])
    assert all(case["a"] != case["b"] for case in cases)
    assert {(case["a"], case["c"]) for case in cases} == set(product((1, 2), (1, 2)))
