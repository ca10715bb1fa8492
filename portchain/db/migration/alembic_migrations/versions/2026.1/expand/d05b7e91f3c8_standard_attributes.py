"""Add Neutron's standard attributes to the resources.

Revision ID: d05b7e91f3c8
Revises: a4c82f1b96de
Create Date: 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "d05b7e91f3c8"
down_revision = "a4c82f1b96de"

TABLES = (
    "portchain_flow_classifiers",
    "portchain_port_pairs",
    "portchain_port_pair_groups",
    "portchain_port_chains",
    "portchain_service_graphs",
)


def upgrade() -> None:
    """Add the columns; the contract branch fills them and makes them mandatory."""
    for table in TABLES:
        op.add_column(table, sa.Column("standard_attr_id", sa.BigInteger, nullable=True))
        op.create_unique_constraint(f"uniq_{table}0standard_attr", table, ["standard_attr_id"])
        op.create_foreign_key(
            None, table, "standardattributes", ["standard_attr_id"], ["id"], ondelete="CASCADE"
        )
