"""All-pairs test cases: few combinations that contain every pair of choices."""

import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

Case = dict[str, Hashable]


def all_pairs(
    dimensions: Mapping[str, Sequence[Hashable]],
    possible: Callable[[Case], bool] = lambda _: True,
    needed: Callable[[frozenset[str]], bool] = lambda _: True,
) -> list[Case]:
    """Choose cases that contain every needed pair of choices; the same cases every time.

    The algorithm is greedy: each case is the first of those with the most pairs that are missing.

    :param dimensions: name -> choices.
    :param possible: whether a combination can exist.
    :param needed: whether the pairs of these two dimensions have to be covered. Every single choice
        is covered in any case.
    """
    names = list(dimensions)
    every = [
        dict(zip(names, choices, strict=True))
        for choices in itertools.product(*dimensions.values())
    ]
    pairs_of = {
        index: frozenset(_pairs(case, needed)) for index, case in enumerate(every) if possible(case)
    }
    missing = set[tuple[tuple[str, Hashable], ...]]().union(*pairs_of.values())
    chosen = []
    while missing:
        best = max(pairs_of, key=lambda index: (len(pairs_of[index] & missing), -index))
        missing -= pairs_of[best]
        chosen.append(every[best])
    return chosen


def _pairs(
    case: Case, needed: Callable[[frozenset[str]], bool]
) -> Iterator[tuple[tuple[str, Hashable], ...]]:
    yield from ((choice,) for choice in case.items())
    for pair in itertools.combinations(case.items(), 2):
        if needed(frozenset(name for name, _ in pair)):
            yield pair
