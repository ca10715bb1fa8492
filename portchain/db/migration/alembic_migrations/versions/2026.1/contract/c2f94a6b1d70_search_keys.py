"""Fill the keys of rows that servers of the previous release have added.

Revision ID: c2f94a6b1d70
Revises: 7b94d3e2c6f8
Create Date: 2026-11-29
"""

from portchain.db.migration import search_keys

revision = "c2f94a6b1d70"
down_revision = "7b94d3e2c6f8"
depends_on = ("5e8d13c7a0f4",)


def upgrade() -> None:
    """Fill what is missing; the columns stay nullable, which costs nothing."""
    search_keys.fill()
