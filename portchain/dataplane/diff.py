"""From what a switch should hold and what it holds to the operations that make it so, in a safe order."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from portchain.dataplane.flow import DROP, Bridge, Entry, EntryKey, Flow, FlowKey, NoFlood


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes of one bridge; those of rules take effect together, as one OpenFlow bundle.

    :param put: rules to add; one with the key of an existing rule replaces it without a gap.
    :param remove: keys of rules to delete.
    :param shield: ports that are not to be flooded to any more. ``expose`` the reverse.
    """

    bridge: Bridge
    put: tuple[Flow, ...] = ()
    remove: tuple[FlowKey, ...] = ()
    shield: tuple[NoFlood, ...] = ()
    expose: tuple[NoFlood, ...] = ()


def diff(desired: Iterable[Entry], actual: Iterable[Entry]) -> list[Batch]:
    """Compute what turns the actual content of a switch into the desired one.

    :param actual: what is ours in the switch.
    :returns: batches in the order in which to apply them; none if nothing differs.
    """
    wanted = {entry.key: entry for entry in desired}
    present = {entry.key: entry for entry in actual}
    put = [entry for key, entry in wanted.items() if present.get(key) != entry]
    remove = [key for key in present if key not in wanted]
    return order(put, remove)


def order(put: Collection[Entry], remove: Collection[EntryKey]) -> list[Batch]:
    """Arrange changes make-before-break: the way between hosts first, then what sends onto it, then the clean-up.

    A bundle is atomic on one bridge only, so the bridges towards other hosts get their new rules before and lose their old
    ones after br-int changes. Ports are shielded from floods as long as any rule sends something there.
    """
    added: defaultdict[Bridge, list[Flow]] = defaultdict(list)
    gone: defaultdict[Bridge, list[FlowKey]] = defaultdict(list)
    for entry in put:
        if isinstance(entry, Flow):
            added[entry.key.bridge].append(entry)
    for key in remove:
        if isinstance(key, FlowKey):
            gone[key.bridge].append(key)
    outer = sorted((added.keys() | gone.keys()) - {Bridge.INT}, key=str)
    batches = (
        Batch(Bridge.INT, shield=tuple(entry for entry in put if isinstance(entry, NoFlood))),
        *(Batch(bridge, put=tuple(added[bridge])) for bridge in outer),
        Batch(Bridge.INT, put=tuple(added[Bridge.INT]), remove=tuple(gone[Bridge.INT])),
        *(Batch(bridge, remove=tuple(gone[bridge])) for bridge in outer),
        Batch(Bridge.INT, expose=tuple(key for key in remove if isinstance(key, NoFlood))),
    )
    return [batch for batch in batches if batch != Batch(batch.bridge)]


class FlowLedger:
    """What a host's switch is to hold, and who wants it: entries may be shared, and go when the last owner goes.

    Replacing one owner's rules costs what that owner has, whatever else is in the ledger.
    """

    def __init__(self) -> None:
        self._flows: dict[EntryKey, Entry] = {}
        self._wants: dict[EntryKey, dict[str, Entry]] = {}
        self._contested: set[EntryKey] = set()
        self._of_owner: dict[str, dict[EntryKey, Entry]] = {}

    @property
    def flows(self) -> Collection[Entry]:
        """All that is wanted."""
        return self._flows.values()

    @property
    def owners(self) -> frozenset[str]:
        """Those who want at least one rule."""
        return frozenset(self._of_owner)

    def replace(self, wanted: Mapping[str, Iterable[Entry]]) -> list[Batch]:
        """Set what some owners want.

        :param wanted: owner -> all that it now wants; none to forget the owner.
        :returns: the changes that follow from it, in the order in which to apply them.
        :raises FlowConflictError: two owners, or one with itself, want rules with one key and different actions, and not both
            of them are contestable; nothing is changed then.
        """
        flows_of = {owner: _by_key(owner, flows) for owner, flows in wanted.items()}
        asked = self._refuse_conflicts(flows_of)
        given_up = {key for owner in flows_of for key in self._of_owner.get(owner, ())}
        for owner, flows in flows_of.items():
            self._set_owner(owner, flows)
        put, remove = [], []
        for key in given_up | asked.keys():
            before, after = self._flows.get(key), self._settle(key, asked.get(key, {}).values())
            if after is not None and after != before:
                self._flows[key] = after
                put.append(after)
            elif after is None and before is not None:
                del self._flows[key]
                remove.append(key)
        return order(put, remove)

    def _refuse_conflicts(
        self, flows_of: Mapping[str, Mapping[EntryKey, Entry]]
    ) -> Mapping[EntryKey, Mapping[str, Entry]]:
        """Return who of these owners wants what, by key."""
        asked: defaultdict[EntryKey, dict[str, Entry]] = defaultdict(dict)
        for owner, flows in flows_of.items():
            for key, flow in flows.items():
                # One speaks for all who want a key: they agree, or all of them are contestable.
                staying = (
                    item for item in self._wants.get(key, {}).items() if item[0] not in flows_of
                )
                for rival, other in (*islice(staying, 1), *islice(asked[key].items(), 1)):
                    if other != flow and not (flow.contestable and other.contestable):
                        raise FlowConflictError(owner, rival, flow)
                asked[key][owner] = flow
        return asked

    def _set_owner(self, owner: str, flows: dict[EntryKey, Entry]) -> None:
        for key in self._of_owner.pop(owner, {}).keys() - flows.keys():
            del self._wants[key][owner]
            if not self._wants[key]:
                del self._wants[key]
        for key, flow in flows.items():
            self._wants.setdefault(key, {})[owner] = flow
        if flows:
            self._of_owner[owner] = flows

    def _settle(self, key: EntryKey, news: Collection[Entry]) -> Entry | None:
        """The rule for a key that some may want: theirs if they agree, else one that drops; None if nobody wants any."""
        wants, present = self._wants.get(key), self._flows.get(key)
        if wants is None:
            self._contested.discard(key)
            return None
        if present and key not in self._contested and all(flow == present for flow in news):
            return present
        first, *others = wants.values()
        if not isinstance(key, FlowKey) or all(other == first for other in others):
            self._contested.discard(key)
            return first
        self._contested.add(key)
        return Flow(key, DROP)


def _by_key(owner: str, flows: Iterable[Entry]) -> dict[EntryKey, Entry]:
    found: dict[EntryKey, Entry] = {}
    for flow in flows:
        if found.setdefault(flow.key, flow) != flow:
            raise FlowConflictError(owner, owner, flow)
    return found


class FlowConflictError(ValueError):
    """Two owners want the same match at the same place to do different things.

    :ivar owner: who came second. ``rival``: who holds the rule.
    :ivar reason: for the chain's owner, whom the rival need not belong to.
    """

    def __init__(self, owner: str, rival: str, entry: Entry) -> None:
        who = f"{owner} contradicts itself" if owner == rival else f"{owner} and {rival} disagree"
        super().__init__(f"{who} about {entry}")
        self.owner = owner
        self.rival = rival
        self.reason = (
            f"the chain contradicts itself about {entry}"
            if owner == rival
            else f"another port chain wants something else than this one, about {entry}"
        )
