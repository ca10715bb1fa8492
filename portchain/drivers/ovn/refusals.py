"""What hosts of OVN cannot do, found out before anything is written. Pure."""

from collections.abc import Iterator

from portchain.core.model import ChainSnapshot, Port, PortRole
from portchain.core.rules import Kind, Violation, label_for


def check_chain(snapshot: ChainSnapshot) -> None:
    """Reject packets, replies and functions of ports without an interface of their own on a host.

    OVN routes, and answers DHCP, on every host, without a packet that leaves br-int. So Neutron
    does not say on which host such a port is, either. Subports of trunks use the interface of their
    parent port.

    :raises Violation: packets or replies come from the port of a router or of another service of
        the network, or from a subport; or a function has a subport.
    """
    chain = snapshot.chain
    for what, classifier, port in _senders(snapshot):
        where = label_for(chain.project_id, port)
        if port.serves_network:
            where += " of a router or another service of the network"
        elif port.role is PortRole.SUBPORT:
            where += ", which is a subport of a trunk"
        else:
            continue
        raise Violation(
            "flow_classifiers",
            f"{what} of {classifier} come from {where}, and the driver ovn cannot take those. "
            "Classify what virtual machines send from own ports and, in a symmetric chain, "
            "a destination_ip_prefix in the router's own subnet; or use hosts of the Open vSwitch "
            "agent and the driver ovs",
            Kind.UNSUPPORTED,
        )
    for port_id in sorted(chain.function_ports & snapshot.ports.keys()):
        if (port := snapshot.ports[port_id]).role is PortRole.SUBPORT:
            raise Violation(
                "port_pair_groups",
                f"{label_for(chain.project_id, port)} is a subport of a trunk, and the driver ovn "
                "cannot send packets to those. Give the function ports of its own, or use hosts of "
                "the Open vSwitch agent and the driver ovs",
                Kind.UNSUPPORTED,
            )


def _senders(snapshot: ChainSnapshot) -> Iterator[tuple[str, str, Port]]:
    """Yield the ports that send packets or replies of a chain: which, of which classifier."""
    chain = snapshot.chain
    replying = snapshot.destinations if chain.symmetric else {}
    for what, ends in (("packets", snapshot.sources), ("replies", replying)):
        for classifier in chain.flow_classifiers:
            for port_id in ends.get(classifier.id, ()):
                if port := snapshot.ports.get(port_id):
                    yield what, label_for(chain.project_id, classifier), port
