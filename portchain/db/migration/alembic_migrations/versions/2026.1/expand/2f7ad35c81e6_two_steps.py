"""Add columns for changes in two phases: prepared revisions of hosts, generations of chains.

Revision ID: 2f7ad35c81e6
Revises: e92d05a4b7c6
Create Date: 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "2f7ad35c81e6"
down_revision = "e92d05a4b7c6"


def upgrade() -> None:
    """Add the columns; servers of the previous release leave them at their defaults."""
    for table, name in (
        ("portchain_chain_hosts", "prepared_revision"),
        ("portchain_port_chains", "generation"),
    ):
        op.add_column(table, sa.Column(name, sa.Integer, nullable=False, server_default="0"))
