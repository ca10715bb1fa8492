"""Looks up resources for a caller: only rows that the caller may see."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron_lib import exceptions as lib
from neutron_lib.api import attributes
from neutron_lib.db import api as db_api
from neutron_lib.db import model_query, standard_attr
from neutron_lib.db import utils as db_utils
from oslo_db.sqlalchemy import utils as sa_utils
from sqlalchemy import orm

from portchain import errors
from portchain.core.model import ChainSnapshot, OperatingStatus
from portchain.core.operating_status import Operating
from portchain.db import convert, models, operating_status, sharing, status
from portchain.db.many_values import in_parts
from portchain.db.name_pages import NamePage

_LARGEST_PAGE = 2**31 - 1  # the largest LIMIT that every database accepts


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of resource.

    :param name: its name in requests.
    :param model: its table.
    :param show: returns what the API shows of a row.
    :param not_found: the error if a row does not exist or the caller may not see it.
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

TRACE = Resource("trace", models.Trace, convert.show_trace, errors.TraceNotFound)


def require(context: Any, resource: Resource, ids: Iterable[str], attribute: str) -> None:
    """Check that the rows that a request names exist and that the caller may see them.

    :param attribute: the attribute of the request that names them.
    :raises NotFound: one does not exist, or the caller may not see it.
    """
    wanted = list(ids)
    if wanted:
        require_found(resource, wanted, visible_ids(context, resource, wanted), attribute)


def visible_ids(context: Any, resource: Resource, ids: Iterable[str]) -> set[str]:
    """Return those of the ids that exist and that the caller may see."""
    return {row.id for row in _visible(context, resource, ids)}


def visible(context: Any, resource: Resource, ids: Iterable[str]) -> Any:
    """Return the query for those of the ids that exist and that the caller may see.

    For a condition in another query, which saves a statement.
    """
    return sa.select(_visible(context, resource, ids).subquery().c.id)


def _visible(context: Any, resource: Resource, ids: Iterable[str]) -> Any:
    query = model_query.query_with_hooks(context, resource.model, field="id")
    return query.filter(resource.model.id.in_(list(ids)))


def find(context: Any, resource: Resource, ids: Iterable[str], *options: Any) -> dict[str, Any]:
    """Return rows by id.

    :param options: which related rows to load, and how.
    :raises NotFound: one does not exist, or the caller may not see it.
    """
    wanted = list(ids)
    query = model_query.query_with_hooks(context, resource.model)
    query = query.options(_without_tags(resource), *options)
    rows = {row.id: row for row in query.filter(resource.model.id.in_(wanted))}
    require_found(resource, wanted, rows)
    return rows


def _without_tags(resource: Resource) -> Any:
    """Do not load the tags of rows: they have an API of their own."""
    attributes_of = orm.joinedload(resource.model.standard_attr)
    return attributes_of.lazyload(standard_attr.StandardAttribute.tags)


def find_one(context: Any, resource: Resource, resource_id: str) -> Any:
    """Return one row.

    :raises NotFound: it does not exist, or the caller may not see it.
    """
    return find(context, resource, [resource_id])[resource_id]


def require_found(
    resource: Resource, wanted: Iterable[str], found: Container[str], attribute: str = ""
) -> None:
    """Check that the rows that a request names are among those that were found for the caller.

    :param attribute: the attribute of the request that names them; empty for the URL.
    :raises NotFound: one is not.
    """
    for resource_id in wanted:
        if resource_id not in found:
            raise resource.not_found(id=resource_id, attribute=attribute)


@db_api.retry_if_session_inactive()
def show_by_id(
    context: Any, resource: Resource, ids: Sequence[str], fields: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Return what the API shows of the rows with these ids, in their order.

    :param fields: the attributes to show, None for all.
    :raises NotFound: one does not exist, or the caller may not see it.
    """
    with db_api.CONTEXT_READER.using(context):
        rows = find(context, resource, ids)
        known = rows.values() if resource is PORT_CHAIN else ()
        foreign = {row.id for row in known if row.has_foreign_parts}
        return _show(context, resource, [rows[row_id] for row_id in ids], foreign, fields)


@db_api.retry_if_session_inactive()
def show_created_chains(
    context: Any, ids: Sequence[str], created: Sequence[ChainSnapshot]
) -> list[dict[str, Any]]:
    """Return what the API shows of chains that the caller's request has created.

    Reads only what their realisation has changed since, unless another request has changed them.

    :param ids: of the chains, in the order in which they are shown.
    :param created: the chains with the state of their ports, as far as they are known.
    :raises NotFound: one does not exist any more.
    """
    known, chain = {one.chain.id: one for one in created}, models.PortChain
    options = (
        *(orm.lazyload(one) for one in (chain.groups, chain.classifiers)),
        orm.defer(chain.has_foreign_parts),
        orm.joinedload(chain.hosts),
    )
    with db_api.CONTEXT_READER.using(context):
        rows = find(context, PORT_CHAIN, ids, *options)
        shown = {
            row_id: _show_created(context, row, known[row_id])
            for row_id, row in rows.items()
            if row_id in known and row.revision == known[row_id].chain.revision
        }
    if changed := [row_id for row_id in ids if row_id not in shown]:
        shown |= zip(changed, show_by_id(context, PORT_CHAIN, changed), strict=True)
    return [shown[row_id] for row_id in ids]


def _show_created(context: Any, row: Any, created: ChainSnapshot) -> dict[str, Any]:
    shown = convert.show_new_port_chain(row, created.chain)
    if _has_foreign_parts(created) and not context.is_admin:
        shown["status_reason"] = status.reason_without_hosts(row)
    shown |= _show_operating(operating_status.of_snapshot(context.session, created))
    return db_utils.resource_fields(shown, None)


def _has_foreign_parts(snapshot: ChainSnapshot) -> bool:
    """Return what ``PortChain.has_foreign_parts`` is of a chain that is in no graph."""
    chain, ports = snapshot.chain, snapshot.ports
    owners = {group.project_id for group in chain.port_pair_groups}
    owners |= {ports[port_id].project_id for port_id in chain.function_ports if port_id in ports}
    return not owners <= {chain.project_id}


@db_api.retry_if_session_inactive()
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
    """Return what the API shows of one page of the rows that the caller may see.

    The keyword arguments are those of the list methods of Neutron's plugins.

    :raises NotFound: the marker does not exist, or the caller may not see it.
    """
    limit = min(limit, _LARGEST_PAGE) if limit else limit
    with db_api.CONTEXT_READER.using(context):
        order = _order(resource, sorts, page_reverse) if sorts else ([], [])
        marker_row = find_one(context, resource, marker) if sorts and limit and marker else None
        if limit and order[0] == ["name", "id"]:
            query = model_query.get_collection_query(
                context, resource.model, filters=filters, field="id"
            )
            page = _page_by_name(resource, query, limit, order[1], marker_row)
            rows = _rows_in_order(context, resource, page.ids())
        else:
            query = model_query.get_collection_query(context, resource.model, filters=filters)
            query = query.options(*_options(resource))
            if sorts:
                keys, directions = order
                query = sa_utils.paginate_query(
                    query, resource.model, limit, keys, marker=marker_row, sort_dirs=directions
                )
            rows = list(query)
        foreign = _with_foreign_parts(context, rows) if resource is PORT_CHAIN else ()
        shown = _show(context, resource, rows, foreign, fields)
        shown = [attributes.populate_project_info(one) for one in shown]
        return shown[::-1] if limit and page_reverse else shown


def _order(
    resource: Resource, sorts: Sequence[tuple[str, bool]], page_reverse: bool
) -> tuple[list[str], list[str]]:
    """Return the columns that order a list, and the direction of each.

    ``neutron_lib.db.model_query.get_collection`` adds another unique column behind the id. Then the
    database cannot use the order of an index, and reads all rows for one page. Nor can it if
    anything is behind a column whose values are unique already: Neutron's API adds the id.
    """
    keys = db_utils.get_and_validate_sort_keys(list(sorts), resource.model)
    directions = db_utils.get_sort_dirs(list(sorts), page_reverse)
    for number, key in enumerate(keys, 1):
        column = resource.model.__table__.columns.get(key)
        if column is not None and (column.unique or column.primary_key):
            return keys[:number], directions[:number]
    if "id" not in keys:
        keys, directions = [*keys, "id"], [*directions, "asc"]
    return keys, directions


def _options(resource: Resource) -> list[Any]:
    """Return which related rows of a list to load, and how."""
    options = [_without_tags(resource)]
    if resource is PORT_CHAIN:
        options.append(orm.defer(models.PortChain.has_foreign_parts))
    return options


def _page_by_name(
    resource: Resource, query: Any, limit: int, directions: Sequence[str], marker: Any
) -> NamePage:
    """Return which rows to show.

    :param query: for the ids of all rows of the list.
    :param directions: of names and ids, as `_order` returns them.
    :param marker: the row before the page; None for the first page.
    """
    by_name, by_id = (direction == "desc" for direction in directions)
    after = None if marker is None else (marker.name, marker.id)
    return NamePage(query, resource.model, limit, (by_name, by_id), after)


def _rows_in_order(context: Any, resource: Resource, ids: Sequence[str]) -> list[Any]:
    """Return rows with these ids; those that have just been deleted are left out."""
    found: dict[str, Any] = {}
    for part in in_parts(ids):
        query = context.session.query(resource.model).options(*_options(resource))
        found |= {row.id: row for row in query.filter(resource.model.id.in_(part))}
    return [found[row_id] for row_id in ids if row_id in found]


def _with_foreign_parts(context: Any, rows: Sequence[Any]) -> set[str]:
    """Return the ids of the chains with groups or ports of other projects, where it matters.

    To find out takes some 20 rows for each chain. It matters if the caller gets a reason, and may
    not know the hosts in it.
    """
    chain = models.PortChain
    explained = (
        [] if context.is_admin else [row.id for row in rows if status.derive(status.facts(row))[1]]
    )
    if not explained:
        return set()
    query = sa.select(chain.id).where(chain.id.in_(explained), chain.has_foreign_parts)
    return set(context.session.scalars(query))


def _show(
    context: Any,
    resource: Resource,
    rows: Sequence[Any],
    foreign: Container[str],
    fields: Sequence[str] | None,
) -> list[dict[str, Any]]:
    """Return what the API shows of rows.

    :param foreign: ids of the chains with parts of other projects.
    """
    shown = [_show_row(context, resource, row, row.id in foreign) for row in rows]
    if not fields or not _OPERATING.isdisjoint(fields):
        for one, state in zip(shown, _operating(context.session, resource, rows), strict=False):
            one.update(_show_operating(state))
    return [db_utils.resource_fields(one, fields) for one in shown]


_OPERATING = {"operating_status", "operating_status_reason"}
_UNKNOWN = Operating(OperatingStatus.NO_MONITOR)  # it has changed while it was read


def _show_operating(state: Operating) -> dict[str, Any]:
    return {"operating_status": str(state.status), "operating_status_reason": state.reason}


def _operating(session: Any, resource: Resource, rows: Sequence[Any]) -> list[Operating]:
    """Return the operating status of each row; none for resources that have no such status."""
    found: Mapping[str, Operating]
    if not rows:
        return []
    if resource is PORT_PAIR:
        found = operating_status.of_pairs(session, rows)
    elif resource is PORT_PAIR_GROUP:
        states = operating_status.of_groups(session, [row.id for row in rows])
        found = {group_id: state.own for group_id, state in states.items()}
    elif resource is PORT_CHAIN:
        found = operating_status.of_chains(session, rows)
    else:
        return []
    return [found.get(row.id, _UNKNOWN) for row in rows]


def _show_row(
    context: Any, resource: Resource, row: Any, has_foreign_parts: bool
) -> dict[str, Any]:
    shown = resource.show(row)
    if has_foreign_parts and not context.is_admin:
        shown["status_reason"] = status.reason_without_hosts(row)
    if resource is PORT_PAIR_GROUP:
        shown["shared"] = sharing.is_shared_with(row, context.project_id)
        if row.project_id != context.project_id and not context.is_admin:
            # It is an address in the provider's network.
            shown["health_check_parameters"] |= {"destination": None}
    return shown


def _member_filter(relation: Any, column: Any, key: str) -> Callable[[Any, Mapping[str, Any]], Any]:
    """Return a filter for lists: keep the rows whose list attribute contains a wanted id.

    :param relation: the relation behind the list attribute.
    :param column: the column of the members' ids.
    :param key: the name of the list attribute.
    """

    def apply(query: Any, filters: Mapping[str, Any]) -> Any:
        wanted = filters.get(key)
        if not wanted:
            return query
        # Neutron passes each value as the attribute's converter returned it, so it may be a list.
        flat = [
            member for value in wanted for member in (value if isinstance(value, list) else [value])
        ]
        return query.filter(relation.any(column.in_(flat)))

    return apply


_MEMBER_FILTERS = (
    (
        models.PortPairGroup,
        "port_pairs",
        _member_filter(models.PortPairGroup.members, models.GroupPair.pair_id, "port_pairs"),
    ),
    (
        models.PortChain,
        "port_pair_groups",
        _member_filter(models.PortChain.groups, models.ChainGroup.group_id, "port_pair_groups"),
    ),
    (
        models.PortChain,
        "flow_classifiers",
        _member_filter(
            models.PortChain.classifiers, models.ChainClassifier.classifier_id, "flow_classifiers"
        ),
    ),
)


def register_filters() -> None:
    """Let lists be filtered by members. Repeated calls are harmless."""
    for table, key, apply in _MEMBER_FILTERS:
        model_query.register_hook(table, f"portchain_{key}", None, None, result_filters=apply)
