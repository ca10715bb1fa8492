"""Extension ``port-chain-stats``."""

from portchain.api import definitions, descriptors


class Portchainstats(descriptors.Extension):
    """Shows what hosts have counted of port chains."""

    api_definition = definitions.PORT_CHAIN_STATS
