"""Create the table of project locks, by which requests of one project wait for each other.

Revision ID: e92d05a4b7c6
Revises: b81c6d47fa02
Create Date: 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "e92d05a4b7c6"
down_revision = "b81c6d47fa02"


def upgrade() -> None:
    """Create the table; a project gets its row with its first request."""
    op.create_table(
        "portchain_turns",
        sa.Column("project_id", sa.String(255), primary_key=True),
        mysql_engine="InnoDB",
    )
