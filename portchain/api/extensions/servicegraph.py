"""Extension ``service_graph``: chains that take over the traffic of others."""

from typing import Any

from portchain.api import definitions, resources


class Servicegraph(resources.Extension):
    """Serves /v2.0/sfc/service_graphs."""

    api_definition = definitions.SERVICE_GRAPH

    @classmethod
    def get_resources(cls) -> list[Any]:
        """Return the resource with its controller and quota."""
        return resources.build(definitions.SERVICE_GRAPH)
