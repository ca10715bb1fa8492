"""Create the table of resources imported from networking-sfc.

Revision ID: f3b8d61c2e07
Revises: 6d1b90f4e3a7
Create Date: 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "f3b8d61c2e07"
down_revision = "6d1b90f4e3a7"


def upgrade() -> None:
    """Create the table; portchain-import fills it."""
    op.create_table(
        "portchain_imported",
        sa.Column("id", sa.String(36), primary_key=True),
        mysql_engine="InnoDB",
    )
