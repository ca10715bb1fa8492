"""Extension ``port-pair-function-kind``."""

from portchain.api import definitions, descriptors


class Portpairfunctionkind(descriptors.Extension):
    """Adds function_kind to port pairs."""

    api_definition = definitions.PORT_PAIR_FUNCTION_KIND
