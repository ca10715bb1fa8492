"""Allocates the small numbers that identify chains and groups in packets and flows.

A number is picked at random among a few free ones, in one query however many are taken. If two
servers pick the same number at the same time, a unique constraint refuses one of them and its
request runs again. The choice is random because a host may still hold flows with a number that was
just released: such a number is unlikely to be picked again soon.
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
    # No candidate was free. Nearly all numbers may be taken, so look at every one.
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
