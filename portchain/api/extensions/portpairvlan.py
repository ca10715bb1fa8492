"""Extension ``port-pair-vlan``."""

from portchain.api import definitions, descriptors


class Portpairvlan(descriptors.Extension):
    """Announces that port pairs accept the correlation vlan."""

    api_definition = definitions.PORT_PAIR_VLAN
