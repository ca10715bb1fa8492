"""Record the networks of chains, for the time when a group is empty.

Revision ID: 9d4b17e6c0a3
Revises: 4e9c07d2b8f5
Create Date: 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "9d4b17e6c0a3"
down_revision = "4e9c07d2b8f5"

_OF_FUNCTIONS = """
    INSERT INTO portchain_chain_networks (chain_id, network_id)
    SELECT link.chain_id, ports.network_id
    FROM portchain_chain_groups link
    JOIN portchain_group_pairs member ON member.group_id = link.group_id
    JOIN portchain_port_pairs pair ON pair.id = member.pair_id
    JOIN ports ON ports.id = pair.ingress
    UNION
    SELECT link.chain_id, ports.network_id
    FROM portchain_chain_groups link
    JOIN portchain_group_pairs member ON member.group_id = link.group_id
    JOIN portchain_port_pairs pair ON pair.id = member.pair_id
    JOIN ports ON ports.id = pair.egress
"""


def upgrade() -> None:
    """Create the table and fill it with the networks of the chains' present functions."""
    op.create_table(
        "portchain_chain_networks",
        *(
            sa.Column(
                name,
                sa.String(36),
                sa.ForeignKey(target, ondelete="CASCADE"),
                primary_key=True,
            )
            for name, target in (
                ("chain_id", "portchain_port_chains.id"),
                ("network_id", "networks.id"),
            )
        ),
        mysql_engine="InnoDB",
    )
    op.create_index(
        "ix_portchain_chain_networks_network_id", "portchain_chain_networks", ["network_id"]
    )
    op.execute(_OF_FUNCTIONS)
