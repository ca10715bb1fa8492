"""Extension ``port-pair-vlan``: service functions that chains are told apart for by a VLAN tag."""

from neutron_lib.api import extensions

from portchain.api import definitions


class Portpairvlan(extensions.APIExtensionDescriptor):
    """Says that vlan is a correlation of port pairs."""

    api_definition = definitions.PORT_PAIR_VLAN
