"""The OpenAPI document in the docs is the one that the attribute maps give."""

import json
from pathlib import Path

from neutron.api import extensions

from portchain.api import openapi
from tests.unit.api.base import ApiTestCase

SHIPPED = Path(__file__).parents[3] / "docs" / "openapi.json"


def test_the_docs_have_it_as_it_is() -> None:
    """`python -m portchain.api.openapi > docs/openapi.json` after a change of the maps."""
    assert json.loads(SHIPPED.read_text()) == openapi.document()


class OpenApiTest(ApiTestCase):
    def test_every_resource_and_attribute_that_neutron_serves_is_in_it(self) -> None:
        document = openapi.document()
        served = extensions.PluginAwareExtensionManager.get_instance().get_resources()
        ours = {one.collection for one in served if one.path_prefix == "/sfc"}
        assert {f"/sfc/{name}" for name in ours} == {
            path for path in document["paths"] if "{" not in path
        }
        net = self.network()
        chains = [self.chain(net)["id"] for _ in range(2)]
        self.create("service_graph", port_chains={chains[0]: [chains[1]]})
        for name in ours:
            described = document["components"]["schemas"][name[:-1]]["properties"].keys()
            shown = self.list_all(name[:-1])[0].keys() - {"tenant_id"}
            assert shown <= described
            assert described - shown <= {"revision_number", "created_at", "updated_at"}
