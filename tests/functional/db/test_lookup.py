"""Which chains a port affects, and a page of a list, come from indexes, on a real MariaDB.

Every change of any port in the deployment runs the first query.
"""

import itertools
from typing import Any

import pytest
import sqlalchemy as sa
from neutron_lib import context as n_context
from neutron_lib.db import api as db_api

from portchain.core import model
from portchain.db import lookup, models, port_usage
from tests.functional.db.test_api import OnMariaDb
from tests.unit.api.base import PROJECT, ApiTestCase

CHAINS = 1000


pytestmark = pytest.mark.usefixtures("migrated_url")


class PortUsageTest(OnMariaDb, ApiTestCase):
    def fill(self, connection: sa.Connection) -> None:
        """Create chains, each with one function and an open classifier on a network of its own.

        Columns that do not matter here keep whatever the database puts there.
        """
        rows = [{"id": f"{number:036}", "number": number} for number in range(CHAINS)]
        connection.exec_driver_sql("SET foreign_key_checks = 0, sql_mode = ''")
        for statement in (
            "standardattributes (id, resource_type) VALUES (:number + 300000, 'port_chains')",
            "ports (id, network_id, mac_address, standard_attr_id)"
            " VALUES (:id, :id, :id, :number + 100000)",
            "portchain_port_pairs (id, ingress, egress, standard_attr_id)"
            " VALUES (:id, :id, :id, :number + 200000)",
            "portchain_group_pairs (pair_id, group_id) VALUES (:id, :id)",
            "portchain_port_chains (id, project_id, chain_id, symmetric, standard_attr_id)"
            f" VALUES (:id, '{PROJECT}', :number, 1, :number + 300000)",
            "portchain_chain_groups (chain_id, position, group_id) VALUES (:id, 0, :id)",
            "portchain_chain_networks (chain_id, network_id) VALUES (:id, :id)",
            "portchain_open_ends (classifier_id, network_id, kind, chain_id, project_id,"
            f" address_key) VALUES (:id, :id, 'source', :id, '{PROJECT}', '4')",
            "portchain_flow_classifiers (id, ethertype, standard_attr_id)"
            " VALUES (:id, 'IPv4', :number + 400000)",
            "portchain_chain_classifiers (classifier_id, chain_id) VALUES (:id, :id)",
        ):
            connection.execute(sa.text(f"INSERT INTO {statement}"), rows)

    def lookup(self, network: str) -> tuple[set[str], int]:
        """Return the chains that a port on the network affects, and the number of rows read."""
        port = model.Port("a-port", network, PROJECT, "", fixed_ips=("10.0.0.1",))
        with db_api.CONTEXT_READER.using(self.context):
            before = self.rows_read()
            found = port_usage.chains_using_port(self.context, port)
            return found, self.rows_read() - before

    def rows_read(self) -> int:
        counts: Any = self.context.session.execute(
            sa.text("SHOW SESSION STATUS LIKE 'Handler_read%'")
        )
        return sum(int(count) for _, count in counts)

    def fill_and_analyze(self) -> None:
        with self.engine.begin() as connection:
            self.fill(connection)
            connection.exec_driver_sql("SET foreign_key_checks = 1, sql_mode = 'TRADITIONAL'")
            tables = [
                one for one in models.PortChain.metadata.tables if one.startswith("portchain_")
            ]
            connection.exec_driver_sql(f"ANALYZE TABLE ports, {', '.join(tables)}").all()

    def test_a_page_of_a_list_does_not_read_other_rows(self) -> None:
        self.fill_and_analyze()
        member = n_context.Context(user_id="user", project_id=PROJECT)
        for context in (self.context, member):
            self.context = context
            found: list[str] = []
            for marker in (None, f"{9:036}"):
                with db_api.CONTEXT_READER.using(self.context):
                    before = self.rows_read()
                    page = lookup.show_page(
                        self.context,
                        lookup.PORT_CHAIN,
                        sorts=[("id", True)],
                        limit=10,
                        marker=marker,
                    )
                    assert self.rows_read() - before < CHAINS / 2
                found += [row["id"] for row in page]
            assert found == [f"{number:036}" for number in range(20)]

    def test_a_page_in_the_order_of_names_does_not_read_other_rows(self) -> None:
        """Half of the names are equal."""
        self.fill_and_analyze()
        with self.engine.begin() as connection:
            for text in (
                "UPDATE portchain_port_chains SET name = IF(MOD(chain_id, 2), id, '')",
                "ANALYZE TABLE portchain_port_chains",
            ):
                connection.exec_driver_sql(text)
        member = n_context.Context(user_id="user", project_id=PROJECT)
        callers = (self.context, member)
        for context, by_name, marker in itertools.product(callers, (True, False), (None, 600, 601)):
            self.context = context
            after = {} if marker is None else {"marker": f"{marker:036}"}
            sorts = [("name", by_name), ("id", True)]
            with db_api.CONTEXT_READER.using(self.context):
                before = self.rows_read()
                page = lookup.show_page(
                    self.context, lookup.PORT_CHAIN, sorts=sorts, limit=10, **after
                )
                assert self.rows_read() - before < CHAINS / 2, (by_name, marker)
            assert len(page) == 10

    def test_chains_on_other_networks_are_not_read(self) -> None:
        self.fill_and_analyze()
        some = f"{CHAINS // 2:036}"
        found, reads = self.lookup(some)
        assert found == {some}
        assert reads < 30
        found, reads = self.lookup("another network")
        assert found == set()
        assert reads < 20
