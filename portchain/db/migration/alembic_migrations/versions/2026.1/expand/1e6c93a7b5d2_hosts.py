"""Record which version of the wire contract hosts follow, and what plans assume of them.

Revision ID: 1e6c93a7b5d2
Revises: d86f1e5b07c3
Create Date: 2026-11-29
"""

import sqlalchemy as sa
from alembic import op

revision = "1e6c93a7b5d2"
down_revision = "d86f1e5b07c3"


def upgrade() -> None:
    """Create the table and add the column; servers of the previous release leave both alone."""
    op.create_table(
        "portchain_hosts",
        sa.Column("host", sa.String(255), primary_key=True),
        sa.Column("minor_version", sa.Integer, nullable=False),
        mysql_engine="InnoDB",
    )
    column = sa.Column("gets_packets", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("portchain_chain_hosts", column)
