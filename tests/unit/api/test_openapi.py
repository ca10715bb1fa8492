"""The OpenAPI document describes what Neutron serves, and the copy in the docs is up to date."""

import json
from pathlib import Path

from neutron.api import extensions

from portchain.api import openapi
from tests.unit.api.base import ApiTestCase

SHIPPED = Path(__file__).parents[3] / "docs" / "openapi.json"


def test_the_copy_in_the_docs_is_up_to_date() -> None:
    """If it fails: ``python -m portchain.api.openapi > docs/openapi.json``."""
    assert json.loads(SHIPPED.read_text()) == openapi.document()


class OpenApiTest(ApiTestCase):
    def test_it_describes_every_resource_and_attribute_that_neutron_serves(self) -> None:
        document = openapi.document()
        served = extensions.PluginAwareExtensionManager.get_instance().get_resources()
        ours = {one.collection for one in served if one.path_prefix == "/sfc"}
        assert {f"/sfc/{name}" for name in ours} == {
            path for path in document["paths"] if "{" not in path
        }
        net = self.network()
        chains = [self.chain(net)["id"] for _ in range(2)]
        self.create("service_graph", port_chains={chains[0]: [chains[1]]})
        ends = [self.port(net, ip=address) for address in ("10.0.0.201", "10.0.0.202")]
        self.create("trace", port_id=ends[0], destination_ip_address="10.0.0.202")
        for name in ours:
            described = document["components"]["schemas"][name[:-1]]["properties"].keys()
            shown = self.list_all(name[:-1])[0].keys() - {"tenant_id"}
            assert shown <= described
            assert described - shown <= {"revision_number", "created_at", "updated_at"}
