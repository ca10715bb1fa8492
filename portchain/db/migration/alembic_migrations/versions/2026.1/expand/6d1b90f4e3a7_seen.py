"""Add a digest of what a chain was realised from, to find changes that were not notified.

Revision ID: 6d1b90f4e3a7
Revises: 2f7ad35c81e6
Create Date: 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "6d1b90f4e3a7"
down_revision = "2f7ad35c81e6"


def upgrade() -> None:
    """Add the column; chains that servers of the previous release realise are refreshed once."""
    column = sa.Column("seen", sa.String(64), nullable=False, server_default="")
    op.add_column("portchain_port_chains", column)
