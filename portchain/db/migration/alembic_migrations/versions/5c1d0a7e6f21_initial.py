"""Create the tables of port chains.

Revision ID: 5c1d0a7e6f21
Create Date: 2026-11-22
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "5c1d0a7e6f21"
down_revision = None


def _named() -> list[Any]:
    """Return the columns that every resource has."""
    return [
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("project_id", sa.String(255), index=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.String(255), nullable=False),
    ]


def _reference(name: str, target: str, ondelete: str, **options: Any) -> sa.Column[str]:
    """Return a column that holds the UUID of a row in another table."""
    key = sa.ForeignKey(target, ondelete=ondelete)
    return sa.Column(name, sa.String(36), key, **{"nullable": False, **options})


def _create(name: str, *items: Any) -> None:
    op.create_table(name, *items, mysql_engine="InnoDB")


def upgrade() -> None:
    """Create the tables of resources, then the tables that link them."""
    _create_parts()
    _create_chains()
    _create_links()


def _create_parts() -> None:
    _create(
        "portchain_flow_classifiers",
        *_named(),
        sa.Column("ethertype", sa.String(8), nullable=False),
        sa.Column("protocol", sa.Integer),
        sa.Column("source_port_range_min", sa.Integer),
        sa.Column("source_port_range_max", sa.Integer),
        sa.Column("destination_port_range_min", sa.Integer),
        sa.Column("destination_port_range_max", sa.Integer),
        sa.Column("source_ip_prefix", sa.String(64)),
        sa.Column("destination_ip_prefix", sa.String(64)),
        _reference("logical_source_port", "ports.id", "RESTRICT", nullable=True),
        _reference("logical_destination_port", "ports.id", "RESTRICT", nullable=True),
        sa.Column("l7_parameters", sa.Text, nullable=False),
    )
    _create(
        "portchain_port_pairs",
        *_named(),
        _reference("ingress", "ports.id", "RESTRICT"),
        _reference("egress", "ports.id", "RESTRICT", index=True),
        sa.Column("correlation", sa.String(8)),
        sa.Column("weight", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.UniqueConstraint("ingress", "egress", name="uniq_portchain_pairs0ingress0egress"),
    )
    _create(
        "portchain_port_pair_groups",
        *_named(),
        sa.Column("group_id", sa.Integer, nullable=False, unique=True),
        sa.Column("lb_fields", sa.Text, nullable=False),
        sa.Column("ingress_n_tuple", sa.Text, nullable=False),
        sa.Column("egress_n_tuple", sa.Text, nullable=False),
    )


def _create_chains() -> None:
    _create(
        "portchain_port_chains",
        *_named(),
        sa.Column("chain_id", sa.Integer, nullable=False, unique=True),
        sa.Column("correlation", sa.String(8), nullable=False),
        sa.Column("symmetric", sa.Boolean, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("realised_revision", sa.Integer, nullable=False),
        sa.Column("down_reason", sa.Text, nullable=False),
        sa.Column("failure", sa.Text, nullable=False),
        sa.Column("touched_at", sa.DateTime, nullable=False),
    )


def _create_links() -> None:
    _create(
        "portchain_group_pairs",
        _reference("pair_id", "portchain_port_pairs.id", "RESTRICT", primary_key=True),
        _reference("group_id", "portchain_port_pair_groups.id", "CASCADE"),
        sa.Column("position", sa.Integer, nullable=False),
    )
    _create(
        "portchain_chain_groups",
        _reference("chain_id", "portchain_port_chains.id", "CASCADE", primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        _reference("group_id", "portchain_port_pair_groups.id", "RESTRICT", index=True),
        sa.UniqueConstraint("chain_id", "group_id", name="uniq_portchain_chain_groups0chain0group"),
    )
    _create(
        "portchain_chain_classifiers",
        _reference("classifier_id", "portchain_flow_classifiers.id", "RESTRICT", primary_key=True),
        _reference("chain_id", "portchain_port_chains.id", "CASCADE"),
        sa.Column("position", sa.Integer, nullable=False),
    )
    _create(
        "portchain_chain_hosts",
        _reference("chain_id", "portchain_port_chains.id", "CASCADE", primary_key=True),
        sa.Column("host", sa.String(255), primary_key=True, index=True),
        sa.Column("wanted_revision", sa.Integer, nullable=False),
        sa.Column("applied_revision", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("missing", sa.Text, nullable=False),
    )
