"""Move values to the columns with clearer names and remove the old columns and table.

Revision ID: 7b94d3e2c6f8
Revises: 3f6a90c2d71b
Create Date: 2026-11-28
"""

from alembic import op

revision = "7b94d3e2c6f8"
down_revision = "3f6a90c2d71b"
depends_on = ("c5a81e0f47d2",)


def upgrade() -> None:
    """Copy ``seen`` and ``caution``, then drop them together with ``portchain_turns``.

    The rows of ``portchain_turns`` are not copied: a project's first request adds its lock.
    """
    op.execute("UPDATE portchain_port_chains SET realised_digest = seen, warning = caution")
    for name in ("seen", "caution"):
        op.drop_column("portchain_port_chains", name)
    op.drop_table("portchain_turns")
