"""Add warnings: what the owner of a chain should know although it carries traffic.

Revision ID: c19e4f7a2d80
Revises: 8b2f6d9c3a54
Create Date: 2026-11-24
"""

import sqlalchemy as sa
from alembic import op

revision = "c19e4f7a2d80"
down_revision = "8b2f6d9c3a54"


def upgrade() -> None:
    """Add the column; servers of the previous release leave it at its default."""
    column = sa.Column("caution", sa.String(1000), nullable=False, server_default="")
    op.add_column("portchain_port_chains", column)
