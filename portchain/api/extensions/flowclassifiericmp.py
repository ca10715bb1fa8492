"""Extension ``flow-classifier-icmp``."""

from portchain.api import definitions, descriptors


class Flowclassifiericmp(descriptors.Extension):
    """Announces that flow classifiers match ICMP types and codes."""

    api_definition = definitions.FLOW_CLASSIFIER_ICMP
