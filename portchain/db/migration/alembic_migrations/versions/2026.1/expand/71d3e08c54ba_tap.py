"""Add tap groups: port pair groups that observe traffic and forward nothing.

Revision ID: 71d3e08c54ba
Revises: c19e4f7a2d80
Create Date: 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "71d3e08c54ba"
down_revision = "c19e4f7a2d80"


def upgrade() -> None:
    """Add the column; servers of the previous release leave it at its default."""
    column = sa.Column("tap_enabled", sa.Boolean, nullable=False, server_default=sa.sql.false())
    op.add_column("portchain_port_pair_groups", column)
