"""Record what each host was sent of a chain's plan, and index the hosts that are not prepared.

Revision ID: 5a0f8c27d9e3
Revises: 1e6c93a7b5d2
Create Date: 2026-11-29
"""

import sqlalchemy as sa
from alembic import op

revision = "5a0f8c27d9e3"
down_revision = "1e6c93a7b5d2"

_TABLE = "portchain_chain_hosts"
_UNPREPARED = "applied_revision < wanted_revision AND prepared_revision < wanted_revision"


def upgrade() -> None:
    """Add the columns. A part is only known once a server of this release has sent it."""
    op.add_column(_TABLE, sa.Column("part", sa.Text, nullable=True))
    op.add_column(_TABLE, sa.Column("part_revision", sa.Integer, nullable=True))
    rule = sa.Computed(_UNPREPARED)
    op.add_column(_TABLE, sa.Column("unprepared", sa.Boolean, rule, nullable=True))
    op.create_index(f"ix_{_TABLE}_unprepared", _TABLE, ["chain_id", "unprepared"])
