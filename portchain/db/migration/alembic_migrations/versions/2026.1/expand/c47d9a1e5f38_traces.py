"""Create the table of traces.

Revision ID: c47d9a1e5f38
Revises: b7c1f04e92d6
Create Date: 2026-11-30
"""

import sqlalchemy as sa
from alembic import op
from oslo_db.sqlalchemy import types

revision = "c47d9a1e5f38"
down_revision = "b7c1f04e92d6"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "portchain_traces",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("project_id", sa.String(255), nullable=True, index=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("port_id", sa.String(36), nullable=False),
        sa.Column("source_ip_address", sa.String(64), nullable=True),
        sa.Column("destination_ip_address", sa.String(64), nullable=False),
        sa.Column("protocol", sa.Integer, nullable=False),
        sa.Column("source_port", sa.Integer, nullable=True),
        sa.Column("destination_port", sa.Integer, nullable=True),
        sa.Column("established", sa.Boolean, nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("steps", types.JsonEncodedList(mysql_as_medium=True), nullable=False),
        sa.Column("expires_at", sa.DateTime, nullable=False, index=True),
        sa.Column(
            "standard_attr_id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.ForeignKey("standardattributes.id", ondelete="CASCADE"),
            nullable=False,
            unique=True,
        ),
        mysql_engine="InnoDB",
    )
