"""Warns if packets leave a chain where no router translates the floating address of their source.

A distributed router does that on the host of the source. Behind a function that routes, packets
meet the router on the function's host (docs/decisions/0048). Pure.
"""

from ipaddress import ip_network

from portchain.core.model import ChainSnapshot, FlowClassifier, Port
from portchain.core.rules import label_for
from portchain.dataplane.plan import Path, Target


def why_not_translated(snapshot: ChainSnapshot, path: Path) -> str:
    """Return for which source floating addresses do not hold; empty if they hold for all.

    :param path: the path of the requests.
    """
    routing = [origin.host for origin in path.origins if isinstance(origin, Target)]
    for source in path.sources:
        port = snapshot.ports[source.port_id]
        classifier = snapshot.chain.flow_classifiers[source.classifier]
        elsewhere = any(host != source.host for host in routing)
        if port.floating and elsewhere and _can_leave(snapshot, port, classifier):
            return (
                f"{label_for(snapshot.chain.project_id, port)} has a floating address of a "
                "distributed router, and the last functions that route are not on its host: to "
                "external networks its packets leave with the router's own address, and replies "
                "to connections to the floating address are lost. Use functions on that host or "
                "of kind l2, or a router that is not distributed"
            )
    return ""


def _can_leave(snapshot: ChainSnapshot, source: Port, classifier: FlowClassifier) -> bool:
    """Tell whether packets of a classifier can be for an external network."""
    if classifier.ethertype != "IPv4":  # floating addresses are
        return False
    receiver = snapshot.ports.get(classifier.logical_destination_port or "")
    if receiver is not None and not receiver.forwards:
        return False
    if classifier.destination_prefix is None:
        return True
    prefix = ip_network(classifier.destination_prefix)
    networks = (ip_network(subnet) for subnet in source.subnets)
    return not any(prefix.prefixlen >= one.prefixlen and prefix.overlaps(one) for one in networks)
