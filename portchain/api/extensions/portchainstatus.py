"""Extension ``port-chain-status``."""

from portchain.api import definitions, descriptors


class Portchainstatus(descriptors.Extension):
    """Adds status and status_reason to port chains."""

    api_definition = definitions.PORT_CHAIN_STATUS
