"""Relations between resources: which resource is in which, and which ones could conflict.

These queries see the rows of every project; `portchain.db.lookup` shows a caller only what the
caller may see. Every function runs a constant number of queries.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from portchain.core import model
from portchain.db import convert, key_search, models


def classifiers_that_may_overlap(
    session: Any, classifiers: Sequence[model.FlowClassifier], chained: bool = False
) -> Iterator[list[model.FlowClassifier]]:
    """Yield classifiers among which are all that overlap with the given ones.

    SQL narrows the search, in one query for each few classifiers; `portchain.core.rules` decides.
    A classifier that overlaps with many is found to be wrong from the first ones already. So the
    rest is read only if the caller asks for more.

    :param chained: return only classifiers that are in a chain, each with the owner of its chain as
        its owner.
    """
    table, link, chain = models.FlowClassifier, models.ChainClassifier, models.PortChain
    owner = chain.project_id if chained else table.project_id
    columns = [column for column in table.__table__.columns if column.key not in _NOT_NEEDED]
    query = sa.select(*columns, owner.label("owner"))
    if chained:
        query = query.join(link, link.classifier_id == table.id).join(
            chain, chain.id == link.chain_id
        )
    for some in (classifiers[n : n + _AT_ONCE] for n in range(0, len(classifiers), _AT_ONCE)):
        union = sa.union_all(*map(query.where, _overlap_conditions(some, chained)))
        for limit in (_FIRST, None):
            rows = session.execute(union.limit(limit)).all()
            yield [replace(convert.classifier(row), project_id=row.owner) for row in rows]
            if len(rows) < _FIRST:
                break


_FIRST = 100  # rows that are read first
_AT_ONCE = 50  # classifiers in one query
_NOT_NEEDED = {"standard_attr_id", *key_search.COLUMNS}


def _overlap_conditions(
    classifiers: Sequence[model.FlowClassifier], chained: bool
) -> Iterator[sa.ColumnElement[bool]]:
    """Yield the conditions of `portchain.core.rules.overlap` that an index can answer.

    Each belongs in a part of a union: combined with "or", conditions on columns of different
    tables would make the database read every row.
    """
    table, link = models.FlowClassifier, models.ChainClassifier
    for one in classifiers:
        alike = key_search.may_match_the_same(table, one)
        source, project = one.logical_source_port, one.project_id
        if source is None:
            # It can overlap with every one of its project.
            yield sa.and_(table.project_id == project, alike)
        else:
            yield sa.and_(table.sender.in_([source, project]), alike)
        if chained:
            owned = models.PortChain.project_id == project
            open_ones = [] if source is None else [table.logical_source_port.is_(None)]
            yield sa.and_(link.other_project == project, owned, *open_ones, alike)
    # Rows of the previous release.
    projects = sorted({one.project_id for one in classifiers})
    if sources := sorted({c.logical_source_port for c in classifiers if c.logical_source_port}):
        unknown = table.sender.is_(None)
        yield sa.and_(unknown, table.logical_source_port.in_(sources))
        yield sa.and_(unknown, table.logical_source_port.is_(None), table.project_id.in_(projects))
    if chained:
        yield sa.and_(link.other_project.is_(None), models.PortChain.project_id.in_(projects))


def pair_of_ports(session: Any, ingress: str, egress: str) -> str | None:
    """Return the id of the port pair with these ports, None if there is none."""
    table = models.PortPair
    found: str | None = session.scalar(
        sa.select(table.id).where(table.ingress == ingress, table.egress == egress)
    )
    return found


def groups_of_pairs(session: Any, pair_ids: Iterable[str]) -> dict[str, str]:
    """Return the group of each pair by the pair's id, without pairs that are in no group."""
    link = models.GroupPair
    query = sa.select(link.pair_id, link.group_id).where(link.pair_id.in_(list(pair_ids)))
    return dict(session.execute(query).all())


def chains_of_classifiers(session: Any, classifier_ids: Iterable[str]) -> dict[str, str]:
    """Return the chain of each classifier by its id, without classifiers that are in no chain."""
    link = models.ChainClassifier
    query = sa.select(link.classifier_id, link.chain_id).where(
        link.classifier_id.in_(list(classifier_ids))
    )
    return dict(session.execute(query).all())


def chain_id_is_taken(session: Any, chain_id: int) -> bool:
    """Return whether a chain has this service path identifier."""
    table = models.PortChain
    return session.scalar(sa.select(table.id).where(table.chain_id == chain_id)) is not None


def chains_of_group(session: Any, group_id: str) -> list[str]:
    """Return the ids of the chains that use a group."""
    link = models.ChainGroup
    return list(session.scalars(sa.select(link.chain_id).where(link.group_id == group_id)))


def chains_at_function_ports(session: Any, chains: Sequence[model.PortChain]) -> list[str]:
    """Return the ids of other chains that meet some chains at the port of a function.

    They have a function with one of these chains' ports, or name a function's port of these chains
    as the end of their packets.
    """
    known = sorted(chain.id for chain in chains)
    of_functions = sorted({port for chain in chains for port in chain.function_ports})
    ports = sorted({port for chain in chains for port in chain.port_ids})
    link, member, pair = models.ChainGroup, models.GroupPair, models.PortPair
    with_pair = (
        sa.select(link.chain_id)
        .join(member, member.group_id == link.group_id)
        .join(pair, pair.id == member.pair_id)
        .where(link.chain_id.not_in(known))
    )
    own, classifier = models.ChainClassifier, models.FlowClassifier
    with_classifier = (
        sa.select(own.chain_id)
        .join(classifier, classifier.id == own.classifier_id)
        .where(own.chain_id.not_in(known))
    )
    # All in one query: each condition has an index of its own.
    query = sa.union(
        *(with_pair.where(port.in_(ports)) for port in (pair.ingress, pair.egress)),
        *(
            with_classifier.where(port.in_(of_functions))
            for port in (classifier.logical_source_port, classifier.logical_destination_port)
        ),
    )
    return list(session.scalars(query))


def graphs_of_chains(session: Any, chain_ids: Iterable[str]) -> dict[str, str]:
    """Return the service graph of each chain by the chain's id, without chains that are in none."""
    link = models.GraphChain
    query = sa.select(link.chain_id, link.graph_id).where(link.chain_id.in_(list(chain_ids)))
    return dict(session.execute(query).all())


def with_chains_of_same_graphs(session: Any, chain_ids: Iterable[str]) -> set[str]:
    """Return the given chains and all other chains of the service graphs they are in."""
    own, other = models.GraphChain, orm.aliased(models.GraphChain)
    given = list(chain_ids)
    query = (
        sa.select(other.chain_id)
        .join(own, own.graph_id == other.graph_id)
        .where(own.chain_id.in_(given))
    )
    return {*given, *session.scalars(query)}


def links_of_graphs(session: Any, chain_ids: Iterable[str]) -> list[tuple[str, str]]:
    """Return the links of the service graphs that the chains are in.

    :returns: pairs of a source chain and a destination chain, in the order of the graph.
    """
    member, branch = models.GraphChain, models.GraphBranch
    graphs = sa.select(member.graph_id).where(member.chain_id.in_(list(chain_ids)))
    rows = session.execute(
        sa.select(branch.source_id, branch.destination_id)
        .where(branch.graph_id.in_(graphs))
        .order_by(branch.graph_id, branch.position)
    )
    return [(row.source_id, row.destination_id) for row in rows]
