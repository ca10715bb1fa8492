"""Create the table of RBAC policies that share port pair groups.

Revision ID: b81c6d47fa02
Revises: d05b7e91f3c8
Create Date: 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "b81c6d47fa02"
down_revision = "d05b7e91f3c8"


def upgrade() -> None:
    """Create the table, with the columns that Neutron's RBAC code expects."""
    op.create_table(
        "portchain_port_pair_group_rbacs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("project_id", sa.String(255), index=True),
        sa.Column("target_project", sa.String(255), nullable=False, index=True),
        sa.Column("action", sa.String(255), nullable=False, index=True),
        sa.Column(
            "object_id",
            sa.String(36),
            sa.ForeignKey("portchain_port_pair_groups.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.UniqueConstraint("target_project", "object_id", "action"),
        mysql_engine="InnoDB",
    )
