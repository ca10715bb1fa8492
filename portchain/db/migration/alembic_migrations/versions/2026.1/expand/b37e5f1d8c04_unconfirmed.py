"""Index the unconfirmed rows of hosts, to find them without reading all rows.

Revision ID: b37e5f1d8c04
Revises: f3b8d61c2e07
Create Date: 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "b37e5f1d8c04"
down_revision = "f3b8d61c2e07"

_TABLE, _COLUMN = "portchain_chain_hosts", "unconfirmed"


def upgrade() -> None:
    """Add a generated column, which is right whichever release writes the rows, and its index."""
    rule = sa.Computed("applied_revision < wanted_revision OR length(missing) > 0")
    op.add_column(_TABLE, sa.Column(_COLUMN, sa.Boolean, rule, nullable=True))
    op.create_index(f"ix_{_TABLE}_{_COLUMN}", _TABLE, [_COLUMN])
