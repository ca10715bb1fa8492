"""A lock for each project, for requests whose rules read other rows.

Some rules compare a request with rows that another server may be writing at the same moment:
whether classifiers overlap, and what the chains of a group or of a graph have in common. No
database constraint can express these rules. Such requests of one project therefore wait for each
other at a row of the project. A request acquires the lock before it reads anything else, so that
it sees what the requests before it have committed.

What concerns a shared group holds the lock of the group's owner: requests about the group, about
the chains that use it, of whatever project, and about the policies that share it. A request that
needs the locks of several projects acquires them in the order of the projects' ids.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from portchain.db.models import (
    ChainGroup,
    GraphChain,
    GroupPair,
    PortChain,
    PortPair,
    PortPairGroup,
    ProjectLock,
)


def acquire(session: Any, *project_ids: str) -> None:
    """Wait for the projects' locks and hold them until the transaction ends."""
    for project_id in sorted(set(project_ids)):
        row = sa.select(ProjectLock.project_id).where(ProjectLock.project_id == project_id)
        if session.scalar(row.with_for_update()) is None:
            # If two requests of a new project get here at once, the database refuses one of them
            # with a duplicate key or a deadlock, and Neutron runs that request again.
            session.execute(sa.insert(ProjectLock).values(project_id=project_id))


def acquire_for_group(session: Any, group_id: str) -> None:
    """Acquire the lock of the project that owns a group, if the group exists."""
    owner = _lock_row(session, PortPairGroup, group_id)
    if owner is not None:
        acquire(session, owner)


def acquire_for_pair(session: Any, pair_id: str) -> None:
    """Acquire the locks of the projects that own a pair and its group, if the pair exists."""
    owner = _lock_row(session, PortPair, pair_id)
    if owner is None:
        return
    group, link = PortPairGroup, GroupPair
    of_group = (
        sa.select(group.project_id)
        .join(link, link.group_id == group.id)
        .where(link.pair_id == pair_id)
    )
    acquire(session, owner, *_latest(session, of_group))


def acquire_for_new_chain(session: Any, project_id: str, group_ids: Iterable[str]) -> None:
    """Acquire the locks of a chain's project and of the projects that own its groups."""
    acquire(session, project_id, *_owners_of_groups(session, group_ids))


def acquire_for_chain(session: Any, chain_id: str, new_group_ids: Iterable[str]) -> None:
    """Acquire the locks of all projects that a change of a chain can affect, if the chain exists.

    These are the owners of the chain, of its groups, and of the chains and groups of its service
    graph.

    :param new_group_ids: groups that the chain may not use yet.
    """
    if _lock_row(session, PortChain, chain_id) is None:
        return
    own, other = GraphChain, orm.aliased(GraphChain)
    linked = (
        sa.select(other.chain_id)
        .join(own, own.graph_id == other.graph_id)
        .where(own.chain_id == chain_id)
    )
    acquire(
        session,
        *_owners_of_chains(session, {chain_id, *_latest(session, linked)}),
        *_owners_of_groups(session, new_group_ids),
    )


def acquire_for_new_graph(session: Any, project_id: str, chain_ids: Iterable[str]) -> None:
    """Acquire the locks of a graph's project and of the owners of its chains and their groups."""
    acquire(session, project_id, *_owners_of_chains(session, chain_ids))


def _owners_of_groups(session: Any, group_ids: Iterable[str]) -> set[str]:
    group = PortPairGroup
    query = sa.select(group.project_id).where(group.id.in_(sorted(group_ids))).order_by(group.id)
    return _latest(session, query)


def _owners_of_chains(session: Any, chain_ids: Iterable[str]) -> set[str]:
    """Return the projects that own chains, or groups of the chains."""
    chain, link, group = PortChain, ChainGroup, PortPairGroup
    ids = sorted(chain_ids)
    chains = sa.select(chain.project_id).where(chain.id.in_(ids)).order_by(chain.id)
    groups = (
        sa.select(group.project_id)
        .join(link, link.group_id == group.id)
        .where(link.chain_id.in_(ids))
        .order_by(group.id)
    )
    return _latest(session, chains) | _latest(session, groups)


def _lock_row(session: Any, table: Any, resource_id: str) -> str | None:
    """Lock a resource's row and return the project that owns it; None if it does not exist."""
    query = sa.select(table.project_id).where(table.id == resource_id)
    owner: str | None = session.scalar(query.with_for_update())
    return owner


def _latest(session: Any, query: sa.Select[Any]) -> set[str]:
    """Return the values that are committed now.

    A read without a lock would fix what the transaction sees before it holds the project's lock.
    """
    return set(session.scalars(query.with_for_update(read=True)))
