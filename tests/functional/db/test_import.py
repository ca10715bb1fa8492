"""``portchain-import`` and the upgrade checks, on a database that networking-sfc filled.

``networking_sfc.make`` has made that database.
"""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from neutron.db import migration

from portchain.importer import legacy
from tests import programs
from tests.functional.db.networking_sfc import make
from tests.functional.db.test_api import OnMariaDb, _Database
from tests.mariadb import MariaDb, manage
from tests.unit.api.base import ApiTestCase

NEUTRONS_REVISIONS = Path(migration.__file__).parent / "alembic_migrations" / "versions"
ANSWERS: dict[str, list[dict[str, Any]]] = json.loads(make.ANSWERS.read_text())


@dataclass
class Cloud:
    """A Neutron database with networking-sfc's tables, and an operator's commands.

    :param config: Neutron's configuration file.
    """

    url: str
    config: Path

    def configured(self, drivers: str, service_plugins: str = "port_chain") -> "Cloud":
        """Write Neutron's configuration file."""
        self.config.write_text(
            f"[DEFAULT]\nservice_plugins = {service_plugins}\n[database]\nconnection = {self.url}\n"
            f"[port_chain]\ndrivers = {drivers}\n"
        )
        return self

    def run(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a program with Neutron's configuration file."""
        return programs.run(program, f"--config-file={self.config}", *arguments)

    def import_(self, *arguments: str) -> tuple[int, str]:
        """Run portchain-import and return its exit code and output."""
        done = self.run("portchain-import", *arguments)
        assert "Traceback" not in done.stderr, done.stderr[-3000:]
        return done.returncode, done.stdout + done.stderr

    def checks(self) -> str:
        """Return the output of ``neutron-status upgrade check`` as one line."""
        done = self.run("neutron-status", "upgrade", "check")
        lines = [line.strip(" |") for line in done.stdout.splitlines()]
        return " ".join(line for line in lines if line and not line.startswith("+"))

    def ids(self) -> set[str]:
        """Return the ids of all resources in our tables."""
        with sa.create_engine(self.url).connect() as connection:
            return {
                an_id
                for kind in make.KINDS
                for an_id in connection.scalars(sa.text(f"SELECT id FROM portchain_{kind}"))
            }

    def legacy_checksums(self) -> dict[str, int]:
        """Return checksums of networking-sfc's tables, including those of its driver."""
        with sa.create_engine(self.url).connect() as connection:
            names = [n for n in sa.inspect(connection).get_table_names() if n.startswith("sfc_")]
            assert set(legacy.COLUMNS) < set(names)
            rows = connection.execute(sa.text(f"CHECKSUM TABLE {', '.join(names)}"))
            return {row[0]: row[1] for row in rows}


def _load(mariadb: MariaDb, name: str) -> str:
    """Create a database as networking-sfc left it, and return its URL."""
    mariadb.execute(f"DROP DATABASE IF EXISTS {name}")
    mariadb.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb3")
    mariadb.load(name, make.DATABASE.read_text())
    # Neutron 29 wrote it. Its older release would not know the revision of Neutron's own tables.
    heads = [(NEUTRONS_REVISIONS / f"{one}_HEAD").read_text() for one in ("CONTRACT", "EXPAND")]
    with sa.create_engine(mariadb.url(name)).begin() as connection:
        connection.execute(sa.text("DELETE FROM alembic_version"))
        for head in heads:
            connection.execute(
                sa.text("INSERT INTO alembic_version VALUES (:head)"), {"head": head.strip()}
            )
    return mariadb.url(name)


@pytest.fixture(scope="module")
def legacy_url(mariadb: MariaDb) -> str:
    """Return the URL of such a database with our migrations.

    Tests must not change its old tables.
    """
    url = _load(mariadb, "legacy")
    manage(url, "--subproject", "neutron-portchain", "upgrade", "heads")
    with sa.create_engine(url).begin() as connection:
        change = "UPDATE sfc_flow_classifiers SET source_ip_prefix ="
        # A classifier that no packet can match, which our API refuses.
        connection.execute(sa.text(f"{change} 'fd00::/8' WHERE name = 'sloppy'"))
        # networking-sfc takes a prefix with host bits for the whole network.
        connection.execute(
            sa.text(f"{change} '10.71.0.7/24' WHERE source_ip_prefix = '10.71.0.0/24'")
        )
    return url


@pytest.fixture
def cloud(legacy_url: str, tmp_path: Path) -> Callable[[str], Cloud]:
    """Empty our tables; return a function that makes a cloud with the given drivers."""
    with sa.create_engine(legacy_url).begin() as connection:
        connection.execute(sa.text("SET foreign_key_checks = 0"))
        for name in sa.inspect(connection).get_table_names():
            if name.startswith("portchain_"):
                connection.execute(sa.text(f"DELETE FROM {name}"))
    return lambda drivers: Cloud(legacy_url, tmp_path / "neutron.conf").configured(drivers)


def named(kind: str, name: str) -> str:
    """Return the id of a resource by its name."""
    (an_id,) = [one["id"] for one in ANSWERS[kind] if one["name"] == name]
    return str(an_id)


EVERYTHING = {one["id"] for kind in make.KINDS for one in ANSWERS[kind]}


def test_trial_writes_nothing_and_reports_refusals(cloud: Any) -> None:
    there = cloud("ovs")
    before = there.legacy_checksums()
    code, said = there.import_()
    assert code == 2, said
    sloppy = named("flow_classifiers", "sloppy")
    assert f"refused: flow classifier sloppy ({sloppy}): source_ip_prefix" in said
    assert "is not a prefix of ethertype IPv4" in said
    # A resource that needs a refused one is refused as well.
    line = f"refused: port chain sloppy ({named('port_chains', 'sloppy')}): it needs "
    (needs,) = [one.removeprefix(line) for one in said.splitlines() if one.startswith(line)]
    assert f"flow classifier sloppy ({sloppy})" in needs
    assert "Nothing was written" in said
    assert there.ids() == set()
    assert there.legacy_checksums() == before


def test_import_is_all_or_nothing_without_partial(cloud: Any) -> None:
    there = cloud("ovs")
    code, said = there.import_("--apply")
    assert code == 2
    assert "Nothing was written" in said
    assert there.ids() == set()
    code, said = there.import_("--apply", "--partial")
    assert code == 2
    assert "Import written." in said
    taken = there.ids()
    assert named("port_chains", "dns") in taken
    assert not taken & {named("port_chains", "sloppy"), named("flow_classifiers", "sloppy")}


def test_second_run_leaves_existing_resources_alone(cloud: Any) -> None:
    there = cloud("noop")
    before = there.legacy_checksums()
    code, said = there.import_("--apply", "--partial")
    assert "Import written." in said
    assert EVERYTHING - there.ids() == {
        named("port_chains", "sloppy"),
        named("flow_classifiers", "sloppy"),
    }
    name = "renamed since"
    with sa.create_engine(there.url).begin() as connection:
        connection.execute(sa.text(f"UPDATE portchain_port_chains SET name = '{name}'"))
    code, again = there.import_("--apply", "--partial")
    assert code == 2, again
    assert "There is nothing to import." in again
    with sa.create_engine(there.url).connect() as connection:
        assert set(connection.scalars(sa.text("SELECT name FROM portchain_port_chains"))) == {name}
    assert there.legacy_checksums() == before


def test_deleted_resources_come_back_only_with_again(cloud: Any) -> None:
    there = cloud("noop")
    there.import_("--apply", "--partial")
    taken = there.ids()
    (graph,) = (one for one in ANSWERS["service_graphs"] if one["id"] in taken)
    dns = named("port_chains", "dns")
    gone = {graph["id"], *graph["port_chains"], dns} & taken
    with sa.create_engine(there.url).begin() as connection:
        for kind in ("service_graphs", "port_chains"):
            for an_id in gone:
                connection.execute(
                    sa.text(f"DELETE FROM portchain_{kind} WHERE id = :id"), {"id": an_id}
                )
    for option in ((), ("--apply", "--partial")):
        code, said = there.import_(*option)
        assert code == 2, said
        assert there.ids() == taken - gone
    assert "There is nothing to import. Resources deleted since stay deleted" in said
    # The check counts what was never imported, and not what was deleted since.
    assert "(sfc_flow_classifiers 1, sfc_port_chains 1)" in there.checks()
    code, said = there.import_("--apply", "--partial", "--again")
    assert "Import written." in said
    assert there.ids() == taken


def test_trial_does_not_record_imported_ids(cloud: Any) -> None:
    there = cloud("noop")
    there.import_()
    there.import_("--apply")  # imports nothing, because some resources are refused
    there.import_("--apply", "--partial")
    assert named("port_chains", "dns") in there.ids()


def test_status_checks_and_import_name_the_next_step(mariadb: MariaDb, tmp_path: Path) -> None:
    """From a database that networking-sfc uses to one without its tables."""
    there = Cloud(_load(mariadb, "leaving"), tmp_path / "neutron.conf")
    there.configured(
        "ovs,nothing",
        service_plugins="flow_classifier,networking_sfc.services.sfc.plugin.SfcPlugin",
    )
    said = there.checks()
    for trouble in (
        "networking-sfc is still configured",
        "cannot load 'nothing'",
        "run neutron-db-manage",
        "(sfc_flow_classifiers 8, ",
        "portchain-import",
        "the agent extension sfc has never asked for plans on h1: it is networking-sfc's",
    ):
        assert trouble in said, trouble
    there.configured("ovs")
    code, said = there.import_()
    assert code == 1
    assert "neutron-db-manage upgrade heads" in said
    with sa.create_engine(there.url).begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version_sfc SET version_num = 'older' LIMIT 1"))
    code, said = there.import_()
    assert code == 1
    assert "--subproject networking-sfc upgrade" in said

    # As Kolla's bootstrap container does, whose list of subprojects has networking-sfc.
    manage(there.url, "--subproject", "networking-sfc", "upgrade", "head")
    there.configured("ovs", service_plugins="flow_classifier,sfc")
    with sa.create_engine(there.url).begin() as connection:
        connection.execute(sa.text("INSERT INTO portchain_hosts VALUES ('h1', 17)"))
    said = there.checks()
    assert "flow_classifier, sfc in service_plugins: networking-sfc's names for port_chain" in said
    assert "sfc has never asked" not in said
    assert "(sfc_flow_classifiers 8, " in said
    there.configured("ovs")
    with sa.create_engine(there.url).begin() as connection:
        connection.execute(sa.text("SET foreign_key_checks = 0"))
        for name in sa.inspect(connection).get_table_names():
            if name.startswith("sfc_"):
                connection.execute(sa.text(f"DROP TABLE {name}"))
        extensions = json.dumps({"extensions": ["port_chain"]})
        connection.execute(sa.text("UPDATE agents SET configurations = :e"), {"e": extensions})
    said = there.checks()
    assert "networking-sfc has no tables in this database" in said
    for trouble in ("still", "cannot load", "neutron-db-manage", "portchain-import", "lacks"):
        assert trouble not in said.partition("Port chains: packages")[2], trouble
    code, said = there.import_()
    assert code == 1
    assert "no tables of networking-sfc" in said

    with sa.create_engine(there.url).begin() as connection:
        connection.execute(sa.text("SET foreign_key_checks = 0"))
        connection.execute(
            sa.text(
                "INSERT INTO portchain_chain_hosts (chain_id, host, wanted_revision, "
                "applied_revision, error, missing, warning) VALUES (:chain, 'h1', 1, 1, '', '', :w)"
            ),
            [{"chain": chain, "w": "slow"} for chain in ("a", "b")] + [{"chain": "c", "w": ""}],
        )
    assert "host h1, 2 port chains: slow" in there.checks()

    with sa.create_engine(there.url).begin() as connection:
        connection.execute(sa.text("UPDATE agents SET configurations = '{}'"))
    assert "lacks the extension port_chain: h1" in there.checks()
    there.configured("ovs,openflow\nopenflow_hosts = h1:192.0.2.1")
    assert "lacks" not in there.checks(), "a controller programs its switch"


class _KeptDatabase(_Database):
    """Keeps all rows after the test."""

    def _delete_from_schema(self, engine: sa.Engine) -> None:
        pass


class ListsTest(OnMariaDb, ApiTestCase):
    """After the import, our API shows what networking-sfc's showed."""

    @pytest.fixture(autouse=True)
    def _import(self, cloud: Any) -> None:
        there = cloud("noop")
        there.import_("--apply", "--partial")
        self.url = there.url

    def _database_fixture(self, engine: sa.Engine) -> _Database:
        return _KeptDatabase(engine)

    def test_same_ids_and_same_attributes(self) -> None:
        left_out = {named("port_chains", "sloppy"), named("flow_classifiers", "sloppy")}
        for kind in make.KINDS:
            shown = self.list_all(kind.removesuffix("s"), roles="admin,member,reader")
            found = {one["id"]: one for one in shown}
            assert set(found) == {one["id"] for one in ANSWERS[kind]} - left_out
            for one in ANSWERS[kind]:
                if one["id"] not in left_out:
                    assert _same(one, found[one["id"]]), (one, found[one["id"]])


def _same(old: Any, new: Any) -> bool:
    """Return whether the new answer contains everything in the old one.

    A null in the old answer does not count, and its lists have no order.
    """
    if isinstance(old, dict):
        return all(value is None or _same(value, new.get(key)) for key, value in old.items())
    if isinstance(old, list):
        return sorted(old) == sorted(new)
    return bool(old == new)


def test_both_subprojects_migrate_our_tables_and_leave_the_others_alone(
    mariadb: MariaDb, tmp_path: Path
) -> None:
    """Kolla names the subproject networking-sfc, OpenStack-Ansible none, and our pages our own."""
    there = Cloud(_load(mariadb, "subprojects"), tmp_path / "neutron.conf").configured("ovs")

    def theirs() -> tuple[dict[str, int], set[str]]:
        with sa.create_engine(there.url).connect() as connection:
            versions = sa.text(f"SELECT version_num FROM {legacy.VERSION_TABLE}")
            return there.legacy_checksums(), set(connection.scalars(versions))

    before = theirs()
    manage(there.url, "--subproject", "networking-sfc", "upgrade", "--expand")
    with sa.create_engine(there.url).connect() as connection:
        assert sa.inspect(connection).has_table("portchain_port_chains")
    manage(there.url, "--subproject", "networking-sfc", "upgrade", "--contract")
    manage(there.url, "--subproject", "neutron-portchain", "has_offline_migrations")
    manage(there.url, "upgrade", "--expand")
    manage(there.url, "upgrade", "--contract")
    assert theirs() == before
    said = there.checks()
    assert "neutron-db-manage" not in said.partition("Port chains: migrations")[2]
