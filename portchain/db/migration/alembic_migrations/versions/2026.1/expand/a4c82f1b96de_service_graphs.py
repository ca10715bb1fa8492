"""Create the tables of service graphs.

Revision ID: a4c82f1b96de
Revises: 71d3e08c54ba
Create Date: 2026-11-25
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "a4c82f1b96de"
down_revision = "71d3e08c54ba"


def _reference(name: str, target: str, ondelete: str, **options: Any) -> sa.Column[str]:
    """Return a column that holds the UUID of a row in another table."""
    key = sa.ForeignKey(target, ondelete=ondelete)
    return sa.Column(name, sa.String(36), key, **{"nullable": False, **options})


def upgrade() -> None:
    """Create the tables of graphs, of their chains and of the links between chains."""
    op.create_table(
        "portchain_service_graphs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("project_id", sa.String(255), index=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.String(255), nullable=False),
        mysql_engine="InnoDB",
    )
    op.create_table(
        "portchain_graph_chains",
        _reference("chain_id", "portchain_port_chains.id", "RESTRICT", primary_key=True),
        _reference("graph_id", "portchain_service_graphs.id", "CASCADE"),
        mysql_engine="InnoDB",
    )
    op.create_table(
        "portchain_graph_branches",
        _reference("source_id", "portchain_port_chains.id", "RESTRICT", primary_key=True),
        _reference(
            "destination_id",
            "portchain_port_chains.id",
            "RESTRICT",
            primary_key=True,
            index=True,
        ),
        _reference("graph_id", "portchain_service_graphs.id", "CASCADE"),
        sa.Column("position", sa.Integer, nullable=False),
        mysql_engine="InnoDB",
    )
