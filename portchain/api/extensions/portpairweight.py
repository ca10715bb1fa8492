"""Extension ``port-pair-weight``."""

from portchain.api import definitions, descriptors


class Portpairweight(descriptors.Extension):
    """Announces that the weight of port pairs can be changed."""

    api_definition = definitions.PORT_PAIR_WEIGHT
