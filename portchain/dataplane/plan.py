"""The plan of a chain: input of the flow compiler, and content of the RPC messages to hosts.

A host receives each chain that it takes part in as one complete value. Applying a plan twice, late,
or after a lost predecessor leads to the same flows.

The field names of these classes are keys on the wire, except for ``Target.function``
(``portchain.rpc.contract``): renaming one breaks agents of other releases.
"""

import itertools
from dataclasses import dataclass, field

from portchain.core.function_kinds import L2, L3, MPLS_AWARE, NSH_AWARE, FunctionTraits
from portchain.core.model import HealthCheck, HealthCheckParameters

PortRange = tuple[int, int]

LB_FIELDS = tuple(
    f"{layer}_{side}" for layer in ("eth", "ip", "tcp", "udp") for side in ("src", "dst")
)
"""The header fields that ``lb_fields`` of a port pair group can name."""

SUPPORTED_LB_FIELD_SETS = frozenset(
    frozenset(chosen)
    for size in range(len(LB_FIELDS) + 1)
    for chosen in itertools.combinations(LB_FIELDS, size)
)
"""The combinations of ``lb_fields`` that the data plane supports: all."""


def opposite_field(field: str) -> str:
    """Return the field of a reply that holds the value which ``field`` has in a request.

    :param field: one of ``LB_FIELDS``, such as ``ip_src``; or ``sctp_src`` or ``sctp_dst``.
    """
    layer, _, side = field.partition("_")
    return f"{layer}_{'dst' if side == 'src' else 'src'}"


SUPPORTED_FUNCTIONS = frozenset({L3, L2, MPLS_AWARE, NSH_AWARE})
"""The kinds of functions that flows can be compiled for."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """How packets for a certain port are known where they are sent.

    If several of these match a packet, the first one decides whose it is.

    :param addresses: CIDRs of the port's fixed addresses: whatever the way, the port gets them.
    :param macs: the port gets packets to any of the classifier's destinations in frames to these.
    :param shared_addresses: CIDRs that the port may have, and other ports too.
    """

    addresses: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()
    shared_addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Classifier:
    """Header fields of the packets that enter a chain; None matches any value.

    :param ethertype: ``IPv4`` or ``IPv6``.
    :param protocol: IP protocol number.
    :param source_ports: first and last transport port; for ICMP, the type.
    :param destination_ports: first and last transport port; for ICMP, the code.
    :param source_prefixes: CIDRs, one of which must match; empty matches any address.
    :param destination_prefixes: as ``source_prefixes``.
    :param source_port_known: whether the user named the source port. Its addresses then
        distinguish this chain's packets from those of other chains with the same header fields.
    :param receiver: the port that gets the packets, if the destination prefixes, which contain
        their destinations, do not say enough.
    :param id: UUID of the flow classifier, for its counter; empty if the server is older than
        contract 1.17. No flow depends on it.
    """

    ethertype: str
    protocol: int | None = None
    source_ports: PortRange | None = None
    destination_ports: PortRange | None = None
    source_prefixes: tuple[str, ...] = ()
    destination_prefixes: tuple[str, ...] = ()
    source_port_known: bool = False
    receiver: Receiver | None = None
    id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Segment:
    """The segment of a physical network that a port is on.

    :param vlan: 1..4094; None if frames are untagged.
    """

    physical_network: str
    vlan: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A port whose egress traffic is classified.

    :param classifier: index into ``Path.classifiers``.
    :param host: the host that the port is bound to.
    :param tunnel_ip: address of that host's tunnel endpoint; empty if it has none.
    :param mac: the port's MAC address, ``xx:xx:xx:xx:xx:xx``.
    :param addresses: the port's fixed IPs.
    :param segment: the port's segment; None unless its network is a provider network.
    :param broadcasts: the broadcast addresses of the port's IPv4 subnets.
    :param forwarded: addresses of the chain's ends on other networks. The port forwards their
        packets, which have been classified at their own ports already.
    :param further_macs: other MAC addresses that the port may send from, for example of VRRP.
    :param sends_from_any_mac: whether nobody checks what MAC addresses the port sends from.
    """

    classifier: int
    port_id: str
    host: str
    tunnel_ip: str
    mac: str
    addresses: tuple[str, ...] = ()
    segment: Segment | None = None
    broadcasts: tuple[str, ...] = ()
    forwarded: tuple[str, ...] = ()
    further_macs: tuple[str, ...] = ()
    sends_from_any_mac: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """A port pair that can receive traffic of a hop.

    :param host: the host that both of its ports are bound to.
    :param tunnel_ip: address of that host's tunnel endpoint; empty if it has none.
    :param ingress_mac: MAC address of the ingress port, ``xx:xx:xx:xx:xx:xx``.
    :param egress_mac: MAC address of the egress port.
    :param weight: share of new flows relative to the other targets of the hop; 0 for none.
    :param function: what follows from the kind of the function.
    :param return_macs: the MAC addresses that the egress port may send from; empty for any.
    :param ingress_segment: of the ingress port; None unless it is on a provider network.
    :param egress_segment: of the egress port; None unless it is on a provider network.
    :param off_network: the function returns packets without their source MAC address, at a port
        that is not on the network where they were. They continue from their origin.
    """

    pair_id: str
    host: str
    tunnel_ip: str
    ingress_port: str
    ingress_mac: str
    egress_port: str
    egress_mac: str
    weight: int = 1
    function: FunctionTraits = L3
    ingress_segment: Segment | None = None
    egress_segment: Segment | None = None
    off_network: bool = False
    return_macs: tuple[str, ...] = ()

    @property
    def is_origin(self) -> bool:
        """Whether frames that the function returns continue from its own egress port."""
        return not self.function.keeps_source_mac and not self.off_network


@dataclass(frozen=True, slots=True)
class EarlierPairs:
    """The pairs that a group selected from before a change, while flows from before may live on.

    :param weights: pair id and weight >= 0 of each pair, sorted by id.
    :param new_flows: whether the change is so recent that a flow which no host remembers counts as
        one from before. Later only TCP connections do, and not from their first packet on.
    """

    weights: tuple[tuple[str, int], ...]
    new_flows: bool = False


@dataclass(frozen=True, slots=True)
class Reaction:
    """What hosts do when functions of a hop fail, until the server has planned again.

    :param spare: how many of the targets may fail before none counts as available.
    :param standing_by: backups that get no new flows while other targets do: pair id and weight.
    :param opens: whether packets go to the next hop if no target is left.
    """

    spare: int
    standing_by: tuple[tuple[str, int], ...] = ()
    opens: bool = False


@dataclass(frozen=True, slots=True)
class Hop:
    """One group of a chain: each packet visits one of the targets.

    :param group_id: the port pair group's number, unique in the deployment.
    :param lb_fields: as in ``model.PortPairGroup``.
    :param tap: the targets get a copy and return nothing. The packet itself goes to the next hop,
        even if there is no target.
    :param headers: the header fields behind the hop, one for each of the path's classifiers;
        empty if the hop does not change them.
    :param accepted_sources: for each of the path's classifiers, the CIDRs of the only source
        addresses that its packets can have behind the hop. An SFC-unaware function that projects
        share returns packets of others, too. Empty if the function is not shared.
    :param returned_sources: the CIDRs of the only source addresses that the functions may return
        packets with; None if they are not known.
    :param returned_macs: the only source MAC addresses of the frames that functions which keep them
        may return; None for any.
    :param earlier_pairs: what the group selected from before its last changes, the oldest first.
    :param returning: further functions, which get no packets. They have failed, or are switched
        off, and may still return what they hold.
    :param passed: packets go to the next hop, because the group fails open and has no targets. A
        host that does not know this drops them.
    :param reaction: what hosts do when targets fail; None if they wait for the server.
    """

    group_id: int
    targets: tuple[Target, ...]
    lb_fields: tuple[str, ...] = ()
    tap: bool = False
    headers: tuple[Classifier, ...] = ()
    accepted_sources: tuple[tuple[str, ...], ...] = ()
    returned_sources: tuple[str, ...] | None = None
    returned_macs: tuple[str, ...] | None = None
    earlier_pairs: tuple[EarlierPairs, ...] = ()
    returning: tuple[Target, ...] = ()
    passed: bool = False
    reaction: Reaction | None = None

    @property
    def functions(self) -> tuple[Target, ...]:
        """The functions that get packets of the hop, or return some."""
        return (*self.targets, *self.returning) if self.returning else self.targets

    @property
    def is_visited(self) -> bool:
        """Whether packets reach the next hop only if a function of this one returns them."""
        return not (self.tap or self.passed)


@dataclass(frozen=True, slots=True)
class GraphIngress:
    """The end of a preceding chain whose traffic this chain classifies (a service graph's edge).

    :param path_id: of the preceding chain, as in ``ChainPlan``.
    :param hops: number of hops of the preceding chain.
    :param senders: the egress ports of its last functions.
    :param origins: the ports whose MAC addresses its frames have there, see ``Path.origins``.
    """

    path_id: int
    hops: int
    senders: tuple[Source, ...]
    origins: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Path:
    """One direction of a chain.

    :param reverse: whether it is the path of the replies.
    :param entries: the preceding chains in a service graph; a path with entries has no sources.
    :param branches: whether chains follow in a service graph: packets are classified again where
        this path ends.
    """

    classifiers: tuple[Classifier, ...]
    sources: tuple[Source, ...]
    hops: tuple[Hop, ...]
    reverse: bool = False
    entries: tuple[GraphIngress, ...] = ()
    branches: bool = False

    @property
    def senders(self) -> tuple[Source, ...]:
        """The ports that send packets to the first hop."""
        return (*self.sources, *(sender for entry in self.entries for sender in entry.senders))

    def senders_into(self, index: int) -> tuple[Source | Target, ...]:
        """Return who sends packets to hop ``index`` or, for the number of hops, to the path's end.

        Taps send nothing: they are skipped. Behind hops that packets pass, those before them send,
        too.
        """
        found: tuple[Source | Target, ...] = ()
        for hop in reversed(self.hops[:index]):
            if not hop.tap:
                found = (*found, *hop.functions) if found else hop.functions
            if hop.is_visited:
                return found
        return (*found, *self.senders)

    def headers_after(self, index: int) -> tuple[Classifier, ...]:
        """Return the header fields of packets behind hop ``index``, one for each classifier."""
        changed = (hop.headers for hop in reversed(self.hops[: index + 1]) if hop.headers)
        return next(changed, self.classifiers)

    def ends_after(self, index: int) -> bool:
        """Return whether packets visit no further function after hop ``index``."""
        return not any(hop.is_visited for hop in self.hops[index + 1 :])

    @property
    def origins(self) -> tuple[Source | Target, ...]:
        """The ports whose MAC addresses frames have as their source when they leave the last hop.

        Functions that bridge, or receive the frame inside NSH, keep its source address. So the
        frame is that of the last function that routes or, if there is none, of the source. It
        continues to its destination from that port, as do packets from functions ``off_network``.
        """
        found: tuple[Source | Target, ...] = ()
        for hop in reversed(self.hops):
            if hop.tap:
                continue
            found += tuple(target for target in hop.functions if target.is_origin)
            if hop.is_visited and hop.functions and all(one.is_origin for one in hop.functions):
                return found
        entries = (origin for entry in self.entries for origin in entry.origins)
        return (*found, *self.sources, *entries)

    @property
    def without_source(self) -> tuple[Target, ...]:
        """The functions ``off_network`` whose MAC address frames can have behind the last hop."""
        found: list[Target] = []
        for hop in reversed(self.hops):
            if hop.tap:
                continue
            found += (target for target in hop.functions if target.off_network)
            if hop.is_visited and hop.functions and all(one.is_origin for one in hop.functions):
                break
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Probe:
    """How a host checks the function of one of its port pairs.

    :param host: the host that both of its ports are bound to.
    :param function: the kind of the function: probes have the form of the packets that it gets.
    :param check: what the probes are; not ``none``.
    :param source: the address that probes come from. ``destination``: that they are sent to; both
        of one IP version. With ``ping``, the address of the ingress port. Both are empty for checks
        without addresses.
    :param parameters: times and numbers; ``destination`` of these is unused.
    :param destination_mac: of the port that has the destination; empty if none is known.
    """

    pair_id: str
    host: str
    ingress_port: str
    ingress_mac: str
    egress_port: str
    check: HealthCheck
    function: FunctionTraits = L3
    source: str = ""
    destination: str = ""
    parameters: HealthCheckParameters = field(default_factory=HealthCheckParameters)
    destination_mac: str = ""


@dataclass(frozen=True, slots=True)
class ChainPlan:
    """A chain, as all hosts that take part in it receive it.

    :param id: UUID of the port chain.
    :param path_id: the chain's number, 1..65535, unique in the deployment; with
        ``pipeline.ODD_GENERATION`` for every second list of groups.
    :param revision: a plan replaces plans of the same chain with a lower revision.
    :param paths: one for each direction that is steered.
    :param serial: orders chains by their creation; 0 if unknown, because the server is older.
    :param owner: a number, as text, of the project that owns the chain; empty if unknown.
    :param generation: grows by one with every change of the list of groups; None if the server is
        older than contract 1.9.
    :param packet_hosts: the hosts, sorted, that accept packets in MPLS from tunnels; the others get
        whole frames in MPLS (docs/decisions/0061).
    :param probes: the health checks of the chain's functions, failed ones included.
    :param watched: tunnel addresses, sorted, of the hosts whose functions are checked. The other
        hosts find out whether packets reach them.
    """

    id: str
    path_id: int
    revision: int
    paths: tuple[Path, ...]
    serial: int = 0
    owner: str = ""
    generation: int | None = None
    packet_hosts: tuple[str, ...] = ()
    probes: tuple[Probe, ...] = ()
    watched: tuple[str, ...] = ()

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts that take part: those of sources, targets, origins and probes."""
        ends = {end.host for path in self.paths for end in (*path.senders, *path.origins)}
        functions = {
            target.host for path in self.paths for hop in path.hops for target in hop.functions
        }
        return frozenset(ends | functions | {probe.host for probe in self.probes})

    @property
    def ports(self) -> frozenset[str]:
        """The ids of the Neutron ports that the chain's flows depend on."""
        targets = [target for path in self.paths for hop in path.hops for target in hop.functions]
        sources = {sender.port_id for path in self.paths for sender in path.senders}
        probed = {port for one in self.probes for port in (one.ingress_port, one.egress_port)}
        return frozenset(
            sources | probed | {t.ingress_port for t in targets} | {t.egress_port for t in targets}
        )
