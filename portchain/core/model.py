"""The vocabulary of port chains as plain, immutable values.

Nothing here knows of OpenStack's libraries: rules, plans and flow tables are computed from these values alone. Identifiers
are UUID strings in Neutron's notation; an empty string means "none" only where a field says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

PortRange = tuple[int, int]
"""First and last transport port, both included."""


class ChainStatus(StrEnum):
    """What the owner of a chain sees of its realisation.

    ``BUILD``: a host involved has yet to confirm. ``ACTIVE``: every host confirmed. ``DOWN``: the chain cannot carry traffic
    because ports are not bound. ``ERROR``: a driver or a host failed; the reason says how.
    """

    BUILD = "BUILD"
    ACTIVE = "ACTIVE"
    DOWN = "DOWN"
    ERROR = "ERROR"


class FunctionKind(StrEnum):
    """How a service function hands on a packet.

    ``l3``: it routes; it gets the packet at its own MAC address and resolves the next one itself. ``l2``: it is a bump in the
    wire; it gets the frame as the source sent it and hands on the same frame.
    """

    L3 = "l3"
    L2 = "l2"


class Encapsulation(StrEnum):
    """The chain headers that service functions can understand (RFC 7665: SFC encapsulation)."""

    MPLS = "mpls"
    NSH = "nsh"


VLAN = "vlan"
"""Correlation of a function that sees no chain header, but returns each frame with its VLAN tag."""


class HealthCheck(StrEnum):
    """How it is found out that a service function forwards.

    ``none``: it is not; a function whose ports are plugged in counts as forwarding. ``icmp``: probes are sent into it at its
    ingress, and awaited at its egress.
    """

    NONE = "none"
    ICMP = "icmp"


class FailureMode(StrEnum):
    """What becomes of packets while no function of a group can take them.

    ``closed``: they are dropped. ``open``: they go on as if the group were not there.
    """

    CLOSED = "closed"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Segment:
    """What carries a network between hosts, in Neutron's terms.

    :param network_type: ``vxlan``, ``vlan``, ``flat``, ...
    :param physical_network: None for tunnels. ``segmentation_id``: None for flat networks.
    """

    network_type: str
    physical_network: str | None = None
    segmentation_id: int | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """A Neutron port, as far as steering needs it.

    :param host: the compute host it is bound to; empty when it is not bound (no host, or binding failed).
    :param plugged: false while Neutron reports the port DOWN, i.e. no virtual interface is there to send to.
    :param segment: the port is bound to; None while it is not bound.
    :param mtu: of the port's network, in bytes; 0 if it is not known.
    :param mechanism: Neutron's mechanism driver that bound the port, such as ``openvswitch``; empty if it is not known.
    """

    id: str
    network_id: str
    project_id: str
    mac_address: str
    fixed_ips: tuple[str, ...] = ()
    host: str = ""
    plugged: bool = False
    device_id: str = ""
    name: str = ""
    segment: Segment | None = None
    mtu: int = 0
    mechanism: str = ""


@dataclass(frozen=True, slots=True)
class FlowClassifier:
    """Which packets enter a chain (RFC 7665, 4.4: service classification).

    :param protocol: IP protocol number, None for any.
    :param source_ports: source transport ports, None for any; ``destination_ports`` likewise. With ICMP they are its type and
        its code.
    :param source_prefix: CIDR, None for any; ``destination_prefix`` likewise.
    :param logical_source_port: the Neutron port whose traffic is classified; None: every port of the owner's
        on the networks of the chain's functions that has an address in ``source_prefix``.
    :param logical_destination_port: limits the destination to this Neutron port's addresses.
    :param l7_parameters: as given by the user; not interpreted here.
    """

    id: str
    project_id: str
    name: str = ""
    ethertype: str = "IPv4"
    protocol: int | None = None
    source_ports: PortRange | None = None
    destination_ports: PortRange | None = None
    source_prefix: str | None = None
    destination_prefix: str | None = None
    logical_source_port: str | None = None
    logical_destination_port: str | None = None
    l7_parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PortPair:
    """One instance of a service function: what goes in at ``ingress`` comes out at ``egress`` (Neutron port ids).

    :param correlation: None for a function that knows nothing of chains, else ``mpls``, ``nsh`` or ``vlan``.
    :param weight: share of new flows relative to the other pairs of its group; 0 takes none.
    :param kind: how the function hands on packets.
    """

    id: str
    project_id: str
    ingress: str
    egress: str
    name: str = ""
    correlation: str | None = None
    weight: int = 1
    kind: FunctionKind = FunctionKind.L3


@dataclass(frozen=True, slots=True)
class PortPairGroup:
    """Interchangeable instances of one service function: each flow visits one of them.

    :param group_id: small integer, unique in the deployment.
    :param lb_fields: packet fields that decide which pair a flow visits; empty for the whole 5-tuple.
    :param ingress_n_tuple: header rewriting of the function, as stated by the user; ``egress_n_tuple`` likewise.
    :param tap_enabled: the function is a passive observer: it gets a copy of each packet, and hands none on.
    :param health_check: how it is found out which pairs forward. ``failure_mode``: what happens while none does.
    """

    id: str
    project_id: str
    group_id: int
    port_pairs: tuple[PortPair, ...] = ()
    name: str = ""
    lb_fields: tuple[str, ...] = ()
    ingress_n_tuple: Mapping[str, object] = field(default_factory=dict)
    egress_n_tuple: Mapping[str, object] = field(default_factory=dict)
    tap_enabled: bool = False
    health_check: HealthCheck = HealthCheck.NONE
    failure_mode: FailureMode = FailureMode.CLOSED

    @property
    def port_ids(self) -> frozenset[str]:
        """The Neutron ports of the group's functions."""
        return frozenset(port for pair in self.port_pairs for port in (pair.ingress, pair.egress))


@dataclass(frozen=True, slots=True)
class PortChain:
    """An ordered path through port pair groups for the traffic of its classifiers (RFC 7665: a service function chain).

    :param chain_id: the service path identifier, 1..65535, unique in the deployment.
    :param revision: grows by one with every change that could alter the chain's realisation.
    :param generation: grows by one with every change of which groups it leads through, or in which order.
    """

    id: str
    project_id: str
    chain_id: int
    port_pair_groups: tuple[PortPairGroup, ...]
    flow_classifiers: tuple[FlowClassifier, ...] = ()
    name: str = ""
    correlation: str = "mpls"
    symmetric: bool = False
    revision: int = 0
    generation: int = 0

    @property
    def port_ids(self) -> frozenset[str]:
        """Every Neutron port the chain names: function ports and logical source and destination ports."""
        sources = {classifier.logical_source_port for classifier in self.flow_classifiers}
        ends = {port for port in sources if port is not None} | self.logical_destinations
        return self.function_ports | ends

    @property
    def function_ports(self) -> frozenset[str]:
        """The Neutron ports of all functions."""
        return frozenset(port for group in self.port_pair_groups for port in group.port_ids)

    @property
    def lacks_functions(self) -> bool:
        """Whether a group is empty."""
        return not all(group.port_pairs for group in self.port_pair_groups)

    @property
    def last_group(self) -> PortPairGroup | None:
        """The group from which packets leave the chain: taps hand nothing on. None if there are but taps."""
        handing_on = (group for group in reversed(self.port_pair_groups) if not group.tap_enabled)
        return next(handing_on, None)

    @property
    def logical_destinations(self) -> frozenset[str]:
        """The Neutron ports that classifiers name as destinations."""
        ports = {classifier.logical_destination_port for classifier in self.flow_classifiers}
        return frozenset(port for port in ports if port is not None)


@dataclass(frozen=True, slots=True)
class ServiceGraph:
    """Chains linked to each other: what leaves one is classified again, for those that follow it (RFC 7665, 4.8).

    :param branches: source chain -> the chains of which one may take what has passed through it (ids).
    """

    id: str
    project_id: str
    branches: Mapping[str, tuple[str, ...]]
    name: str = ""

    @property
    def chain_ids(self) -> frozenset[str]:
        """Every chain of the graph."""
        return frozenset(self.branches) | {one for many in self.branches.values() for one in many}


@dataclass(frozen=True, slots=True)
class HostReport:
    """What a host made of a chain.

    :param revision: of the chain, as the host was told of it.
    :param error: why the host cannot do its part; empty if it can.
    :param missing: what the host waits for to complete its part, e.g. a port to be plugged in; empty if nothing.
    :param prepared: the host takes what others send by this revision, but sends by an earlier one still: it waits until
        all are prepared.
    """

    chain_id: str
    revision: int
    error: str = ""
    missing: str = ""
    prepared: bool = False


@dataclass(frozen=True, slots=True)
class ChainSnapshot:
    """A chain with all that was true of its ports at one moment: the input of every driver.

    :param ports: port id -> port, for the chain's function ports, logical ports and classified sources; a port
        that no longer exists is absent. Of the chains before it, the ports of their last groups; of those after it, the
        logical destination ports.
    :param sources: classifier id -> ids of the ports whose traffic it classifies; none if there are predecessors.
    :param destinations: classifier id -> ids of the ports whose replies it classifies, for symmetric chains.
    :param predecessors: chains of the service graph whose traffic this chain takes when it leaves them, by its own
        classifiers but for their logical source ports. A chain with predecessors takes no other traffic.
    :param successors: chains of the service graph that take this chain's traffic when it leaves it. At most one of them
        matches a packet; one that none matches goes to its destination.
    """

    chain: PortChain
    ports: Mapping[str, Port]
    sources: Mapping[str, tuple[str, ...]]
    destinations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    predecessors: tuple[PortChain, ...] = ()
    successors: tuple[PortChain, ...] = ()
