"""Writes what users ask for; every function expects to be called inside a transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils, uuidutils
from sqlalchemy import orm

from portchain.core import model, rules
from portchain.db import convert, ids, models


def new_id() -> str:
    """Return an id for a new row."""
    return uuidutils.generate_uuid()


def id_of(data: Mapping[str, Any]) -> str:
    """Return the id for what is to be created: a new one, unless it had one elsewhere."""
    # No request of a user gets here with an id.
    return data.get("id") or new_id()


def _named(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": id_of(data),
        "project_id": data["project_id"],
        "name": data["name"],
        "description": data["description"],
    }


def set_names(session: Any, row: Any, data: Mapping[str, Any]) -> None:
    """Change name and description, if the request has them.

    They are flushed inside the transaction, where Neutron compares the revision that the request
    may demand.
    """
    for key in ("name", "description"):
        if key in data:
            setattr(row, key, data[key])
    session.flush()


def new_flow_classifier(data: Mapping[str, Any]) -> models.FlowClassifier:
    """Return the row of a new classifier, not yet in the session."""
    columns = {name: data[name] for name in convert.CLASSIFIER_COLUMNS}
    return models.FlowClassifier(
        **_named(data),
        **columns,
        protocol=rules.protocol_of(data["ethertype"], data["protocol"]),
        l7_parameters=_given(data["l7_parameters"]),
    )


def add_port_pair(session: Any, pair: model.PortPair, description: str) -> None:
    """Add a pair."""
    session.add(
        models.PortPair(
            id=pair.id,
            project_id=pair.project_id,
            name=pair.name,
            description=description,
            ingress=pair.ingress,
            egress=pair.egress,
            correlation=pair.correlation,
            weight=pair.weight,
            kind=pair.kind,
        )
    )
    session.flush()


def add_port_pair_group(session: Any, data: Mapping[str, Any]) -> models.PortPairGroup:
    """Add a group with its pairs."""
    parameters = data["port_pair_group_parameters"]
    mapping = parameters["ppg_n_tuple_mapping"]
    row = models.PortPairGroup(
        **_named(data),
        group_id=data.get("group_id") or ids.pick(session, models.PortPairGroup.group_id),
        lb_fields=list(parameters["lb_fields"] or ()),
        ingress_n_tuple=_given(mapping["ingress_n_tuple"]),
        egress_n_tuple=_given(mapping["egress_n_tuple"]),
        tap_enabled=data["tap_enabled"],
        **{name: data[name] for name in convert.HEALTH_COLUMNS},
    )
    session.add(row)
    session.flush()
    _link(session, _PAIRS, row, data["port_pairs"])
    return row


def _given(n_tuple: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in n_tuple.items() if value is not None}


def add_port_chain(session: Any, data: Mapping[str, Any]) -> models.PortChain:
    """Add a chain with its groups and classifiers."""
    row = models.PortChain(
        **_named(data),
        chain_id=data["chain_id"] or ids.pick(session, models.PortChain.chain_id),
        correlation=data["chain_parameters"]["correlation"],
        symmetric=data["chain_parameters"]["symmetric"],
        revision=1,
        generation=0,
        realised_revision=0,
        down_reason="",
        failure="",
        touched_at=timeutils.utcnow(),
    )
    session.add(row)
    session.flush()
    _link(session, _GROUPS, row, data["port_pair_groups"])
    _link(session, _CLASSIFIERS, row, data["flow_classifiers"])
    return row


def add_service_graph(session: Any, graph: model.ServiceGraph, description: str) -> None:
    """Add a graph with its chains and branches."""
    session.add(
        models.ServiceGraph(
            id=graph.id, project_id=graph.project_id, name=graph.name, description=description
        )
    )
    session.flush()
    chains = [{"chain_id": one, "graph_id": graph.id} for one in sorted(graph.chain_ids)]
    session.execute(sa.insert(models.GraphChain), chains)
    branches = [
        {"source_id": source, "destination_id": destination}
        for source, destinations in graph.branches.items()
        for destination in destinations
    ]
    session.execute(
        sa.insert(models.GraphBranch),
        [
            branch | {"graph_id": graph.id, "position": position}
            for position, branch in enumerate(branches)
        ],
    )


@dataclass(frozen=True, slots=True)
class _Links:
    """A table that links an owner to its members in order, and the owner's relation to it."""

    table: Any
    owner: str
    member: str
    relation: str


_PAIRS = _Links(models.GroupPair, "group_id", "pair_id", "members")
_GROUPS = _Links(models.ChainGroup, "chain_id", "group_id", "groups")
_CLASSIFIERS = _Links(models.ChainClassifier, "chain_id", "classifier_id", "classifiers")


def set_pairs(session: Any, row: models.PortPairGroup, pair_ids: Sequence[str]) -> None:
    """Replace the pairs of a group."""
    _replace(session, _PAIRS, row, pair_ids)


def set_health(session: Any, row: models.PortPairGroup, wanted: Mapping[str, str]) -> None:
    """Change how functions of a group are found to fail, or what happens when all do."""
    for name, value in wanted.items():
        setattr(row, name, value)
    session.flush()


def set_groups(session: Any, row: models.PortChain, group_ids: Sequence[str]) -> None:
    """Replace the groups of a chain, which begins a new generation."""
    _replace(session, _GROUPS, row, group_ids)
    row.generation = models.PortChain.generation + 1
    session.flush()


def set_classifiers(session: Any, row: models.PortChain, classifier_ids: Sequence[str]) -> None:
    """Replace the classifiers of a chain."""
    _replace(session, _CLASSIFIERS, row, classifier_ids)


def _replace(session: Any, links: _Links, row: Any, member_ids: Sequence[str]) -> None:
    # Neutron counts a new revision of the owner, though none of its own columns changes.
    orm.attributes.flag_modified(row, "name")
    session.flush()
    session.execute(
        sa.delete(links.table)
        .where(getattr(links.table, links.owner) == row.id)
        .execution_options(synchronize_session=False)
    )
    _link(session, links, row, member_ids)


def _link(session: Any, links: _Links, row: Any, member_ids: Sequence[str]) -> None:
    """Give a row its members, in one statement however many there are."""
    values = [
        {links.owner: row.id, links.member: member_id, "position": position}
        for position, member_id in enumerate(member_ids)
    ]
    if values:
        session.execute(sa.insert(links.table), values)
    session.expire(row, [links.relation])


def bump(session: Any, chain_ids: Iterable[str]) -> None:
    """Note that the realisation of chains has to change: one statement, atomic against other
    servers.
    """
    session.execute(
        sa.update(models.PortChain)
        .where(models.PortChain.id.in_(list(chain_ids)))
        .values(revision=models.PortChain.revision + 1, touched_at=timeutils.utcnow())
        .execution_options(synchronize_session=False)
    )


def remove(session: Any, row: Any) -> None:
    """Delete a row, and its links to others by the database's own cascade."""
    session.delete(row)
    session.flush()
