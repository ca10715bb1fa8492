"""OVN's Northbound and Southbound database, at the addresses that ML2/OVN is configured with.

The connections are the server's own, beside those of ML2/OVN: they replicate only what chains need.
Each process opens one when it first needs it.
"""

import queue
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tenacity
from neutron.conf.plugins.ml2.drivers.ovn import ovn_conf
from neutron_lib import exceptions as lib
from oslo_config import cfg
from ovsdbapp.backend.ovs_idl import command, connection, transaction
from ovsdbapp.exceptions import TimeoutException

from portchain.conf import GROUP
from portchain.ovsdb import tls
from portchain.ovsdb.connection import OvsdbConnection, OvsdbUnreachableError

_ATTEMPTS = 3
"""Two processes may add the same row at once: the second one then compares again."""

_INDEXES = ("name", "hostname")
"""Columns by which rows are looked up."""


class Unreachable(lib.ServiceUnavailable):
    """503: a database of OVN does not answer."""

    message = "The driver ovn cannot reach the database %(schema)s at %(server)s: %(error)s."

    def __init__(self, schema: str, server: str, error: object) -> None:
        super().__init__(schema=schema, server=server, error=error)


class Database:
    """One of OVN's databases, replicated in memory by ovsdbapp's thread.

    :param schema: name of the database, such as ``OVN_Northbound``.
    :param server: returns the address, such as ``tcp:192.0.2.1:6641``.
    :param columns: table -> columns to replicate, as far as the server has them.
    """

    def __init__(
        self, schema: str, server: Callable[[], str], columns: Mapping[str, Sequence[str]]
    ) -> None:
        self._schema = schema
        self._server = server
        self._note: Callable[[Any], None] | None = None
        self._ovsdb = OvsdbConnection(
            schema,
            self._remote,
            columns,
            cfg.CONF[GROUP].ovn_timeout,
            on_change=lambda row, _old: self._tell(row),
            prepare=_create_indexes,
        )

    def _remote(self) -> str:
        return self._server()

    @property
    def _connection(self) -> Any:
        return self._ovsdb.current

    @property
    def idl(self) -> Any:
        """The replica; ovsdbapp's transactions ask for it."""
        return self._connection.idl

    def connect(self) -> None:
        """Connect if necessary, and check that the server answers.

        :raises Unreachable: it does not.
        """
        try:
            self._ovsdb.connect()
        except OvsdbUnreachableError as error:
            raise Unreachable(self._schema, self._server(), error.reason) from error

    def close(self) -> None:
        """Disconnect. The database cannot be connected again."""
        self._ovsdb.close()

    @property
    def is_known(self) -> bool:
        """Whether there is a replica, perhaps from before the connection was lost."""
        return self._connection is not None

    def watch(self, note: Callable[[Any], None]) -> None:
        """Report each row that is inserted, modified or deleted from now on, and all that exist.

        :param note: ovsdbapp's thread calls it with a row, so it must not block.
        """
        self._note = note
        if self._connection is not None:
            for table in list(self.idl.tables):
                for row in self.rows(table):
                    note(row)

    def _tell(self, row: Any) -> None:
        if self._note is not None:
            self._note(row)

    def run(self, wanted: command.BaseCommand) -> Any:
        """Run a command in a transaction of its own, and return its result.

        :raises Unreachable: the server does not answer, or not in time.
        :raises RuntimeError: it refuses the transaction.
        """
        self.connect()
        for attempt in tenacity.Retrying(
            retry=tenacity.retry_if_exception_message(match=".*(constraint|integrity) violation"),
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            wait=tenacity.wait_random(0, 1),
            reraise=True,
        ):
            with attempt:
                self._commit(wanted)
        return wanted.result

    def _commit(self, wanted: command.BaseCommand) -> None:
        timeout = cfg.CONF[GROUP].ovn_timeout
        try:
            with transaction.Transaction(self, self._connection, timeout, True, False) as opened:
                opened.add(wanted)
        except TimeoutException as error:
            # Its text contains the whole command: all rows of all chains. Users would see it.
            reason = f"no answer within {timeout} seconds"
            raise Unreachable(self._schema, self._server(), reason) from error

    def has(self, table: str) -> bool:
        """Return whether the server's schema has a table."""
        return table in self.idl.tables

    def rows(self, table: str) -> list[Any]:
        """Return the present rows of a table."""
        with self._connection.lock:
            return list(self.idl.tables[table].rows.values())

    def named(self, table: str, name: str) -> Any | None:
        """Return the row with a name; None if there is none."""
        return next(iter(self._between(table, "name", name, name)), None)

    def named_from(self, table: str, start: str) -> list[Any]:
        """Return the rows whose names begin with a text."""
        return self._between(table, "name", start, f"{start}\U0010ffff")

    def with_hostname(self, table: str, hostname: str) -> list[Any]:
        """Return the rows of a host."""
        return self._between(table, "hostname", hostname, hostname)

    def _between(self, table: str, column: str, first: str, last: str) -> list[Any]:
        with self._connection.lock:
            rows = self.idl.tables[table].rows
            ends = (rows.IndexEntry(**{column: value}) for value in (first, last))
            return list(rows.indexes[column].irange(*ends))


def put(row: Any, **columns: Any) -> None:
    """Write those columns of a row that differ from the given values."""
    for column, value in columns.items():
        if _plain(getattr(row, column, None)) != _plain(value):
            setattr(row, column, value)


def _plain(value: Any) -> Any:
    """Return a value that can be compared: rows by their UUIDs, sets without order."""
    if isinstance(value, list | tuple):
        return sorted((_plain(item) for item in value), key=str)
    return getattr(value, "uuid", value)


class Noted:
    """Ids that one thread adds and another one takes."""

    def __init__(self) -> None:
        self._ids: queue.SimpleQueue[str] = queue.SimpleQueue()

    def add(self, ids: Iterable[str]) -> None:
        """Add ids."""
        for one in ids:
            self._ids.put(one)

    def take(self) -> set[str]:
        """Return the ids that were added since the last call."""
        return {self._ids.get() for _ in range(self._ids.qsize())}


def northbound(columns: Mapping[str, Sequence[str]]) -> Database:
    """Return the Northbound database; see ``Database`` for the parameter."""
    _use_certificates("nb")
    return Database("OVN_Northbound", ovn_conf.get_ovn_nb_connection, columns)


def southbound(columns: Mapping[str, Sequence[str]]) -> Database:
    """Return the Southbound database; see ``Database`` for the parameter."""
    _use_certificates("sb")
    return Database("OVN_Southbound", ovn_conf.get_ovn_sb_connection, columns)


def _use_certificates(database: str) -> None:
    """Use the configured keys. The ovs library has one set for the process, as ML2/OVN has."""
    ovn_conf.register_opts()
    tls.use_files({name: cfg.CONF.ovn[f"ovn_{database}_{name}"] for name in tls.FILES})


def _create_indexes(opened: connection.Connection) -> None:
    for table in opened.idl.tables.values():
        for column in _INDEXES:
            if column in table.columns:
                table.rows.index_create(column).add_column(column)
