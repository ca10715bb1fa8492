"""Extension ``port-pair-group-sharing``: groups that other projects may put into their chains."""

from neutron_lib.api import extensions

from portchain.api import definitions


class Portpairgroupsharing(extensions.APIExtensionDescriptor):
    """Adds the read-only attribute shared to port pair groups."""

    api_definition = definitions.SHARING
