"""Which chains of a host use which ports, or which pairs."""

import threading
from collections.abc import Collection, Iterable


class ChainIndex:
    """Both directions of an index. Thread-safe, and never waits for anything else.

    Neutron's agent asks for every port that it wires, most of which no chain uses.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Tuples, because a set takes four times as much memory, and most have few members.
        self._chains: dict[str, tuple[str, ...]] = {}
        self._used: dict[str, tuple[str, ...]] = {}

    def put(self, chain_id: str, used: frozenset[str]) -> None:
        """Note the ids of what a chain uses; none if it has gone."""
        with self._lock:
            known = self._used.pop(chain_id, ())
            if used:
                self._used[chain_id] = tuple(used)
            for one in set(known) - used:
                rest = tuple(chain for chain in self._chains.pop(one) if chain != chain_id)
                if rest:
                    self._chains[one] = rest
            for one in used.difference(known):
                self._chains[one] = (*self._chains.get(one, ()), chain_id)

    def chains_with(self, used: Iterable[str]) -> set[str]:
        """Return the chains that use any of these."""
        with self._lock:
            return {chain for one in used for chain in self._chains.get(one, ())}

    def sharing(self, chain_ids: Iterable[str], counted: Collection[str]) -> set[str]:
        """Return the chains that use something together with some chains.

        :param chain_ids: these chains.
        :param counted: the ids of what counts.
        """
        with self._lock:
            used = {one for chain in chain_ids for one in self._used.get(chain, ())}
            return {chain for one in used & set(counted) for chain in self._chains.get(one, ())}
