"""Find what may overlap, what stands for a port, and what is not realised by indexes.

Revision ID: 5e8d13c7a0f4
Revises: 5a0f8c27d9e3
Create Date: 2026-11-29
"""

import sqlalchemy as sa
from alembic import op

from portchain.db.migration import search_keys

revision = "5e8d13c7a0f4"
down_revision = "5a0f8c27d9e3"

_CLASSIFIERS, _CHAINS = "portchain_flow_classifiers", "portchain_port_chains"
_KEYS = ("source_key", "destination_key", "source_ports_key", "destination_ports_key")


def upgrade() -> None:
    """Add columns, a table and indexes, and fill them.

    Servers of the previous release leave them alone; NULL in the columns says so. The contract
    branch fills what these servers have added.
    """
    op.add_column(_CLASSIFIERS, sa.Column("sender", sa.String(255), nullable=True))
    for key in _KEYS:
        op.add_column(_CLASSIFIERS, sa.Column(key, sa.String(33), nullable=True))
    for whose, column in (("sender", "sender"), ("project", "project_id")):
        for key in (*_KEYS, "logical_destination_port"):
            op.create_index(f"ix_{_CLASSIFIERS}_{whose}_{key}", _CLASSIFIERS, [column, key])
    links = "portchain_chain_classifiers"
    op.add_column(links, sa.Column("other_project", sa.String(255), nullable=True))
    op.create_index(f"ix_{links}_other_project", links, ["other_project"])
    _create_open_ends()
    rule = sa.Computed("realised_revision < revision OR length(failure) > 0")
    op.add_column(_CHAINS, sa.Column("unrealised", sa.Boolean, rule, nullable=True))
    op.create_index(f"ix_{_CHAINS}_unrealised", _CHAINS, ["unrealised", "touched_at"])
    search_keys.fill()


def _create_open_ends() -> None:
    def reference(name: str, target: str, *, primary_key: bool = False) -> "sa.Column[str]":
        key = sa.ForeignKey(target, ondelete="CASCADE")
        return sa.Column(name, sa.String(36), key, nullable=False, primary_key=primary_key)

    op.create_table(
        "portchain_open_ends",
        reference("classifier_id", f"{_CLASSIFIERS}.id", primary_key=True),
        reference("network_id", "networks.id", primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        reference("chain_id", f"{_CHAINS}.id"),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("address_key", sa.String(33), nullable=False),
        mysql_engine="InnoDB",
    )
    columns = ["network_id", "project_id", "address_key"]
    op.create_index("ix_portchain_open_ends_port", "portchain_open_ends", columns)
