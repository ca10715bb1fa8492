"""The model of port chains: plain, immutable values.

Rules, plans and flow tables are computed from these values alone, without OpenStack's libraries.
Identifiers are UUID strings in Neutron's notation. An empty string means "none" only where a field
says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_network

PortRange = tuple[int, int]
"""First and last transport port, both included; 0..65535."""


class ChainStatus(StrEnum):
    """How far a chain is realised, as the API shows it.

    ``BUILD``: a host has not confirmed yet. ``ACTIVE``: all hosts have confirmed. ``DOWN``: the
    chain cannot forward traffic, because no pair of a group or no source port is available.
    ``ERROR``: a driver or a host failed; ``status_reason`` says why.
    """

    BUILD = "BUILD"
    ACTIVE = "ACTIVE"
    DOWN = "DOWN"
    ERROR = "ERROR"


class TracePhase(StrEnum):
    """How far a trace is: it asks hosts, it is complete, or it could not be completed."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class FunctionKind(StrEnum):
    """How a service function forwards packets; see ``function_kinds`` for what follows from it.

    ``l3``: it routes. It gets packets at its own MAC address, and resolves the next hop itself.
    ``l2``: it is a bump in the wire. It gets frames as the source sent them, and returns them
    unchanged.
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
    """How a host finds out whether a service function forwards packets.

    ``none``: it does not; a function forwards if its ports are plugged in. ``icmp``: it sends
    echo requests into the ingress port, and expects them at the egress port. ``l2``: the same with
    frames of continuity checks (IEEE 802.1Q, clause 18), for functions that bridge. ``ping``: it
    asks the ingress port for its address, and does not see whether the function forwards.
    """

    NONE = "none"
    ICMP = "icmp"
    L2 = "l2"
    PING = "ping"


class OnFailure(StrEnum):
    """What happens to the traffic flows of a pair that fails its health check.

    ``rebalance``: they move to other pairs. ``keep``: they stay, and only new flows go elsewhere.
    """

    REBALANCE = "rebalance"
    KEEP = "keep"


class OperatingStatus(StrEnum):
    """What a function, or all that a chain needs, does at the moment; Octavia's words.

    ``ONLINE``: it works. ``DEGRADED``: some of its members do not. ``DRAINING``: it gets no new
    flows. ``OFFLINE``: it is switched off, or not plugged in. ``ERROR``: it fails its health check.
    ``NO_MONITOR``: nobody checks it.
    """

    ONLINE = "ONLINE"
    DEGRADED = "DEGRADED"
    DRAINING = "DRAINING"
    OFFLINE = "OFFLINE"
    ERROR = "ERROR"
    NO_MONITOR = "NO_MONITOR"


class FailureMode(StrEnum):
    """What happens to packets while no function of a group is available.

    ``closed``: they are dropped. ``open``: they skip the group.
    """

    CLOSED = "closed"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of a Neutron network: how frames get from host to host.

    :param network_type: ``vxlan``, ``vlan``, ``flat``, ...
    :param physical_network: None for tunnels.
    :param segmentation_id: VLAN tag or tunnel id; None for flat networks.
    """

    network_type: str
    physical_network: str | None = None
    segmentation_id: int | None = None


@dataclass(frozen=True, slots=True)
class AddressPair:
    """Addresses that a port may send from besides its own (Neutron's ``allowed_address_pairs``).

    :param prefix: CIDR, IPv4 or IPv6.
    :param mac_address: the MAC address that frames with these addresses may have.
    """

    prefix: str
    mac_address: str


class PortRole(StrEnum):
    """What a port does for a network, as far as chains treat it differently.

    ``end``: it belongs to an instance or a device of a user. ``router``: it is the port of a router
    on one host. ``distributed_router``: it is the port of a router on all hosts (DVR). ``service``:
    it is another one of Neutron's own, of a DHCP server for example. ``subport``: it is a subport
    of a trunk, and uses the interface of its parent port.
    """

    END = "end"
    ROUTER = "router"
    DISTRIBUTED_ROUTER = "distributed_router"
    SERVICE = "service"
    SUBPORT = "subport"


@dataclass(frozen=True, slots=True)
class Port:
    """A Neutron port: the attributes that steering needs.

    :param fixed_ips: IPv4 and IPv6 addresses.
    :param host: the compute host that the port is bound to; empty if it is not bound.
    :param plugged: false while Neutron reports the port DOWN: there is no interface to send to.
    :param device_id: the instance that has the port; empty if there is none.
    :param segment: the segment that the port is bound to; None while it is not bound.
    :param mtu: of the port's network, in bytes; 0 if unknown.
    :param mechanism: the mechanism driver of Neutron that bound the port, such as ``openvswitch``;
        empty if unknown.
    :param role: what the port does for its network.
    :param address_pairs: further addresses that the port may send from.
    :param port_security: whether Neutron checks that the port sends only from its own addresses.
    :param subnets: CIDRs of the subnets that the port has addresses of. ``network_subnets``: of all
        subnets of its network. ``gateways``: the addresses of their gateways.
    :param network_project_id: the project that owns the port's network; empty if none does.
    :param being_bound: whether Neutron is about to bind the port, perhaps anew to the same host.
        ``host`` is empty meanwhile.
    :param floating: whether a distributed router translates a floating address for the port, which
        it does on the port's host only.
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
    role: PortRole = PortRole.END
    address_pairs: tuple[AddressPair, ...] = ()
    port_security: bool = True
    subnets: tuple[str, ...] = ()
    network_subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    floating: bool = False
    being_bound: bool = False
    network_project_id: str = ""

    @property
    def serves_network(self) -> bool:
        """Whether the port is Neutron's own: of a router, a DHCP server and the like."""
        return self.role not in (PortRole.END, PortRole.SUBPORT)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that the port has: its fixed IPs, and single allowed addresses."""
        allowed = (ip_network(pair.prefix) for pair in self.address_pairs)
        single = (str(one.network_address) for one in allowed if one.num_addresses == 1)
        return tuple(dict.fromkeys((*self.fixed_ips, *single)))

    @property
    def forwards(self) -> bool:
        """Whether the port may send packets from any address, and so receive packets to any."""
        return self.routes or not self.port_security

    @property
    def routes(self) -> bool:
        """Whether the port is a router's: what it sends comes from behind the router."""
        return self.role in (PortRole.ROUTER, PortRole.DISTRIBUTED_ROUTER)


@dataclass(frozen=True, slots=True)
class FlowClassifier:
    """Which packets enter a chain (RFC 7665, section 4.7: classification).

    :param ethertype: ``IPv4`` or ``IPv6``.
    :param protocol: IP protocol number; None for any.
    :param source_ports: source transport ports, or ICMP type; None for any.
    :param destination_ports: destination transport ports, or ICMP code; None for any.
    :param source_prefix: CIDR; None for any. ``destination_prefix`` likewise.
    :param logical_source_port: the Neutron port whose traffic is classified. None stands for every
        port of the owner that is on a network of the chain's functions and has an address in
        ``source_prefix``.
    :param logical_destination_port: the Neutron port whose addresses are the only destinations;
        None for any.
    :param l7_parameters: as the user gave them; drivers interpret them.
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
class HealthCheckParameters:
    """When a function counts as failed, and as back.

    :param delay: seconds from one probe to the next, at least 0.1.
    :param timeout: seconds after which a probe without an answer has failed; at most ``delay``.
    :param max_retries: answers in a row, 1..10, after which a failed function is back.
    :param max_retries_down: failures in a row, 1..10, after which a function has failed.
    :param destination: the address that probes are sent to; empty for one that the server chooses.
    """

    delay: float = 1.0
    timeout: float = 0.5
    max_retries: int = 3
    max_retries_down: int = 3
    destination: str = ""


@dataclass(frozen=True, slots=True)
class PortPair:
    """One instance of a service function: packets enter at one Neutron port and leave at another.

    :param ingress: id of the port where requests enter. ``egress``: of the port where they leave.
    :param correlation: the chain header that the function understands, ``mpls`` or ``nsh``;
        ``vlan`` for a function that keeps VLAN tags; None otherwise.
    :param weight: share of new flows relative to the other pairs of the group; with 0, none.
    :param kind: how the function forwards packets.
    :param admin_state_up: false to take the function out of the path.
    :param backup: the function gets packets only while no pair without this mark is available.
    """

    id: str
    project_id: str
    ingress: str
    egress: str
    name: str = ""
    correlation: str | None = None
    weight: int = 1
    kind: FunctionKind = FunctionKind.L3
    admin_state_up: bool = True
    backup: bool = False


@dataclass(frozen=True, slots=True)
class PortPairGroup:
    """Interchangeable instances of one service function: each flow visits one of them.

    :param group_id: small integer, unique in the deployment.
    :param lb_fields: header fields that decide which pair a flow visits; empty for the 5-tuple.
    :param ingress_n_tuple: the header of packets before the function, as the user declares it.
    :param egress_n_tuple: the header of packets after the function, if the function changes it.
    :param tap_enabled: the function is a passive observer: it gets copies, and returns nothing.
    :param health_check: how a driver finds out which pairs forward packets.
    :param health: when a pair counts as failed, and as back.
    :param failure_mode: what happens to packets while no pair is available.
    :param min_healthy: with fewer available pairs than this, none counts as available.
    :param on_failure: what happens to the flows of a failed pair.
    :param shared: whether an RBAC policy lets another project use the group.
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
    shared: bool = False
    health: HealthCheckParameters = field(default_factory=HealthCheckParameters)
    min_healthy: int = 1
    on_failure: OnFailure = OnFailure.REBALANCE

    @property
    def port_ids(self) -> frozenset[str]:
        """Ids of the Neutron ports of the group's functions."""
        return frozenset(port for pair in self.port_pairs for port in (pair.ingress, pair.egress))


WITHDRAWN_GROUP = PortPairGroup(
    "00000000-0000-0000-0000-000000000000", "", 0, name="withdrawn by its owner"
)
"""Stands in a chain for the groups that their owners have withdrawn. It is empty, so drivers drop
the chain's packets."""


@dataclass(frozen=True, slots=True)
class PortChain:
    """A path through port pair groups, in order, for the packets of flow classifiers.

    RFC 7665 calls it a service function chain.

    :param chain_id: the service path identifier, 1..65535, unique in the deployment.
    :param correlation: the header of chain frames, ``mpls`` or ``nsh``.
    :param symmetric: replies visit the same functions in reverse order.
    :param revision: grows by one with every change that could alter the chain's realisation.
    :param generation: grows by one with every change of the list of groups.
    :param serial: grows from chain to chain in the order of their creation. Users cannot choose it.
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
    serial: int = 0

    @property
    def port_ids(self) -> frozenset[str]:
        """Ids of all Neutron ports that the chain names: function ports, logical source ports and
        logical destination ports.
        """
        sources = {classifier.logical_source_port for classifier in self.flow_classifiers}
        ends = {port for port in sources if port is not None} | self.logical_destinations
        return self.function_ports | ends

    @property
    def function_ports(self) -> frozenset[str]:
        """Ids of the Neutron ports of all functions."""
        return frozenset(port for group in self.port_pair_groups for port in group.port_ids)

    @property
    def lacks_functions(self) -> bool:
        """Whether a group is empty."""
        return not all(group.port_pairs for group in self.port_pair_groups)

    @property
    def drops_all(self) -> bool:
        """Whether no packet can leave the chain: a group that packets must pass is empty."""
        return any(
            not group.port_pairs
            and not group.tap_enabled
            and group.failure_mode is FailureMode.CLOSED
            for group in self.port_pair_groups
        )

    @property
    def last_group(self) -> PortPairGroup | None:
        """The group from which packets leave the chain; None if all groups are taps, which return
        nothing.
        """
        returning = (group for group in reversed(self.port_pair_groups) if not group.tap_enabled)
        return next(returning, None)

    @property
    def logical_destinations(self) -> frozenset[str]:
        """Ids of the Neutron ports that classifiers name as destinations."""
        ports = {classifier.logical_destination_port for classifier in self.flow_classifiers}
        return frozenset(port for port in ports if port is not None)


@dataclass(frozen=True, slots=True)
class ServiceGraph:
    """Chains linked to each other: packets that leave one are classified again for its successors
    (RFC 7665, section 4.8: re-classification and branching).

    :param branches: id of a chain -> ids of the chains that follow it. Each packet enters at most
        one of them.
    """

    id: str
    project_id: str
    branches: Mapping[str, tuple[str, ...]]
    name: str = ""

    @property
    def chain_ids(self) -> frozenset[str]:
        """Ids of all chains of the graph."""
        return frozenset(self.branches) | {
            chain for chains in self.branches.values() for chain in chains
        }


@dataclass(frozen=True, slots=True)
class HostReport:
    """What a host reports about a chain.

    :param revision: the revision of the chain that the host was notified of.
    :param error: why the host cannot realise its part of the chain; empty if it can.
    :param missing: what the host waits for, such as a port to be plugged in; empty if nothing.
    :param prepared: the host is in the first of two phases. It accepts packets that other hosts
        send by this revision, and sends packets by an earlier one until all hosts are prepared.
    :param warning: what the host carries slowly or not at all; empty if nothing.
    """

    chain_id: str
    revision: int
    error: str = ""
    missing: str = ""
    prepared: bool = False
    warning: str = ""


@dataclass(frozen=True, slots=True)
class PairHealth:
    """What a host reports about the function of a port pair that it checks.

    :param is_up: whether the function answers.
    :param reason: why it does not; empty if it does.
    """

    pair_id: str
    is_up: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PeerHealth:
    """What a host reports about another one that it sends packets to.

    :param address: of the other host's tunnel endpoint.
    :param is_up: whether the other host's switch returns what is sent to it.
    """

    address: str
    is_up: bool


@dataclass(frozen=True, slots=True)
class ChainSnapshot:
    """A chain and the state of its ports at one moment: the input of every driver.

    :param ports: port id -> port. Contains the chain's function ports, logical ports and source
        ports, all these of its ancestors, and the logical destination ports of its successors.
        Ports that no longer exist are absent.
    :param sources: classifier id -> ids of the ports whose traffic it matches. Empty for a chain
        with predecessors.
    :param destinations: classifier id -> ids of the ports whose replies it matches, for symmetric
        chains.
    :param predecessors: the preceding chains of the service graph. This chain gets its packets from
        them alone: those that its classifiers match, ignoring their logical source ports.
    :param successors: the following chains of the service graph. A packet that leaves this chain
        enters the one whose classifiers match it; without a match, it goes to its destination.
    :param earlier: the predecessors of the predecessors, their predecessors, and so on.
    :param senders: ids of the ports that may have sent packets of a chain with predecessors: the
        sources of its ancestors.
    :param failed: id of a pair that fails its health check -> the host's reason.
    :param owners: id of a network -> address -> MAC address of the port that has it there, of the
        addresses that health checks are sent to.
    """

    chain: PortChain
    ports: Mapping[str, Port]
    sources: Mapping[str, tuple[str, ...]]
    destinations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    predecessors: tuple[PortChain, ...] = ()
    successors: tuple[PortChain, ...] = ()
    earlier: tuple[PortChain, ...] = ()
    senders: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def ancestors(self) -> tuple[PortChain, ...]:
        """The chains that packets may have passed before this one."""
        return (*self.predecessors, *self.earlier)
