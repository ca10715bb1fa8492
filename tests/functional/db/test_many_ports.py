"""What the database reads for each of the many ports of a chain, on a real MariaDB.

A chain without logical source port is planned from all ports of its network.
"""

from typing import Any

import pytest
import sqlalchemy as sa
from neutron_lib.db import api as db_api

from portchain.db import hosts, models
from portchain.db.ports import load_ports_by_id
from tests.functional.db.test_api import OnMariaDb
from tests.unit.api.base import PROJECT, ApiTestCase

PORTS = 1200
"""MariaDB answers queries with lists of 1,000 values in another way than those with fewer."""

pytestmark = pytest.mark.usefixtures("migrated_url")


class ManyPortsTest(OnMariaDb, ApiTestCase):
    def fill(self) -> list[str]:
        """Create bound ports on one network; return their ids."""
        rows = [{"id": f"{number:036}", "number": number} for number in range(PORTS)]
        with self.engine.begin() as connection:
            connection.exec_driver_sql("SET foreign_key_checks = 0, sql_mode = ''")
            for one in (
                "networks (id, mtu, standard_attr_id) VALUES ('net', 1450, 1)",
                "subnets (id, network_id, cidr, standard_attr_id)"
                " VALUES ('four', 'net', '10.0.0.0/8', 2), ('six', 'net', '2001:db8::/64', 3)",
                "networksegments (id, network_id, network_type, segmentation_id, standard_attr_id)"
                " VALUES ('segment', 'net', 'vxlan', 7, 4)",
            ):
                connection.exec_driver_sql(f"INSERT INTO {one}")
            for one in (
                "ports (id, network_id, project_id, mac_address, status, standard_attr_id)"
                f" VALUES (:id, 'net', '{PROJECT}', :number, 'ACTIVE', :number + 100000)",
                "ipallocations (port_id, ip_address, subnet_id, network_id)"
                " VALUES (:id, concat('10.0.', :number DIV 250, '.', :number MOD 250 + 1),"
                " 'four', 'net')",
                "ml2_port_bindings (port_id, host, vif_type, status)"
                " VALUES (:id, concat('h', :number), 'ovs', 'ACTIVE')",
                "ml2_port_binding_levels (port_id, host, level, driver, segment_id)"
                " VALUES (:id, concat('h', :number), 0, 'openvswitch', 'segment')",
                "portsecuritybindings (port_id, port_security_enabled) VALUES (:id, 1)",
                "portchain_hosts (host, minor_version) VALUES (concat('h', :number), 15)",
            ):
                connection.execute(sa.text(f"INSERT INTO {one}"), rows)
            connection.exec_driver_sql("SET foreign_key_checks = 1, sql_mode = 'TRADITIONAL'")
            tables = "ports, networks, subnets, ipallocations, ml2_port_bindings, networksegments"
            more = f"ml2_port_binding_levels, portsecuritybindings, {models.Host.__tablename__}"
            connection.exec_driver_sql(f"ANALYZE TABLE {tables}, {more}").all()
        return [row["id"] for row in rows]

    def rows_read(self) -> int:
        counts: Any = self.context.session.execute(
            sa.text("SHOW SESSION STATUS LIKE 'Handler_read%'")
        )
        return sum(int(count) for _, count in counts)

    def test_a_port_costs_a_few_rows_and_its_subnets_none(self) -> None:
        ids = self.fill()
        with db_api.CONTEXT_READER.using(self.context):
            before = self.rows_read()
            ports = load_ports_by_id(self.context.session, [*ids, "gone"])
            read = self.rows_read() - before
        assert ports.keys() == set(ids)
        port = ports[ids[999]]
        assert (port.fixed_ips, port.subnets) == (("10.0.3.250",), ("10.0.0.0/8",))
        assert port.network_subnets == ("10.0.0.0/8", "2001:db8::/64")
        assert (port.host, port.mtu, port.segment and port.segment.segmentation_id) == (
            "h999",
            1450,
            7,
        )
        assert read / PORTS < 12

    def test_a_host_costs_one_row(self) -> None:
        self.fill()
        names = [f"h{number}" for number in range(PORTS)]
        with db_api.CONTEXT_READER.using(self.context):
            before = self.rows_read()
            assert len(hosts.read_facts(self.context, names)) == PORTS
            assert self.rows_read() - before < 2.1 * PORTS
