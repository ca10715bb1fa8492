"""Extension ``port-chain-status``: whether a chain carries traffic, and why not."""

from neutron_lib.api import extensions

from portchain.api import definitions


class Portchainstatus(extensions.APIExtensionDescriptor):
    """Adds the read-only attributes status and status_reason to port chains."""

    api_definition = definitions.PORT_CHAIN_STATUS
