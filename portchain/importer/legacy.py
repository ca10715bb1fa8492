"""Reads the tables of networking-sfc, and never writes them.

The columns are those of its last migrations (`HEADS`), which have not changed since 2018.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

VERSION_TABLE = "alembic_version_sfc"
HEADS = frozenset({"06382790fb2c", "a3ad63aa834f"})

Row = Mapping[str, Any]
Tables = Mapping[str, Sequence[Row]]
"""Table -> its rows, ordered by their keys."""

COMMON_COLUMNS = ("id", "project_id", "name", "description")
_PARAMETER = ("keyword", "value")
COLUMNS: Mapping[str, Sequence[str]] = {
    "sfc_flow_classifiers": (
        *COMMON_COLUMNS,
        "ethertype",
        "protocol",
        "source_port_range_min",
        "source_port_range_max",
        "destination_port_range_min",
        "destination_port_range_max",
        "source_ip_prefix",
        "destination_ip_prefix",
        "logical_source_port",
        "logical_destination_port",
    ),
    "sfc_flow_classifier_l7_parameters": ("classifier_id", *_PARAMETER),
    "sfc_port_pairs": (*COMMON_COLUMNS, "ingress", "egress", "portpairgroup_id"),
    "sfc_service_function_params": ("pair_id", *_PARAMETER),
    "sfc_port_pair_groups": (*COMMON_COLUMNS, "group_id", "tap_enabled"),
    "sfc_port_pair_group_params": ("pair_group_id", *_PARAMETER),
    "sfc_port_chains": (*COMMON_COLUMNS, "chain_id"),
    "sfc_port_chain_parameters": ("chain_id", *_PARAMETER),
    "sfc_chain_group_associations": ("portchain_id", "position", "portpairgroup_id"),
    "sfc_chain_classifier_associations": ("portchain_id", "flowclassifier_id"),
    "sfc_service_graphs": COMMON_COLUMNS,
    "sfc_service_graph_chain_associations": ("service_graph_id", "src_chain", "dst_chain"),
}
"""The tables with users' resources; the other tables hold what its driver computed from them."""


def has_tables(connection: Any) -> bool:
    """Return whether the database has networking-sfc's tables."""
    return bool(sa.inspect(connection).has_table("sfc_port_chains"))


def heads(connection: Any) -> frozenset[str]:
    """Return the migrations that networking-sfc's tables are at, none if it has run none."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return frozenset()
    table = sa.table(VERSION_TABLE, sa.column("version_num"))
    return frozenset(connection.scalars(sa.select(table.c.version_num)))


def read(connection: Any) -> Tables:
    """Read every row, with one query for each table."""
    return {name: _rows(connection, name, columns) for name, columns in COLUMNS.items()}


def _rows(connection: Any, name: str, columns: Sequence[str]) -> list[Row]:
    table = sa.table(name, *map(sa.column, columns))
    # The key is in the first two columns. Ordering by it makes all runs see the same order.
    query = sa.select(table).order_by(*list(table.c)[:2])
    return [dict(row) for row in connection.execute(query).mappings()]
