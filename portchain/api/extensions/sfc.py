"""Extension ``sfc``: port pairs, port pair groups and port chains."""

from typing import Any

from neutron.api.v2 import resource_helper
from neutron_lib.api import extensions

from portchain.api import definitions
from portchain.conf import PLUGIN_TYPE


class Sfc(extensions.APIExtensionDescriptor):
    """Serves /v2.0/sfc/{port_pairs,port_pair_groups,port_chains}."""

    api_definition = definitions.SFC

    @classmethod
    def get_resources(cls) -> list[Any]:
        """Return the resources with their controllers and quotas."""
        resources = definitions.SFC.RESOURCE_ATTRIBUTE_MAP
        return resource_helper.build_resource_info(
            resource_helper.build_plural_mappings({}, resources),
            resources,
            PLUGIN_TYPE,
            register_quota=True,
            allow_bulk=True,
        )
