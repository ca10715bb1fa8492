"""Cache the ports that classifiers without a port stand for.

Revision ID: a81f5c20d7e4
Revises: c47d9a1e5f38
Create Date: 2026-11-30
"""

import sqlalchemy as sa
from alembic import op
from oslo_db.sqlalchemy import types

revision = "a81f5c20d7e4"
down_revision = "c47d9a1e5f38"

_CHAINS = "portchain_port_chains"


def upgrade() -> None:
    """Add the columns and tables. Nothing is cached until a server of this release has done it."""
    for name, default in (("ports_scope", ""), ("common_part", "")):
        column = sa.Column(name, sa.String(64), server_default=default, nullable=False)
        op.add_column(_CHAINS, column)
    for name, number in (("ports_since", "0"), ("ports_revision", "-1")):
        op.add_column(_CHAINS, sa.Column(name, sa.Integer, server_default=number, nullable=False))
    op.create_table(
        "portchain_cached_ports",
        sa.Column(
            "chain_id",
            sa.String(36),
            sa.ForeignKey(f"{_CHAINS}.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("bucket", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("ports", types.JsonEncodedDict(mysql_as_medium=True), nullable=False),
        mysql_engine="InnoDB",
    )
    op.create_table(
        "portchain_port_events",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column(
            "chain_id",
            sa.String(36),
            sa.ForeignKey(f"{_CHAINS}.id", ondelete="CASCADE"),
            nullable=False,
            index=True,
        ),
        sa.Column("port_id", sa.String(36), nullable=False),
        sa.Column("host", sa.String(255), nullable=False, index=True),
        mysql_engine="InnoDB",
    )
