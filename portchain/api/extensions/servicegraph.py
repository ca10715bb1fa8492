"""Extension ``service_graph``."""

from portchain.api import definitions, descriptors


class Servicegraph(descriptors.ResourceExtension):
    """Serves /v2.0/sfc/service_graphs."""

    api_definition = definitions.SERVICE_GRAPH
