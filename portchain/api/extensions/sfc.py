"""Extension ``sfc``: port pairs, port pair groups and port chains."""

from typing import Any

from portchain.api import definitions, resources


class Sfc(resources.Extension):
    """Serves /v2.0/sfc/{port_pairs,port_pair_groups,port_chains}."""

    api_definition = definitions.SFC

    @classmethod
    def get_resources(cls) -> list[Any]:
        """Return the resources with their controllers and quotas."""
        return resources.build(definitions.SFC)
