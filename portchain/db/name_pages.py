"""Finds a page of a list that is sorted by name, by an index.

The query that Neutron's libraries write for such a page makes MariaDB read all rows that the caller
may see: the tie-break by id has the other direction than a descending name, and of the condition
for what follows a marker, ``name > X OR (name = X AND id > Y)``, MariaDB often uses the first half
of the index only. Here, each statement has one range of one index (docs/decisions/0085).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class NamePage:
    """Which page of a list that is sorted by name, and then by id.

    :param query: for the ids of all rows of the list.
    :param model: their table.
    :param limit: the greatest number of rows of the page.
    :param descending: whether names descend, and whether ids do among equal names.
    :param marker: name and id of the row before the page; None for the first page.
    """

    query: Any
    model: Any
    limit: int
    descending: tuple[bool, bool]
    marker: tuple[str, str] | None = None

    def ids(self) -> list[str]:
        """Return the ids of the page, in order."""
        found = list[str]()
        after = self.query
        if self.marker is not None:
            name, row_id = self.marker
            beyond = _beyond(self.model.id, self.descending[1])(row_id)
            same = after.filter(self.model.name == name, beyond)
            found = self._read(same, self.limit)
            after = after.filter(_beyond(self.model.name, self.descending[0])(name))
        left = self.limit - len(found)
        return found + self._from_beginning(after, left) if left else found

    def _from_beginning(self, query: Any, limit: int) -> list[str]:
        """Return the first ids of a query.

        An index has names and ids in the same direction. In the other case, it says which names are
        on the page; all rows of these but the last one are there, and the ids of that one are in
        order by the same index.
        """
        by_name, by_id = self.descending
        if by_name == by_id:
            return self._read(query, limit)
        backwards = query.order_by(_in(self.model.name, by_name), _in(self.model.id, by_name))
        names = [name for _, name in backwards.add_columns(self.model.name).limit(limit)]
        if not names:
            return []
        # The database compares: it may take names for equal that differ in case.
        whole = query.filter(_beyond(self.model.name, not by_name)(names[-1]))
        found = self._read(whole, limit)
        return found + self._read(query.filter(self.model.name == names[-1]), limit - len(found))

    def _read(self, query: Any, limit: int) -> list[str]:
        by_name, by_id = self.descending
        order = _in(self.model.name, by_name), _in(self.model.id, by_id)
        return [row.id for row in query.order_by(*order).limit(limit)]


def _in(column: Any, descending: bool) -> sa.ColumnElement[Any]:
    order: sa.ColumnElement[Any] = column.desc() if descending else column.asc()
    return order


def _beyond(column: Any, descending: bool) -> Callable[[str], sa.ColumnElement[bool]]:
    """Return the condition that a value is behind another one."""
    return column.__lt__ if descending else column.__gt__
