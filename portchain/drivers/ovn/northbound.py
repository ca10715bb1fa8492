"""Reads and writes the Northbound rows of chains.

Every row of ours says in ``external_ids`` whose it is. Gates are shared: each lists the chains that
need it, and the last of them takes it away.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ovsdbapp.backend.ovs_idl.command import BaseCommand

from portchain.dataplane.gates import gate_mac, gate_name
from portchain.drivers.ovn import rows
from portchain.drivers.ovn.rows import Acl, ChainRows, Guard, Phase
from portchain.ovsdb import ovn
from portchain.ovsdb.ovn import Database, put

CHAIN = "portchain:chain"
"""Key of guards and anchors: id of the chain."""
REVISION, PHASE = "portchain:revision", "portchain:phase"
"""Keys of anchors: the chain's revision that was written, and its ``Phase``."""
GROUP = "portchain:group"
"""Key of the port group of all gates."""
PORT, NETWORK = "portchain:port", "portchain:network"
"""Keys of gates: id of the port, and of the network whose switch the gate is on."""
USER = "portchain:chain:"
"""Beginning of keys of gates: a chain's id follows. The value is empty."""

_COLUMNS = {
    "Logical_Switch": ("name", "ports", "external_ids"),
    "Logical_Switch_Port": (
        *("name", "type", "addresses", "port_security", "options", "up", "external_ids"),
        *("parent_name", "tag", "enabled"),
    ),
    "Port_Group": ("name", "ports", "acls", "external_ids"),
    "ACL": ("direction", "priority", "match", "action", "options"),
}
FORMER_TABLES = (
    "Network_Function_Group",
    "Network_Function",
    "Network_Function_Health_Check",
)
FORMER_COLUMNS = dict.fromkeys(FORMER_TABLES, ("name", "external_ids"))
"""Tables of the former driver, as far as this OVN has them."""
_PORT_TABLE, _GROUP_TABLE = "Logical_Switch_Port", "Port_Group"


def open_database() -> Database:
    """Return the Northbound database; it connects when it is first used."""
    return ovn.northbound({**_COLUMNS, **FORMER_COLUMNS})


@dataclass(frozen=True, slots=True)
class Anchor:
    """What the database says of a chain.

    :param revision: the chain's revision that was written.
    """

    chain_id: str
    revision: int
    phase: Phase


def anchors(database: Database) -> list[Anchor]:
    """Return all chains that have rows."""
    found = database.named_from(_GROUP_TABLE, rows.anchor_name(""))
    return [anchor for row in found if (anchor := _anchor_of(row)) is not None]


def anchor(database: Database, chain_id: str) -> Anchor | None:
    """Return what the database says of a chain; None if it has no rows."""
    row = database.named(_GROUP_TABLE, rows.anchor_name(chain_id))
    return _anchor_of(row) if row is not None else None


def _anchor_of(row: Any) -> Anchor | None:
    marks = row.external_ids
    known = {phase.value: phase for phase in Phase}
    if CHAIN not in marks:
        return None
    revision = marks.get(REVISION, "")
    return Anchor(
        marks[CHAIN],
        int(revision) if revision.isdigit() else 0,
        known.get(marks.get(PHASE, ""), Phase.CHANGING),
    )


def is_up(database: Database, port_id: str) -> bool:
    """Return whether a chassis has bound a port."""
    row = database.named(_PORT_TABLE, port_id)
    return row is not None and row.up == [True]


def chains_of(row: Any) -> list[str]:
    """Return the ids of the chains to which a row belongs, of any table; none if it is not ours."""
    marks = getattr(row, "external_ids", {})
    users = [key.removeprefix(USER) for key in marks if key.startswith(USER)]
    return [*users, *([marks[CHAIN]] if CHAIN in marks else [])]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a chain's rows have to be.

    :param rows: those of the complete plan, whatever the phase.
    """

    chain_id: str
    revision: int
    phase: Phase
    rows: ChainRows


class WriteChains(BaseCommand):
    """Changes the rows of chains to what is wanted, as far as OVN knows the ports and networks.

    A chain of which the database has a later revision, or a removal, stays as it is.
    """

    def __init__(self, database: Database, wanted: Iterable[Wanted]) -> None:
        super().__init__(database)
        self._wanted = list(wanted)

    def run_idl(self, txn: Any) -> None:
        """Called by ovsdbapp, within its transaction."""
        write = Writer(self.api, txn)
        for wanted in self._wanted:
            write.chain(wanted)


def _gates_by_chain(database: Database) -> Mapping[str, Mapping[str, str]]:
    """Return chain id -> port id -> network id of each gate."""
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for row in database.named_from(_PORT_TABLE, gate_name("")):
        marks = row.external_ids
        for chain_id in chains_of(row):
            found[chain_id][row.name.removeprefix(gate_name(""))] = marks.get(NETWORK, "")
    return found


class RemoveChains(BaseCommand):
    """Removes all rows of chains."""

    def __init__(self, database: Database, chain_ids: Collection[str]) -> None:
        super().__init__(database)
        self._chain_ids = list(chain_ids)

    def run_idl(self, txn: Any) -> None:
        """Called by ovsdbapp, within its transaction."""
        write = Writer(self.api, txn)
        for chain_id in self._chain_ids:
            write.remove(chain_id)


class Writer:
    """Compares rows with what is wanted, and writes the difference into a transaction."""

    def __init__(self, database: Database, txn: Any) -> None:
        self._database = database
        self._txn = txn
        self._new: dict[tuple[str, str], Any] = {}
        self._gates_by_chain: Mapping[str, Mapping[str, str]] | None = None

    def chain(self, wanted: Wanted) -> None:
        anchor = self._named(_GROUP_TABLE, rows.anchor_name(wanted.chain_id))
        if anchor is None:
            anchor = self._insert(_GROUP_TABLE, rows.anchor_name(wanted.chain_id))
        else:
            anchor.verify("external_ids")
            present = _anchor_of(anchor)
            if present is not None and _is_later(present, wanted):
                return
        marks = {
            CHAIN: wanted.chain_id,
            REVISION: str(wanted.revision),
            PHASE: wanted.phase.value,
        }
        put(anchor, external_ids=marks, ports=[], acls=[])
        present_rows = self._present(wanted.chain_id)
        if wanted.phase is Phase.COMPLETE:
            final = wanted.rows
        else:
            final = rows.while_changing(present_rows, wanted.rows)
        self._gates(wanted.chain_id, present_rows.gates, final.gates)
        self._guards(wanted.chain_id, final.guards)

    def remove(self, chain_id: str) -> None:
        self._gates(chain_id, self._present(chain_id).gates, {})
        self._guards(chain_id, {})
        row = self._named(_GROUP_TABLE, rows.anchor_name(chain_id))
        if row is not None:
            row.delete()

    def _present(self, chain_id: str) -> ChainRows:
        """Return the rows that a chain has."""
        if self._gates_by_chain is None:
            self._gates_by_chain = _gates_by_chain(self._database)
        found = self._database.named_from(_GROUP_TABLE, rows.guard_prefix(chain_id))
        guards = {
            row.name: Guard(
                row.external_ids.get(_MATCH, ""), frozenset(port.name for port in row.ports)
            )
            for row in found
        }
        return ChainRows(self._gates_by_chain.get(chain_id, {}), guards)

    def _gates(self, chain_id: str, present: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        for port_id, network_id in wanted.items():
            self._gate(chain_id, port_id, network_id)
        for port_id in present.keys() - wanted.keys():
            self._leave_gate(chain_id, port_id)

    def _gate(self, chain_id: str, port_id: str, network_id: str) -> None:
        switch = self._named("Logical_Switch", rows.switch_name(network_id))
        row = self._named(_PORT_TABLE, gate_name(port_id))
        if switch is None:
            return  # Neutron has not written the network yet, or has deleted it
        if row is None:
            row = self._insert(_PORT_TABLE, gate_name(port_id))
        elif row.uuid in {port.uuid for port in switch.ports}:
            row.verify("external_ids")
        else:
            row = self._replace(row)
        if row.uuid not in {port.uuid for port in switch.ports}:
            switch.addvalue("ports", row)
        marks = {PORT: port_id, NETWORK: network_id, USER + chain_id: ""}
        kept = {key: "" for key in row.external_ids if key.startswith(USER)}
        put(
            row,
            addresses=[gate_mac(port_id)],
            port_security=[],
            type="",
            options={},
            enabled=[],
            parent_name=[],
            tag=[],
            external_ids={**kept, **marks},
        )
        self._join_group(row)

    def _replace(self, row: Any) -> Any:
        """Make a gate anew that is on the switch of another network."""
        users = {key: "" for key in row.external_ids if key.startswith(USER)}
        name = row.name
        self._delete_port(row)
        made = self._insert(_PORT_TABLE, name)
        made.external_ids = users
        return made

    def _join_group(self, gate: Any) -> None:
        group = self._named(_GROUP_TABLE, rows.GATES)
        if group is None:
            group = self._insert(_GROUP_TABLE, rows.GATES)
        put(group, external_ids={GROUP: rows.GATES})
        self._acls(group, rows.GATE_ACLS)
        if gate.uuid in {port.uuid for port in group.ports}:
            return
        if (_GROUP_TABLE, rows.GATES) in self._new:
            group.ports = [*group.ports, gate]
        else:
            # Unlike an assignment, this does not undo what another server adds at the same time.
            group.addvalue("ports", gate)

    def _leave_gate(self, chain_id: str, port_id: str) -> None:
        row = self._named(_PORT_TABLE, gate_name(port_id))
        if row is None:
            return
        row.verify("external_ids")
        users = {key for key in row.external_ids if key.startswith(USER)} - {USER + chain_id}
        if users:
            row.delkey("external_ids", USER + chain_id)
        else:
            self._delete_port(row)

    def _delete_port(self, row: Any) -> None:
        marked = self._named("Logical_Switch", rows.switch_name(row.external_ids.get(NETWORK, "")))
        switches = [marked] if marked is not None and row in marked.ports else []
        for switch in switches or self._database.rows("Logical_Switch"):
            if row in switch.ports:
                switch.delvalue("ports", row)
        row.delete()

    def _guards(self, chain_id: str, wanted: Mapping[str, Guard]) -> None:
        for row in self._database.named_from(_GROUP_TABLE, rows.guard_prefix(chain_id)):
            if row.name not in wanted:
                row.delete()
        for name, guard in wanted.items():
            row = self._named(_GROUP_TABLE, name) or self._insert(_GROUP_TABLE, name)
            found = (self._named(_PORT_TABLE, port) for port in sorted(guard.ports))
            put(
                row,
                ports=[port for port in found if port is not None],
                external_ids={CHAIN: chain_id, _MATCH: guard.match},
            )
            self._acls(row, rows.guard_acls(name, guard))

    def _acls(self, group: Any, wanted: Sequence[Acl]) -> None:
        """Give a port group its ACLs; those that it has already stay."""
        present = {_acl_of(row): row for row in group.acls}
        if len(present) == len(group.acls) and present.keys() == {_key(acl) for acl in wanted}:
            return
        group.acls = [present.get(_key(acl)) or self._acl(acl) for acl in wanted]

    def _acl(self, acl: Acl) -> Any:
        row = self._txn.insert(self._database.idl.tables["ACL"])
        row.direction, row.priority = acl.direction, acl.priority
        row.match, row.action = acl.match, acl.action
        row.options = dict(acl.options)
        return row

    def _named(self, table: str, name: str) -> Any | None:
        """Return a row by its name, also one that this transaction inserts."""
        return self._new.get((table, name)) or self._database.named(table, name)

    def _insert(self, table: str, name: str) -> Any:
        row = self._txn.insert(self._database.idl.tables[table])
        row.name = name
        # Columns of a new row cannot be read before they are written.
        empty = _EMPTY_GROUP if table == _GROUP_TABLE else _EMPTY_PORT
        for column, value in empty.items():
            setattr(row, column, value)
        self._new[table, name] = row
        return row


_EMPTY_PORT: Mapping[str, Any] = {"external_ids": {}}
_EMPTY_GROUP: Mapping[str, Any] = {"external_ids": {}, "ports": [], "acls": []}

_MATCH = "portchain:match"
"""Key of guards: which packets they drop, without the ports."""

_AclKey = tuple[str, int, str, str, tuple[tuple[str, str], ...]]


def _key(acl: Acl) -> _AclKey:
    options = tuple(sorted(acl.options.items()))
    return acl.direction, acl.priority, acl.match, acl.action, options


def _acl_of(row: Any) -> _AclKey:
    options = tuple(sorted(row.options.items()))
    return row.direction, row.priority, row.match, row.action, options


def _is_later(present: Anchor, wanted: Wanted) -> bool:
    """Tell whether what is written comes after what is wanted."""
    if present.revision != wanted.revision:
        return present.revision > wanted.revision
    order = list(Phase)
    return order.index(present.phase) > order.index(wanted.phase)
