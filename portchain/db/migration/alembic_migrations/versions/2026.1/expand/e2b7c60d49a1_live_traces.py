"""Add the attribute "live" of traces.

Revision ID: e2b7c60d49a1
Revises: a81f5c20d7e4
Create Date: 2026-11-30
"""

import sqlalchemy as sa
from alembic import op

revision = "e2b7c60d49a1"
down_revision = "a81f5c20d7e4"


def upgrade() -> None:
    """Add the column; traces that are there are not live."""
    op.add_column(
        "portchain_traces",
        sa.Column("live", sa.Boolean, nullable=False, server_default=sa.false()),
    )
