"""Extension ``port-pair-health``."""

from portchain.api import definitions, descriptors


class Portpairhealth(descriptors.Extension):
    """Adds admin_state_up, backup and operating_status to port pairs."""

    api_definition = definitions.PAIR_HEALTH
