"""Migrations on a real MariaDB, run by Neutron's own command."""

from typing import Any

import sqlalchemy as sa
from alembic import autogenerate, migration
from neutron.db.migration.models import head  # noqa: F401 - the tables ours refer to
from neutron_lib.db import model_base

from portchain.db import models
from tests.functional.db.conftest import MariaDb, manage

VERSION_TABLE = "alembic_version_portchain"


def _is_ours(item: Any, name: str | None, type_: str, reflected: bool, other: Any) -> bool:
    return type_ != "table" or (name or "").startswith("portchain_")


def test_upgrade_from_scratch_creates_our_tables_beside_neutrons(migrated: str) -> None:
    names = set(sa.inspect(sa.create_engine(migrated)).get_table_names())
    ours = {name for name in models.PortChain.metadata.tables if name.startswith("portchain_")}
    assert len(ours) == 14
    assert ours | {"ports", VERSION_TABLE} <= names
    # networking-sfc may be installed in the same database.
    assert not any(name.startswith("sfc_") for name in ours)


def test_migrations_create_what_the_models_describe(migrated: str) -> None:
    with sa.create_engine(migrated).connect() as connection:
        context = migration.MigrationContext.configure(
            connection,
            opts={"version_table": VERSION_TABLE, "include_object": _is_ours, "compare_type": True},
        )
        assert autogenerate.compare_metadata(context, model_base.BASEV2.metadata) == []


def test_comparison_would_notice_a_missing_column(migrated: str) -> None:
    """The test above could pass for the wrong reason: that nothing of ours is compared."""
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


def test_rows_of_before_get_standard_attributes(mariadb: MariaDb) -> None:
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
                f"VALUES ('group-{number}', 'p', '', 'text {number}', {number}, '[]', '{{}}', '{{}}')"
            )
            connection.exec_driver_sql(
                "INSERT INTO portchain_service_graphs VALUES "
                f"('graph-{number}', 'p', '', 'graph {number}')"
            )
    manage(url, "--subproject", "neutron-portchain", "upgrade", "heads")
    with engine.connect() as connection:
        for table, words in (("port_pair_groups", "text"), ("service_graphs", "graph")):
            rows = connection.exec_driver_sql(
                "SELECT t.id, s.description, s.resource_type, s.revision_number "
                f"FROM portchain_{table} t JOIN standardattributes s ON s.id = t.standard_attr_id"
            ).all()
            assert [row[1:] for row in sorted(rows)] == [
                (f"{words} {number}", f"portchain_{table}", 0) for number in range(3)
            ]


def test_migrations_can_be_printed_as_sql() -> None:
    sql = manage(
        "mysql+pymysql://user@nowhere/neutron",
        *("--subproject", "neutron-portchain", "upgrade", "heads", "--sql"),
    )
    assert sql.count("CREATE TABLE portchain_") == 14
