"""Carries resources over: each is completed and checked as a request of the API, and written, by the same code.

All happens in the caller's transaction, each resource behind a savepoint of its own: one that is refused leaves nothing, and
the next are tried all the same.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from neutron_lib import exceptions as lib
from neutron_lib.api import attributes
from oslo_db import exception as db_exc

from portchain.api import definitions
from portchain.core import rules
from portchain.db import lookup, models
from portchain.importer.translate import Body, Item
from portchain.requests import chains, classifiers, graphs, groups, pairs
from portchain.requests.request import Request

_CREATE: Mapping[str, tuple[lookup.Resource, Callable[[Request, Body], str]]] = {
    "flow_classifier": (lookup.FLOW_CLASSIFIER, classifiers.create_flow_classifier),
    "port_pair": (lookup.PORT_PAIR, pairs.create_port_pair),
    "port_pair_group": (lookup.PORT_PAIR_GROUP, groups.create_port_pair_group),
    "port_chain": (lookup.PORT_CHAIN, chains.create_port_chain),
    "service_graph": (lookup.SERVICE_GRAPH, graphs.create_service_graph),
}
KINDS = tuple(_CREATE)


class Result(StrEnum):
    """What became of a resource."""

    CARRIED = "carried"
    THERE = "there"
    DELETED = "deleted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one resource, and why if it was refused."""

    item: Item
    result: Result
    reason: str = ""


def carry(
    request: Request,
    items: Sequence[Item],
    progress: Callable[[int, int], None],
    again: bool = False,
) -> list[Outcome]:
    """Create those of the resources that are not there yet and never were.

    :param request: an administrator's, inside a transaction.
    :param items: each after those it needs.
    :param progress: is told how many of how many are done.
    :param again: whether to create also what an earlier run created and somebody deleted since.
    """
    there = {kind: _ids(request, _CREATE[kind][0].model) for kind in KINDS}
    deleted = set() if again else _ids(request, models.Imported)
    absent: dict[tuple[str, str], str] = {}
    outcomes = []
    for number, item in enumerate(items):
        progress(number, len(items))
        outcome = _carry_one(request, item, there[item.kind], deleted, absent)
        if outcome.result is Result.REFUSED:
            absent[item.kind, item.id] = str(item)
        elif outcome.result is Result.DELETED:
            absent[item.kind, item.id] = f"{item}, deleted here"
        outcomes.append(outcome)
    progress(len(items), len(items))
    return outcomes


def _ids(request: Request, model: Any) -> set[str]:
    return set(request.session.scalars(sa.select(model.id)))


def _carry_one(
    request: Request,
    item: Item,
    there: Collection[str],
    deleted: Collection[str],
    absent: Mapping[tuple[str, str], str],
) -> Outcome:
    if item.id in there:
        return Outcome(item, Result.THERE)
    if item.id in deleted:
        return Outcome(item, Result.DELETED)
    lacking = [absent[need] for need in item.needs if need in absent]
    if lacking:
        return Outcome(item, Result.REFUSED, f"it needs {', '.join(lacking)}")
    try:
        data = complete(item)
        with request.session.begin_nested():
            _CREATE[item.kind][1](request, data)
            request.session.merge(models.Imported(id=item.id))
    except db_exc.DBDuplicateEntry as error:
        taken = ", ".join(error.columns) or "a value that has to be unique"
        return Outcome(item, Result.REFUSED, f"{taken}: taken by another one")
    except (rules.Violation, lib.NeutronException, db_exc.DBError) as error:
        return Outcome(item, Result.REFUSED, str(error))
    return Outcome(item, Result.CARRIED)


def _attribute_maps() -> dict[str, attributes.AttributeInfo]:
    """Return what our API says of the attributes of each kind, all extensions together."""
    whole: dict[str, dict[str, Any]] = {f"{kind}s": {} for kind in KINDS}
    for definition in definitions.ALL:
        for plural, attribute_map in definition.RESOURCE_ATTRIBUTE_MAP.items():
            whole[plural].update(attribute_map)
    return {
        plural.removesuffix("s"): attributes.AttributeInfo(one) for plural, one in whole.items()
    }


_ATTRIBUTES = _attribute_maps()


def complete(item: Item) -> Body:
    """Return what a request with this body gives to the operation that creates it.

    :raises InvalidInput: an attribute is not what our API allows.
    """
    data = {**item.body, "tenant_id": item.kept["project_id"]}
    info = _ATTRIBUTES[item.kind]
    info.fill_post_defaults(data)
    info.convert_values(data)
    return data | item.kept
