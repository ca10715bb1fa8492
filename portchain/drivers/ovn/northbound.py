"""Reads and writes the Northbound rows of chains.

Every row of ours says in ``external_ids`` whose it is. Gates are shared: each lists the chains that
need it, and the last of them takes it away.
"""

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from oslo_log import log as logging
from ovsdbapp.backend.ovs_idl.command import BaseCommand

from portchain.core.model import ChainSnapshot, PortChain
from portchain.dataplane.gates import gate_mac, gate_name
from portchain.drivers.ovn import rows
from portchain.drivers.ovn.rows import Acl, ChainRows, Guard, Phase
from portchain.ovsdb import ovn
from portchain.ovsdb.ovn import Database, put

LOG = logging.getLogger(__name__)

CHAIN = "portchain:chain"
"""Key of anchors, guards and their ACLs: id of the chain."""
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
    "Address_Set": ("name", "addresses", "external_ids"),
    "ACL": (
        *("direction", "priority", "match", "action", "options", "external_ids"),
        "network_function_group",
    ),
}
FORMER_TABLES = (
    "Network_Function_Group",
    "Network_Function",
    "Network_Function_Health_Check",
)
FORMER_COLUMNS = dict.fromkeys(FORMER_TABLES, ("name", "external_ids"))
"""Tables of the former driver, as far as this OVN has them."""
_PORT_TABLE, _GROUP_TABLE = "Logical_Switch_Port", "Port_Group"
_ADDRESSES_TABLE = "Address_Set"


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


def planned_rows(snapshots: Iterable[ChainSnapshot]) -> Iterator[tuple[PortChain, ChainRows]]:
    """Yield chains with their rows. Those that cannot be planned are logged, and left out."""
    for snapshot in snapshots:
        try:
            planned = rows.rows_of(snapshot)
        except Exception:
            # A bug that one chain triggers must not affect the others.
            LOG.exception("Cannot plan the rows of port chain %s", snapshot.chain.id)
            continue
        yield snapshot.chain, planned


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
        self._members: dict[Any, set[Any]] = {}

    def chain(self, wanted: Wanted) -> None:
        """Change the rows of a chain, unless what is written comes after what is wanted."""
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
        # Also if it is the same: the library verifies only rows that are written.
        anchor.external_ids = marks
        put(anchor, ports=[], acls=[])
        guards = wanted.rows.guards
        if wanted.phase is not Phase.COMPLETE:
            guards = rows.while_changing(self._present_guards(wanted.chain_id), guards)
        for port_id, network_id in wanted.rows.gates.items():
            self._gate(wanted.chain_id, port_id, network_id)
        # Until all hosts have the plan, some send by the earlier one, and need its gates.
        if wanted.phase is Phase.COMPLETE:
            self._leave_gates(wanted.chain_id, wanted.rows.gates.keys())
        self._guards(wanted.chain_id, guards)

    def remove(self, chain_id: str) -> None:
        """Remove all rows of a chain."""
        self._leave_gates(chain_id, ())
        self._guards(chain_id, {})
        row = self._named(_GROUP_TABLE, rows.anchor_name(chain_id))
        if row is not None:
            row.delete()

    def _present_guards(self, chain_id: str) -> Mapping[str, Guard]:
        found = self._database.named_from(_GROUP_TABLE, rows.guard_prefix(chain_id))
        return {
            row.name: Guard(
                row.external_ids.get(_MATCH, ""), frozenset(port.name for port in row.ports)
            )
            for row in found
        }

    @cached_property
    def _gates_by_chain(self) -> Mapping[str, Sequence[str]]:
        """Chain id -> ids of the ports whose gates it had before this transaction.

        Reads all gates. So nothing that an API request waits for may ask.
        """
        found: defaultdict[str, list[str]] = defaultdict(list)
        for row in self._database.named_from(_PORT_TABLE, gate_name("")):
            for chain_id in chains_of(row):
                found[chain_id].append(row.name.removeprefix(gate_name("")))
        return found

    def _leave_gates(self, chain_id: str, needed: Container[str]) -> None:
        """Remove a chain from all gates but those of some ports."""
        for port_id in self._gates_by_chain.get(chain_id, ()):
            if port_id not in needed:
                self._leave_gate(chain_id, port_id)

    def _gate(self, chain_id: str, port_id: str, network_id: str) -> None:
        switch = self._named("Logical_Switch", rows.switch_name(network_id))
        row = self._named(_PORT_TABLE, gate_name(port_id))
        if switch is None:
            return  # Neutron has not written the network yet, or has deleted it
        if row is None:
            row = self._insert(_PORT_TABLE, gate_name(port_id))
        elif row.uuid in self._ports_of(switch):
            row.verify("external_ids")
        else:
            row = self._replace(row)
        self._add_port(switch, row)
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
        self._add_port(self._group_of_gates, row)

    def _replace(self, row: Any) -> Any:
        """Make a gate anew that is on the switch of another network."""
        users = {key: "" for key in row.external_ids if key.startswith(USER)}
        name = row.name
        self._delete_port(row)
        made = self._insert(_PORT_TABLE, name)
        made.external_ids = users
        return made

    @cached_property
    def _group_of_gates(self) -> Any:
        group = self._named(_GROUP_TABLE, rows.GATES) or self._insert(_GROUP_TABLE, rows.GATES)
        put(group, external_ids={GROUP: rows.GATES})
        self._acls(group, rows.GATE_ACLS, group.external_ids)
        return group

    def _add_port(self, row: Any, port: Any) -> None:
        """Add a port to a switch or group that does not have it yet."""
        if port.uuid not in self._ports_of(row):
            # Unlike an assignment, this does not undo what another server adds at the same time.
            row.addvalue("ports", port)
            self._ports_of(row).add(port.uuid)

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
        if marked is not None and row.uuid in self._ports_of(marked):
            switches = [marked]
        else:
            switches = self._database.rows("Logical_Switch")
        for switch in switches:
            if row.uuid in self._ports_of(switch):
                switch.delvalue("ports", row)
                self._ports_of(switch).discard(row.uuid)
        row.delete()

    def _ports_of(self, row: Any) -> set[Any]:
        """Return the ids of the ports of a switch or group, as of this moment of the transaction.

        Each row is read once: there are as many gates, and ports of a network, as the cloud has.
        """
        if row.uuid not in self._members:
            self._members[row.uuid] = {port.uuid for port in getattr(row, "ports", ())}
        return self._members[row.uuid]

    def _guards(self, chain_id: str, wanted: Mapping[str, Guard]) -> None:
        for table in (_GROUP_TABLE, _ADDRESSES_TABLE):
            for row in self._database.named_from(table, rows.guard_prefix(chain_id)):
                if row.name not in wanted:
                    row.delete()
        marks = {CHAIN: chain_id}
        for name, guard in wanted.items():
            known = self._named(_ADDRESSES_TABLE, name) or self._insert(_ADDRESSES_TABLE, name)
            put(known, addresses=rows.gate_addresses(guard), external_ids=marks)
            row = self._named(_GROUP_TABLE, name) or self._insert(_GROUP_TABLE, name)
            found = (self._named(_PORT_TABLE, port) for port in sorted(guard.ports))
            put(
                row,
                ports=[port for port in found if port is not None],
                external_ids={**marks, _MATCH: guard.match},
            )
            self._acls(row, rows.guard_acls(name, guard), marks)

    def _acls(self, group: Any, wanted: Sequence[Acl], marks: Mapping[str, str]) -> None:
        """Give a port group its ACLs; those that it has already stay.

        :param marks: say whose the ACLs are, so that a change of them is noticed.
        """
        present = {_acl_of(row): row for row in group.acls}
        if len(present) == len(group.acls) and present.keys() == {_key(acl) for acl in wanted}:
            return
        group.acls = [present.get(_key(acl)) or self._acl(acl, marks) for acl in wanted]

    def _acl(self, acl: Acl, marks: Mapping[str, str]) -> Any:
        row = self._txn.insert(self._database.idl.tables["ACL"])
        row.direction, row.priority = acl.direction, acl.priority
        row.match, row.action = acl.match, acl.action
        row.options, row.external_ids = dict(acl.options), dict(marks)
        return row

    def _named(self, table: str, name: str) -> Any | None:
        """Return a row by its name, also one that this transaction inserts."""
        return self._new.get((table, name)) or self._database.named(table, name)

    def _insert(self, table: str, name: str) -> Any:
        row = self._txn.insert(self._database.idl.tables[table])
        row.name = name
        # Columns of a new row cannot be read before they are written.
        for column, value in _EMPTY[table].items():
            setattr(row, column, value)
        self._new[table, name] = row
        return row


_EMPTY: Mapping[str, Mapping[str, Any]] = {
    _PORT_TABLE: {"external_ids": {}},
    _GROUP_TABLE: {"external_ids": {}, "acls": []},
    _ADDRESSES_TABLE: {"external_ids": {}, "addresses": []},
}

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
