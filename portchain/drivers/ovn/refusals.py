"""What hosts of OVN cannot do, found out before anything is written. Pure."""

from collections.abc import Iterable

from portchain.core.model import ChainSnapshot, Port, PortRole
from portchain.core.rules import Kind, Violation, label, label_for


def check_chain(snapshot: ChainSnapshot) -> None:
    """Reject ports that have no interface of their own on a host.

    OVN routes, and answers DHCP, on every host, without a packet that leaves br-int. Subports of
    trunks use the interface of their parent port.

    :raises Violation: a source is the port of a router or of another service of the network, or a
        source or a function is a subport.
    """
    sources = {port_id for port_ids in snapshot.sources.values() for port_id in port_ids}
    for port in _ports(snapshot, sources):
        if port.host and port.serves_network:
            raise Violation(
                "flow_classifiers",
                f"the driver ovn cannot take traffic from port {label(port)}, which belongs to "
                "a router or another service of the network; classify the traffic of the "
                "virtual machines behind it, or use hosts of the Open vSwitch agent and the "
                "driver ovs",
                Kind.UNSUPPORTED,
            )
    chain = snapshot.chain
    for attribute, port_ids in (
        ("flow_classifiers", sources),
        ("port_pair_groups", chain.function_ports),
    ):
        for port in _ports(snapshot, port_ids):
            if port.role is PortRole.SUBPORT:
                raise Violation(
                    attribute,
                    f"the driver ovn cannot steer packets of {label_for(chain.project_id, port)}, "
                    "which is a subport of a trunk; use a port with an interface of its own, or "
                    "hosts of the Open vSwitch agent and the driver ovs",
                    Kind.UNSUPPORTED,
                )


def _ports(snapshot: ChainSnapshot, port_ids: Iterable[str]) -> list[Port]:
    return [snapshot.ports[one] for one in sorted(port_ids) if one in snapshot.ports]
