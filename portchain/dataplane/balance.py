"""Which pair a flow visits: a fixed number of hash slots, dealt to the pairs by weighted rendezvous hashing.

The switch hashes a packet to a slot; this module deals the slots. Each slot goes to the pair with the best score for it, and
a pair's score depends on nothing but slot, pair and weight. So a pair that goes away gives only its own slots to the others,
and a pair that comes takes only its share (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998;
weights after Schindelhauer and Schomaker, 2005).
"""

import hashlib
import math
from collections.abc import Mapping

SLOTS = 128
"""Hash slots of a group: 7 bits. Two equal pairs share them within about one part in ten."""

_HASH_BYTES = 8


def assign_slots(weights: Mapping[str, int]) -> tuple[str, ...]:
    """Deal the slots to pairs.

    :param weights: pair id -> weight >= 0; a pair of weight 0 gets no slot.
    :returns: the pair id of each of the ``SLOTS`` slots; empty if no pair takes any.
    """
    takers = {pair: weight for pair, weight in weights.items() if weight > 0}
    if not takers:
        return ()
    return tuple(
        max(takers, key=lambda pair: (_score(slot, pair, takers[pair]), pair))
        for slot in range(SLOTS)
    )


def pair_set_number(weights: Mapping[str, int]) -> int:
    """Number a set of weighted pairs, 32 bits, never 0: equal sets share their slots' rules, unequal ones do not meet.

    :param weights: pair id -> weight.
    """
    text = ",".join(f"{pair}={weight}" for pair, weight in sorted(weights.items()) if weight > 0)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") or 1


def _score(slot: int, pair: str, weight: int) -> float:
    digest = hashlib.blake2b(f"{slot}/{pair}".encode(), digest_size=_HASH_BYTES).digest()
    uniform = (int.from_bytes(digest, "big") + 0.5) / (1 << (8 * _HASH_BYTES))
    return -weight / math.log(uniform)
