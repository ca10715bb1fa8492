from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab import matrix
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


def test_impossible_combinations_are_left_out() -> None:
    dimensions = {"a": (1, 2), "b": (1, 2), "c": (1, 2)}
    cases = all_pairs(dimensions, lambda case: case["a"] != case["b"])
    assert all(case["a"] != case["b"] for case in cases)
    assert {(case["a"], case["c"]) for case in cases} == set(product((1, 2), (1, 2)))


def test_pairs_that_are_not_needed_may_be_missing_but_every_choice_is_covered() -> None:
    dimensions = {"a": range(3), "b": range(3), "c": range(2)}
    cases = all_pairs(dimensions, needed=lambda pair: pair != {"a", "b"})
    assert len(cases) < 9
    for name in ("a", "b"):
        assert {(case[name], case["c"]) for case in cases} == set(product(range(3), range(2)))


def test_in_the_kernel_each_transport_runs_with_each_firewall_between_hosts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matrix, "FULL", False)
    monkeypatch.setattr(matrix, "IN_KERNEL", True)
    cases = matrix.cases()
    met = {(case["transport"], case["firewall"]) for case in cases}
    assert met == set(product(matrix.TRANSPORTS, matrix.FIREWALLS)) - IMPOSSIBLE
    assert {case["transport"] for case in cases if case["places"] != "one"} == (
        matrix.TRANSPORTS.keys()
    )


ON_OVN = [name for name, how in matrix.TRANSPORTS.items() if how.get("driver") == "ovn"]
IMPOSSIBLE = set(product(ON_OVN, [*matrix.FIREWALLS[1:], "nsh"]))
"""OVN has a firewall of its own, and its Open vSwitch ends with TCP in NSH."""


@pytest.mark.parametrize("full", [False, True])
def test_the_matrix_covers_the_documented_pairs(
    full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "FULL", full)
    cases = matrix.cases()
    for one, other in combinations(matrix.DIMENSIONS, 2):
        if not full and not {one, other} <= matrix.PAIRED:
            assert {case[one] for case in cases} == set(matrix.DIMENSIONS[one])
            assert {case[other] for case in cases} == set(matrix.DIMENSIONS[other])
            continue
        met = {(case[one], case[other]) for case in cases}
        for choices in product(matrix.DIMENSIONS[one], matrix.DIMENSIONS[other]):
            assert choices in met or choices in IMPOSSIBLE
