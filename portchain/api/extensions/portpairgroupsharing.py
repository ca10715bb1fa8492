"""Extension ``port-pair-group-sharing``."""

from portchain.api import definitions, descriptors


class Portpairgroupsharing(descriptors.Extension):
    """Adds shared to port pair groups."""

    api_definition = definitions.SHARING
