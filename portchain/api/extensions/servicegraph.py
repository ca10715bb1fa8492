"""Extension ``service_graph``: chains that take over the traffic of others."""

from typing import Any

from neutron.api.v2 import resource_helper
from neutron_lib.api import extensions

from portchain.api import definitions
from portchain.conf import PLUGIN_TYPE


class Servicegraph(extensions.APIExtensionDescriptor):
    """Serves /v2.0/sfc/service_graphs."""

    api_definition = definitions.SERVICE_GRAPH

    @classmethod
    def get_resources(cls) -> list[Any]:
        """Return the resource with its controller and quota."""
        resources = definitions.SERVICE_GRAPH.RESOURCE_ATTRIBUTE_MAP
        return resource_helper.build_resource_info(
            resource_helper.build_plural_mappings({}, resources),
            resources,
            PLUGIN_TYPE,
            register_quota=True,
            allow_bulk=True,
        )
