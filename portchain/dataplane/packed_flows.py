"""Flows that are in the switch, in little memory.

As objects, a flow takes more than a kilobyte: sets of words, words and actions. Nobody looks at
most of them before their chain changes. So flows of an owner are kept together as compressed
bytes, and of each flow only two hashes can be looked up.
"""

import marshal
import zlib
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from typing import Any

from portchain.core.counters import Counter
from portchain.dataplane.flow import Bridge, BridgeKind, EntryKey, Flow, FlowKey, SwitchEntry

_COMPRESSION = 1


def digest(entry: SwitchEntry) -> int:
    """Return a hash, 64 bits, of an entry as it is in a switch.

    It differs between processes. Two of a million flows have the same one with a probability of
    one in 30 million.
    """
    return hash((entry.key, entry.actions)) if isinstance(entry, Flow) else hash(entry)


def compare(
    entries: Iterable[SwitchEntry], digests: Sequence[int], desired: Set[int]
) -> tuple[set[int], list[SwitchEntry]]:
    """Compare the entries of a switch with digests of those that it should have.

    :param digests: those of ``entries``, in the same order.
    :returns: the digests of entries that are missing, and the entries that are not desired.
    """
    missing = set(desired) - set(digests)
    if len(digests) + len(missing) == len(desired):
        return missing, []
    pairs = zip(entries, digests, strict=True)
    return missing, [entry for entry, number in pairs if number not in desired]


class PackedFlows:
    """Flows of owners. Each key has one owner; no flow belongs to a conjunction."""

    def __init__(self) -> None:
        self._of_owner: dict[str, tuple[bytes, array[int]]] = {}
        self._owner_of: dict[int, str] = {}  # hash of a key -> owner

    @property
    def owners(self) -> Collection[str]:
        """All owners that have flows."""
        return self._of_owner.keys()

    def has_hash_of(self, key: EntryKey) -> bool:
        """Return whether there is a flow with this key or, by chance, with its hash."""
        return hash(key) in self._owner_of

    def owner_of(self, key: EntryKey) -> str | None:
        """Return the owner of the flow with a key; None if there is none.

        By chance, it may be an owner that has no such flow.
        """
        return self._owner_of.get(hash(key))

    def owners_of(self, keys: Iterable[EntryKey]) -> set[str]:
        """Return the owners of the flows with some keys, as ``owner_of``."""
        return {self._owner_of[key] for key in map(hash, keys) if key in self._owner_of}

    def put(self, owner: str, flows: Collection[Flow]) -> None:
        """Add the flows of an owner that has none."""
        parts = [
            (
                *(str(flow.key.bridge.kind), flow.key.bridge.physical_network, flow.key.table),
                *(flow.key.priority, tuple(flow.key.match)),
                *(flow.actions, flow.contestable, flow.project),
                tuple(flow.counter) if flow.counter else None,
            )
            for flow in flows
        ]
        data = zlib.compress(marshal.dumps(parts), _COMPRESSION)
        digests = array("q", map(digest, flows))
        self._owner_of |= dict.fromkeys((hash(flow.key) for flow in flows), owner)
        self._of_owner[owner] = data, digests

    def flows_of(self, owner: str) -> list[Flow]:
        """Return the flows of an owner."""
        if owner not in self._of_owner:
            return []
        parts = marshal.loads(zlib.decompress(self._of_owner[owner][0]))  # noqa: S302  # our own
        return [_flow(part) for part in parts]

    def counted_flows_of(self, owner: str) -> list[Flow]:
        """Return those flows of an owner that count packets."""
        if owner not in self._of_owner:
            return []
        parts = marshal.loads(zlib.decompress(self._of_owner[owner][0]))  # noqa: S302  # our own
        return [_flow(part) for part in parts if part[-1]]

    def pop(self, owner: str) -> list[Flow]:
        """Remove the flows of an owner, and return them."""
        flows = self.flows_of(owner)
        self._of_owner.pop(owner, None)
        for flow in flows:
            self._owner_of.pop(hash(flow.key), None)
        return flows

    def digests(self) -> Iterator[int]:
        """Yield the digests of all flows."""
        for _, digests in self._of_owner.values():
            yield from digests

    def with_digests(self, wanted: Set[int]) -> Iterator[Flow]:
        """Yield the flows that have some digests."""
        for owner, (_, digests) in self._of_owner.items():
            if not wanted.isdisjoint(digests):
                yield from (flow for flow in self.flows_of(owner) if digest(flow) in wanted)


def _flow(part: tuple[Any, ...]) -> Flow:
    kind, physical_network, table, priority, match, actions, contestable, project, counted = part
    bridge = _BRIDGES.get(kind) or Bridge(BridgeKind(kind), physical_network)
    key = FlowKey(bridge, table, priority, frozenset(match))
    counter = Counter(*counted) if counted else None
    return Flow(key, actions, contestable, project, counter)


_BRIDGES = {str(bridge.kind): bridge for bridge in (Bridge.INT, Bridge.TUN)}
