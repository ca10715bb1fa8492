"""What a host's switch is to hold, by who wants it."""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from portchain.dataplane.diff import Batch, order
from portchain.dataplane.flow import DROP, EntryKey, Flow, FlowKey, SwitchEntry


class FlowLedger:
    """What a host's switch is to hold, and who wants it: entries may be shared, and go when the last owner goes.

    Setting one owner's entries costs what of them has changed, whatever else is in the ledger and however many share them.
    """

    def __init__(self) -> None:
        self._flows: dict[EntryKey, SwitchEntry] = {}
        self._wants: dict[EntryKey, dict[str, SwitchEntry]] = {}
        self._contested: set[EntryKey] = set()
        self._of_owner: dict[str, dict[EntryKey, SwitchEntry]] = {}
        self._before: dict[
            EntryKey, SwitchEntry | None
        ] = {}  # what there was before changes that nobody has taken yet

    @property
    def entries(self) -> Collection[SwitchEntry]:
        """All that is wanted."""
        return self._flows.values()

    @property
    def owners(self) -> frozenset[str]:
        """Those who want at least one rule."""
        return frozenset(self._of_owner)

    def entries_of(self, owner: str) -> list[SwitchEntry]:
        """What the switch is to hold where this owner wants something."""
        return [self._flows[key] for key in self._of_owner.get(owner, ())]

    def conflicts(
        self, owner: str, entries: Iterable[SwitchEntry]
    ) -> Iterator[tuple[str, SwitchEntry]]:
        """Find who disagrees with what an owner wants.

        Two that want different actions for one key disagree, unless the rules of both are contestable.

        :param entries: all that the owner would want, whether it has it already or not.
        :returns: the others, each with the entry that it is about.
        """
        for entry in entries:
            contested = entry.key in self._contested
            # A key that is not contested has one rule, whoever wants it; who contests a key lets others do so, too.
            if entry.contestable if contested else self._flows.get(entry.key, entry) == entry:
                continue
            for rival, other in self._wants[entry.key].items():
                agree = other == entry or (entry.contestable and other.contestable)
                if rival != owner and not agree:
                    yield rival, entry

    def set(self, owner: str, entries: Iterable[SwitchEntry]) -> None:
        """Set what an owner wants.

        :param entries: all that it now wants; none to forget the owner.
        :raises FlowConflictError: somebody disagrees, or two of the entries do; nothing is changed then.
        """
        wanted, present = by_key(owner, entries), self._of_owner.get(owner, {})
        news = [entry for key, entry in wanted.items() if not _is_same(present.get(key), entry)]
        for rival, entry in self.conflicts(owner, news):
            raise FlowConflictError(owner, rival, entry)
        for key in present.keys() - wanted.keys():
            self._take_back(owner, key)
            self._settle(key)
        for entry in news:
            self._wants.setdefault(entry.key, {})[owner] = entry
            self._settle(entry.key, entry)
        self._of_owner[owner] = wanted
        if not wanted:
            del self._of_owner[owner]

    def release(self, owner: str, key: EntryKey) -> None:
        """Forget one of the entries that an owner wants."""
        if self._of_owner.get(owner, {}).pop(key, None) is not None:
            self._take_back(owner, key)
            self._settle(key)
            if not self._of_owner[owner]:
                del self._of_owner[owner]

    def pop_changes(self) -> list[Batch]:
        """Return what has changed since this was called last, in the order in which to apply it."""
        before, self._before = self._before, {}
        put = [flow for key in before if (flow := self._flows.get(key)) and flow != before[key]]
        remove = [key for key, was in before.items() if was and key not in self._flows]
        return order(put, remove)

    def _take_back(self, owner: str, key: EntryKey) -> None:
        del self._wants[key][owner]
        if not self._wants[key]:
            del self._wants[key]

    def _settle(self, key: EntryKey, news: SwitchEntry | None = None) -> None:
        """Set the rule for a key: the one of all who want it if they agree, else one that drops.

        :param news: what one of them wants now; None if one does not want anything any more.
        """
        present = self._flows.get(key)
        if key not in self._wants:
            self._contested.discard(key)
            after = None
        elif present and key not in self._contested and news in (None, present):
            return
        else:
            after = self._agreed(key)
        if after != present:
            self._before.setdefault(key, present)
            if after is None:
                del self._flows[key]
            else:
                self._flows[key] = after

    def _agreed(self, key: EntryKey) -> SwitchEntry:
        first, *_ = islice(self._wants[key].values(), 1)
        if isinstance(key, FlowKey) and any(other != first for other in self._wants[key].values()):
            self._contested.add(key)
            return Flow(key, DROP)
        self._contested.discard(key)
        return first


def _is_same(before: SwitchEntry | None, after: SwitchEntry) -> bool:
    return before == after and before.contestable == after.contestable


def by_key(owner: str, entries: Iterable[SwitchEntry]) -> dict[EntryKey, SwitchEntry]:
    """Sort what an owner wants by its keys.

    :raises FlowConflictError: two of the entries have one key and differ.
    """
    found: dict[EntryKey, SwitchEntry] = {}
    for entry in entries:
        if found.setdefault(entry.key, entry) != entry:
            raise FlowConflictError(owner, owner, entry)
    return found


class FlowConflictError(ValueError):
    """Two owners want the same match at the same place to do different things.

    :ivar owner: who came second. ``rival``: who holds the rule.
    :ivar reason: for the chain's owner, whom the rival need not belong to.
    """

    def __init__(self, owner: str, rival: str, entry: SwitchEntry) -> None:
        who = f"{owner} contradicts itself" if owner == rival else f"{owner} and {rival} disagree"
        super().__init__(f"{who} about {entry}")
        self.owner = owner
        self.rival = rival
        self.reason = (
            f"the chain contradicts itself about {entry}"
            if owner == rival
            else f"another port chain wants something else than this one, about {entry}"
        )
