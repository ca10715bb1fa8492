"""The connection to OVN's databases, and what the driver reads from them.

A connection of the driver's own, beside ML2/OVN's: it holds only the tables that chains need. Each
process makes one when it first needs it.
"""

import queue
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tenacity
from neutron.conf.plugins.ml2.drivers.ovn import ovn_conf
from oslo_config import cfg
from ovsdbapp.backend.ovs_idl import command, connection, transaction

from portchain.conf import GROUP
from portchain.drivers.ovn.errors import Unreachable
from portchain.drivers.ovn.rows import anchor_name
from portchain.ovsdb import tls
from portchain.ovsdb.connection import OvsdbConnection, OvsdbUnreachableError

CHAIN, REVISION = "portchain:chain", "portchain:revision"
"""Keys of ``external_ids`` of every row that is a chain's."""
LANE = "portchain:lane"
"""Key of a Network_Function_Group's: the function that it carries packets to at the moment."""
WIRE = "portchain:wire"
"""Key of a switch's: the wire that it is at the moment."""
PROJECT = "portchain:project"
"""Key of an anchor's: id of the project that owns the chain."""
TAGS = "portchain:tags"
"""Key of a port's that chains have by children: the VLAN tag that was dealt out last."""
DEALT = "portchain:dealt"
"""Key of a child's whose tag was dealt out among the chains that have its parent."""
HELD = "portchain:held"
"""Key of an anchor's: names of the ports that are held back although the chain's classification does not know them."""
NETWORK = "portchain:network"
"""Key of a patch's or a child's: name of the switch it is on."""
HOME = "neutron:network_name"
"""Neutron's key of a port's: name of the switch it is on without chains."""

_ATTEMPTS = 3
"""Two processes may add the same row at once: the one that comes late looks again."""

_NORTHBOUND = {
    "NB_Global": ("nb_cfg", "options"),
    "Logical_Switch": ("name", "ports", "acls", "external_ids"),
    "Logical_Switch_Port": (
        "name",
        "type",
        "peer",
        "parent_name",
        "tag",
        "addresses",
        "port_security",
        "options",
        "up",
        "external_ids",
    ),
    "Port_Group": ("name", "ports", "acls", "external_ids"),
    "ACL": ("direction", "priority", "match", "action", "options", "network_function_group"),
    "Network_Function": ("name", "id", "inport", "outport", "health_check", "external_ids"),
    "Network_Function_Health_Check": ("name", "options", "external_ids"),
    "Network_Function_Group": ("name", "id", "mode", "network_function", "external_ids"),
}
_SOUTHBOUND = {
    "Chassis": ("name", "hostname"),
    "Chassis_Private": ("name", "nb_cfg"),
    "Service_Monitor": ("logical_port", "status"),
}
_NAMES = {"Service_Monitor": "logical_port"}
"""What the rows of a table are looked up by, where it is not a name."""


class Database:
    """One of OVN's databases, kept in memory and up to date by ovsdbapp's thread."""

    def __init__(
        self, schema: str, server: Callable[[], str], columns: Mapping[str, Sequence[str]]
    ) -> None:
        """Prepare a database; nothing is connected yet.

        :param server: gives the address, such as ``tcp:192.0.2.1:6641``.
        :param columns: what to hold, as far as the server has it; tables with a name are indexed.
        """
        self._server = server
        self._note: Callable[[Any], None] | None = None
        self._ovsdb = OvsdbConnection(
            schema,
            self._remote,
            columns,
            cfg.CONF[GROUP].ovn_timeout,
            on_change=lambda row, old: self._tell(row),
            prepare=_create_indexes,
        )
        self._schema = schema

    def _remote(self) -> str:
        return self._server()

    @property
    def _connection(self) -> Any:
        return self._ovsdb.current

    @property
    def idl(self) -> Any:
        """The copy in memory; ovsdbapp's transactions ask for it."""
        return self._connection.idl

    def connect(self) -> None:
        """Connect if need be; see that the server answers.

        :raises Unreachable: it does not.
        """
        try:
            self._ovsdb.connect()
        except OvsdbUnreachableError as error:
            raise Unreachable(self._schema, self._server(), error.reason) from error

    def close(self) -> None:
        """Disconnect, for good."""
        self._ovsdb.close()

    @property
    def is_known(self) -> bool:
        """Whether there is a copy, be it from before the connection was lost."""
        return self._connection is not None

    def watch(self, note: Callable[[Any], None]) -> None:
        """From now on, have somebody told of each row that comes, goes or changes, those that are there included.

        :param note: is called at once, from ovsdbapp's thread.
        """
        self._note = note
        if self._connection is not None:
            for table in list(self.idl.tables):
                for row in self.rows(table):
                    note(row)

    def _tell(self, row: Any) -> None:
        """Called from ovsdbapp's thread with a row that came, went or changed."""
        if self._note is not None:
            self._note(row)

    def run(self, wanted: command.BaseCommand) -> Any:
        """Run a command in a transaction of its own; return its result.

        :raises Unreachable: the server does not answer.
        :raises RuntimeError: it refuses the transaction, or does not answer in time.
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
        with transaction.Transaction(self, self._connection, timeout, True, False) as open_one:
            open_one.add(wanted)

    def has(self, table: str) -> bool:
        """Whether the server's schema has a table."""
        return table in self.idl.tables

    def rows(self, table: str) -> list[Any]:
        """All rows of a table, as of now."""
        with self._connection.lock:
            return list(self.idl.tables[table].rows.values())

    def named(self, table: str, name: str) -> Any | None:
        """The row of a name, None if there is none."""
        column = _NAMES.get(table, "name")
        with self._connection.lock:
            rows = self.idl.tables[table].rows
            entry = rows.IndexEntry(**{column: name})
            return next(iter(rows.indexes[column].irange(entry, entry)), None)

    def named_from(self, table: str, start: str) -> list[Any]:
        """The rows whose names begin with some text."""
        with self._connection.lock:
            rows = self.idl.tables[table].rows
            first, last = (rows.IndexEntry(name=name) for name in (start, f"{start}\U0010ffff"))
            return list(rows.indexes["name"].irange(first, last))


def put(row: Any, **columns: Any) -> None:
    """Write the columns of a row that differ."""
    for column, value in columns.items():
        if _plain(getattr(row, column, None)) != _plain(value):
            setattr(row, column, value)


def _plain(value: Any) -> Any:
    """A value that can be compared: rows by their UUIDs, sets without order."""
    if isinstance(value, list | tuple):
        return sorted((_plain(item) for item in value), key=str)
    return getattr(value, "uuid", value)


class Noted:
    """Ids that one thread notes and another takes."""

    def __init__(self) -> None:
        self._ids: queue.SimpleQueue[str] = queue.SimpleQueue()

    def add(self, ids: Iterable[str]) -> None:
        """Note some."""
        for one in ids:
            self._ids.put(one)

    def take(self) -> set[str]:
        """Return what was noted since the last call."""
        return {self._ids.get() for _ in range(self._ids.qsize())}


def project_of(database: Database, chain_id: str) -> str:
    """Id of the project that owns a chain; empty if its rows do not say so."""
    anchor = database.named("Port_Group", anchor_name(chain_id))
    return str(anchor.external_ids.get(PROJECT, "")) if anchor is not None else ""


def _create_indexes(opened: connection.Connection) -> None:
    for table in opened.idl.tables.values():
        column = _NAMES.get(table.name, "name")
        if column in table.columns:
            table.rows.index_create(column).add_column(column)


def northbound() -> Database:
    """The Northbound database that ML2/OVN is configured with."""
    _use_certificates("nb")
    return Database("OVN_Northbound", ovn_conf.get_ovn_nb_connection, _NORTHBOUND)


def southbound() -> Database:
    """The Southbound database that ML2/OVN is configured with."""
    _use_certificates("sb")
    return Database("OVN_Southbound", ovn_conf.get_ovn_sb_connection, _SOUTHBOUND)


def _use_certificates(database: str) -> None:
    """Tell the ovs library of the keys; it has one set for the whole process, as ML2/OVN has."""
    ovn_conf.register_opts()
    tls.use_files({name: cfg.CONF.ovn[f"ovn_{database}_{name}"] for name in tls.FILES})
