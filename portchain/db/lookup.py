"""Looks up what users have created: for lists, for answers and for rules."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from neutron_lib import exceptions as lib
from neutron_lib.db import model_query
from neutron_lib.db import utils as db_utils
from sqlalchemy import orm

from portchain import errors
from portchain.core import model
from portchain.db import convert, models, sharing

_LARGEST_PAGE = 2**31 - 1  # a larger number would not fit into the query


@dataclass(frozen=True, slots=True)
class Resource:
    """One of the resources: its name in requests, its table, what the API shows of a row, and the error if there is
    none.
    """

    name: str
    model: Any
    show: Callable[[Any], dict[str, Any]]
    not_found: type[lib.NotFound]


FLOW_CLASSIFIER = Resource(
    "flow_classifier",
    models.FlowClassifier,
    convert.show_flow_classifier,
    errors.FlowClassifierNotFound,
)
PORT_PAIR = Resource("port_pair", models.PortPair, convert.show_port_pair, errors.PortPairNotFound)
PORT_PAIR_GROUP = Resource(
    "port_pair_group",
    models.PortPairGroup,
    convert.show_port_pair_group,
    errors.PortPairGroupNotFound,
)
PORT_CHAIN = Resource(
    "port_chain", models.PortChain, convert.show_port_chain, errors.PortChainNotFound
)
SERVICE_GRAPH = Resource(
    "service_graph", models.ServiceGraph, convert.show_service_graph, errors.ServiceGraphNotFound
)


# Reading


def require(context: Any, resource: Resource, wanted: Iterable[str], attribute: str) -> None:
    """Check that the rows that an attribute names exist and the caller may see them.

    :raises NotFound: one of them does not exist or belongs to another project.
    """
    names = list(wanted)
    if names:
        _raise_if_missing(resource, names, visible(context, resource, names), attribute)


def visible(context: Any, resource: Resource, wanted: Iterable[str]) -> set[str]:
    """Return those of some ids that exist and that the caller may see."""
    query = model_query.query_with_hooks(context, resource.model, field="id")
    return {row.id for row in query.filter(resource.model.id.in_(list(wanted)))}


def find(context: Any, resource: Resource, wanted: Iterable[str]) -> dict[str, Any]:
    """Return rows by id, as far as the caller may see them.

    :raises NotFound: one of them does not exist or belongs to another project.
    """
    names = list(wanted)
    query = model_query.query_with_hooks(context, resource.model)
    rows = {row.id: row for row in query.filter(resource.model.id.in_(names))}
    _raise_if_missing(resource, names, rows)
    return rows


def _raise_if_missing(
    resource: Resource, wanted: Iterable[str], found: Container[str], attribute: str = ""
) -> None:
    for name in wanted:
        if name not in found:
            raise resource.not_found(id=name, attribute=attribute)


def find_one(context: Any, resource: Resource, wanted: str) -> Any:
    """Return the row with an id, if the caller may see it.

    :raises NotFound: it does not exist or belongs to another project.
    """
    return find(context, resource, [wanted])[wanted]


def show(
    context: Any, resource: Resource, row: Any, fields: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return what the API shows the caller of a row."""
    shown = resource.show(row)
    if resource is PORT_PAIR_GROUP:
        shown["shared"] = sharing.shared_with(row, context.project_id)
    return db_utils.resource_fields(shown, fields)


def show_many(
    context: Any,
    resource: Resource,
    *,
    filters: Mapping[str, Any] | None = None,
    fields: Sequence[str] | None = None,
    sorts: Sequence[tuple[str, bool]] | None = None,
    limit: int | None = None,
    marker: str | None = None,
    page_reverse: bool = False,
) -> list[dict[str, Any]]:
    """Return what the API shows of a page of the rows the caller may see; arguments as Neutron's
    lists have them.
    """
    limit = min(limit, _LARGEST_PAGE) if limit else limit
    return model_query.get_collection(
        context,
        resource.model,
        lambda row, wanted: show(context, resource, row, wanted),
        filters=filters,
        fields=fields,
        sorts=list(sorts) if sorts else None,
        limit=limit,
        marker_obj=find_one(context, resource, marker) if limit and marker else None,
        page_reverse=page_reverse,
    )


def _by_member(relation: Any, column: Any, key: str) -> Callable[[Any, Mapping[str, Any]], Any]:
    """Return a filter that keeps the rows of which a list attribute contains one of the ids asked
    for.
    """

    def apply(query: Any, filters: Mapping[str, Any]) -> Any:
        wanted = filters.get(key)
        if not wanted:
            return query
        # Neutron hands over the values as the attribute's converter returned them.
        flat = [one for value in wanted for one in (value if isinstance(value, list) else [value])]
        return query.filter(relation.any(column.in_(flat)))

    return apply


_MEMBER_FILTERS = (
    (
        models.PortPairGroup,
        "port_pairs",
        _by_member(models.PortPairGroup.members, models.GroupPair.pair_id, "port_pairs"),
    ),
    (
        models.PortChain,
        "port_pair_groups",
        _by_member(models.PortChain.groups, models.ChainGroup.group_id, "port_pair_groups"),
    ),
    (
        models.PortChain,
        "flow_classifiers",
        _by_member(
            models.PortChain.classifiers, models.ChainClassifier.classifier_id, "flow_classifiers"
        ),
    ),
)


def register_filters() -> None:
    """Make lists heed filters by members; harmless when repeated."""
    for table, key, apply in _MEMBER_FILTERS:
        model_query.register_hook(table, f"portchain_{key}", None, None, result_filters=apply)


def similar_classifiers(
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


def find_pair(session: Any, ingress: str, egress: str) -> str | None:
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


def chain_id_taken(session: Any, chain_id: int) -> bool:
    """Tell whether a chain has this number."""
    table = models.PortChain
    return session.scalar(sa.select(table.id).where(table.chain_id == chain_id)) is not None


def chains_of_group(session: Any, group_id: str) -> list[str]:
    """Return the chains a group is in."""
    link = models.ChainGroup
    return list(session.scalars(sa.select(link.chain_id).where(link.group_id == group_id)))


def foreign_chains_of_groups(session: Any, chain: model.PortChain) -> list[str]:
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


def with_graphs(session: Any, chain_ids: Iterable[str]) -> set[str]:
    """Return chains, and all others of the graphs they are in."""
    own, other = models.GraphChain, orm.aliased(models.GraphChain)
    given = list(chain_ids)
    query = (
        sa.select(other.chain_id)
        .join(own, own.graph_id == other.graph_id)
        .where(own.chain_id.in_(given))
    )
    return {*given, *session.scalars(query)}


def users_of_port(context: Any, port_id: str) -> str | None:
    """Return a description of what needs a Neutron port, None if nothing does.

    What belongs to other projects than the caller's has no name in it.
    """
    pair, fc = models.PortPair, models.FlowClassifier
    query = sa.union_all(
        sa.select(sa.literal("port pair").label("kind"), pair.id, pair.name, pair.project_id).where(
            sa.or_(pair.ingress == port_id, pair.egress == port_id)
        ),
        sa.select(sa.literal("flow classifier").label("kind"), fc.id, fc.name, fc.project_id).where(
            sa.or_(fc.logical_source_port == port_id, fc.logical_destination_port == port_id)
        ),
    )
    found = []
    for kind, an_id, name, owner in context.session.execute(query):
        if not context.is_admin and owner != context.project_id:
            found.append(f"a {kind} of another project")
        else:
            found.append(f"{kind} {name} ({an_id})" if name else f"{kind} {an_id}")
    return ", ".join(sorted(set(found))) or None
