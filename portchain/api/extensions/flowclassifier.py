"""Extension ``flow_classifier``."""

from portchain.api import definitions, descriptors


class Flowclassifier(descriptors.ResourceExtension):
    """Serves /v2.0/sfc/flow_classifiers."""

    api_definition = definitions.FLOW_CLASSIFIER
