"""Neutron's API in this process, on a MariaDB of its own, and what its requests cost there.

Nothing is sent to hosts.
"""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import sqlalchemy as sa
from neutron.common import config as neutron_config  # noqa: F401 - registers quotas
from neutron_lib import fixture as lib_fixture
from oslo_config import cfg
from oslo_db.sqlalchemy import enginefacade

from bench.scale.rows import Row
from tests import mariadb
from tests.unit.api.base import ApiTestCase

_UNLIMITED = (
    *("port", "network", "subnet", "flow_classifier", "port_pair", "port_pair_group"),
    *("port_chain", "service_graph"),
)
_NOT_STATEMENTS = ("SAVEPOINT", "RELEASE", "ROLLBACK")


@dataclass(frozen=True)
class Cost:
    """What one act costs.

    :param rows: rows and index entries that the database read (``Handler_read_*``), and entries
        that it only compared (``Handler_icp_attempts``).
    :param statements: SQL statements.
    :param milliseconds: processor time of this process.
    """

    rows: int
    statements: int
    milliseconds: float


def rows_of_costs(what: str, costs: Sequence[Cost]) -> list[Row]:
    """Return what an event costs as rows of figures.

    :param costs: one for each size.
    """
    return [
        Row(what, "rows read", tuple(cost.rows for cost in costs)),
        Row(what, "statements", tuple(cost.statements for cost in costs)),
        Row(what, "ms", tuple(cost.milliseconds for cost in costs)),
    ]


class _Database(lib_fixture.SqlFixture):
    """Makes Neutron use an engine, and leaves the rows: the database is thrown away."""

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__()
        self.engine = engine

    def _delete_from_schema(self, engine: sa.Engine) -> None:
        pass


class Neutron(ApiTestCase):
    """Neutron with the driver ``ovs`` and services that most deployments have."""

    drivers = ("ovs",)
    service_plugins = ("port_chain", "trunk", "revisions", "timestamp", "tag")
    extension_drivers = ("port_security",)
    enforces_quotas = True
    agent_hosts = tuple(f"h{number}" for number in range(8))
    url = ""

    def runTest(self) -> None:  # noqa: N802 - for unittest
        """Make the base class accept an object that is no test."""

    def _setup_database_fixtures(self) -> None:
        facade = enginefacade.transaction_context()
        facade.configure(connection=self.url)
        self.engine = facade.writer.get_engine()
        self.useFixture(_Database(self.engine))

    def save_database(self) -> None:
        """Save nothing: each server prepares its own database."""


class Meter:
    """Counts what acts cost."""

    def __init__(self, engine: sa.Engine) -> None:
        self.statements: list[tuple[str, Any]] = []
        sa.event.listen(engine, "before_cursor_execute", self._note)
        self._probe = sa.create_engine(engine.url, isolation_level="AUTOCOMMIT").connect()
        self._asked = 0
        self._own_rows = 0
        self._own_rows = -self.rows_read() + self.rows_read()

    def _note(self, _conn: Any, _cursor: Any, text: str, parameters: Any, *_rest: Any) -> None:
        if not text.startswith(_NOT_STATEMENTS):
            self.statements.append((text, parameters))

    def rows_read(self) -> int:
        """Return how many rows were read so far, without those for this question itself."""
        self._asked += 1
        counts = self._probe.exec_driver_sql(
            "SHOW GLOBAL STATUS WHERE Variable_name LIKE 'Handler_read%%' "
            "OR Variable_name = 'Handler_icp_attempts'"
        )
        return sum(int(count) for _, count in counts) - self._asked * self._own_rows

    def cost(self, acts: Sequence[Callable[[], Any]]) -> Cost:
        """Run similar acts one after the other and return the cost of the cheapest.

        Other work of the machine only adds to the processor time.
        """
        costs = [self._cost(act) for act in acts]
        return Cost(
            min(cost.rows for cost in costs),
            min(cost.statements for cost in costs),
            min(cost.milliseconds for cost in costs),
        )

    def _cost(self, act: Callable[[], Any]) -> Cost:
        gc.collect()
        self.statements.clear()
        rows, began = self.rows_read(), time.process_time()
        act()
        used = time.process_time() - began
        return Cost(self.rows_read() - rows, len(self.statements), used * 1000)


@contextmanager
def running() -> Iterator[Neutron]:
    """Start a database and Neutron on it; stop both at the end."""
    with mariadb.running() as server:
        Neutron.url = mariadb.migrate(server, "neutron", "utf8mb3")
        neutron = Neutron()
        neutron.setUp()
        try:
            for resource in _UNLIMITED:
                cfg.CONF.set_override(f"quota_{resource}", -1, "QUOTAS")
            cfg.CONF.set_override("default_quota", -1, "QUOTAS")
            cfg.CONF.set_override("agent_down_time", 10**6)
            neutron.plugin.drivers._drivers["ovs"]._agents = mock.Mock()
            yield neutron
        finally:
            neutron.doCleanups()
