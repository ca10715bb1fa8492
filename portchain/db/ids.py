"""Allocation of the small numbers that chains and groups carry in packets and flows.

A number is picked at random among a few that are free, in one query however many are taken, and a
unique constraint decides between two servers that pick the same at the same time: the loser's
request is run again. Random rather than counted: a number just given back is unlikely to be handed
out while a host still holds flows with it.
"""

import random
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute

from portchain import errors

FIRST, LAST = 1, 65535
_CANDIDATES = 16


def pick(session: Any, column: InstrumentedAttribute[int]) -> int:
    """Return a free number.

    :param column: the unique column that holds the numbers in use.
    :raises NoFreeId: every number is taken.
    """
    candidates = random.sample(range(FIRST, LAST + 1), _CANDIDATES)
    free = _free(session, column, candidates)
    if free:
        return free[0]
    # Nearly all are taken, or bad luck: look at every one.
    free = _free(session, column, range(FIRST, LAST + 1))
    if free:
        return random.choice(free)  # noqa: S311
    raise errors.NoFreeId(attribute=column.key, first=FIRST, last=LAST)


def _free(session: Any, column: InstrumentedAttribute[int], candidates: Sequence[int]) -> list[int]:
    query = sa.select(column)
    if len(candidates) < LAST:
        query = query.where(column.in_(candidates))
    taken = set(session.scalars(query))
    return [candidate for candidate in candidates if candidate not in taken]
