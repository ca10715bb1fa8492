"""Add indexes for lists that are sorted by name.

Revision ID: a6d2c90f7b35
Revises: e2b7c60d49a1
Create Date: 2026-12-01
"""

from alembic import op

revision = "a6d2c90f7b35"
down_revision = "e2b7c60d49a1"

_TABLES = (
    "portchain_flow_classifiers",
    "portchain_port_pairs",
    "portchain_port_pair_groups",
    "portchain_port_chains",
    "portchain_service_graphs",
)


def upgrade() -> None:
    """Add two indexes to each table: for lists of all projects, and of one."""
    for table in _TABLES:
        op.create_index(f"ix_{table}_name", table, ["name"])
        op.create_index(f"ix_{table}_project_name", table, ["project_id", "name"])
