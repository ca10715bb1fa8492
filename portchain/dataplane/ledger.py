"""The desired content of a host's switch, and which owner wants each entry."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import replace
from typing import NamedTuple, TypeGuard

from portchain.core.boxes import Box, overlapping
from portchain.core.counters import Counter
from portchain.dataplane import conjunction
from portchain.dataplane.diff import Batch, order
from portchain.dataplane.flow import Bridge, EntryKey, Flow, FlowKey, SwitchEntry
from portchain.dataplane.packed_flows import PackedFlows, digest

_Place = tuple[Bridge, int, str]
"""Bridge, table, and the word that matches the port."""
_OwnersOfProjects = list[tuple[str, str]]
"""Project and owner, once for each of the owner's flows."""


class Conflict(NamedTuple):
    """An owner that wants an entry with which another entry cannot be in the switch.

    :param owner: the other owner. ``rival_key``: the key of the entry that it has.
    :param entry: the entry that conflicts with it.
    """

    owner: str
    entry: SwitchEntry
    rival_key: EntryKey


class FlowLedger:
    """The desired content of a host's switch.

    Several owners can want the same entry; it stays until the last of them gives it up. The cost
    of an update depends on how many of the owner's entries change, not on the size of the ledger.

    Owners are strings: ids of chains, some with a suffix (see ``arbitration``).

    ``pack`` moves flows that one owner alone wants to a form that takes little memory. They come
    back when somebody asks for them.

    Flows of two projects at a function's egress port conflict if one packet can match both,
    although their keys differ: the switch would let the priority or chance decide.
    """

    def __init__(self) -> None:
        # The desired content: what all owners of a key agree on, or a flow that drops.
        self._entries: dict[EntryKey, SwitchEntry] = {}
        # Key -> owner -> the entry that this owner wants for the key.
        self._wanted: dict[EntryKey, dict[str, SwitchEntry]] = {}
        # The same, by owner first.
        self._wanted_by: dict[str, dict[EntryKey, SwitchEntry]] = {}
        # Keys for which owners want different, contestable flows: their packets are dropped.
        self._contested: set[EntryKey] = set()
        # Keys for which an owner has wanted a flow that counts, as long as somebody wants them.
        self._counting: set[EntryKey] = set()
        # Who has flows with a project: place -> source address -> project and owner.
        self._of_projects: dict[_Place, dict[str, _OwnersOfProjects]] = {}
        # Places with flows of several projects: these are compared often, and are not packed.
        self._shared_places: set[_Place] = set()
        # Flows that are in none of the above, except for ``_of_projects``.
        self._packed = PackedFlows()
        self._unpacked: set[str] = set()  # owners whose flows may be packed
        # Key in the switch -> the keys of the flows that are merged there (see ``conjunction``).
        self._clauses: dict[EntryKey, set[EntryKey]] = {}
        self._merged_flows: dict[EntryKey, SwitchEntry] = {}  # computed when they are needed
        # Key in the switch -> its entry at the last ``pop_changes``, for keys that have changed
        # since.
        self._previous: dict[EntryKey, SwitchEntry | None] = {}

    @property
    def entries(self) -> Collection[SwitchEntry]:
        """The desired content of the switch."""
        packed = (flow for owner in self._packed.owners for flow in self._packed.flows_of(owner))
        return [*self._unpacked_entries(), *packed]

    def _unpacked_entries(self) -> Iterator[SwitchEntry]:
        yield from (entry for key, entry in self._entries.items() if _in_switch(key) is key)
        yield from map(self._merged, self._clauses)

    @property
    def digests(self) -> set[int]:
        """The digests of all desired entries, see ``packed_flows``."""
        return {*map(digest, self._unpacked_entries()), *self._packed.digests()}

    def repair(self, missing: Set[int], surplus: Iterable[SwitchEntry]) -> list[Batch]:
        """Return what to change in a switch that differs from the desired content.

        :param missing: digests of entries that it lacks.
        :param surplus: entries that it has, and that are not desired.
        """
        if not missing and not surplus:
            return []
        put = [entry for entry in self._unpacked_entries() if digest(entry) in missing]
        put += self._packed.with_digests(missing)
        return order(put, [each.key for each in surplus if not self._has_in_switch(each.key)])

    @property
    def owners(self) -> frozenset[str]:
        """All owners that want at least one entry."""
        return frozenset((*self._wanted_by, *self._packed.owners))

    def has_owner(self, owner: str) -> bool:
        """Return whether an owner wants at least one entry."""
        return owner in self._wanted_by or owner in self._packed.owners

    def pack(self) -> None:
        """Reduce the memory for flows that only one owner wants, and that have been popped."""
        for owner in self._unpacked:
            wanted = self._wanted_by.get(owner, {})
            flows = [entry for entry in wanted.values() if self._can_pack(entry)]
            if not flows or owner in self._packed.owners:
                continue
            self._packed.put(owner, flows)  # first: it may lack memory
            for flow in flows:
                del self._entries[flow.key], self._wanted[flow.key], wanted[flow.key]
                self._counting.discard(flow.key)
            if wanted:
                # A dictionary keeps the room it has had.
                self._wanted_by[owner] = {entry.key: entry for entry in wanted.values()}
            else:
                del self._wanted_by[owner]
        self._unpacked.clear()

    def _can_pack(self, entry: SwitchEntry) -> TypeGuard[Flow]:
        key = entry.key
        return (
            isinstance(entry, Flow)
            and entry.key.clause is None
            and len(self._wanted[key]) == 1
            and key not in self._previous
            and not self._packed.has_hash_of(key)
            and not (entry.project and _place(entry) in self._shared_places)
        )

    def _unpack(self, owner: str) -> None:
        self._unpacked.add(owner)
        if owner in self._packed.owners:
            wanted = self._wanted_by.setdefault(owner, {})
            for flow in self._packed.pop(owner):
                self._entries[flow.key] = wanted[flow.key] = flow
                self._want(owner, flow)

    def entries_of(self, owner: str) -> list[SwitchEntry]:
        """Return the desired entries for the keys that an owner uses, as the switch needs them."""
        wanted = self._wanted_by.get(owner, ())
        merged = {_in_switch(key) for key in wanted if _in_switch(key) is not key}
        plain = [self._entries[key] for key in wanted if _in_switch(key) is key]
        plain += self._packed.flows_of(owner)
        return [*plain, *(self._merged(key) for key in merged)]

    def conflicts(self, owner: str, entries: Iterable[SwitchEntry]) -> Iterator[Conflict]:
        """Find the owners that conflict with entries.

        Two owners conflict if they want different actions for one key, unless both flows are
        contestable; or if they are of two projects, see the class.

        :param entries: all that ``owner`` would want, whether it has them already or not.
        """
        entries = list(entries)
        for holder in self._packed.owners_of(entry.key for entry in entries):
            if holder != owner:
                self._unpack(holder)
        yield from self._conflicts_between_projects(owner, entries)
        for entry in entries:
            contested = entry.key in self._contested
            # Cheap test first. An uncontested key has one entry, whoever wants it; owners of a
            # contested key accept any other contestable flow.
            known = self._entries.get(entry.key, entry)
            if entry.contestable if contested else known is entry or known == entry:
                continue
            for other_owner, other in self._wanted[entry.key].items():
                agree = other == entry or (entry.contestable and other.contestable)
                if other_owner != owner and not agree:
                    yield Conflict(other_owner, entry, entry.key)

    def _conflicts_between_projects(
        self, owner: str, entries: Iterable[SwitchEntry]
    ) -> Iterator[Conflict]:
        at_place: defaultdict[_Place, list[Flow]] = defaultdict(list)
        for entry in entries:
            if isinstance(entry, Flow) and entry.project:
                at_place[_place(entry)].append(entry)
        for place, flows in at_place.items():
            rivals = [_box(*other, "old") for other in self._rivals(owner, place, flows)]
            if not rivals:
                continue
            boxes = [*(_box(owner, flow, "new") for flow in flows), *rivals]
            for (_, flow), (other_owner, other) in overlapping(boxes):
                if conjunction.overlap(flow.key, other.key):
                    yield Conflict(other_owner, flow, other.key)

    def _rivals(
        self, owner: str, place: _Place, flows: Iterable[Flow]
    ) -> Iterator[tuple[str, Flow]]:
        """Yield flows of other projects at a place, each with its owner.

        :param flows: of this owner. Flows that match another single source are left out.
        """
        if place not in self._of_projects:
            return
        at_port = self._of_projects[place]
        sources = {_source_address(flow) for flow in flows}
        projects = {flow.project for flow in flows}
        wanted = at_port.keys() if "" in sources else at_port.keys() & (sources | {""})
        others = {
            other
            for source in wanted
            for project, other in at_port[source]
            if other != owner and projects != {project}
        }
        for other in sorted(others):
            if place not in self._shared_places:
                self._unpack(other)
            for flow in self._wanted_by[other].values():
                if not isinstance(flow, Flow) or not flow.project or projects == {flow.project}:
                    continue
                if _place(flow) == place and _source_address(flow) in wanted:
                    yield other, flow

    def set(self, owner: str, entries: Iterable[SwitchEntry]) -> None:
        """Replace all entries of an owner.

        :param entries: all that the owner wants now; none to remove the owner.
        :raises FlowConflictError: another owner conflicts, or two of the entries have one key.
            The ledger is unchanged then.
        """
        self._unpack(owner)
        wanted, present = by_key(owner, entries), self._wanted_by.get(owner, {})
        changed = list(wanted.values())
        if present:
            changed = [one for one in changed if not _is_same(present.get(one.key), one)]
        for conflict in self.conflicts(owner, changed):
            raise FlowConflictError(owner, conflict.owner, conflict.entry)
        for key in present.keys() - wanted.keys():
            self._give_up(owner, key)
            self._resolve(key)
        for new in changed:
            known = self._entries.get(new.key)
            # What several owners want is one object.
            entry = known if known is not None and _is_same(known, new) else new
            wanted[new.key] = entry
            if (replaced := self._wanted.get(entry.key, {}).get(owner)) is not None:
                self._forget_project(owner, replaced)
            self._want(owner, entry)
            self._note_project(owner, entry)
            self._resolve(entry.key, entry)
        self._wanted_by[owner] = wanted
        if not wanted:
            del self._wanted_by[owner]

    def release(self, owner: str, key: EntryKey) -> None:
        """Remove one entry of an owner."""
        self._unpack(owner)
        if self._wanted_by.get(owner, {}).pop(key, None) is not None:
            self._give_up(owner, key)
            self._resolve(key)
            if not self._wanted_by[owner]:
                del self._wanted_by[owner]

    def entry_for(self, key: EntryKey) -> SwitchEntry | None:
        """Return the desired entry for a key as it is in a switch; None if there is none."""
        return self.entries_for((key,))[key]

    def entries_for(self, keys: Collection[EntryKey]) -> dict[EntryKey, SwitchEntry | None]:
        """Return what ``entry_for`` returns, for many keys: unpacks each owner once."""
        found = {key: self._unpacked_entry(key) for key in keys}
        if not self._packed.owners:
            return found
        packed: defaultdict[str, set[EntryKey]] = defaultdict(set)
        for key in keys:
            if (owner := self._packed.owner_of(key)) is not None:
                packed[owner].add(key)
        for owner, of_owner in packed.items():
            flows = self._packed.flows_of(owner)
            found |= {flow.key: flow for flow in flows if flow.key in of_owner}
        return found

    @property
    def changes(self) -> Mapping[EntryKey, SwitchEntry | None]:
        """Key -> its entry at the last ``pop_changes``, for keys that have changed since."""
        return self._previous

    def pop_changes(self) -> list[Batch]:
        """Return all changes since the last call, in the order in which to apply them.

        A flow that counts for another counter than before is removed and added again: the switch
        gives a flow that replaces another one with the same key the count of that one.
        """
        previous, self._previous = self._previous, {}
        present = self.entries_for(previous)
        recounted = {
            key
            for key, entry in present.items()
            if isinstance(entry, Flow)
            and isinstance(old := previous[key], Flow)
            and entry.counter != old.counter
        }
        put = [
            entry
            for key, entry in present.items()
            if entry and (entry != previous[key] or key in recounted)
        ]
        remove = [key for key, old in previous.items() if old and not present[key]]
        return order(put, [*remove, *recounted])

    def forget_changes(self) -> None:
        """Do without the changes since ``pop_changes``: the whole switch is compared later."""
        self._previous = {}

    def counted_flows(self, owner: str) -> list[Flow]:
        """Return the desired flows of an owner that count packets.

        Without those that other chains want too: whose packets they count is unknown.
        """
        found = self._packed.counted_flows_of(owner)
        for key, entry in self._wanted_by.get(owner, {}).items():
            if isinstance(entry, Flow) and entry.counter:
                desired = self._entries[key]
                if isinstance(desired, Flow) and desired.counter == entry.counter:
                    found.append(desired)
        return found

    def _note_project(self, owner: str, entry: SwitchEntry) -> None:
        if isinstance(entry, Flow) and entry.project:
            place = _place(entry)
            at_port = self._of_projects.setdefault(place, {})
            if at_port and place not in self._shared_places:
                ((known, _), *_), *_ = at_port.values()
                if known != entry.project:
                    self._shared_places.add(place)
                    for other in {each for owners in at_port.values() for _, each in owners}:
                        self._unpack(other)
            at_port.setdefault(_source_address(entry), []).append((entry.project, owner))

    def _forget_project(self, owner: str, entry: SwitchEntry) -> None:
        if isinstance(entry, Flow) and entry.project:
            place, source = _place(entry), _source_address(entry)
            at_port = self._of_projects[place]
            at_port[source].remove((entry.project, owner))
            if not at_port[source]:
                del at_port[source]
            if not at_port:
                del self._of_projects[place]
                self._shared_places.discard(place)

    def _unpacked_entry(self, key: EntryKey) -> SwitchEntry | None:
        """Return the desired entry for a key as it is in a switch, unless it is packed."""
        return self._merged(key) if key in self._clauses else self._entries.get(key)

    def _has_in_switch(self, key: EntryKey) -> bool:
        """Return whether there is a desired entry for a key. Unpacks nothing."""
        return key in self._clauses or key in self._entries or self._packed.has_hash_of(key)

    def _merged(self, key: EntryKey) -> SwitchEntry:
        if key not in self._merged_flows:
            members = (self._entries[member] for member in self._clauses[key])
            self._merged_flows[key] = conjunction.merge(members)
        return self._merged_flows[key]

    def _store(self, key: EntryKey, entry: SwitchEntry | None) -> None:
        """Store the desired entry for a key; None for none."""
        in_switch = _in_switch(key)
        if in_switch not in self._previous:
            self._previous[in_switch] = (
                self.entry_for(in_switch) if self._has_in_switch(in_switch) else None
            )
        self._merged_flows.pop(in_switch, None)
        if entry is not None:
            self._entries[key] = entry
        else:
            del self._entries[key]
        if in_switch is key:
            return
        if entry is not None:
            self._clauses.setdefault(in_switch, set()).add(key)
            return
        self._clauses[in_switch].discard(key)
        if not self._clauses[in_switch]:
            del self._clauses[in_switch]

    def _want(self, owner: str, entry: SwitchEntry) -> None:
        self._wanted.setdefault(entry.key, {})[owner] = entry
        if _counter_of(entry) is not None:
            self._counting.add(entry.key)

    def _give_up(self, owner: str, key: EntryKey) -> None:
        self._forget_project(owner, self._wanted[key].pop(owner))
        if not self._wanted[key]:
            del self._wanted[key]
            self._counting.discard(key)

    def _resolve(self, key: EntryKey, changed: SwitchEntry | None = None) -> None:
        """Set the desired entry for a key: the one that all its owners agree on, or a drop.

        :param changed: the entry that one owner wants now; None if an owner gave the key up.
        """
        present = self._entries.get(key)
        if key not in self._wanted:
            after = None  # its last owner agreed with itself, so it is not contested
        elif present and key not in self._contested and self._stays(key, present, changed):
            return
        else:
            after = self._agreed_entry(key)
        if after is None or not _counts_same(present, after):
            self._store(key, after)

    def _stays(self, key: EntryKey, present: SwitchEntry, changed: SwitchEntry | None) -> bool:
        """Tell whether the desired entry of an uncontested key stays.

        :param changed: as for ``_resolve``.
        """
        if changed is not None:
            return _counts_same(present, changed)
        # Owners of flows that count are few.
        return key not in self._counting or self._agreed_counter(key) == _counter_of(present)

    def _agreed_counter(self, key: EntryKey) -> Counter | None:
        """Return what a flow counts for all its owners; None if they are of several chains.

        Owners with a suffix matter only among themselves: what a chain leaves behind, for packets
        in flight, must not keep the next chain with the same functions from being counted.
        """
        wanted = self._wanted[key].items()
        counters = {_counter_of(entry) for owner, entry in wanted if "/" not in owner}
        counters = counters or {_counter_of(entry) for _, entry in wanted}
        return counters.pop() if len(counters) == 1 else None

    def _agreed_entry(self, key: EntryKey) -> SwitchEntry:
        wanted = self._wanted[key]
        first = next(iter(wanted.values()))
        if len(wanted) == 1:
            self._contested.discard(key)
            return first
        if isinstance(key, FlowKey) and any(other != first for other in wanted.values()):
            self._contested.add(key)
            return conjunction.contested(key)
        self._contested.discard(key)
        if isinstance(first, Flow) and first.counter != (agreed := self._agreed_counter(key)):
            return replace(first, counter=agreed)
        return first


def _in_switch(key: EntryKey) -> EntryKey:
    return key.in_switch if isinstance(key, FlowKey) else key


def _is_same(before: SwitchEntry | None, after: SwitchEntry) -> bool:
    if isinstance(before, Flow) and isinstance(after, Flow) and before.project != after.project:
        return False
    return (
        before is not None
        and _counts_same(before, after)
        and before.contestable == after.contestable
    )


def _counter_of(entry: SwitchEntry | None) -> Counter | None:
    return entry.counter if isinstance(entry, Flow) else None


def _counts_same(before: SwitchEntry | None, after: SwitchEntry) -> bool:
    return before == after and _counter_of(before) == _counter_of(after)


def _place(flow: Flow) -> _Place:
    """Return what two flows must have in common for one packet to match both."""
    in_port = next((word for word in flow.key.match if word.startswith("in_port=")), "")
    return flow.key.bridge, flow.key.table, in_port


def _box(owner: str, flow: Flow, side: str) -> Box[tuple[str, Flow]]:
    """Return the packets that a flow matches; they are compared with those of the other side."""
    labels = (side, flow.project, flow.actions)
    return Box((owner, flow), conjunction.intervals(flow.key), labels)


def _source_address(flow: Flow) -> str:
    """Return the word that matches a single source address; empty for any other flow."""
    words = (word for word in flow.key.match if word.startswith(("nw_src=", "ipv6_src=")))
    return next((word for word in words if "/" not in word), "")


def by_key(owner: str, entries: Iterable[SwitchEntry]) -> dict[EntryKey, SwitchEntry]:
    """Index the entries of an owner by their keys.

    :raises FlowConflictError: two of the entries have one key and differ.
    """
    found: dict[EntryKey, SwitchEntry] = {}
    for entry in entries:
        known = found.setdefault(entry.key, entry)
        if known is not entry and known != entry:
            raise FlowConflictError(owner, owner, entry)
    return found


class FlowConflictError(ValueError):
    """Two owners want different actions for the same match in the same table.

    :ivar owner: the owner whose entries were rejected.
    :ivar rival: the owner that already has the entry; the same as ``owner`` if it conflicts with
        itself.
    :ivar reason: the conflict in words for the chain's user. It does not name the rival, which may
        belong to another project.
    """

    def __init__(self, owner: str, rival: str, entry: SwitchEntry) -> None:
        conflict = (
            f"{owner} conflicts with itself" if owner == rival else f"{owner} and {rival} conflict"
        )
        super().__init__(f"{conflict} over {entry}")
        self.owner = owner
        self.rival = rival
        self.reason = (
            f"the chain conflicts with itself over {entry}"
            if owner == rival
            else f"another port chain needs the same match with other actions: {entry}"
        )
