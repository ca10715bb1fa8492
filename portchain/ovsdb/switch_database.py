"""The Open vSwitch database of one host, as controller and agent of OVN's hosts see it."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ovsdbapp.schema.open_vswitch import impl_idl

from portchain.dataplane.interposing import IFACE_ID, OWNER, PATCH
from portchain.ovsdb.connection import OvsdbConnection

_SCHEMA = "Open_vSwitch"
_COLUMNS = {
    "Open_vSwitch": ("bridges", "cur_cfg", "next_cfg", "external_ids"),
    "Bridge": (
        *("name", "ports", "controller", "protocols", "flow_tables"),
        *("datapath_type", "fail_mode", "external_ids"),
    ),
    "Port": ("name", "interfaces", "tag", "other_config", "protected"),
    "Interface": (
        *("name", "type", "ofport", "ofport_request", "ifindex", "options", "external_ids"),
    ),
    "Controller": ("target",),
    "Flow_Table": ("name", "flow_limit", "overflow_policy", "groups"),
}
_PORT_TABLES = frozenset({"Port", "Interface"})
# A bridge's column "ports" is left out: the rows of the ports themselves report those changes.
_LISTENER_COLUMNS = ("controller", "protocols")


class SwitchDatabase:
    """The Open vSwitch database of one host. Connects when it is first needed.

    :param remote: returns its address in the notation of ovsdb(7), e.g. ``tcp:192.0.2.1:6640``.
    :param timeout: seconds to wait for an answer.
    :param changed: called with the id of the Neutron port that a change concerns, or with "" for a
        change of a bridge or of any other port. ovsdbapp's thread calls it, so it must not block.
    :param more: table -> further columns to replicate.
    """

    def __init__(
        self,
        remote: Callable[[], str],
        timeout: float,
        changed: Callable[[str], None],
        more: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self._changed = changed
        self._api: Any = None
        self._ovsdb = OvsdbConnection(
            _SCHEMA,
            remote,
            {name: (*columns, *more.get(name, ())) for name, columns in _COLUMNS.items()},
            timeout,
            on_change=self._row_changed,
            prepare=self._create_api,
        )

    def connect(self) -> Any:
        """Connect if there is no connection yet.

        :returns: an ``ovsdbapp.schema.open_vswitch.api.API``.
        :raises OvsdbUnreachableError: the database does not answer.
        """
        self._ovsdb.connect()
        return self._api

    def close(self) -> None:
        """Disconnect. This object cannot connect again."""
        self._ovsdb.close()

    def _create_api(self, connection: Any) -> None:
        self._api = _Api(connection, start=False)

    def _row_changed(self, row: Any, old: Any) -> None:
        table = row._table.name
        if table == "Port" and not _interfaces(row):
            return  # it was deleted, and its interfaces with it: their rows say whose it was
        if table in _PORT_TABLES or (table == "Bridge" and _is_listener_touched(old)):
            self._changed(_neutron_port(row))


class _Api(impl_idl.OvsdbIdl):
    """ovsdbapp's commands. Unlike in the base class, each object has a connection of its own."""

    ovsdb_connection: Any = None


def _is_listener_touched(old: Any) -> bool:
    """Return whether a bridge may have stopped listening for the controller."""
    return old is None or any(hasattr(old, column) for column in _LISTENER_COLUMNS)


def _neutron_port(row: Any) -> str:
    """Return the id of the Neutron port that a row of a port belongs to, or "" if there is none.

    That of a port's gate counts as well: chains know it by its name.
    """
    return next(filter(None, map(_owner, _interfaces(row))), "")


def _interfaces(row: Any) -> list[Any]:
    """Return the interfaces of a port, or an interface itself."""
    return [row] if row._table.name == "Interface" else list(getattr(row, "interfaces", ()))


def _owner(interface: Any) -> str:
    """Return whose an interface is: the patch ports of br-chain have no ``iface-id`` there."""
    marks = getattr(interface, "external_ids", {})
    if found := marks.get(IFACE_ID):
        return str(found)
    # A tunnel's mark is the address that it leads to.
    return str(marks.get(OWNER, "")) if interface.type == PATCH else ""
