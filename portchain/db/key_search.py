"""Conditions that find rows by the keys of `portchain.core.search_keys`.

A key that is NULL was not written: a server of the previous release added the row. Such rows are
always found.
"""

from typing import Any

import sqlalchemy as sa

from portchain.core import model, search_keys


def keys_of(classifier: model.FlowClassifier) -> dict[str, str]:
    """Return the columns of a classifier by which it is found, with their values.

    ``sender`` is the port whose packets it matches, or the project if it names none.
    """
    one = classifier
    return {
        "sender": one.logical_source_port or one.project_id,
        "source_key": search_keys.address_key(one.ethertype, one.source_prefix),
        "destination_key": search_keys.address_key(one.ethertype, one.destination_prefix),
        "source_ports_key": search_keys.ports_key(one.protocol, one.source_ports),
        "destination_ports_key": search_keys.ports_key(one.protocol, one.destination_ports),
    }


COLUMNS = (
    "sender",
    "source_key",
    "destination_key",
    "source_ports_key",
    "destination_ports_key",
)
"""The columns of `keys_of`."""


def may_match_the_same(table: Any, one: model.FlowClassifier) -> sa.ColumnElement[bool]:
    """Return the condition that some packets may be matched by a row and by a classifier.

    Whichever port sends them. Each part of it alone has indexes, together with who sends.

    :param table: the table of classifiers, or an alias of it.
    """
    keys = keys_of(one)
    del keys["sender"]
    conditions = [goes_with(getattr(table, column), key) for column, key in keys.items() if key]
    if one.logical_destination_port is not None:
        port = table.logical_destination_port
        conditions.append(sa.or_(port.is_(None), port == one.logical_destination_port))
    return sa.and_(*conditions)


def goes_with(column: Any, key: str) -> sa.ColumnElement[bool]:
    """Return the condition that a key begins with another key, or the other with it."""
    return sa.or_(begins(column, key), sa.and_(column > key, column < search_keys.end(key)))


def begins(column: Any, key: str) -> sa.ColumnElement[bool]:
    """Return the condition that another key begins with this one."""
    return sa.or_(column.is_(None), column.in_(search_keys.beginnings(key)))
