"""The database of a host's switch: a copy that ovsdbapp keeps up to date, and word of what changes in it."""

import socket
from collections.abc import Callable
from typing import Any

from ovs.db import idl as ovs_idl
from ovsdbapp.backend.ovs_idl import connection, idlutils
from ovsdbapp.schema.open_vswitch import impl_idl

from portchain.controller.endpoint import Endpoint

_SCHEMA = "Open_vSwitch"
_COLUMNS = {
    "Open_vSwitch": ("bridges", "cur_cfg", "next_cfg"),
    "Bridge": ("name", "ports", "controller", "protocols", "flow_tables"),
    "Port": ("name", "interfaces", "tag", "other_config"),
    "Interface": ("name", "type", "ofport", "options", "external_ids"),
    "Controller": ("target",),
    "Flow_Table": ("name", "flow_limit", "overflow_policy", "groups"),
}
_WATCHED = frozenset({"Port", "Interface"})
_OF_BRIDGES = ("controller", "protocols")  # that its ports change is told by them


class UnreachableError(RuntimeError):
    """The database of a switch does not answer."""


class Database:
    """The database of one host's switch; connected when it is first needed.

    :param changed: called from ovsdbapp's thread with the Neutron port of which something changed, or "" for anything else;
        must not block.
    """

    def __init__(self, endpoint: Endpoint, changed: Callable[[str], None]) -> None:
        self._endpoint = endpoint
        self._changed = changed
        self._api: Any = None

    def connect(self) -> Any:
        """Connect if need be; afterwards the connection is kept, and made again when it is lost.

        :returns: an ``ovsdbapp.schema.open_vswitch.api.API``.
        :raises UnreachableError: the database does not answer.
        """
        remote = self._endpoint.database
        if self._api is None:
            try:
                self._api = self._connected(remote)
            except Exception as error:  # whatever ovsdbapp, ovs and the socket may raise
                raise UnreachableError(f"{remote}: {error}") from error
        if not self._api.idl._session.is_connected():
            raise UnreachableError(f"{remote}: the connection is lost")
        return self._api

    def close(self) -> None:
        """Disconnect, for good."""
        if self._api is not None:
            self._api.ovsdb_connection.stop(self._endpoint.timeout)

    def _connected(self, remote: str) -> Any:
        # The ovs library waits for a host that is away as long as the kernel does, minutes.
        place = (self._endpoint.address, self._endpoint.database_port)
        socket.create_connection(place, self._endpoint.timeout).close()
        helper = idlutils.get_schema_helper(remote, _SCHEMA)
        for table, columns in _COLUMNS.items():
            helper.register_columns(table, list(columns))
        copy = _Copy(remote, helper, self._note)
        return _Api(connection.Connection(copy, self._endpoint.timeout))

    def _note(self, row: Any, old: Any) -> None:
        """Pass on that a row has changed.

        :param old: what was in the columns that have changed; None for a row that came or went.
        """
        table = row._table.name
        if table in _WATCHED or (table == "Bridge" and _is_reach_touched(old)):
            self._changed(_neutron_port(row))


class _Api(impl_idl.OvsdbIdl):
    """ovsdbapp has one connection for each class; here each object has its own."""

    ovsdb_connection: Any = None


class _Copy(ovs_idl.Idl):
    """The ovs library's copy of a database; it tells of rows that came, went or changed."""

    def __init__(self, remote: str, helper: Any, note: Callable[[Any, Any], None]) -> None:
        self._note = note
        super().__init__(remote, helper)

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        """Called by the ovs library."""
        self._note(row, updates if event == ovs_idl.ROW_UPDATE else None)


def _is_reach_touched(old: Any) -> bool:
    """Whether a changed row of a bridge may mean that the bridge does not listen for us any more."""
    return old is None or any(hasattr(old, column) for column in _OF_BRIDGES)


def _neutron_port(row: Any) -> str:
    """The Neutron port that a row is about; empty if it is about none."""
    interfaces = [row] if row._table.name == "Interface" else getattr(row, "interfaces", [])
    known = (getattr(interface, "external_ids", {}).get("iface-id") for interface in interfaces)
    return next(filter(None, known), "")
