"""Ports that the tests copy are like the ones that Neutron creates."""

import itertools
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api

from tests.unit.api.base import ApiTestCase
from tests.unit.api.port_copies import METADATA


class PortCopiesTest(ApiTestCase):
    service_plugins = ("port_chain", "revisions", "timestamp", "tag")

    def sizes(self) -> dict[str, int]:
        with db_api.CONTEXT_READER.using(self.context):
            return {
                name: self.context.session.scalar(sa.select(sa.func.count()).select_from(table))
                for name, table in METADATA.tables.items()
            }

    def shown(self, port: str) -> Any:
        return self.call("GET", f"/ports/{port}").json["port"]

    def test_a_copy_is_like_a_port_of_the_api(self) -> None:
        net = self.network()
        self.copied_port(net, "vm")
        sizes = [self.sizes()]
        ids = []
        for create in (self.port, self.copied_port):
            ids.append(create(net, "other"))
            sizes.append(self.sizes())
        assert sizes[0] != sizes[1]
        by_api, by_copy = (
            {name: after[name] - before[name] for name in after}
            for before, after in itertools.pairwise(sizes)
        )
        assert by_copy == by_api

        wanted, copied = map(self.shown, ids)
        for port in (wanted, copied):
            port["fixed_ips"] = [address["subnet_id"] for address in port["fixed_ips"]]
            for unique in ("id", "mac_address", "created_at", "updated_at"):
                del port[unique]
        assert copied == wanted

        # Neutron can bind and delete a copy.
        port = ids[1]
        self.bind(port)
        assert self.call("DELETE", f"/ports/{port}").status_int == 204
        assert self.sizes() == sizes[1]
