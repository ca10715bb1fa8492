"""On which networks the sources of chains are: those of their functions.

While a group of a chain is empty, no row tells where its functions were, and what the chain classifies there has to be held
back all the same. So the networks are kept, and forgotten when every group has functions again.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from portchain.core import model
from portchain.db import models


def of_chains(
    session: Any, chains: Collection[model.PortChain], ports: Mapping[str, model.Port]
) -> dict[str, frozenset[str]]:
    """Return the networks of chains by their ids.

    One query, and none if no group is empty: what is kept of a chain that has all its functions, they say themselves.

    :param ports: at least those of the functions, as far as they exist.
    """
    kept = _kept(session, [chain.id for chain in chains if chain.lacks_functions])
    return {
        chain.id: _of_functions(chain, ports) | kept.get(chain.id, frozenset()) for chain in chains
    }


def record(session: Any, snapshots: Iterable[model.ChainSnapshot]) -> None:
    """Keep the networks of chains as they are now: one query, and statements only for what differs."""
    chains = {snapshot.chain.id: snapshot for snapshot in snapshots}
    kept = _kept(session, chains)
    new, old = [], []
    for chain_id, snapshot in chains.items():
        present = _of_functions(snapshot.chain, snapshot.ports)
        before = kept.get(chain_id, frozenset())
        new += [(chain_id, network) for network in sorted(present - before)]
        if not snapshot.chain.lacks_functions:
            old += [(chain_id, network) for network in before - present]
    table = models.ChainNetwork
    if old:
        session.execute(
            sa.delete(table).where(sa.tuple_(table.chain_id, table.network_id).in_(old))
        )
    if new:
        rows = [{"chain_id": chain_id, "network_id": network} for chain_id, network in new]
        session.execute(sa.insert(table), rows)


def _of_functions(chain: model.PortChain, ports: Mapping[str, model.Port]) -> frozenset[str]:
    return frozenset(ports[port].network_id for port in chain.function_ports if port in ports)


def _kept(session: Any, chain_ids: Collection[str]) -> dict[str, frozenset[str]]:
    if not chain_ids:
        return {}
    table = models.ChainNetwork
    query = sa.select(table.chain_id, table.network_id).where(table.chain_id.in_(list(chain_ids)))
    found: dict[str, set[str]] = defaultdict(set)
    for chain_id, network in session.execute(query):
        found[chain_id].add(network)
    return {chain_id: frozenset(names) for chain_id, names in found.items()}
