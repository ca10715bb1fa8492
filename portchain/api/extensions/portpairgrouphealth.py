"""Extension ``port-pair-group-health``."""

from portchain.api import definitions, descriptors


class Portpairgrouphealth(descriptors.Extension):
    """Adds health checks, and what follows when they fail, to port pair groups."""

    api_definition = definitions.HEALTH
