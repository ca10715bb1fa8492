"""Begin the expand branch.

Revision ID: 8b2f6d9c3a54
Revises: 5c1d0a7e6f21
Create Date: 2026-11-22
"""

revision = "8b2f6d9c3a54"
down_revision = "5c1d0a7e6f21"
branch_labels = ("expand",)


def upgrade() -> None:
    """Change nothing: the first revision of a branch only carries its label."""
