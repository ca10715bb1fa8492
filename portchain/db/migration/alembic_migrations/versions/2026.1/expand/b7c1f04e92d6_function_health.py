"""Add the health of functions: what users ask for, and what hosts have found out.

Revision ID: b7c1f04e92d6
Revises: 5e8d13c7a0f4
Create Date: 2026-11-30
"""

import sqlalchemy as sa
from alembic import op
from oslo_db.sqlalchemy import types

revision = "b7c1f04e92d6"
down_revision = "5e8d13c7a0f4"

_PAIRS, _GROUPS = "portchain_port_pairs", "portchain_port_pair_groups"


def upgrade() -> None:
    """Add the columns with the values that existing pairs and groups have, and the table."""
    for name, default in (("admin_state_up", sa.true()), ("backup", sa.false())):
        column = sa.Column(name, sa.Boolean, nullable=False, server_default=default)
        op.add_column(_PAIRS, column)
    op.add_column(
        _GROUPS, sa.Column("health_check_parameters", types.JsonEncodedDict, nullable=True)
    )
    op.add_column(_GROUPS, sa.Column("min_healthy", sa.Integer, nullable=False, server_default="1"))
    op.add_column(
        _GROUPS, sa.Column("on_failure", sa.String(16), nullable=False, server_default="rebalance")
    )
    op.create_table(
        "portchain_pair_health",
        sa.Column(
            "pair_id",
            sa.String(36),
            sa.ForeignKey("portchain_port_pairs.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("is_up", sa.Boolean, nullable=False),
        sa.Column("reason", sa.String(255), nullable=False),
        sa.Column("changed_at", sa.DateTime, nullable=False),
        mysql_engine="InnoDB",
    )
