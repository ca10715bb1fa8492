"""The networks on which a chain looks for its sources: those of its functions.

A classifier without a logical source port stands for ports on these networks. While a group of a
chain is empty, no row says which networks its functions were on, but traffic that the chain
classifies there must still be dropped. The networks are therefore recorded, and removed again only
when every group has functions.
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
    """Return the ids of the networks of each chain, by the chain's id.

    Runs one query, or none if no group is empty: the networks of a complete chain are those of
    its functions.

    :param ports: port id -> port; at least the function ports that exist.
    """
    recorded = _recorded(session, [chain.id for chain in chains if chain.lacks_functions])
    return {
        chain.id: _of_functions(chain, ports) | recorded.get(chain.id, frozenset())
        for chain in chains
    }


def record(session: Any, snapshots: Iterable[model.ChainSnapshot]) -> None:
    """Record the present networks of chains: one query, and statements only for differences."""
    chains = {snapshot.chain.id: snapshot for snapshot in snapshots}
    recorded = _recorded(session, chains)
    added, removed = [], []
    for chain_id, snapshot in chains.items():
        present = _of_functions(snapshot.chain, snapshot.ports)
        before = recorded.get(chain_id, frozenset())
        added += [(chain_id, network_id) for network_id in sorted(present - before)]
        if not snapshot.chain.lacks_functions:
            removed += [(chain_id, network_id) for network_id in before - present]
    table = models.ChainNetwork
    if removed:
        session.execute(
            sa.delete(table).where(sa.tuple_(table.chain_id, table.network_id).in_(removed))
        )
    if added:
        rows = [{"chain_id": chain_id, "network_id": network_id} for chain_id, network_id in added]
        session.execute(sa.insert(table), rows)


def _of_functions(chain: model.PortChain, ports: Mapping[str, model.Port]) -> frozenset[str]:
    return frozenset(ports[port].network_id for port in chain.function_ports if port in ports)


def _recorded(session: Any, chain_ids: Collection[str]) -> dict[str, frozenset[str]]:
    if not chain_ids:
        return {}
    table = models.ChainNetwork
    query = sa.select(table.chain_id, table.network_id).where(table.chain_id.in_(list(chain_ids)))
    found: dict[str, set[str]] = defaultdict(set)
    for chain_id, network_id in session.execute(query):
        found[chain_id].add(network_id)
    return {chain_id: frozenset(networks) for chain_id, networks in found.items()}
