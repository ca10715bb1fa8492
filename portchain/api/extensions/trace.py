"""Extension ``sfc-trace``."""

from portchain.api import definitions, descriptors


class Trace(descriptors.ResourceExtension):
    """Serves /v2.0/sfc/traces."""

    api_definition = definitions.TRACE
