"""A connection to one database of Open vSwitch or OVN: its timeouts, its replica, its events.

ovsdbapp replicates the database in memory, and keeps the replica up to date in a thread of its own.
After a lost connection it reconnects by itself. What users of a connection read is the replica.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ovs import stream
from ovs.db import idl as ovs_idl
from ovsdbapp.backend.ovs_idl import connection, idlutils
from ovsdbapp.exceptions import TimeoutException

RowListener = Callable[[Any, Any], None]
"""Called with a row that was inserted, modified or deleted, and with the previous values of the
columns that a modification changed: an object with one attribute a column, None for an insertion
or a deletion. ovsdbapp's thread calls it, so it must not block."""


class OvsdbUnreachableError(RuntimeError):
    """A database does not answer.

    :ivar reason: what failed, as text of the library or the operating system.
    """

    def __init__(self, schema: str, remote: str, reason: object) -> None:
        super().__init__(f"cannot reach the database {schema} at {remote}: {reason}")
        self.reason = str(reason)


class OvsdbConnection:
    """A connection to one database. Opened on the first ``connect``. Thread-safe.

    :param schema: name of the database, e.g. ``OVN_Northbound``.
    :param remote: returns the server's address in the notation of ovsdb(7), e.g.
        ``tcp:192.0.2.1:6641``; the servers of a cluster are separated by commas.
    :param columns: table -> columns to replicate. What the server's schema lacks is left out.
    :param timeout: seconds to wait for each server to accept a connection, and for the first
        replica.
    :param on_change: called for each changed row, including the rows of the first replica.
    :param prepare: called with ovsdbapp's connection before it starts, e.g. to create indexes.
    """

    def __init__(
        self,
        schema: str,
        remote: Callable[[], str],
        columns: Mapping[str, Sequence[str]],
        timeout: float,
        *,
        on_change: RowListener,
        prepare: Callable[[connection.Connection], None],
    ) -> None:
        self._schema = schema
        self._remote = remote
        self._columns = columns
        self._timeout = timeout
        self._on_change = on_change
        self._prepare = prepare
        self._lock = threading.Lock()
        self.current: Any = None
        """ovsdbapp's connection; None before the first successful ``connect``."""

    def connect(self) -> None:
        """Open the connection if it is not open yet, and check that it is up.

        :raises OvsdbUnreachableError: no server answers, or the connection is lost at the moment.
        """
        with self._lock:
            if self.current is None:
                remote = self._remote()
                try:
                    self.current = self._open(remote)
                except TimeoutException as error:  # it has no text
                    reason = f"no answer within {self._timeout:g} s"
                    raise OvsdbUnreachableError(self._schema, remote, reason) from error
                except Exception as error:  # ovsdbapp, ovs and sockets raise many types
                    raise OvsdbUnreachableError(self._schema, remote, error) from error
        if not self.current.idl._session.is_connected():
            raise OvsdbUnreachableError(self._schema, self._remote(), "the connection is lost")

    def close(self) -> None:
        """Close the connection. It cannot be opened again."""
        if self.current is not None:
            self.current.stop(self._timeout)

    def _open(self, remote: str) -> connection.Connection:
        self._require_server(remote)
        helper = idlutils.get_schema_helper(remote, self._schema)
        for table, columns in self._columns.items():
            known = helper.schema_json["tables"].get(table, {"columns": ()})["columns"]
            if known:
                helper.register_columns(table, [name for name in columns if name in known])
        opened = connection.Connection(_Replica(remote, helper, self._on_change), self._timeout)
        self._prepare(opened)
        opened.start()
        return opened

    def _require_server(self, remote: str) -> None:
        """Check that a server accepts connections; the library waits for one for minutes.

        :raises OSError: no server does.
        """
        error = 0
        for server in idlutils.parse_connection(remote):
            error, opened = stream.Stream.open_block(
                stream.Stream.open(server), int(self._timeout * 1000)
            )
            if not error:
                opened.close()
                return
        raise OSError(error, os.strerror(error))


class _Replica(ovs_idl.Idl):
    """The ovs library's replica of a database, which reports changed rows."""

    def __init__(self, remote: str, helper: Any, on_change: RowListener) -> None:
        self._on_change = on_change
        super().__init__(remote, helper)

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        """Called by the ovs library."""
        self._on_change(row, updates if event == ovs_idl.ROW_UPDATE else None)
