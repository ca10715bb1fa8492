"""What hosts of OVN cannot do, found out before anything is written. Pure."""

from portchain.core.model import ChainSnapshot
from portchain.core.rules import Kind, Violation, label


def check_chain(snapshot: ChainSnapshot) -> None:
    """Reject sources that have no interface on a host.

    OVN routes, and answers DHCP, on every host, without a packet that leaves br-int.

    :raises Violation: a source is the port of a router or of another service of the network.
    """
    for port_ids in snapshot.sources.values():
        for port_id in port_ids:
            port = snapshot.ports.get(port_id)
            if port is not None and port.host and port.serves_network:
                raise Violation(
                    "flow_classifiers",
                    f"the driver ovn cannot take traffic from port {label(port)}, which belongs to "
                    "a router or another service of the network; classify the traffic of the "
                    "virtual machines behind it, or use hosts of the Open vSwitch agent and the "
                    "driver ovs",
                    Kind.UNSUPPORTED,
                )
