"""Add the health check and the failure mode of port pair groups.

Revision ID: 4e9c07d2b8f5
Revises: b37e5f1d8c04
Create Date: 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "4e9c07d2b8f5"
down_revision = "b37e5f1d8c04"


def upgrade() -> None:
    """Add the columns; servers of the previous release leave them at their defaults."""
    for name, default in (("health_check", "none"), ("failure_mode", "closed")):
        column = sa.Column(name, sa.String(8), nullable=False, server_default=default)
        op.add_column("portchain_port_pair_groups", column)
