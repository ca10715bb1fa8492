"""Removes the names of other projects' resources from texts that a project is to read.

Rules and drivers see chains of several projects, and write what a reader needs to understand a
refusal or a status. This is the one place that decides which names stay. Resources are found by
their ids, which every message about a resource contains.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib.db import api as db_api

from portchain.db import models

_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_TABLES = (
    ("flow classifier", models.FlowClassifier),
    ("port pair", models.PortPair),
    ("port pair group", models.PortPairGroup),
    ("port chain", models.PortChain),
    ("service graph", models.ServiceGraph),
    ("port", models_v2.Port),
)
_WORDS = (*(kind for kind, _ in _TABLES), "classifier", "pair", "group", "chain", "graph")
# The words that say in the text what the resource is, with the longest first.
_KIND = "|".join(sorted(_WORDS, key=len, reverse=True))


def ids_in(data: Any) -> set[str]:
    """Return all ids in the attributes of a request: its sender knows them."""
    return set(_ID.findall(repr(data).lower()))


def redact(context: Any, text: str, project_id: str | None, known: Collection[str] = ()) -> str:
    """Return a text without the names and ids of resources that a project may not see.

    :param project_id: the project that is to read the text.
    :param known: ids that the project has named itself.
    """
    ids = set(_ID.findall(text)) - set(known)
    if not ids:
        return text
    with db_api.CONTEXT_READER.using(context):
        hidden = _hidden(context.session, ids, project_id)
    for kind, resource_id, name in hidden:
        labels = [f"{name} ({resource_id})", resource_id] if name else [resource_id]
        for one in labels:
            text = re.sub(rf"\b({_KIND}) {re.escape(one)}", r"\1 of another project", text)
            text = text.replace(one, f"a {kind} of another project")
    return text


def _hidden(
    session: Any, ids: Iterable[str], project_id: str | None
) -> Iterable[tuple[str, str, str]]:
    """Return kind, id and name of those resources that a project may not see."""
    wanted = sorted(ids)
    queries = (
        sa.select(sa.literal(kind), table.id, table.name).where(
            table.id.in_(wanted), table.project_id != project_id
        )
        for kind, table in _TABLES
    )
    policy = models.PortPairGroupRBAC
    shared = sa.select(policy.object_id).where(
        policy.object_id.in_(wanted), policy.target_project.in_(("*", project_id))
    )
    visible = set(session.scalars(shared))
    rows = session.execute(sa.union_all(*queries)).all()
    return [(kind, an_id, name) for kind, an_id, name in rows if an_id not in visible]


def redact_hosts(text: str, hosts: Iterable[str]) -> str:
    """Return a text in which hosts have no names."""
    for host in sorted(hosts, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", "a host", text)
    return text
