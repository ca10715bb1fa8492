"""Add as of what a chain was realised, so that changes that nobody told of are found.

Revision ID: 6d1b90f4e3a7
Revises: 2f7ad35c81e6
Create Date: 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "6d1b90f4e3a7"
down_revision = "2f7ad35c81e6"


def upgrade() -> None:
    """Add the column; what servers of the release before realise is looked at anew."""
    column = sa.Column("seen", sa.String(64), nullable=False, server_default="")
    op.add_column("portchain_port_chains", column)
