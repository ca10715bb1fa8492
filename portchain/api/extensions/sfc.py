"""Extension ``sfc``."""

from portchain.api import definitions, descriptors


class Sfc(descriptors.ResourceExtension):
    """Serves /v2.0/sfc/port_pairs, port_pair_groups and port_chains."""

    api_definition = definitions.SFC
