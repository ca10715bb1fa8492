"""What all chains of a host need of its switch together."""

from collections import Counter

from portchain.dataplane.host_switch import HostNeeds

_NOTHING = HostNeeds()


class NeedsOfChains:
    """The needs of each chain, and their union.

    A change of one chain costs the work for this chain, and a new union only if that differs.
    """

    def __init__(self) -> None:
        # Ports and peers, as tuples: a set takes four times as much memory.
        self._of_chain: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        self._ports: Counter[str] = Counter()
        self._peers: Counter[str] = Counter()
        self._all: HostNeeds | None = _NOTHING  # None: not computed yet

    @property
    def all(self) -> HostNeeds:
        """What at least one chain needs."""
        if self._all is None:
            self._all = HostNeeds(frozenset(self._ports), frozenset(self._peers))
        return self._all

    def chains_with(self, peers: frozenset[str]) -> set[str]:
        """Return the chains whose packets may go to some of these tunnel addresses."""
        if not peers:
            return set()
        of_chain = self._of_chain.items()
        return {chain for chain, (_, known) in of_chain if not peers.isdisjoint(known)}

    def set(self, chain_id: str, needs: HostNeeds) -> None:
        """Note what a chain needs now: nothing if it has gone."""
        before = HostNeeds(*map(frozenset, self._of_chain.pop(chain_id, ())))
        if needs != _NOTHING:
            self._of_chain[chain_id] = tuple(needs.ports), tuple(needs.peers)
        for counter, left, come in (
            (self._ports, before.ports - needs.ports, needs.ports - before.ports),
            (self._peers, before.peers - needs.peers, needs.peers - before.peers),
        ):
            known = len(counter)
            counter.update(come)
            is_new = len(counter) > known
            counter.subtract(left)
            gone = [name for name in left if not counter[name]]
            for name in gone:
                del counter[name]
            if is_new or gone:
                self._all = None
