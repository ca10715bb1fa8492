"""Creates the resources to import, with the code that serves the API's requests.

Everything happens in the caller's transaction. Each resource has a savepoint of its own, so that a
refused resource leaves nothing behind and the next ones can still be imported.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from neutron_lib import exceptions as lib
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
    """Result of the import of a resource.

    ``imported``: it was created. ``present``: it exists already. ``deleted``: an earlier run
    imported it, and somebody deleted it since. ``refused``: it cannot be created.
    """

    IMPORTED = "imported"
    PRESENT = "present"
    DELETED = "deleted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of the import of one resource.

    :param reason: why it was refused; empty otherwise.
    """

    item: Item
    result: Result
    reason: str = ""


def import_all(
    request: Request,
    items: Sequence[Item],
    progress: Callable[[int, int], None],
    again: bool = False,
) -> list[Outcome]:
    """Create the resources that do not exist and that no earlier run has imported.

    :param request: a request of an administrator, inside a transaction.
    :param items: the resources, each after those that it needs.
    :param progress: called with the number of resources that are done and the number of all.
    :param again: also create resources that an earlier run imported and somebody deleted since.
    """
    present = {kind: _ids(request, _CREATE[kind][0].model) for kind in KINDS}
    imported_before = set() if again else _ids(request, models.Imported)
    absent: dict[tuple[str, str], str] = {}
    outcomes = []
    for number, item in enumerate(items):
        progress(number, len(items))
        outcome = _import_one(request, item, present[item.kind], imported_before, absent)
        if outcome.result is Result.REFUSED:
            absent[item.kind, item.id] = str(item)
        elif outcome.result is Result.DELETED:
            absent[item.kind, item.id] = f"{item}, which was deleted after an earlier import"
        outcomes.append(outcome)
    progress(len(items), len(items))
    return outcomes


def _ids(request: Request, model: Any) -> set[str]:
    return set(request.session.scalars(sa.select(model.id)))


def _import_one(
    request: Request,
    item: Item,
    present: Collection[str],
    imported_before: Collection[str],
    absent: Mapping[tuple[str, str], str],
) -> Outcome:
    """Create one resource.

    :param present: ids of the resources of this kind that exist.
    :param imported_before: ids of the resources that earlier runs imported.
    :param absent: kind and id -> description, of the resources that are not imported.
    """
    if item.id in present:
        return Outcome(item, Result.PRESENT)
    if item.id in imported_before:
        return Outcome(item, Result.DELETED)
    lacking = [absent[need] for need in item.needs if need in absent]
    if lacking:
        return Outcome(item, Result.REFUSED, f"it needs {', '.join(lacking)}")
    try:
        data = definitions.complete(item.kind, item.body) | item.kept
        with request.session.begin_nested():
            _CREATE[item.kind][1](request, data)
            request.session.merge(models.Imported(id=item.id))
    except db_exc.DBDuplicateEntry as error:
        columns = ", ".join(error.columns) or "a value that has to be unique"
        return Outcome(item, Result.REFUSED, f"{columns}: another resource has the same value")
    except (rules.Violation, lib.NeutronException, db_exc.DBError) as error:
        return Outcome(item, Result.REFUSED, str(error))
    return Outcome(item, Result.IMPORTED)
