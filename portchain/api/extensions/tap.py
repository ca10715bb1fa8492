"""Extension ``networking-sfc-tap``."""

from portchain.api import definitions, descriptors


class Tap(descriptors.Extension):
    """Adds tap_enabled to port pair groups."""

    api_definition = definitions.TAP
