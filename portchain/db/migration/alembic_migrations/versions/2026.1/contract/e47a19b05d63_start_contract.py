"""Begin the contract branch.

Revision ID: e47a19b05d63
Revises: 5c1d0a7e6f21
Create Date: 2026-11-22
"""

revision = "e47a19b05d63"
down_revision = "5c1d0a7e6f21"
branch_labels = ("contract",)


def upgrade() -> None:
    """Change nothing: the first revision of a branch only carries its label."""
