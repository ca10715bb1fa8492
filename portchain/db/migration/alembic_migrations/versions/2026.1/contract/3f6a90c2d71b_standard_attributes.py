"""Link every row to its standard attributes.

Revision ID: 3f6a90c2d71b
Revises: e47a19b05d63
Create Date: 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "3f6a90c2d71b"
down_revision = "e47a19b05d63"
depends_on = ("d05b7e91f3c8",)

TABLES = (
    "portchain_flow_classifiers",
    "portchain_port_pairs",
    "portchain_port_pair_groups",
    "portchain_port_chains",
    "portchain_service_graphs",
)


def upgrade() -> None:
    """Move descriptions to the standard attributes of each row."""
    for table in TABLES:
        # Until the rows are linked, the column of the resource's type holds the id of the row.
        op.execute(
            "INSERT INTO standardattributes (resource_type, description, revision_number) "
            f"SELECT id, description, 0 FROM {table} WHERE standard_attr_id IS NULL"
        )
        op.execute(
            f"UPDATE {table} SET standard_attr_id = (SELECT id FROM standardattributes "
            f"WHERE resource_type = {table}.id) WHERE standard_attr_id IS NULL"
        )
        op.execute(
            f"UPDATE standardattributes SET resource_type = '{table}' "
            f"WHERE id IN (SELECT standard_attr_id FROM {table})"
        )
        op.alter_column(table, "standard_attr_id", existing_type=sa.BigInteger, nullable=False)
        op.drop_column(table, "description")
