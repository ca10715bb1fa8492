"""Add columns and a table under clearer names; the contract branch removes the old ones.

Revision ID: c5a81e0f47d2
Revises: 9d4b17e6c0a3
Create Date: 2026-11-28
"""

import sqlalchemy as sa
from alembic import op

revision = "c5a81e0f47d2"
down_revision = "9d4b17e6c0a3"


def upgrade() -> None:
    """Add two columns and a table; servers of the previous release leave them alone.

    ``realised_digest`` replaces ``seen``, ``warning`` replaces ``caution``, and
    ``portchain_project_locks`` replaces ``portchain_turns``.
    """
    for name, length in (("realised_digest", 64), ("warning", 1000)):
        column = sa.Column(name, sa.String(length), nullable=False, server_default="")
        op.add_column("portchain_port_chains", column)
    op.create_table(
        "portchain_project_locks",
        sa.Column("project_id", sa.String(255), primary_key=True),
        mysql_engine="InnoDB",
    )
