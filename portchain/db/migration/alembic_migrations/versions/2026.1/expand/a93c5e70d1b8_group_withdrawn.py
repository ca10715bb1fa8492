"""Record that the owner of a shared group has withdrawn it from a chain.

Revision ID: a93c5e70d1b8
Revises: c5a81e0f47d2
Create Date: 2026-11-28
"""

import sqlalchemy as sa
from alembic import op

revision = "a93c5e70d1b8"
down_revision = "c5a81e0f47d2"


def upgrade() -> None:
    """Add the column; servers of the previous release leave it at its default."""
    column = sa.Column("group_withdrawn", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("portchain_port_chains", column)
