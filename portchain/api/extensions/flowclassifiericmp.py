"""Extension ``flow-classifier-icmp``: classifiers of ICMP types and codes, in the attributes that others have for ports."""

from neutron_lib.api import extensions

from portchain.api import definitions


class Flowclassifiericmp(extensions.APIExtensionDescriptor):
    """Says that port ranges are allowed with protocol icmp, and what they mean."""

    api_definition = definitions.FLOW_CLASSIFIER_ICMP
