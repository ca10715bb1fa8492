"""What one compute host has to know of a chain: the input of the flow compiler and the content of the RPC messages.

A host gets each chain it takes part in as one value that is complete in itself: applying it twice, late or after a lost
predecessor ends in the same flows.
"""

import itertools
from dataclasses import dataclass
from enum import StrEnum

PortRange = tuple[int, int]

LB_FIELDS = tuple(
    f"{layer}_{side}" for layer in ("eth", "ip", "tcp", "udp") for side in ("src", "dst")
)
"""What ``lb_fields`` can name."""

SUPPORTED_LB_FIELD_SETS = frozenset(
    frozenset(chosen)
    for size in range(len(LB_FIELDS) + 1)
    for chosen in itertools.combinations(LB_FIELDS, size)
)
"""The sets of ``lb_fields`` that can be carried out: all."""


@dataclass(frozen=True, slots=True)
class Classifier:
    """Header fields of the packets that enter a chain; None is "any".

    :param ethertype: ``IPv4`` or ``IPv6``.
    :param protocol: IP protocol number.
    :param source_ports: transport ports; with ICMP its type. ``destination_ports``: likewise; with ICMP its code.
    :param source_prefixes: CIDRs of which one must hold; empty is "any". ``destination_prefixes`` likewise.
    :param source_port_known: the user named the source port, so its addresses tell this chain's packets from others'
        with the same header.
    """

    ethertype: str
    protocol: int | None = None
    source_ports: PortRange | None = None
    destination_ports: PortRange | None = None
    source_prefixes: tuple[str, ...] = ()
    destination_prefixes: tuple[str, ...] = ()
    source_port_known: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """Where on a physical network a port is.

    :param vlan: 1..4094; None where frames are untagged.
    """

    physical_network: str
    vlan: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A port whose egress traffic is classified.

    :param classifier: index into ``Path.classifiers``.
    :param host: where the port is bound. ``tunnel_ip``: tunnel end point of that host, empty if it has none.
    :param mac: the port's MAC address, ``xx:xx:xx:xx:xx:xx``.
    :param addresses: the port's fixed IPs.
    :param segment: the port's own; None if its network is no provider network.
    """

    classifier: int
    port_id: str
    host: str
    tunnel_ip: str
    mac: str
    addresses: tuple[str, ...] = ()
    segment: Segment | None = None


class Encapsulation(StrEnum):
    """The chain headers that functions can understand."""

    MPLS = "mpls"
    NSH = "nsh"


@dataclass(frozen=True, slots=True)
class Target:
    """A port pair that can take traffic of a hop.

    :param host: where both of its ports are bound.
    :param tunnel_ip: tunnel end point of that host, empty if it has none.
    :param ingress_mac: MAC address of the ingress port, ``xx:xx:xx:xx:xx:xx``. ``egress_mac`` likewise.
    :param bridges: the function hands on frames as they are (``l2``); otherwise it routes (``l3``).
    :param ingress_segment: the ingress port's; None if its network is no provider network. ``egress_segment`` likewise.
    :param encapsulation: the header with which the function gets packets and hands them back, a value of ``Encapsulation``;
        empty for one that knows nothing of chains.
    """

    pair_id: str
    host: str
    tunnel_ip: str
    ingress_port: str
    ingress_mac: str
    egress_port: str
    egress_mac: str
    weight: int = 1
    bridges: bool = False
    ingress_segment: Segment | None = None
    egress_segment: Segment | None = None
    encapsulation: str = ""

    @property
    def keeps_addresses(self) -> bool:
        """Whether the function hands back frames with the source address that they came with."""
        return self.bridges or self.encapsulation == Encapsulation.NSH


@dataclass(frozen=True, slots=True)
class Hop:
    """One group of a chain: the packet visits one of the targets.

    :param group_id: the port pair group's number in the deployment.
    :param lb_fields: as in ``model.PortPairGroup``.
    :param headers: what packets look like behind the hop, one for each of the path's classifiers; empty: the same as before it.
    :param tap: the target gets a copy and hands nothing on; the packet itself goes to the next hop, also without any target.
    """

    group_id: int
    targets: tuple[Target, ...]
    lb_fields: tuple[str, ...] = ()
    tap: bool = False
    headers: tuple[Classifier, ...] = ()


@dataclass(frozen=True, slots=True)
class GraphIngress:
    """Where another chain ends whose traffic is classified again for this one (a service graph's edge).

    :param path_id: of the chain before, as in ``ChainPlan``. ``hops``: how many it has.
    :param senders: the ports that its last functions send from.
    :param origins: the ports whose addresses its frames have there, see ``Path.origins``.
    """

    path_id: int
    hops: int
    senders: tuple[Source, ...]
    origins: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Path:
    """One direction of a chain.

    :param reverse: whether it is the way of the replies.
    :param entries: the chains before it in a service graph; with any, there are no sources.
    :param branches: whether chains follow it in a service graph, so that its packets are classified again where it ends.
    """

    classifiers: tuple[Classifier, ...]
    sources: tuple[Source, ...]
    hops: tuple[Hop, ...]
    reverse: bool = False
    entries: tuple[GraphIngress, ...] = ()
    branches: bool = False

    @property
    def senders(self) -> tuple[Source, ...]:
        """The ports from which packets get to the first hop."""
        return (*self.sources, *(sender for entry in self.entries for sender in entry.senders))

    def senders_into(self, index: int) -> tuple[Source | Target, ...]:
        """Those who send packets into hop ``index``, or to the end of the path: taps hand nothing on."""
        for hop in reversed(self.hops[:index]):
            if not hop.tap:
                return hop.targets
        return self.senders

    def headers_after(self, index: int) -> tuple[Classifier, ...]:
        """What packets look like that hop ``index`` has handed on, one for each classifier."""
        changed = (hop.headers for hop in reversed(self.hops[: index + 1]) if hop.headers)
        return next(changed, self.classifiers)

    def ends_after(self, index: int) -> bool:
        """Whether what hop ``index`` hands on visits no further function."""
        return all(hop.tap for hop in self.hops[index + 1 :])

    @property
    def origins(self) -> tuple[Source | Target, ...]:
        """Those whose frames the last hop hands back, and from whose place they go on to the destination.

        Functions that bridge, or get the frame inside NSH, leave its source address as it is. So what the last hop hands back
        is a frame of the last function that routes or, if there is none, of the source itself.
        """
        for hop in reversed(self.hops):
            routers = tuple(target for target in hop.targets if not target.keeps_addresses)
            if routers and not hop.tap:
                return routers
        return (*self.sources, *(origin for entry in self.entries for origin in entry.origins))


@dataclass(frozen=True, slots=True)
class ChainPlan:
    """A chain as every host that takes part in it sees it.

    :param path_id: the chain's number in the deployment, 1..65535, with ``pipeline.ODD_GENERATION`` where that applies.
    :param revision: a plan replaces any other of the same chain with a lower revision.
    :param paths: one for each direction that is steered.
    """

    id: str
    path_id: int
    revision: int
    paths: tuple[Path, ...]

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts that take part: those of the classified sources, of the targets and of frames' origins."""
        ends = {end.host for path in self.paths for end in (*path.senders, *path.origins)}
        functions = {
            target.host for path in self.paths for hop in path.hops for target in hop.targets
        }
        return frozenset(ends | functions)

    @property
    def ports(self) -> frozenset[str]:
        """The Neutron ports the chain's rules name."""
        targets = [target for path in self.paths for hop in path.hops for target in hop.targets]
        sources = {sender.port_id for path in self.paths for sender in path.senders}
        return frozenset(
            sources | {t.ingress_port for t in targets} | {t.egress_port for t in targets}
        )


def opposite_field(field: str) -> str:
    """What a reply has in the place of a field."""
    layer, _, side = field.partition("_")
    return f"{layer}_{'dst' if side == 'src' else 'src'}"
