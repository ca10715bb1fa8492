"""Changes of the Northbound database, each in one transaction.

A command looks at the rows that are there, as they are in the moment of the transaction, and makes
them those that are wanted; what is right already is not written. ovsdbapp runs a command again if
somebody else was faster.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

from ovsdbapp.backend.ovs_idl.command import BaseCommand

from portchain.core.model import ChainSnapshot
from portchain.drivers.ovn import moved, tagged
from portchain.drivers.ovn.compile import hold_back
from portchain.drivers.ovn.errors import NoFreeFunctionId, SwitchNotFound
from portchain.drivers.ovn.northbound import (
    CHAIN,
    DEALT,
    HELD,
    HOME,
    LANE,
    NETWORK,
    PROJECT,
    REVISION,
    WIRE,
    Database,
    put,
)
from portchain.drivers.ovn.rows import (
    PRIORITY,
    Acl,
    ChainRows,
    Check,
    Child,
    Function,
    MovedPort,
    Patch,
    anchor_name,
    wire_name,
)

FUNCTION_IDS = range(1, 256)
# Link-local addresses that no machine gives itself (RFC 3927, 2.1); an operator may have chosen others.
_PING = {"svc_monitor_ip": "169.254.0.1", "svc_monitor_ip_dst": "169.254.0.2"}


class SyncChain(BaseCommand):
    """Make a chain's rows those that are wanted; no rows at all for a chain without any."""

    def __init__(self, database: Database, wanted: ChainRows, gone: bool = False) -> None:
        """Prepare the change.

        :param gone: the chain is deleted, or another driver's: not even its anchor stays.
        """
        super().__init__(database)
        self._wanted = wanted
        self._gone = gone
        self._owner = {CHAIN: wanted.chain_id}

    def run_idl(self, txn: Any) -> None:
        """Called by ovsdbapp, within its transaction."""
        anchor = self.api.named("Port_Group", self._wanted.anchor)
        if anchor is None and self._gone:
            return
        if not self._gone and _revision(anchor) > self._wanted.revision:
            return
        self._txn = txn
        anchor = anchor or self._insert("Port_Group", name=self._wanted.anchor)
        switches = self._switches()
        self._ports(switches)
        self._functions(anchor)
        self._anchor(anchor)
        for wire, row in switches.items():
            if wire in self._wanted.switches:
                self._acls(row, self._wanted.switches[wire])
            else:
                row.delete()
        if self._gone:
            anchor.delete()

    # Switches and ports.

    def _switches(self) -> dict[str, Any]:
        """The switch of each wire, those that are made here and those that are no more wanted included.

        One that is needed no more becomes one that is missing, and keeps its name: where a switch is deleted and another made
        at once, the ovn-northd of OVN 26.03.1 ends with a failed assertion.
        """
        wanted = self._wanted.switches
        rows = self.api.named_from("Logical_Switch", wire_name(self._wanted.chain_id))
        there = {row.external_ids.get(WIRE, row.name): row for row in rows}
        spare = [wire for wire in there if wire not in wanted]
        for wire in wanted:
            if wire not in there:
                there[wire] = there.pop(spare.pop()) if spare else self._new_switch(wire)
                there[wire].external_ids = {**self._owner, WIRE: wire}
        return there

    def _new_switch(self, wire: str) -> Any:
        return self._insert("Logical_Switch", name=self._free("Logical_Switch", wire))

    def _free(self, table: str, name: str) -> str:
        """A name for a new row, if need be with a number: rows keep theirs when they become others."""
        names = (f"{name}-{number}" if number else name for number in count())
        return next(one for one in names if self.api.named(table, one) is None)

    def _ports(self, switches: Mapping[str, Any]) -> None:
        wanted: dict[str, Patch | MovedPort | Child] = {
            **{port.name: port for port in self._wanted.patches},
            **{port.name: port for port in self._wanted.moved},
            **{port.name: port for port in (*self._wanted.children, *self._wanted.probes)},
        }
        there = [port for row in switches.values() for port in _ports_of(row)]
        there += [
            peer
            for port in there
            if port.type == "switch"
            and (peer := self.api.named("Logical_Switch_Port", _peer(port))) is not None
        ]
        place = self._places(switches, there)
        for row in there:
            if row.name not in wanted or _is_otherwise_tagged(row, wanted[row.name]):
                self._dismiss(row, place)
        self._tags = self._deal()
        for port in wanted.values():
            switch = switches.get(port.switch) or self._switch(port.switch)
            if isinstance(port, MovedPort):
                self._move(port, switch, place)
            else:
                self._place(self._own_port(port), switch, place)

    def _places(self, switches: Mapping[str, Any], there: Sequence[Any]) -> dict[Any, Any]:
        """The switch of each of the chain's ports, by the port's UUID."""
        homes = {port.switch for port in self._wanted.patches}
        homes |= {port.home for port in self._wanted.moved}
        homes |= {port.external_ids.get(NETWORK, "") for port in there}
        rows = [*switches.values(), *(self.api.named("Logical_Switch", name) for name in homes)]
        return {port.uuid: row for row in rows if row is not None for port in _ports_of(row)}

    def _switch(self, name: str) -> Any:
        row = self.api.named("Logical_Switch", name)
        if row is None:
            raise SwitchNotFound("switch", name)
        return row

    def _own_port(self, port: Patch | Child) -> Any:
        row = self.api.named("Logical_Switch_Port", port.name)
        if row is None:
            row = self._insert("Logical_Switch_Port", name=port.name)
            dealt = {DEALT: "true"} if isinstance(port, Child) and port.tag is None else {}
            row.external_ids = {**self._owner, NETWORK: port.switch, **dealt}
        if isinstance(port, Patch):
            put(row, type="switch", peer=[port.peer])
        else:
            put(row, parent_name=[port.parent], tag=[self._tag(port)])
        put(row, addresses=list(port.addresses), options=dict(port.options))
        return row

    def _tag(self, child: Child) -> int:
        return self._tags[child.name] if child.tag is None else child.tag

    def _deal(self) -> dict[str, int]:
        """The tags of children at functions that several chains may have."""
        ends = [one for one in (*self._wanted.children, *self._wanted.probes) if one.tag is None]
        parents = {child.name: child.parent for child in ends}
        tags: dict[str, int] = {}
        for child in ends:
            if child.name not in tags:
                names = (child.name, child.twin)
                ports = [self._port(parents[name]) for name in names]
                tags |= dict.fromkeys(names, tagged.deal(self.api, ports, names))
        return tags

    def _move(self, port: MovedPort, switch: Any, place: dict[Any, Any]) -> None:
        """Take a function's port to its wire, and keep what Neutron wrote."""
        row = self.api.named("Logical_Switch_Port", port.name)
        if row is None:
            raise SwitchNotFound(what="port", name=port.name)
        before = place.get(row.uuid)
        moves = before is None or before.uuid != switch.uuid
        if before is None or before.name == port.home:
            tagged.claim(self.api, row)
        moved.take(row, port, self._owner, moves)
        self._place(row, switch, place)

    def _dismiss(self, row: Any, place: dict[Any, Any]) -> None:
        """Remove a port of ours; give one of Neutron's back."""
        if row.uuid in place:
            place[row.uuid].delvalue("ports", row)
        if NETWORK in row.external_ids:
            child, parents = row.name, list(row.parent_name)
            row.delete()
            for parent in (self.api.named("Logical_Switch_Port", name) for name in parents):
                if parent is not None:
                    tagged.let_go(self.api, parent, child)
            return
        moved.give_back(row)
        home = self.api.named("Logical_Switch", row.external_ids.get(HOME, ""))
        if home is not None:
            home.addvalue("ports", row)

    @staticmethod
    def _place(row: Any, switch: Any, place: dict[Any, Any]) -> None:
        before = place.get(row.uuid)
        if before is not None and before.uuid == switch.uuid:
            return
        if before is not None:
            before.delvalue("ports", row)
        switch.addvalue("ports", row)
        place[row.uuid] = switch

    # Functions and classification.

    def _functions(self, anchor: Any) -> None:
        wanted = {function.name: function for function in self._wanted.functions}
        self._lanes = self._groups(wanted)
        used = {self._carry(self._lanes[name], function) for name, function in wanted.items()}
        used |= {self._check(check) for check in self._wanted.checks}
        for name, group in self._lanes.items():
            if name in wanted:
                continue
            if self._wanted.keeps_functions:
                used.add(self._carry(group, self._wanted.functions[0]))
            else:
                self._unused(group, anchor)
        for row in self.api.named_from("Network_Function", wire_name(self._wanted.chain_id)):
            if row.uuid not in used:
                row.delete()

    def _groups(self, wanted: Mapping[str, Function]) -> dict[str, Any]:
        """The group of each function, those that are made here and those that are no more wanted included.

        One that is needed no more becomes one that is missing, and keeps its name and its number: connections remember it, and
        the replies of those from before find a way.
        """
        rows = self.api.named_from("Network_Function_Group", wire_name(self._wanted.chain_id))
        there = {row.external_ids.get(LANE, row.name): row for row in rows}
        for name, function in wanted.items():
            if name not in there:
                spare = [other for other in there if other not in wanted]
                best = max(spare, key=lambda one: _shared_ends(one, function), default="")
                there[name] = there.pop(best) if best else self._new_group(name)
                there[name].external_ids = {**self._owner, LANE: name}
        return there

    def _new_group(self, name: str) -> Any:
        group = self._insert(
            "Network_Function_Group", name=self._free("Network_Function_Group", name)
        )
        group.id = free_ids(self.api, "Network_Function_Group", 1)[0]
        group.mode = "inline"
        return group

    def _carry(self, group: Any, wanted: Function) -> Any:
        """Give a group its function; return the function's UUID."""
        row = next(iter(getattr(group, "network_function", ())), None)
        if row is None:
            row = self._new_function(self._free("Network_Function", wanted.name))
        put(row, inport=self._port(wanted.inport), outport=self._port(wanted.outport))
        put(group, network_function=[row])
        return row.uuid

    def _check(self, wanted: Check) -> Any:
        """Have a function checked; return the UUID of what does."""
        row = self.api.named("Network_Function", wanted.name) or self._new_function(wanted.name)
        put(row, inport=self._port(wanted.inport), outport=self._port(wanted.outport))
        check = self.api.named("Network_Function_Health_Check", wanted.name)
        check = check or self._insert("Network_Function_Health_Check", name=wanted.name)
        put(check, options=dict(wanted.options))
        put(row, health_check=[check])
        (everything,) = self.api.rows("NB_Global")
        everything.verify("options")
        put(everything, options={**_PING, **everything.options})
        return row.uuid

    def _new_function(self, name: str) -> Any:
        row = self._insert("Network_Function", name=name)
        row.id = free_ids(self.api, "Network_Function", 1)[0]
        return row

    def _unused(self, row: Any, anchor: Any) -> None:
        """Remove a function; no ACL may name it any more."""
        anchor.verify("acls")
        for acl in list(getattr(anchor, "acls", ())):
            if any(group.uuid == row.uuid for group in acl.network_function_group):
                anchor.delvalue("acls", acl)
                # The server counts references before it removes what nobody refers to.
                acl.network_function_group = []
        row.delete()

    def _port(self, name: str) -> Any:
        row = self.api.named("Logical_Switch_Port", name)
        if row is None:
            raise SwitchNotFound("port", name)
        return row

    def _anchor(self, anchor: Any) -> None:
        marks = {
            **self._owner,
            PROJECT: self._wanted.project,
            REVISION: str(self._wanted.revision),
        }
        put(anchor, external_ids=marks)
        self._sources(anchor)
        self._acls(anchor, self._wanted.classification)

    def _sources(self, anchor: Any, keep: Iterable[Any] = ()) -> None:
        named = (self.api.named("Logical_Switch_Port", name) for name in self._wanted.sources)
        sources = {row.uuid: row for row in (*keep, *named) if row is not None}
        put(anchor, ports=list(sources.values()))

    def _acls(self, parent: Any, wanted: Iterable[Acl], keep: int | None = None) -> None:
        """Make a row's ACLs those that are wanted, and leave those of a priority alone."""
        missing = {_key(acl): acl for acl in wanted}
        parent.verify("acls")
        for row in getattr(parent, "acls", ()):
            if row.priority != keep and missing.pop(_read(row), None) is None:
                parent.delvalue("acls", row)
        for acl in missing.values():
            parent.addvalue("acls", self._acl(acl))

    def _acl(self, wanted: Acl) -> Any:
        row = self._txn.insert(self.api.idl.tables["ACL"])
        row.direction, row.priority = wanted.direction, wanted.priority
        row.match, row.action, row.options = wanted.match, wanted.action, dict(wanted.options)
        if wanted.function:
            row.network_function_group = [self._lanes[wanted.function]]
        return row

    def _insert(self, table: str, name: str) -> Any:
        row = self._txn.insert(self.api.idl.tables[table])
        row.name = name
        row.external_ids = dict(self._owner)
        return row


def removal(database: Database, chain_id: str) -> SyncChain:
    """The change that removes a chain's rows and gives its functions' ports back."""
    empty = ChainRows(chain_id, 0, anchor_name(chain_id))
    return SyncChain(database, empty, gone=True)


class HoldBack(SyncChain):
    """Keep a chain's rows, and have the traffic of sources that they do not take yet dropped."""

    def __init__(self, database: Database, snapshot: ChainSnapshot) -> None:
        super().__init__(database, hold_back(snapshot, ()))
        self._snapshot = snapshot

    def run_idl(self, txn: Any) -> None:
        """Called by ovsdbapp, within its transaction."""
        self._txn = txn
        anchor = self.api.named("Port_Group", self._wanted.anchor)
        # Now, and not before: what seemed not to come in time may have come.
        self._wanted = wanted = hold_back(self._snapshot, served_by(anchor))
        if _revision(anchor) > wanted.revision or not (anchor or wanted.sources):
            return
        anchor = anchor or self._insert("Port_Group", name=wanted.anchor)
        served = served_by(anchor)
        self._sources(anchor, keep=[row for row in _ports_of(anchor) if row.name in served])
        self._acls(anchor, wanted.classification, keep=PRIORITY)
        marks = {PROJECT: wanted.project, HELD: " ".join(wanted.sources)}
        put(anchor, external_ids={**anchor.external_ids, **marks})


def served_by(anchor: Any | None) -> frozenset[str]:
    """Names of the sources whose traffic a chain's rows provide for: they take it, hold it back or let it by."""
    if anchor is None or REVISION not in anchor.external_ids:
        return frozenset()
    return frozenset(port.name for port in _ports_of(anchor)) - set(_names(anchor, HELD))


def free_ids(database: Database, table: str, needed: int) -> list[int]:
    """Numbers that no row of the table has.

    :raises NoFreeFunctionId: there are not so many.
    """
    taken = {row.id for row in database.rows(table) if hasattr(row, "id")}
    # Connections remember their function's number: the ones that were given back last are given out last.
    latest = max(taken, default=0)
    turn = (*range(latest + 1, FUNCTION_IDS.stop), *FUNCTION_IDS)
    free = [number for number in dict.fromkeys(turn) if number not in taken]
    if len(free) < needed:
        raise NoFreeFunctionId(most=len(FUNCTION_IDS), needed=needed - len(free))
    return free[:needed]


def _shared_ends(name: str, wanted: Function) -> int:
    """How many ends a function of some name has in common with one that is wanted: names are made of them."""
    start = wanted.inport.removesuffix("net")
    return name.startswith(start) + name.endswith(f"-{wanted.name.removeprefix(start)}")


def _is_otherwise_tagged(row: Any, wanted: Patch | MovedPort | Child) -> bool:
    """Whether a child has a dealt tag and is to have another kind, or the other way round."""
    return isinstance(wanted, Child) and (DEALT in row.external_ids) != (wanted.tag is None)


def _ports_of(switch: Any) -> list[Any]:
    return list(getattr(switch, "ports", ()))


def _peer(port: Any) -> str:
    return str(next(iter(port.peer), ""))


def _names(anchor: Any, key: str) -> list[str]:
    return str(anchor.external_ids.get(key, "")).split()


def _revision(anchor: Any | None) -> int:
    return int(anchor.external_ids.get(REVISION, 0)) if anchor is not None else 0


_Key = tuple[str, int, str, str, tuple[tuple[str, str], ...], str]


def _key(acl: Acl) -> _Key:
    options = tuple(sorted(acl.options.items()))
    return acl.direction, acl.priority, acl.match, acl.action, options, acl.function


def _read(row: Any) -> _Key:
    options = tuple(sorted(row.options.items()))
    groups = row.network_function_group
    function = next((group.external_ids.get(LANE, group.name) for group in groups), "")
    return row.direction, row.priority, row.match, row.action, options, function
