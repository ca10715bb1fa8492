"""Extension ``flow_classifier``."""

from typing import Any

from portchain.api import definitions, resources


class Flowclassifier(resources.Extension):
    """Serves /v2.0/sfc/flow_classifiers."""

    api_definition = definitions.FLOW_CLASSIFIER

    @classmethod
    def get_resources(cls) -> list[Any]:
        """Return the resource with its controller and quota."""
        return resources.build(definitions.FLOW_CLASSIFIER)
