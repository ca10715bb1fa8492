"""Add what changes in two steps need to know: who is prepared, and which list of groups a chain has.

Revision ID: 2f7ad35c81e6
Revises: e92d05a4b7c6
Create Date: 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "2f7ad35c81e6"
down_revision = "e92d05a4b7c6"


def upgrade() -> None:
    """Add the columns; servers of the release before leave them at their defaults."""
    for table, name in (
        ("portchain_chain_hosts", "prepared_revision"),
        ("portchain_port_chains", "generation"),
    ):
        op.add_column(table, sa.Column(name, sa.Integer, nullable=False, server_default="0"))
