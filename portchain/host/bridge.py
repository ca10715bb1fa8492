"""A connection to one bridge of a host: its OVSDB rows and its OpenFlow flows."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from neutron_lib.plugins.ml2 import ovs_constants
from ovsdbapp.backend.ovs_idl import idlutils

OPENFLOW = ovs_constants.OPENFLOW14
"""The version for flows: the first with bundles. Neutron's agent enables it on its bridges."""

OPENFLOW_FOR_FLOODING = ovs_constants.OPENFLOW10
"""The version for the port setting "no-flood". Later versions do not have it: with one of them,
``ovs-ofctl mod-port`` changes nothing and reports no error."""

OPENFLOW_OF_OPERATORS = ovs_constants.OPENFLOW13
"""The version in which people read the flows of br-int, with ``ovs-ofctl -O OpenFlow13``."""

_APPCTL_SECONDS = 10


class UnreachableSwitchError(RuntimeError):
    """The host's ovs-vswitchd cannot be asked from here; the text says why."""


class BridgeConnection(Protocol):
    """One bridge of a host, reached locally or over the network."""

    @property
    def name(self) -> str:
        """The bridge's name in the database."""

    @property
    def target(self) -> str:
        """The bridge's address for OpenFlow, in the notation of ovs-ofctl(8), or its name."""

    @property
    def database(self) -> Any:
        """The host's Open vSwitch database, an ``ovsdbapp.schema.open_vswitch.api.API``."""

    def ofctl(
        self, command: str, *args: str, stdin: str | None = None, version: str = OPENFLOW
    ) -> str:
        """Run ``ovs-ofctl COMMAND BRIDGE ARGUMENTS...``.

        :param args: options and arguments, in any order.
        :param version: of OpenFlow.
        :returns: what it printed.
        :raises RuntimeError: it failed. A caller must be able to rely on a flow being there.
        """

    def appctl(self, command: str, *args: str) -> str:
        """Give the host's ovs-vswitchd a command, as ``ovs-appctl`` does.

        :returns: what it answered.
        :raises RuntimeError: it refuses or does not answer.
        :raises UnreachableSwitchError: it cannot be asked from here.
        """


def ofctl_argv(target: str, command: str, args: tuple[str, ...], version: str) -> list[str]:
    """Return the command line of ``ovs-ofctl``.

    Our flows have numbers for ports and tables. To look up names, ovs-ofctl would read the features
    of all tables, 16 MB, before it adds a flow.

    :param target: a bridge's name, or its address, e.g. ``tcp:192.0.2.1:6654``.
    """
    options = [arg for arg in args if arg.startswith("--")]
    operands = [arg for arg in args if not arg.startswith("--")]
    return ["ovs-ofctl", "--no-names", *options, "-O", version, command, target, *operands]


def appctl_argv(command: str, *args: str) -> list[str]:
    """Return the command line of ``ovs-appctl``."""
    return ["ovs-appctl", f"--timeout={_APPCTL_SECONDS}", command, *args]


class PortRows:
    """Columns of all ports of a bridge, as the replica of the database has them.

    Reading them again does nothing if nothing in the replica has changed. Otherwise it looks at all
    rows and converts those that have changed.

    :param table: ``Port`` or ``Interface``.
    """

    def __init__(self, bridge: BridgeConnection, table: str, columns: Sequence[str]) -> None:
        self._bridge = bridge
        self._table = table
        self._columns = columns
        self._stored = [column for column in columns if column != "_uuid"]
        self._known: dict[Any, tuple[list[Any], dict[str, Any]]] = {}
        self._rows: list[dict[str, Any]] = []
        self._read_at: tuple[Any, int] | None = None  # replica and its state at the last reading

    def read(self) -> list[dict[str, Any]]:
        """Read the rows.

        :returns: column -> value, as of ``db_list``; the same list while nothing has changed.
        :raises idlutils.RowNotFound: there is no such bridge.
        """
        database = self._bridge.database
        with database.ovsdb_connection.lock:
            read_at = database.idl, database.idl.change_seqno
            if read_at == self._read_at:
                return self._rows
            bridge = idlutils.row_by_value(database.idl, "Bridge", "name", self._bridge.name)
            known = {row.uuid: self._read(row) for row in self._rows_of(bridge)}
        if known.keys() != self._known.keys() or any(
            known[uuid] is not entry for uuid, entry in self._known.items()
        ):
            self._rows = [values for _, values in known.values()]
        self._known, self._read_at = known, read_at
        return self._rows

    def _rows_of(self, bridge: Any) -> Iterator[Any]:
        for port in bridge.ports:
            if port.name == bridge.name:
                continue
            if self._table == "Port":
                yield port
            else:
                yield from (one for one in port.interfaces if one.name == port.name)

    def _read(self, row: Any) -> tuple[list[Any], dict[str, Any]]:
        known = self._known.get(row.uuid)
        if known is not None and known[0] == [row._data[column] for column in self._stored]:
            return known
        # Copies of the values in the library's own form: it changes maps and sets in place.
        data = [row._data[column].copy() for column in self._stored]
        return data, {name: idlutils.get_column_value(row, name) for name in self._columns}


def read_port_rows(
    bridge: BridgeConnection, table: str, columns: Sequence[str]
) -> list[dict[str, Any]]:
    """Read columns of all ports of a bridge once; see ``PortRows``.

    :raises Exception: of ovsdbapp, if there is no such bridge.
    """
    return PortRows(bridge, table, columns).read()
