"""Writes the rows of users' resources. Every function runs inside the caller's transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils, uuidutils
from sqlalchemy import orm

from portchain.core import model, rules
from portchain.db import convert, ids, key_search, models, plain_attributes


def new_id() -> str:
    """Return a new UUID for a row."""
    return uuidutils.generate_uuid()


def id_of(data: Mapping[str, Any]) -> str:
    """Return the id of a resource to be created.

    Only the import from networking-sfc passes an id: the API refuses one in a user's request.
    """
    return data.get("id") or new_id()


def _common_columns(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that every resource has."""
    return {
        "id": id_of(data),
        "project_id": data["project_id"],
        "name": data["name"],
        "description": data["description"],
    }


def set_name_and_description(session: Any, row: Any, data: Mapping[str, Any]) -> None:
    """Change the name and description, if the request has them.

    The change is flushed at once: Neutron then compares the revision that the request demands in
    its ``If-Match`` header, if any, while the transaction can still be rolled back.
    """
    for key in ("name", "description"):
        if key in data:
            setattr(row, key, data[key])
    session.flush()


def new_flow_classifier(data: Mapping[str, Any]) -> models.FlowClassifier:
    """Return the row of a new classifier, without adding it to the session."""
    row = models.FlowClassifier(
        **_common_columns(data),
        **plain_attributes.FLOW_CLASSIFIER.of_request(data),
        protocol=rules.protocol_of(data["ethertype"], data["protocol"]),
        l7_parameters=_without_none(data["l7_parameters"]),
    )
    for column, key in key_search.keys_of(convert.classifier(row)).items():
        setattr(row, column, key)
    return row


def add_port_pair(session: Any, pair: model.PortPair, description: str) -> None:
    """Add a port pair."""
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
            admin_state_up=pair.admin_state_up,
            backup=pair.backup,
        )
    )
    session.flush()


def add_port_pair_group(session: Any, data: Mapping[str, Any]) -> models.PortPairGroup:
    """Add a port pair group with its members."""
    parameters = data["port_pair_group_parameters"]
    mapping = parameters["ppg_n_tuple_mapping"]
    row = models.PortPairGroup(
        **_common_columns(data),
        group_id=data.get("group_id") or ids.pick(session, models.PortPairGroup.group_id),
        lb_fields=list(parameters["lb_fields"] or ()),
        ingress_n_tuple=_without_none(mapping["ingress_n_tuple"]),
        egress_n_tuple=_without_none(mapping["egress_n_tuple"]),
        health_check_parameters=asdict(rules.health_parameters(data["health_check_parameters"])),
        **plain_attributes.PORT_PAIR_GROUP.of_request(data),
    )
    session.add(row)
    session.flush()
    _link(session, _PAIRS, row, data["port_pairs"])
    return row


def _without_none(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in parameters.items() if value is not None}


def add_port_chain(session: Any, data: Mapping[str, Any]) -> models.PortChain:
    """Add a port chain with its groups and classifiers."""
    row = models.PortChain(
        **_common_columns(data),
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
    """Add a service graph with its chains and branches."""
    session.add(
        models.ServiceGraph(
            id=graph.id, project_id=graph.project_id, name=graph.name, description=description
        )
    )
    session.flush()
    chains = [{"chain_id": chain, "graph_id": graph.id} for chain in sorted(graph.chain_ids)]
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
    """A table that links an owner to its members in order.

    :param owner: the column with the owner's id.
    :param member: the column with a member's id.
    :param relation: the owner's relation to the table.
    :param more: further columns of each row.
    """

    table: Any
    owner: Any
    member: Any
    relation: Any
    more: Mapping[str, Any] = field(default_factory=dict)


_PAIRS = _Links(
    models.GroupPair,
    models.GroupPair.group_id,
    models.GroupPair.pair_id,
    models.PortPairGroup.members,
)
_GROUPS = _Links(
    models.ChainGroup,
    models.ChainGroup.chain_id,
    models.ChainGroup.group_id,
    models.PortChain.groups,
)
_CLASSIFIERS = _Links(
    models.ChainClassifier,
    models.ChainClassifier.chain_id,
    models.ChainClassifier.classifier_id,
    models.PortChain.classifiers,
    {"other_project": ""},  # until `mark_foreign_classifiers`
)


def set_pairs(session: Any, row: models.PortPairGroup, pair_ids: Sequence[str]) -> None:
    """Replace the members of a port pair group."""
    _replace(session, _PAIRS, row, pair_ids)


def set_columns(session: Any, row: models.PortPairGroup, values: Mapping[str, Any]) -> None:
    """Change columns of a port pair group.

    :param values: column -> new value.
    """
    for name, value in values.items():
        setattr(row, name, value)
    session.flush()


def set_groups(
    session: Any, row: models.PortChain, group_ids: Sequence[str], withdrawn: bool = False
) -> None:
    """Replace the groups of a chain and begin a new generation of the chain.

    :param withdrawn: another project has withdrawn one of the chain's groups.
    """
    _replace(session, _GROUPS, row, group_ids)
    row.generation = models.PortChain.generation + 1
    row.group_withdrawn = withdrawn
    session.flush()


def withdraw_group(session: Any, group_id: str, project_ids: Iterable[str]) -> list[str]:
    """Take a group out of all chains of some projects.

    :returns: the ids of the chains.
    """
    chain, link = models.PortChain, models.ChainGroup
    query = (
        sa.select(chain)
        .join(link, link.chain_id == chain.id)
        .where(link.group_id == group_id, chain.project_id.in_(sorted(project_ids)))
        .order_by(chain.id)
    )
    rows = session.scalars(query).all()
    for row in rows:
        others = [each.group_id for each in row.groups if each.group_id != group_id]
        set_groups(session, row, others, withdrawn=True)
    return [row.id for row in rows]


def set_classifiers(session: Any, row: models.PortChain, classifier_ids: Sequence[str]) -> None:
    """Replace the classifiers of a chain."""
    _replace(session, _CLASSIFIERS, row, classifier_ids)


def mark_foreign_classifiers(session: Any, chain: model.PortChain) -> None:
    """Record which of a chain's classifiers are another project's: an administrator's choice."""
    link = models.ChainClassifier
    foreign = [one.id for one in chain.flow_classifiers if one.project_id != chain.project_id]
    if foreign:
        session.execute(
            sa.update(link)
            .where(link.classifier_id.in_(foreign))
            .values(other_project=chain.project_id)
            .execution_options(synchronize_session=False)
        )


def _replace(session: Any, links: _Links, row: Any, member_ids: Sequence[str]) -> None:
    # The links are in another table. Marking a column of the owner as modified makes Neutron
    # increment its ``revision_number``.
    orm.attributes.flag_modified(row, "name")
    session.flush()
    session.execute(
        sa.delete(links.table)
        .where(links.owner == row.id)
        .execution_options(synchronize_session=False)
    )
    _link(session, links, row, member_ids)


def _link(session: Any, links: _Links, row: Any, member_ids: Sequence[str]) -> None:
    """Link a row to its members, in one statement."""
    values: list[dict[str, Any]] = [
        {links.owner.key: row.id, links.member.key: member_id, "position": position, **links.more}
        for position, member_id in enumerate(member_ids)
    ]
    if values:
        session.execute(sa.insert(links.table), values)
    session.expire(row, [links.relation.key])


def increment_revision(
    session: Any, chain_ids: Iterable[str], *, rereads_ports: bool = False
) -> None:
    """Increment the revisions of chains whose realisation has to change.

    One statement, so that two servers that increment at once lose no increment.

    :param rereads_ports: something has changed at ports or hosts that no event of a port tells: the
        chains' caches do not hold any more (`portchain.db.port_cache`).
    """
    chain = models.PortChain
    cached = sa.case((chain.ports_revision == chain.revision, chain.revision + 1), else_=-1)
    # MariaDB assigns from left to right, so that each value must be read before it is changed.
    session.execute(
        sa.update(chain)
        .where(chain.id.in_(list(chain_ids)))
        .ordered_values(
            (chain.ports_revision, sa.literal(-1) if rereads_ports else cached),
            (chain.revision, chain.revision + 1),
            (chain.touched_at, timeutils.utcnow()),
        )
        .execution_options(synchronize_session=False)
    )


def remove(session: Any, row: Any) -> None:
    """Delete a row. The database deletes its links to other rows by cascade."""
    session.delete(row)
    session.flush()
