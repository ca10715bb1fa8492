"""The tables: what users asked for, allocated numbers, and the progress of each realisation.

Paths, next hops and flows are computed from these rows and never stored. The names of all tables
begin with ``portchain_``.
"""

import datetime
from typing import Any, ClassVar

import sqlalchemy as sa
from neutron.db import models_v2, rbac_db_models
from neutron_lib.db import constants as size
from neutron_lib.db import model_base, standard_attr
from oslo_db.sqlalchemy import types
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column

REASON_SIZE = 1000
KEY_SIZE = 33  # the version of IP, and the digits of an address
# Uses `length()`: some databases reject collation-dependent comparisons in generated columns.
UNREALISED = "realised_revision < revision OR length(failure) > 0"
UNCONFIRMED = "applied_revision < wanted_revision OR length(missing) > 0"
UNPREPARED = "applied_revision < wanted_revision AND prepared_revision < wanted_revision"


def _reference(target: str, ondelete: str, **options: Any) -> Any:
    """Return a column that holds the UUID of a row in another table."""
    key = sa.ForeignKey(target, ondelete=ondelete)
    return mapped_column(sa.String(size.UUID_FIELD_SIZE), key, **options)


class _Named(model_base.HasProject):
    """The columns that every resource has.

    Neutron's table of standard attributes holds its description, revision number and times.
    """

    id: Mapped[str] = mapped_column(sa.String(size.UUID_FIELD_SIZE), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(size.NAME_FIELD_SIZE), default="")


def _name_indexes(table: str) -> tuple[sa.Index, ...]:
    """Return the indexes for lists that are sorted by name: of all projects, and of one.

    Databases add the primary key, which is the id (`portchain.db.name_pages`).
    """
    return (
        sa.Index(f"ix_{table}_name", "name"),
        sa.Index(f"ix_{table}_project_name", "project_id", "name"),
    )


_KEYS = ("source_key", "destination_key", "source_ports_key", "destination_ports_key")


class FlowClassifier(standard_attr.HasStandardAttributes, _Named, model_base.BASEV2):
    """A flow classifier; ``protocol`` is the IP protocol number.

    Those that may overlap with another one are found by ``sender`` and the keys
    (`portchain.db.key_search`), which are NULL in rows of the previous release.
    """

    __tablename__ = "portchain_flow_classifiers"
    api_collections = ("flow_classifiers",)
    collection_resource_map = {"flow_classifiers": "flow_classifier"}  # noqa: RUF012 - for Neutron
    # The database takes the index of the attribute that leaves the fewest rows.
    __table_args__ = (
        *_name_indexes(__tablename__),
        *(
            sa.Index(f"ix_portchain_flow_classifiers_{whose}_{key}", column, key)
            for whose, column in (("sender", "sender"), ("project", "project_id"))
            for key in (*_KEYS, "logical_destination_port")
        ),
        model_base.BASEV2.__table_args__,
    )

    ethertype: Mapped[str] = mapped_column(sa.String(8))
    protocol: Mapped[int | None] = mapped_column(sa.Integer, nullable=True)
    source_port_range_min: Mapped[int | None] = mapped_column(sa.Integer, nullable=True)
    source_port_range_max: Mapped[int | None] = mapped_column(sa.Integer, nullable=True)
    destination_port_range_min: Mapped[int | None] = mapped_column(sa.Integer, nullable=True)
    destination_port_range_max: Mapped[int | None] = mapped_column(sa.Integer, nullable=True)
    source_ip_prefix: Mapped[str | None] = mapped_column(sa.String(64), nullable=True)
    destination_ip_prefix: Mapped[str | None] = mapped_column(sa.String(64), nullable=True)
    logical_source_port: Mapped[str | None] = _reference("ports.id", "RESTRICT", nullable=True)
    logical_destination_port: Mapped[str | None] = _reference("ports.id", "RESTRICT", nullable=True)
    l7_parameters: Mapped[dict[str, Any]] = mapped_column(types.JsonEncodedDict)
    sender: Mapped[str | None] = mapped_column(sa.String(size.PROJECT_ID_FIELD_SIZE), nullable=True)
    source_key: Mapped[str | None] = mapped_column(sa.String(KEY_SIZE), nullable=True)
    destination_key: Mapped[str | None] = mapped_column(sa.String(KEY_SIZE), nullable=True)
    source_ports_key: Mapped[str | None] = mapped_column(sa.String(KEY_SIZE), nullable=True)
    destination_ports_key: Mapped[str | None] = mapped_column(sa.String(KEY_SIZE), nullable=True)


class PortPair(standard_attr.HasStandardAttributes, _Named, model_base.BASEV2):
    """A port pair."""

    __tablename__ = "portchain_port_pairs"
    api_collections = ("port_pairs",)
    collection_resource_map = {"port_pairs": "port_pair"}  # noqa: RUF012 - for Neutron
    __table_args__ = (
        *_name_indexes(__tablename__),
        sa.UniqueConstraint("ingress", "egress", name="uniq_portchain_pairs0ingress0egress"),
        model_base.BASEV2.__table_args__,
    )

    ingress: Mapped[str] = _reference("ports.id", "RESTRICT")
    egress: Mapped[str] = _reference("ports.id", "RESTRICT", index=True)
    correlation: Mapped[str | None] = mapped_column(sa.String(8), nullable=True)
    weight: Mapped[int] = mapped_column(sa.Integer)
    kind: Mapped[str] = mapped_column(sa.String(8))
    admin_state_up: Mapped[bool] = mapped_column(sa.Boolean, default=True, server_default=sa.true())
    backup: Mapped[bool] = mapped_column(sa.Boolean, default=False, server_default=sa.false())


class PortPairGroup(standard_attr.HasStandardAttributes, _Named, model_base.BASEV2):
    """A port pair group; ``group_id`` is its number, unique in the deployment."""

    __tablename__ = "portchain_port_pair_groups"
    api_collections = ("port_pair_groups",)
    collection_resource_map = {"port_pair_groups": "port_pair_group"}  # noqa: RUF012 - for Neutron
    __table_args__ = (*_name_indexes(__tablename__), model_base.BASEV2.__table_args__)

    group_id: Mapped[int] = mapped_column(sa.Integer, unique=True)
    lb_fields: Mapped[list[str]] = mapped_column(types.JsonEncodedList)
    ingress_n_tuple: Mapped[dict[str, Any]] = mapped_column(types.JsonEncodedDict)
    egress_n_tuple: Mapped[dict[str, Any]] = mapped_column(types.JsonEncodedDict)
    tap_enabled: Mapped[bool] = mapped_column(
        sa.Boolean, default=False, server_default=sa.sql.false()
    )
    health_check: Mapped[str] = mapped_column(sa.String(8), default="none", server_default="none")
    failure_mode: Mapped[str] = mapped_column(
        sa.String(8), default="closed", server_default="closed"
    )
    # NULL for the defaults: rows of the previous release have none.
    health_check_parameters: Mapped[dict[str, Any] | None] = mapped_column(
        types.JsonEncodedDict, nullable=True
    )
    min_healthy: Mapped[int] = mapped_column(sa.Integer, default=1, server_default="1")
    on_failure: Mapped[str] = mapped_column(
        sa.String(16), default="rebalance", server_default="rebalance"
    )

    members: Mapped[list["GroupPair"]] = orm.relationship(
        lazy="selectin", order_by="GroupPair.position", passive_deletes="all"
    )
    rbac_entries: Mapped[list["PortPairGroupRBAC"]] = orm.relationship(
        lazy="selectin", passive_deletes="all"
    )


class PortPairGroupRBAC(rbac_db_models.RBACColumns, model_base.BASEV2):
    """A project with which a group is shared, with the columns of Neutron's RBAC policies."""

    __tablename__ = "portchain_port_pair_group_rbacs"
    object_type = "port_pair_group"

    object_id: Mapped[str] = _reference("portchain_port_pair_groups.id", "CASCADE")

    @staticmethod
    def get_valid_actions() -> tuple[str, ...]:
        """Return the actions that a policy can allow."""
        return (rbac_db_models.ACCESS_SHARED,)


class GroupPair(model_base.BASEV2):
    """Membership of a pair in a group. The primary key limits a pair to one group."""

    __tablename__ = "portchain_group_pairs"

    pair_id: Mapped[str] = _reference("portchain_port_pairs.id", "RESTRICT", primary_key=True)
    group_id: Mapped[str] = _reference("portchain_port_pair_groups.id", "CASCADE")
    position: Mapped[int] = mapped_column(sa.Integer)


class PairHealth(model_base.BASEV2):
    """What the host of a port pair has found out about its function (`portchain.db.pair_health`).

    ``changed_at`` (UTC) is the time of the host's first report with this ``is_up``; ``reason`` is
    from that report.
    """

    __tablename__ = "portchain_pair_health"

    pair_id: Mapped[str] = _reference("portchain_port_pairs.id", "CASCADE", primary_key=True)
    host: Mapped[str] = mapped_column(sa.String(255))
    is_up: Mapped[bool] = mapped_column(sa.Boolean)
    reason: Mapped[str] = mapped_column(sa.String(size.DESCRIPTION_FIELD_SIZE))
    changed_at: Mapped[datetime.datetime] = mapped_column(sa.DateTime)


class PairSet(model_base.BASEV2):
    """The pairs that a group selects from, or selected from before (`portchain.db.pair_sets`).

    ``weights`` has the weight of each pair by the pair's id. ``replaced_at`` (UTC) is the time when
    another set replaced this one; NULL for the set in force. ``new_flows``: this was so short ago
    that flows which no host remembers count as ones from before. ``number`` grows from set to set.
    """

    __tablename__ = "portchain_pair_sets"
    __table_args__ = (
        sa.Index("ix_portchain_pair_sets_age", "new_flows", "replaced_at"),
        model_base.BASEV2.__table_args__,
    )

    group_id: Mapped[str] = _reference("portchain_port_pair_groups.id", "CASCADE", primary_key=True)
    number: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=False)
    weights: Mapped[dict[str, int]] = mapped_column(types.JsonEncodedDict(mysql_as_medium=True))
    replaced_at: Mapped[datetime.datetime | None] = mapped_column(sa.DateTime, nullable=True)
    new_flows: Mapped[bool] = mapped_column(sa.Boolean)


class PortChain(standard_attr.HasStandardAttributes, _Named, model_base.BASEV2):
    """A port chain and the progress of its realisation.

    ``revision`` grows with every change that could alter the realisation, ``generation`` with every
    change of the list of groups. All drivers have accepted ``realised_revision``;
    ``realised_digest`` is a digest of the snapshot they accepted (`portchain.db.drift`).
    ``touched_at`` (UTC) is the time of the last change of a revision or of the last attempt.
    ``group_withdrawn``: the owner of a shared group has withdrawn it by force, and the owner of the
    chain has not chosen other groups yet. The database computes ``unrealised``, whose index finds
    the few such chains among many. ``ports_scope``, ``ports_since`` and ``ports_revision`` say
    which of the chain's ports are cached (`portchain.db.port_cache`). ``common_part`` identifies
    what the last recorded plan says to every host (`portchain.db.sent_plans`); empty if unknown.
    """

    __tablename__ = "portchain_port_chains"
    api_collections = ("port_chains",)
    collection_resource_map = {"port_chains": "port_chain"}  # noqa: RUF012 - for Neutron
    __table_args__ = (
        *_name_indexes(__tablename__),
        sa.Index("ix_portchain_port_chains_unrealised", "unrealised", "touched_at"),
        model_base.BASEV2.__table_args__,
    )

    chain_id: Mapped[int] = mapped_column(sa.Integer, unique=True)
    correlation: Mapped[str] = mapped_column(sa.String(8))
    symmetric: Mapped[bool] = mapped_column(sa.Boolean)
    revision: Mapped[int] = mapped_column(sa.Integer)
    generation: Mapped[int] = mapped_column(sa.Integer, default=0, server_default="0")
    realised_revision: Mapped[int] = mapped_column(sa.Integer)
    down_reason: Mapped[str] = mapped_column(sa.Text)
    warning: Mapped[str] = mapped_column(sa.String(REASON_SIZE), default="", server_default="")
    failure: Mapped[str] = mapped_column(sa.Text)
    realised_digest: Mapped[str] = mapped_column(sa.String(64), default="", server_default="")
    touched_at: Mapped[datetime.datetime] = mapped_column(sa.DateTime)
    group_withdrawn: Mapped[bool] = mapped_column(
        sa.Boolean, default=False, server_default=sa.false()
    )
    ports_scope: Mapped[str] = mapped_column(sa.String(64), default="", server_default="")
    ports_since: Mapped[int] = mapped_column(sa.Integer, default=0, server_default="0")
    ports_revision: Mapped[int] = mapped_column(sa.Integer, default=-1, server_default="-1")
    common_part: Mapped[str] = mapped_column(sa.String(64), default="", server_default="")
    unrealised: Mapped[bool | None] = mapped_column(
        sa.Boolean, sa.Computed(UNREALISED), nullable=True
    )

    has_foreign_parts: ClassVar[Any]  # a query, see `_has_foreign_parts`

    groups: Mapped[list["ChainGroup"]] = orm.relationship(
        lazy="selectin", order_by="ChainGroup.position", passive_deletes="all"
    )
    classifiers: Mapped[list["ChainClassifier"]] = orm.relationship(
        lazy="selectin", order_by="ChainClassifier.position", passive_deletes="all"
    )
    hosts: Mapped[list["ChainHost"]] = orm.relationship(
        lazy="selectin", order_by="ChainHost.host", passive_deletes="all"
    )


class ChainGroup(model_base.BASEV2):
    """The group at one position in a chain."""

    __tablename__ = "portchain_chain_groups"
    __table_args__ = (
        sa.UniqueConstraint("chain_id", "group_id", name="uniq_portchain_chain_groups0chain0group"),
        model_base.BASEV2.__table_args__,
    )

    chain_id: Mapped[str] = _reference("portchain_port_chains.id", "CASCADE", primary_key=True)
    position: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=False)
    group_id: Mapped[str] = _reference("portchain_port_pair_groups.id", "RESTRICT", index=True)


class ChainClassifier(model_base.BASEV2):
    """A classifier of a chain. The primary key limits a classifier to one chain.

    ``other_project`` is the project of the chain if the classifier is another project's, and empty
    otherwise; NULL in rows of the previous release, which did not say.
    """

    __tablename__ = "portchain_chain_classifiers"

    classifier_id: Mapped[str] = _reference(
        "portchain_flow_classifiers.id", "RESTRICT", primary_key=True
    )
    chain_id: Mapped[str] = _reference("portchain_port_chains.id", "CASCADE")
    position: Mapped[int] = mapped_column(sa.Integer)
    other_project: Mapped[str | None] = mapped_column(
        sa.String(size.PROJECT_ID_FIELD_SIZE), nullable=True, index=True
    )


class ChainNetwork(model_base.BASEV2):
    """A network on which a chain looks for its sources (`portchain.db.source_networks`)."""

    __tablename__ = "portchain_chain_networks"

    chain_id: Mapped[str] = _reference("portchain_port_chains.id", "CASCADE", primary_key=True)
    network_id: Mapped[str] = _reference("networks.id", "CASCADE", primary_key=True, index=True)


class OpenEnd(model_base.BASEV2):
    """A network on which a chain's classifier stands for ports that it does not name.

    ``kind`` says for which ones (`portchain.db.source_networks`). ``project_id`` is the chain's,
    ``address_key`` that of the prefix that their addresses are in (`portchain.core.search_keys`).
    """

    __tablename__ = "portchain_open_ends"
    __table_args__ = (
        sa.Index("ix_portchain_open_ends_port", "network_id", "project_id", "address_key"),
        model_base.BASEV2.__table_args__,
    )

    classifier_id: Mapped[str] = _reference(
        "portchain_flow_classifiers.id", "CASCADE", primary_key=True
    )
    network_id: Mapped[str] = _reference("networks.id", "CASCADE", primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    chain_id: Mapped[str] = _reference("portchain_port_chains.id", "CASCADE")
    project_id: Mapped[str] = mapped_column(sa.String(size.PROJECT_ID_FIELD_SIZE))
    address_key: Mapped[str] = mapped_column(sa.String(KEY_SIZE))


class CachedPorts(model_base.BASEV2):
    """Some of the ports that a chain's classifiers can stand for (`portchain.db.port_cache`)."""

    __tablename__ = "portchain_cached_ports"

    chain_id: Mapped[str] = _reference("portchain_port_chains.id", "CASCADE", primary_key=True)
    bucket: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=False)
    ports: Mapped[dict[str, Any]] = mapped_column(types.JsonEncodedDict(mysql_as_medium=True))


class PortEvent(model_base.BASEV2):
    """An event of a port that no recorded plan of a chain contains yet (`portchain.db.port_cache`).

    ``host``: where the port is, or was before; empty if nowhere. The port may be deleted.
    """

    __tablename__ = "portchain_port_events"

    id: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    chain_id: Mapped[str] = _reference("portchain_port_chains.id", "CASCADE", index=True)
    port_id: Mapped[str] = mapped_column(sa.String(size.UUID_FIELD_SIZE))
    host: Mapped[str] = mapped_column(sa.String(255), index=True)


class ChainHost(model_base.BASEV2):
    """A host's part in a chain: what it was sent and what it has confirmed.

    `portchain.db.realisation` explains the three revisions. ``error`` says why the host cannot do
    its part, ``missing`` what it waits for, ``warning`` what it carries slowly or not at all.
    ``gets_packets``: the wanted revision says that the host accepts packets in MPLS, see `Host`.
    ``part`` identifies what the host was sent with ``part_revision`` (`portchain.db.sent_plans`).
    The database computes ``unconfirmed`` and ``unprepared``, whose indexes find the few such rows
    among many.
    """

    __tablename__ = "portchain_chain_hosts"
    __table_args__ = (
        sa.Index("ix_portchain_chain_hosts_unprepared", "chain_id", "unprepared"),
        model_base.BASEV2.__table_args__,
    )

    chain_id: Mapped[str] = _reference("portchain_port_chains.id", "CASCADE", primary_key=True)
    host: Mapped[str] = mapped_column(sa.String(255), primary_key=True, index=True)
    wanted_revision: Mapped[int] = mapped_column(sa.Integer)
    prepared_revision: Mapped[int] = mapped_column(sa.Integer, default=0, server_default="0")
    applied_revision: Mapped[int] = mapped_column(sa.Integer)
    error: Mapped[str] = mapped_column(sa.Text)
    missing: Mapped[str] = mapped_column(sa.Text)
    warning: Mapped[str] = mapped_column(sa.String(REASON_SIZE), default="", server_default="")
    gets_packets: Mapped[bool] = mapped_column(sa.Boolean, default=False, server_default=sa.false())
    unconfirmed: Mapped[bool | None] = mapped_column(
        sa.Boolean, sa.Computed(UNCONFIRMED), nullable=True, index=True
    )
    part: Mapped[str | None] = mapped_column(sa.Text, nullable=True)
    part_revision: Mapped[int | None] = mapped_column(sa.Integer, nullable=True)
    unprepared: Mapped[bool | None] = mapped_column(
        sa.Boolean, sa.Computed(UNPREPARED), nullable=True
    )


class Trace(standard_attr.HasStandardAttributes, _Named, model_base.BASEV2):
    """A packet, and what hosts have said of it. It refers to nothing that has to stay for it.

    ``port_id`` is the port that sends the packet. ``steps`` are as the API shows them to the
    trace's owner.
    """

    __tablename__ = "portchain_traces"
    api_collections = ("traces",)
    collection_resource_map = {"traces": "trace"}  # noqa: RUF012 - for Neutron

    port_id: Mapped[str] = mapped_column(sa.String(size.UUID_FIELD_SIZE))
    source_ip_address: Mapped[str | None] = mapped_column(sa.String(64), nullable=True)
    destination_ip_address: Mapped[str] = mapped_column(sa.String(64))
    protocol: Mapped[int] = mapped_column(sa.Integer)
    source_port: Mapped[int | None] = mapped_column(sa.Integer, nullable=True)
    destination_port: Mapped[int | None] = mapped_column(sa.Integer, nullable=True)
    established: Mapped[bool] = mapped_column(sa.Boolean)
    live: Mapped[bool] = mapped_column(sa.Boolean, default=False, server_default=sa.false())
    phase: Mapped[str] = mapped_column(sa.String(16))
    outcome: Mapped[str] = mapped_column(sa.String(16))
    reason: Mapped[str] = mapped_column(sa.Text)
    steps: Mapped[list[dict[str, Any]]] = mapped_column(types.JsonEncodedList(mysql_as_medium=True))
    expires_at: Mapped[datetime.datetime] = mapped_column(sa.DateTime, index=True)


class Host(model_base.BASEV2):
    """A host that has said which minor version of the wire contract it follows.

    0 if it follows one before 1.13 again (`portchain.db.hosts`).
    """

    __tablename__ = "portchain_hosts"

    host: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    minor_version: Mapped[int] = mapped_column(sa.Integer)


class ServiceGraph(standard_attr.HasStandardAttributes, _Named, model_base.BASEV2):
    """A service graph."""

    __tablename__ = "portchain_service_graphs"
    api_collections = ("service_graphs",)
    collection_resource_map = {"service_graphs": "service_graph"}  # noqa: RUF012 - for Neutron
    __table_args__ = (*_name_indexes(__tablename__), model_base.BASEV2.__table_args__)

    branches: Mapped[list["GraphBranch"]] = orm.relationship(
        lazy="selectin", order_by="GraphBranch.position", passive_deletes="all"
    )


class GraphChain(model_base.BASEV2):
    """Membership of a chain in a graph. The primary key limits a chain to one graph."""

    __tablename__ = "portchain_graph_chains"

    chain_id: Mapped[str] = _reference("portchain_port_chains.id", "RESTRICT", primary_key=True)
    graph_id: Mapped[str] = _reference("portchain_service_graphs.id", "CASCADE")


class GraphBranch(model_base.BASEV2):
    """A link of a graph: the destination chain follows the source chain."""

    __tablename__ = "portchain_graph_branches"

    source_id: Mapped[str] = _reference("portchain_port_chains.id", "RESTRICT", primary_key=True)
    destination_id: Mapped[str] = _reference(
        "portchain_port_chains.id", "RESTRICT", primary_key=True, index=True
    )
    graph_id: Mapped[str] = _reference("portchain_service_graphs.id", "CASCADE")
    position: Mapped[int] = mapped_column(sa.Integer)


class ProjectLock(model_base.BASEV2):
    """A project, whose row requests on all servers lock (`portchain.db.project_lock`)."""

    __tablename__ = "portchain_project_locks"

    project_id: Mapped[str] = mapped_column(sa.String(size.PROJECT_ID_FIELD_SIZE), primary_key=True)


class Imported(model_base.BASEV2):
    """The id of a resource imported from networking-sfc; it may have been deleted since."""

    __tablename__ = "portchain_imported"

    id: Mapped[str] = mapped_column(sa.String(size.UUID_FIELD_SIZE), primary_key=True)


def _has_foreign_parts() -> sa.ColumnElement[bool]:
    """Return whether a chain's realisation involves groups or ports of another project.

    The groups are those of the chain and, in a service graph, of the chains it is linked with.
    """
    chain, group, port = PortChain, PortPairGroup, models_v2.Port
    own, other = GraphChain, orm.aliased(GraphChain)
    link, linked = ChainGroup, orm.aliased(ChainGroup)
    groups = sa.select(link.group_id).join(group, group.id == link.group_id)
    linked_groups = (
        sa.select(linked.group_id)
        .join(other, other.chain_id == linked.chain_id)
        .join(own, own.graph_id == other.graph_id)
        .join(group, group.id == linked.group_id)
    )
    # A condition for each side: combined with "or", they would make the database read all ports.
    ports = [
        sa.select(link.group_id)
        .join(GroupPair, GroupPair.group_id == link.group_id)
        .join(PortPair, PortPair.id == GroupPair.pair_id)
        .join(port, port.id == side)
        for side in (PortPair.ingress, PortPair.egress)
    ]
    conditions = (
        groups.where(link.chain_id == chain.id, group.project_id != chain.project_id),
        linked_groups.where(own.chain_id == chain.id, group.project_id != chain.project_id),
        *(
            of_side.where(link.chain_id == chain.id, port.project_id != chain.project_id)
            for of_side in ports
        ),
    )
    return sa.or_(*(one.correlate(chain).exists() for one in conditions))


PortChain.has_foreign_parts = orm.column_property(_has_foreign_parts())
