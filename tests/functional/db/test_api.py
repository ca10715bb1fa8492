"""The API on a real MariaDB.

MariaDB is stricter than SQLite about lengths, ranges, character sets and foreign keys.
"""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from neutron_lib import fixture as lib_fixture
from oslo_db.sqlalchemy import enginefacade

from tests.unit.api import test_drivers, test_port_chain, test_port_events, test_wrong_requests
from tests.unit.api.base import ApiTestCase
from tests.unit.db import test_realisation


# One engine for all tests, because SQLAlchemy keeps compiled statements for each engine. Compiling
# them takes more time than MariaDB needs to run them.
@functools.cache
def _context_of(url: str) -> Any:
    """Return the transaction context with the engine of a database."""
    context = enginefacade.transaction_context()
    context.configure(connection=url)
    return context


@functools.cache
def _columns(engine: sa.Engine) -> dict[str, list[str]]:
    """Return the columns that can be written, for each table that tests write."""
    columns: dict[str, list[str]] = {}
    with engine.connect() as connection:
        for table, column in connection.exec_driver_sql(
            "SELECT table_name, column_name FROM information_schema.columns "
            "JOIN information_schema.tables USING (table_schema, table_name) "
            "WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' "
            "AND is_generated = 'NEVER' ORDER BY ordinal_position"
        ):
            if not table.startswith("alembic"):
                columns.setdefault(table, []).append(f"`{column}`")
    return columns


def _filled(connection: sa.Connection) -> list[str]:
    """Return the tables that have rows: few of some hundred."""
    statement = " UNION ALL ".join(
        f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM `{table}`)"
        for table in _columns(connection.engine)
    )
    return list(connection.exec_driver_sql(statement).scalars())


@contextlib.contextmanager
def _emptied(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Empty all tables, and connect without checks of foreign keys."""
    with engine.begin() as connection:
        connection.exec_driver_sql("SET foreign_key_checks=0")
        for name in _filled(connection):
            connection.exec_driver_sql(f"DELETE FROM `{name}`")
        yield connection
        connection.exec_driver_sql("SET foreign_key_checks=1")


class _Database(lib_fixture.SqlFixture):
    """Makes Neutron use an engine, and empties all tables after the test."""

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__()
        self.engine = engine

    def _delete_from_schema(self, engine: sa.Engine) -> None:
        with _emptied(engine):
            pass


class OnMariaDb:
    """Mix-in for test cases: use MariaDB as the database."""

    url: str
    engine: Any
    enforces_quotas = True

    def _setup_database_fixtures(self) -> None:
        self.engine = _context_of(self.url).writer.get_engine()
        self.useFixture(self._database_fixture(self.engine))  # type: ignore[attr-defined]

    def _database_fixture(self, engine: sa.Engine) -> "_Database":
        """Return the fixture that cleans up the database after the test."""
        return _Database(engine)

    def save_database(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all rows, for each table that has some."""
        columns = _columns(self.engine)
        with self.engine.connect() as connection:
            return {
                table: [
                    tuple(row)
                    for row in connection.exec_driver_sql(
                        f"SELECT {', '.join(columns[table])} FROM `{table}`"
                    )
                ]
                for table in _filled(connection)
            }

    def restore_database(self, saved: dict[str, list[tuple[Any, ...]]]) -> None:
        """Write the rows that were saved, instead of those that are there."""
        columns = _columns(self.engine)
        with _emptied(self.engine) as connection:
            for table, rows in saved.items():
                names = columns[table]
                connection.exec_driver_sql(
                    f"INSERT INTO `{table}` ({', '.join(names)}) "
                    f"VALUES ({', '.join(['%s'] * len(names))})",
                    rows,
                )


@pytest.fixture(autouse=True, scope="class")
def _url(request: pytest.FixtureRequest, narrow: str) -> None:
    if issubclass(request.cls, OnMariaDb):
        request.cls.url = narrow


class PortChainOnMariaDbTest(OnMariaDb, test_port_chain.PortChainTest):
    """The same requests and answers as on SQLite."""


@pytest.mark.only_in_full  # what labs also do, on MariaDB
class PortEventsOnMariaDbTest(OnMariaDb, test_port_events.PortEventsTest):
    """The same events and snapshots as on SQLite."""


class RealisationOnMariaDbTest(OnMariaDb, test_realisation.RealisationTest):
    """The same status after the same reports as on SQLite."""


@pytest.mark.only_in_full
class FailingOnMariaDbTest(OnMariaDb, test_drivers.FailingTest):
    """The same repair as on SQLite."""


class WrongRequestOnMariaDbTest(OnMariaDb, test_wrong_requests.WrongRequestTest):
    """The same refusals as on SQLite."""


class TextTest(OnMariaDb, ApiTestCase):
    def test_text_is_stored_or_refused_but_never_a_server_error(self) -> None:
        group = self.create("port_pair_group")["id"]
        for attribute in ("name", "description"):
            for text in ("naïve", "鎖", "x" * 255, "鎖" * 255):
                shown = self.update("port_pair_group", group, **{attribute: text})
                assert shown[attribute] == text
            before = self.rows()
            for text in ("\N{GRINNING FACE}", "x" * 256):
                wrong = {attribute: text}
                for error in (
                    self.create("port_pair_group", expect=400, **wrong),
                    self.update("port_pair_group", group, expect=400, **wrong),
                ):
                    assert attribute in error["message"]
                assert self.rows() == before
