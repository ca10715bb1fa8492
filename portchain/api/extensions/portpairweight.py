"""Extension ``port-pair-weight``: the weight of a port pair can be changed."""

from neutron_lib.api import extensions

from portchain.api import definitions


class Portpairweight(extensions.APIExtensionDescriptor):
    """Says that an update may have ``service_function_parameters``."""

    api_definition = definitions.PORT_PAIR_WEIGHT
