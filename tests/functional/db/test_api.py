"""The API on a real MariaDB.

MariaDB is stricter than SQLite about lengths, ranges, character sets and foreign keys.
"""

from typing import Any

import pytest
import sqlalchemy as sa
from neutron_lib import fixture as lib_fixture
from oslo_db.sqlalchemy import enginefacade

from tests.unit.api import test_drivers, test_port_chain, test_port_events, test_wrong_requests
from tests.unit.api.base import ApiTestCase
from tests.unit.db import test_realisation


class _Database(lib_fixture.SqlFixture):
    """Makes Neutron use an engine, and empties all tables after the test."""

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__()
        self.engine = engine

    def _delete_from_schema(self, engine: sa.Engine) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("SET foreign_key_checks=0")
            for name in sa.inspect(engine).get_table_names():
                if not name.startswith("alembic"):
                    connection.exec_driver_sql(f"DELETE FROM `{name}`")
            connection.exec_driver_sql("SET foreign_key_checks=1")


class OnMariaDb:
    """Mix-in for test cases: use MariaDB as the database."""

    url: str
    engine: Any

    def _setup_database_fixtures(self) -> None:
        facade = enginefacade.transaction_context()
        facade.configure(connection=self.url)
        self.engine = facade.writer.get_engine()
        # Otherwise its connections stay open until Python collects garbage.
        self.addCleanup(self.engine.dispose)  # type: ignore[attr-defined]
        self.useFixture(self._database_fixture(self.engine))  # type: ignore[attr-defined]

    def _database_fixture(self, engine: sa.Engine) -> "_Database":
        """Return the fixture that cleans up the database after the test."""
        return _Database(engine)


@pytest.fixture(autouse=True, scope="class")
def _url(request: pytest.FixtureRequest, narrow: str) -> None:
    if issubclass(request.cls, OnMariaDb):
        request.cls.url = narrow


class PortChainOnMariaDbTest(OnMariaDb, test_port_chain.PortChainTest):
    """The same requests and answers as on SQLite."""


class PortEventsOnMariaDbTest(OnMariaDb, test_port_events.PortEventsTest):
    """The same events and snapshots as on SQLite."""


class RealisationOnMariaDbTest(OnMariaDb, test_realisation.RealisationTest):
    """The same status after the same reports as on SQLite."""


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
