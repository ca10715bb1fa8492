"""The networks on which a chain looks for its sources: those of its functions.

A classifier without a logical source port stands for ports on these networks. While a group of a
chain is empty, no row says which networks its functions were on, but traffic that the chain
classifies there must still be dropped. The networks are therefore recorded, and removed again only
when every group has functions.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api

from portchain.core import model
from portchain.core.search_keys import address_key
from portchain.db import models

SOURCE, DESTINATION, REPLY = "source", "destination", "reply"
END = ("classifier_id", "network_id", "kind", "chain_id", "project_id", "address_key")
"""The columns of `open_ends`."""


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


def record(
    session: Any, snapshots: Iterable[model.ChainSnapshot], *, are_new: bool = False
) -> None:
    """Record the present networks and open ends of chains: two queries, and statements only for
    differences.

    :param are_new: nothing is recorded for the chains yet; there is nothing to query.
    """
    chains = {snapshot.chain.id: snapshot for snapshot in snapshots}
    known = {} if are_new else _recorded(session, chains)
    networks = {(chain_id, one) for chain_id, before in known.items() for one in before}
    present, ends = _present(chains, known)
    _replace(session, models.ChainNetwork, ("chain_id", "network_id"), networks, present)
    before = set() if are_new else _ends(session, chains)
    _take_over_classifiers(session, {end[0] for end in ends - before}, chains)
    _replace(session, models.OpenEnd, END, before, ends)


def _present(
    chains: Mapping[str, model.ChainSnapshot], known: Mapping[str, frozenset[str]]
) -> tuple[set[tuple[str, ...]], set[tuple[str, ...]]]:
    """Return the rows of networks and of open ends that chains should have.

    :param known: chain id -> the networks that are recorded.
    """
    present: set[tuple[str, ...]] = set()
    ends: set[tuple[str, ...]] = set()
    for chain_id, snapshot in chains.items():
        now = _of_functions(snapshot.chain, snapshot.ports)
        kept = now
        if snapshot.chain.lacks_functions:
            kept = now | known.get(chain_id, frozenset())
        present |= {(chain_id, network_id) for network_id in kept}
        ends |= set(open_ends(snapshot.chain, kept, of_sources(snapshot.chain, snapshot.ports)))
    return present, ends


def _take_over_classifiers(session: Any, classifiers: Set[str], chain_ids: Collection[str]) -> None:
    """Delete the open ends that classifiers had in other chains.

    A server of the previous release that takes a classifier out of a chain leaves them.
    """
    if classifiers:
        end = models.OpenEnd
        session.execute(
            sa.delete(end)
            .where(end.classifier_id.in_(sorted(classifiers)), end.chain_id.not_in(chain_ids))
            .execution_options(synchronize_session=False)
        )


def lacking(context: Any, snapshots: Iterable[model.ChainSnapshot]) -> list[str]:
    """Return the ids of chains whose open ends are not what is recorded, in two queries.

    Servers of the previous release record none.
    """
    chains = {snapshot.chain.id: snapshot for snapshot in snapshots}
    with db_api.CONTEXT_READER.using(context) as session:
        known, before = _recorded(session, chains), _ends(session, chains)
    _, ends = _present(chains, known)
    return sorted({end[END.index("chain_id")] for end in before ^ ends} & chains.keys())


def open_ends(
    chain: model.PortChain, networks: Iterable[str], source_networks: Iterable[str]
) -> Iterator[tuple[str, ...]]:
    """Yield where a chain's classifiers stand for ports that they do not name: rows of `OpenEnd`.

    ``source``: the ports may send what the classifier matches, ``destination``: they may reply,
    ``reply``: replies from other networks may come through them, which are routers.

    :param networks: on which the chain looks for its sources.
    :param source_networks: see `of_sources`.
    """
    for one in chain.flow_classifiers:
        source = address_key(one.ethertype, one.source_prefix)
        destination = address_key(one.ethertype, one.destination_prefix)
        replies = chain.symmetric and one.logical_destination_port is None
        for is_open, kind, key, where in (
            (one.logical_source_port is None, SOURCE, source, networks),
            (replies, DESTINATION, destination, networks),
            (replies, REPLY, destination, source_networks),
        ):
            if is_open:
                for network_id in where:
                    yield one.id, network_id, kind, chain.id, chain.project_id, key


def of_sources(chain: model.PortChain, ports: Mapping[str, model.Port]) -> set[str]:
    """Return the networks of the ports that the classifiers of a symmetric chain name as sources.

    Replies from other networks reach such a port through a router there.
    """
    named = (fc.logical_source_port for fc in chain.flow_classifiers if chain.symmetric)
    return {ports[port_id].network_id for port_id in named if port_id and port_id in ports}


def _replace(
    session: Any,
    table: Any,
    columns: Sequence[str],
    before: Set[tuple[str, ...]],
    after: Set[tuple[str, ...]],
) -> None:
    """Write the differences between rows that are there and rows that should be.

    :param columns: of the tuples; among them the primary key.
    """
    if gone := sorted(before - after):
        row = sa.tuple_(*(getattr(table, name) for name in columns))
        session.execute(
            sa.delete(table)
            .where(table.chain_id.in_({one[columns.index("chain_id")] for one in gone}))
            .where(row.in_(gone))
            .execution_options(synchronize_session=False)
        )
    if new := sorted(after - before):
        rows = [dict(zip(columns, one, strict=True)) for one in new]
        session.execute(sa.insert(table), rows)


def _ends(session: Any, chain_ids: Iterable[str]) -> set[tuple[str, ...]]:
    columns = (getattr(models.OpenEnd, name) for name in END)
    query = sa.select(*columns).where(models.OpenEnd.chain_id.in_(list(chain_ids)))
    return {tuple(row) for row in session.execute(query)}


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
