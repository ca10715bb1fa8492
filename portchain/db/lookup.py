"""Looks up what users have created: for lists, for answers and for rules."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neutron_lib import exceptions as lib
from neutron_lib.db import model_query
from neutron_lib.db import utils as db_utils

from portchain import errors
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
        _raise_if_missing(resource, names, visible_ids(context, resource, names), attribute)


def visible_ids(context: Any, resource: Resource, wanted: Iterable[str]) -> set[str]:
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


def show_page(
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
