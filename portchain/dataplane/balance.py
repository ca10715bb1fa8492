"""Distributes the hash slots of a group over its port pairs by weighted rendezvous hashing.

The switch hashes each flow to one of a fixed number of slots; this module assigns the slots to
pairs. Each slot goes to the pair with the highest score for it. A score depends on slot, pair and
weight only. So a pair that is removed gives its own slots to the others and moves nothing else,
and a pair that is added gets no more than its share.

While a group does not change, slots alone say which pair a flow visits. After a change, flows from
before keep their pair for a time (docs/decisions/0058): ``selections`` says which pairs old and new
flows of each slot visit.

Sources: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998; weights
after Schindelhauer and Schomaker, 2005.
"""

import functools
import hashlib
import math
import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

SLOTS = 128
"""Number of hash slots, 7 bits. Two pairs of equal weight get shares that differ by about 10%."""

_HASH_BYTES = 8
_PREFIXES = [str(slot).encode() for slot in range(SLOTS)]
_NO_PAIR: tuple[str | None, ...] = (None,) * SLOTS


def assign_slots(weights: Mapping[str, int]) -> tuple[str, ...]:
    """Assign each slot to a pair.

    :param weights: pair id -> weight >= 0; a pair of weight 0 gets no slot.
    :returns: for each of the ``SLOTS`` slots the id of its pair; empty if all weights are 0.
    """
    return _assign(tuple(each for each in weights.items() if each[1] > 0))


@functools.lru_cache(maxsize=1024)
def _assign(active: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    if len(active) <= 1:
        return tuple(pair for pair, _ in active) * SLOTS
    pairs = [pair for pair, _ in active]
    hashes = zip(*map(_hashes, pairs), strict=True)
    if len({weight for _, weight in active}) == 1:
        # The score grows with the hash. So equal weights do not matter.
        return tuple(max(zip(of_slot, pairs, strict=True))[1] for of_slot in hashes)
    return tuple(
        max(
            (_score(number, weight), pair)
            for number, (pair, weight) in zip(of_slot, active, strict=True)
        )[1]
        for of_slot in hashes
    )


Choice = tuple[str | None, bool]
"""The id of a pair, or None to drop packets; and whether the switch learns the pair of the flow."""


@dataclass(frozen=True)
class Selection:
    """Which pair a flow visits, if no learned flow names its pair.

    :param pairs: for each slot the id of its pair; None if packets of the slot are dropped.
    :param learns: for each slot, whether the switch learns the pair of the flow.
    """

    pairs: tuple[str | None, ...]
    learns: tuple[bool, ...]

    @functools.cached_property
    def number(self) -> int:
        """A number of 32 bits, never 0, that is the same for equal selections only."""
        slots = zip(self.pairs, self.learns, strict=True)
        text = ",".join(f"{pair}/{learns}" for pair, learns in slots)
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") or 1

    @property
    def choices(self) -> tuple["Choice", ...]:
        """What slots have, each choice once, in the order of the slots."""
        return tuple(dict.fromkeys(zip(self.pairs, self.learns, strict=True)))

    @property
    def planes(self) -> tuple[int, ...]:
        """The index in ``choices`` of what each slot has: bit s is that of slot s.

        :returns: the lowest bits of all indices, the bits above them, and so on; empty if there is
            one choice: the slot does not matter.
        """
        indices = {choice: index for index, choice in enumerate(self.choices)}
        of_slots = [indices[choice] for choice in zip(self.pairs, self.learns, strict=True)]
        return tuple(
            sum((index >> bit & 1) << slot for slot, index in enumerate(of_slots))
            for bit in range((len(indices) - 1).bit_length())
        )


@dataclass(frozen=True, slots=True)
class Selections:
    """The selections of a hop. Which one holds for a packet depends on the age of its flow.

    :param opening: for TCP packets with the flag SYN: the first ones of a connection.
    :param open: for other TCP packets: their connection is older than they are.
    :param others: for packets of other protocols, which do not show whether their flow is new.
    """

    opening: Selection
    open: Selection
    others: Selection

    @property
    def distinct(self) -> tuple[Selection, ...]:
        if self.opening is self.open is self.others:
            return (self.opening,)
        return tuple(dict.fromkeys((self.opening, self.open, self.others)))


def selections(
    weights: Mapping[str, int],
    for_connections: Sequence[Mapping[str, int]] = (),
    for_all: Sequence[Mapping[str, int]] = (),
    *,
    spans_connections: bool = False,
    remembering: bool = False,
) -> Selections:
    """Return the selections of a hop.

    :param weights: pair id -> weight >= 0, for every pair that the hop can reach.
    :param for_connections: earlier weights, from which open connections may be; the oldest first.
    :param for_all: those from which other flows may be, too.
    :param spans_connections: whether a flow can consist of several connections, so that the
        first packet of a connection is not the first one of its flow.
    :param remembering: whether new connections still get their pair by the latest earlier weights.
    """
    if not for_connections:
        return _unchanged(tuple(weights.items()))
    now = assign_slots(weights) or _NO_PAIR
    open_ = _with_earlier(now, for_connections, weights)
    others = _with_earlier(now, for_all, weights)
    opening = _with_earlier(now, for_connections[-1:], weights) if remembering else now
    if spans_connections:
        opening = others
    of_connections = _differ(now, opening, open_)
    of_others = of_connections if spans_connections else _differ(now, others)
    return Selections(
        Selection(opening, of_connections),
        Selection(open_, of_connections),
        Selection(others, of_others),
    )


@functools.lru_cache(maxsize=1024)
def _unchanged(weights: tuple[tuple[str, int], ...]) -> Selections:
    """Return the selections of a hop that has always had the same pairs."""
    same = Selection(assign_slots(dict(weights)) or _NO_PAIR, (False,) * SLOTS)
    return Selections(same, same, same)


def _differ(*assignments: Sequence[str | None]) -> tuple[bool, ...]:
    """Return for each slot whether assignments give it to different pairs.

    The switch must learn the pairs of its flows: their age cannot be seen later.
    """
    return tuple(len(set(pairs)) > 1 for pairs in zip(*assignments, strict=True))


def _with_earlier(
    now: Sequence[str | None],
    earlier: Iterable[Mapping[str, int]],
    present: Collection[str],
) -> tuple[str | None, ...]:
    """Return the pair of each slot's oldest flows.

    A slot that has moved twice keeps the pair of its first flows: the switch has learned the pair
    of those that came between. But if that pair left the group meanwhile, all flows have moved.
    """
    oldest = _NO_PAIR
    for weights in earlier:
        oldest = _keep(oldest, assign_slots(weights) or _NO_PAIR, weights)
    return _keep(oldest, now, present)


def _keep(
    slots: Sequence[str | None], otherwise: Sequence[str | None], present: Collection[str]
) -> tuple[str | None, ...]:
    pairs = zip(slots, otherwise, strict=True)
    return tuple(pair if pair in present else other for pair, other in pairs)


def dispensable(sets: Sequence[Mapping[str, int]]) -> int:
    """Return which earlier set of pairs to forget, if there are too many.

    The oldest set says where the oldest flows are. A later one matters if a pair had left: it says
    where the flows of that pair went.

    :param sets: pair id -> weight of each set, the oldest first; the last one is in force.
    :returns: the index of the first set that no pair had left; 0, the oldest, if there is none.
    """
    for index, (before, after) in enumerate(pairwise(sets[:-1]), 1):
        if any(before.values()) and before.keys() <= after.keys():
            return index
    return 0


def _hashes(pair: str) -> tuple[int, ...]:
    """Return a hash, 64 bits, of a pair for each slot."""
    name = f"/{pair}".encode()
    digests = [
        hashlib.blake2b(prefix + name, digest_size=_HASH_BYTES).digest() for prefix in _PREFIXES
    ]
    return struct.unpack(f">{SLOTS}Q", b"".join(digests))


def _score(number: int, weight: int) -> float:
    return -weight / math.log((number + 0.5) / (1 << 8 * _HASH_BYTES))
