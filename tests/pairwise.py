"""All-pairs test cases: few combinations in which every two choices of different dimensions meet."""

import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

Case = dict[str, Hashable]


def all_pairs(
    dimensions: Mapping[str, Sequence[Hashable]], possible: Callable[[Case], bool] = lambda _: True
) -> list[Case]:
    """Choose cases so that each possible pair of choices is in one of them; the same ones every time.

    Greedy: of all cases, the next one is always the first of those that have the most pairs which are in none yet.

    :param dimensions: name -> choices.
    :param possible: whether a case can be.
    """
    names = list(dimensions)
    every = [
        dict(zip(names, choices, strict=True))
        for choices in itertools.product(*dimensions.values())
    ]
    pairs_of = {
        index: frozenset(_pairs(case)) for index, case in enumerate(every) if possible(case)
    }
    missing = set[tuple[tuple[str, Hashable], ...]]().union(*pairs_of.values())
    chosen = []
    while missing:
        best = max(pairs_of, key=lambda index: (len(pairs_of[index] & missing), -index))
        missing -= pairs_of[best]
        chosen.append(every[best])
    return chosen


def _pairs(case: Case) -> Iterator[tuple[tuple[str, Hashable], ...]]:
    return itertools.combinations(case.items(), 2)
