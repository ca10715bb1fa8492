"""What one compute host has to know of a chain: the input of the flow compiler and the content of the RPC messages.

A host gets each chain it takes part in as one value that is complete in itself: applying it twice, late or after a lost
predecessor ends in the same flows.
"""

from dataclasses import dataclass

PortRange = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Classifier:
    """Header fields of the packets that enter a chain; None is "any".

    :param ethertype: ``IPv4`` or ``IPv6``.
    :param protocol: IP protocol number.
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
class Source:
    """A port whose egress traffic is classified.

    :param classifier: index into ``ChainPlan.classifiers``.
    :param host: where the port is bound.
    :param addresses: the port's fixed IPs.
    """

    classifier: int
    port_id: str
    host: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """A port pair that can take traffic of a hop.

    :param host: where both of its ports are bound.
    :param tunnel_ip: tunnel end point of that host, empty if it has none.
    :param ingress_mac: MAC address of the ingress port, ``xx:xx:xx:xx:xx:xx``.
    """

    pair_id: str
    host: str
    tunnel_ip: str
    ingress_port: str
    ingress_mac: str
    egress_port: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Hop:
    """One group of a chain: the packet visits one of the targets.

    :param group_id: the port pair group's number in the deployment.
    :param lb_fields: as in ``model.PortPairGroup``.
    """

    group_id: int
    targets: tuple[Target, ...]
    lb_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChainPlan:
    """A chain as every host that takes part in it sees it.

    :param path_id: the chain's number in the deployment, 1..65535.
    :param revision: a plan replaces any other of the same chain with a lower revision.
    """

    id: str
    path_id: int
    revision: int
    classifiers: tuple[Classifier, ...]
    sources: tuple[Source, ...]
    hops: tuple[Hop, ...]

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts that take part: those of the classified sources and of the targets."""
        ends = {source.host for source in self.sources}
        functions = {target.host for hop in self.hops for target in hop.targets}
        return frozenset(ends | functions)
