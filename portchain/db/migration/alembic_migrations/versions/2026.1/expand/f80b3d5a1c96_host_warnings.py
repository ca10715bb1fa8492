"""Add warnings of hosts: what a host of a chain carries slowly or not at all.

Revision ID: f80b3d5a1c96
Revises: a93c5e70d1b8
Create Date: 2026-11-28
"""

import sqlalchemy as sa
from alembic import op

revision = "f80b3d5a1c96"
down_revision = "a93c5e70d1b8"


def upgrade() -> None:
    """Add the column; servers of the previous release leave it at its default."""
    column = sa.Column("warning", sa.String(1000), nullable=False, server_default="")
    op.add_column("portchain_chain_hosts", column)
