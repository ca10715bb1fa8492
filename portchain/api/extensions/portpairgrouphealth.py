"""Extension ``port-pair-group-health``: how functions are found to fail, and what happens when all do."""

from neutron_lib.api import extensions

from portchain.api import definitions


class Portpairgrouphealth(extensions.APIExtensionDescriptor):
    """Adds the attributes health_check and failure_mode to port pair groups."""

    api_definition = definitions.HEALTH
