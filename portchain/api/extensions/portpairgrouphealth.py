"""Extension ``port-pair-group-health``."""

from portchain.api import definitions, descriptors


class Portpairgrouphealth(descriptors.Extension):
    """Adds health_check and failure_mode to port pair groups."""

    api_definition = definitions.HEALTH
