"""The migrations on a real MariaDB, run by neutron-db-manage."""

from typing import Any

import pytest
import sqlalchemy as sa
from alembic import autogenerate, migration
from neutron.db.migration.models import head  # noqa: F401 - the tables ours refer to
from neutron_lib.db import model_base

from portchain.db import models
from tests.mariadb import MariaDb, manage

VERSION_TABLE = "alembic_version_portchain"


def _is_ours(item: Any, name: str | None, type_: str, reflected: bool, other: Any) -> bool:
    return type_ != "table" or (name or "").startswith("portchain_")


def test_upgrade_from_scratch_creates_our_tables_beside_neutrons(migrated: str) -> None:
    names = set(sa.inspect(sa.create_engine(migrated)).get_table_names())
    ours = {name for name in models.PortChain.metadata.tables if name.startswith("portchain_")}
    assert len(ours) == 22
    assert ours | {"ports", VERSION_TABLE} <= names
    # networking-sfc may have its tables in the same database.
    assert not any(name.startswith("sfc_") for name in ours)


def test_migrations_create_the_tables_of_the_models(migrated: str) -> None:
    with sa.create_engine(migrated).connect() as connection:
        context = migration.MigrationContext.configure(
            connection,
            opts={"version_table": VERSION_TABLE, "include_object": _is_ours, "compare_type": True},
        )
        assert autogenerate.compare_metadata(context, model_base.BASEV2.metadata) == []


def test_comparison_would_notice_a_missing_column(migrated: str) -> None:
    """Make sure that the test above compares our tables at all."""
    metadata = sa.MetaData()
    sa.Table("portchain_chain_hosts", metadata, sa.Column("more", sa.Integer, primary_key=True))
    with sa.create_engine(migrated).connect() as connection:
        context = migration.MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "include_object": _is_ours}
        )
        found = str(autogenerate.compare_metadata(context, metadata))
    assert "add_column" in found
    assert "portchain_port_chains" in found


def test_head_files_and_branches_are_in_order(migrated: str) -> None:
    manage(migrated, "--subproject", "neutron-portchain", "check_migration")
    manage(migrated, "--subproject", "neutron-portchain", "has_offline_migrations")
    current = manage(migrated, "--subproject", "neutron-portchain", "current")
    assert current.count("head)") == 2, current


# A chain on two networks, one on one of them, and one without functions. Columns that do not matter
# here keep whatever the database puts there.
_CHAINS = """
    SET foreign_key_checks = 0, sql_mode = '';
    INSERT INTO networks (id, standard_attr_id) VALUES ('net1', 901), ('net2', 902);
    INSERT INTO ports (id, network_id, mac_address, standard_attr_id)
        VALUES ('in', 'net1', '1', 903), ('out', 'net2', '2', 904), ('both', 'net1', '3', 905);
    INSERT INTO portchain_port_pairs (id, ingress, egress)
        VALUES ('p1', 'in', 'out'), ('p2', 'both', 'both');
    INSERT INTO portchain_group_pairs (pair_id, group_id)
        VALUES ('p1', 'group-0'), ('p2', 'group-1');
    INSERT INTO portchain_port_chains (id, chain_id, caution)
        VALUES ('two', 1, 'long packets'), ('one', 2, ''), ('none', 3, '');
    INSERT INTO portchain_chain_groups (chain_id, position, group_id)
        VALUES ('two', 0, 'group-0'), ('two', 1, 'group-1'),
               ('one', 0, 'group-1'), ('none', 0, 'group-2');
"""


@pytest.fixture(scope="module")
def upgraded(mariadb: MariaDb) -> sa.Engine:
    """Return a database that had rows before our latest migrations."""
    mariadb.execute("CREATE DATABASE neutron_before CHARACTER SET utf8mb4")
    url = mariadb.url("neutron_before")
    manage(url, "--subproject", "neutron", "upgrade", "heads")
    for revision in ("e47a19b05d63", "a4c82f1b96de"):
        manage(url, "--subproject", "neutron-portchain", "upgrade", revision)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for number in range(3):
            connection.exec_driver_sql(
                "INSERT INTO portchain_port_pair_groups (id, project_id, name, description, "
                "group_id, lb_fields, ingress_n_tuple, egress_n_tuple) "
                f"VALUES ('group-{number}', 'p', '', 'text {number}', {number}, "
                "'[]', '{}', '{}')"
            )
            connection.exec_driver_sql(
                "INSERT INTO portchain_service_graphs VALUES "
                f"('graph-{number}', 'p', '', 'graph {number}')"
            )
    mariadb.load("neutron_before", _CHAINS)
    manage(url, "--subproject", "neutron-portchain", "upgrade", "9d4b17e6c0a3")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE portchain_port_chains SET seen = 'd1' WHERE id = 'one'")
    manage(url, "--subproject", "neutron-portchain", "upgrade", "heads")
    return engine


def test_older_rows_get_standard_attributes(upgraded: sa.Engine) -> None:
    with upgraded.connect() as connection:
        for table, words in (("port_pair_groups", "text"), ("service_graphs", "graph")):
            rows = connection.exec_driver_sql(
                "SELECT t.id, s.description, s.resource_type, s.revision_number "
                f"FROM portchain_{table} t JOIN standardattributes s ON s.id = t.standard_attr_id"
            ).all()
            assert [row[1:] for row in sorted(rows)] == [
                (f"{words} {number}", f"portchain_{table}", 0) for number in range(3)
            ]


def test_networks_of_older_chains_are_recorded(upgraded: sa.Engine) -> None:
    with upgraded.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT chain_id, network_id FROM portchain_chain_networks"
        )
        assert sorted(map(tuple, rows)) == [("one", "net1"), ("two", "net1"), ("two", "net2")]


def test_renamed_columns_keep_their_values(upgraded: sa.Engine) -> None:
    with upgraded.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT id, warning, realised_digest FROM portchain_port_chains"
        )
        assert sorted(map(tuple, rows)) == [
            ("none", "", ""),
            ("one", "", "d1"),
            ("two", "long packets", ""),
        ]


def test_migrations_can_be_printed_as_sql() -> None:
    sql = manage(
        "mysql+pymysql://user@nowhere/neutron",
        *("--subproject", "neutron-portchain", "upgrade", "heads", "--sql"),
    )
    assert sql.count("CREATE TABLE portchain_") == 23
    assert sql.count("DROP TABLE portchain_") == 1
