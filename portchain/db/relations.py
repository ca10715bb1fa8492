"""How resources of users are related: what is in what, and what could conflict with what.

Unlike `portchain.db.lookup`, these queries see the rows of every project.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api
from sqlalchemy import orm

from portchain.core import model
from portchain.db import convert, models


def classifiers_that_may_overlap(
    session: Any, classifiers: Sequence[model.FlowClassifier], chained: bool = False
) -> list[model.FlowClassifier]:
    """Return the classifiers that could overlap with some, as far as SQL can tell.

    :param chained: only those in a chain, and with the chain's owner for theirs.
    """
    table = models.FlowClassifier
    owner = models.PortChain.project_id if chained else table.project_id
    query = sa.select(table, owner.label("owner")).options(orm.lazyload(table.standard_attr))
    if chained:
        link = models.ChainClassifier
        query = query.join(link, link.classifier_id == table.id).join(
            models.PortChain, models.PortChain.id == link.chain_id
        )
    found = {}
    for condition in _may_overlap(table, owner, classifiers):
        for row, an_owner in session.execute(query.where(condition)):
            found[row.id] = replace(convert.classifier(row), project_id=an_owner)
    return list(found.values())


def _may_overlap(
    table: Any, owner: Any, classifiers: Sequence[model.FlowClassifier]
) -> Iterator[sa.ColumnElement[bool]]:
    """Yield the parts of `portchain.core.rules.overlap` that an index can help with.

    Each is for a query of its own: with "or" between columns of different tables the database would
    read them all.
    """
    sources = {one.logical_source_port for one in classifiers if one.logical_source_port}
    if sources:
        yield table.logical_source_port.in_(sorted(sources))
    anywhere = sorted({one.project_id for one in classifiers if not one.logical_source_port})
    if anywhere:
        yield owner.in_(anywhere)
    rest = sorted({one.project_id for one in classifiers} - set(anywhere))
    if rest:
        yield sa.and_(table.logical_source_port.is_(None), owner.in_(rest))


def pair_of_ports(session: Any, ingress: str, egress: str) -> str | None:
    """Return the id of the pair of two ports, whoever owns it."""
    table = models.PortPair
    found: str | None = session.scalar(
        sa.select(table.id).where(table.ingress == ingress, table.egress == egress)
    )
    return found


def groups_of_pairs(session: Any, pair_ids: Iterable[str]) -> dict[str, str]:
    """Return the group each pair is in; pairs in none are left out."""
    link = models.GroupPair
    query = sa.select(link.pair_id, link.group_id).where(link.pair_id.in_(list(pair_ids)))
    return dict(session.execute(query).all())


def chains_of_classifiers(session: Any, classifier_ids: Iterable[str]) -> dict[str, str]:
    """Return the chain each classifier is in; classifiers in none are left out."""
    link = models.ChainClassifier
    query = sa.select(link.classifier_id, link.chain_id).where(
        link.classifier_id.in_(list(classifier_ids))
    )
    return dict(session.execute(query).all())


def chain_id_is_taken(session: Any, chain_id: int) -> bool:
    """Tell whether a chain has this number."""
    table = models.PortChain
    return session.scalar(sa.select(table.id).where(table.chain_id == chain_id)) is not None


def chains_of_group(session: Any, group_id: str) -> list[str]:
    """Return the chains a group is in."""
    link = models.ChainGroup
    return list(session.scalars(sa.select(link.chain_id).where(link.group_id == group_id)))


def foreign_chains_sharing_groups(session: Any, chain: model.PortChain) -> list[str]:
    """Return the chains of other projects that have a group in common with a chain."""
    link, other = models.ChainGroup, models.PortChain
    query = (
        sa.select(link.chain_id)
        .join(other, other.id == link.chain_id)
        .where(
            link.group_id.in_([group.id for group in chain.port_pair_groups]),
            other.project_id != chain.project_id,
        )
    )
    return list(session.scalars(query.distinct()))


def graphs_of_chains(session: Any, chain_ids: Iterable[str]) -> dict[str, str]:
    """Return the graph each chain is in; chains in none are left out."""
    link = models.GraphChain
    query = sa.select(link.chain_id, link.graph_id).where(link.chain_id.in_(list(chain_ids)))
    return dict(session.execute(query).all())


def with_chains_of_same_graphs(session: Any, chain_ids: Iterable[str]) -> set[str]:
    """Return chains, and all others of the graphs they are in."""
    own, other = models.GraphChain, orm.aliased(models.GraphChain)
    given = list(chain_ids)
    query = (
        sa.select(other.chain_id)
        .join(own, own.graph_id == other.graph_id)
        .where(own.chain_id.in_(given))
    )
    return {*given, *session.scalars(query)}


def chains_using_foreign_groups(context: Any, chain_ids: Iterable[str]) -> set[str]:
    """Return those chains that have a group of another project."""
    group, chain, link = models.PortPairGroup, models.PortChain, models.ChainGroup
    query = (
        sa.select(link.chain_id)
        .join(chain, chain.id == link.chain_id)
        .join(group, group.id == link.group_id)
        .where(link.chain_id.in_(list(chain_ids)), group.project_id != chain.project_id)
    )
    with db_api.CONTEXT_READER.using(context):
        return set(context.session.scalars(query))
