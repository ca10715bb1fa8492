"""Create the table of the pairs that groups select from, now and before their last changes.

Revision ID: d86f1e5b07c3
Revises: f80b3d5a1c96
Create Date: 2026-11-28
"""

import sqlalchemy as sa
from alembic import op
from oslo_db.sqlalchemy import types

revision = "d86f1e5b07c3"
down_revision = "f80b3d5a1c96"


def upgrade() -> None:
    """Create the table. Servers record the pairs of a group when they plan a chain with it."""
    op.create_table(
        "portchain_pair_sets",
        sa.Column(
            "group_id",
            sa.String(36),
            sa.ForeignKey("portchain_port_pair_groups.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("weights", types.JsonEncodedDict(mysql_as_medium=True), nullable=False),
        sa.Column("replaced_at", sa.DateTime, nullable=True),
        sa.Column("new_flows", sa.Boolean, nullable=False),
        mysql_engine="InnoDB",
    )
    op.create_index(
        "ix_portchain_pair_sets_age", "portchain_pair_sets", ["new_flows", "replaced_at"]
    )
