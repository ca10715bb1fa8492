"""Extension ``flow_classifier``."""

from typing import Any

from neutron.api.v2 import resource_helper
from neutron_lib.api import extensions

from portchain.api import definitions
from portchain.conf import PLUGIN_TYPE


class Flowclassifier(extensions.APIExtensionDescriptor):
    """Serves /v2.0/sfc/flow_classifiers."""

    api_definition = definitions.FLOW_CLASSIFIER

    @classmethod
    def get_resources(cls) -> list[Any]:
        """Return the resource with its controller and quota."""
        resources = definitions.FLOW_CLASSIFIER.RESOURCE_ATTRIBUTE_MAP
        return resource_helper.build_resource_info(
            resource_helper.build_plural_mappings({}, resources),
            resources,
            PLUGIN_TYPE,
            register_quota=True,
            allow_bulk=True,
        )
