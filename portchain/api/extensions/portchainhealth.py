"""Extension ``port-chain-health``."""

from portchain.api import definitions, descriptors


class Portchainhealth(descriptors.Extension):
    """Adds operating_status to port chains."""

    api_definition = definitions.CHAIN_HEALTH
