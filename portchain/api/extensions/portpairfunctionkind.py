"""Extension ``port-pair-function-kind``: whether a function routes or bridges."""

from neutron_lib.api import extensions

from portchain.api import definitions


class Portpairfunctionkind(extensions.APIExtensionDescriptor):
    """Adds the attribute function_kind to port pairs."""

    api_definition = definitions.PORT_PAIR_FUNCTION_KIND
