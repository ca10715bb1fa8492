"""Distributes the hash slots of a group over its port pairs by weighted rendezvous hashing.

The switch hashes each flow to one of a fixed number of slots; this module assigns the slots to
pairs. Each slot goes to the pair with the highest score for it. A score depends on slot, pair and
weight only. So a pair that is removed gives its own slots to the others and moves nothing else,
and a pair that is added gets no more than its share.

Sources: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998; weights
after Schindelhauer and Schomaker, 2005.
"""

import hashlib
import math
from collections.abc import Mapping

SLOTS = 128
"""Number of hash slots, 7 bits. Two pairs of equal weight get shares that differ by about 10%."""

_HASH_BYTES = 8


def assign_slots(weights: Mapping[str, int]) -> tuple[str, ...]:
    """Assign each slot to a pair.

    :param weights: pair id -> weight >= 0; a pair of weight 0 gets no slot.
    :returns: for each of the ``SLOTS`` slots the id of its pair; empty if all weights are 0.
    """
    active = {pair: weight for pair, weight in weights.items() if weight > 0}
    if not active:
        return ()
    return tuple(
        max(active, key=lambda pair: (_score(slot, pair, active[pair]), pair))
        for slot in range(SLOTS)
    )


def pair_set_number(weights: Mapping[str, int]) -> int:
    """Return a number for a set of weighted pairs: 32 bits, never 0.

    Groups with equal sets share the flows of their slots; different sets get different numbers.

    :param weights: pair id -> weight.
    """
    text = ",".join(f"{pair}={weight}" for pair, weight in sorted(weights.items()) if weight > 0)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") or 1


def _score(slot: int, pair: str, weight: int) -> float:
    digest = hashlib.blake2b(f"{slot}/{pair}".encode(), digest_size=_HASH_BYTES).digest()
    uniform = (int.from_bytes(digest, "big") + 0.5) / (1 << (8 * _HASH_BYTES))
    return -weight / math.log(uniform)
