"""Extension ``networking-sfc-tap``: port pair groups that only observe."""

from neutron_lib.api import extensions

from portchain.api import definitions


class Tap(extensions.APIExtensionDescriptor):
    """Adds the attribute tap_enabled to port pair groups."""

    api_definition = definitions.TAP
