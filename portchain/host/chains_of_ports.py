"""Which chains use which ports of all hosts."""

import threading
from collections.abc import Collection, Iterable


class ChainsOfPorts:
    """Both directions of an index. Thread-safe, and never waits for anything else.

    Neutron's agent asks for every port that it wires, most of which no chain uses.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Tuples, because a set takes four times as much memory, and most have few members.
        self._chains: dict[str, tuple[str, ...]] = {}
        self._ports: dict[str, tuple[str, ...]] = {}

    def put(self, chain_id: str, port_ids: frozenset[str]) -> None:
        """Note which ports a chain uses; none if it has gone."""
        with self._lock:
            known = self._ports.pop(chain_id, ())
            if port_ids:
                self._ports[chain_id] = tuple(port_ids)
            for port_id in set(known) - port_ids:
                rest = tuple(one for one in self._chains.pop(port_id) if one != chain_id)
                if rest:
                    self._chains[port_id] = rest
            for port_id in port_ids.difference(known):
                self._chains[port_id] = (*self._chains.get(port_id, ()), chain_id)

    def chains_with(self, port_ids: Iterable[str]) -> set[str]:
        """Return the chains that use any of these ports."""
        with self._lock:
            return {chain for port in port_ids for chain in self._chains.get(port, ())}

    def sharing(self, chain_ids: Iterable[str], port_ids: Collection[str]) -> set[str]:
        """Return the chains that use a port together with some chains.

        :param chain_ids: these chains.
        :param port_ids: the ports that count.
        """
        with self._lock:
            ports = {port for one in chain_ids for port in self._ports.get(one, ())}
            return {chain for port in ports & set(port_ids) for chain in self._chains.get(port, ())}
