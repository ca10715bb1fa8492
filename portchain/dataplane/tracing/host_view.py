"""What a host knows that makes sense of a trace: its ports, its bridges, its plans."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portchain.dataplane.flow import Bridge, BridgeKind
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.pipeline import POSITION_ARRIVED, path_label
from portchain.dataplane.plan import ChainPlan, Hop, Path, Target
from portchain.dataplane.tracing.steps import Reach

_LABEL_BITS = 0xFFFFF
_NUMBER_BITS = 0xFFFF
_HOP_SHIFT = 24
_PAIR_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Position:
    """Where in which chain a packet is, as ``REG_PATH_POSITION`` says.

    :param number: the chain's ``chain_id``.
    :param chain_id: its UUID; empty if this host has no plan of it.
    :param hop: index of the hop that the packet is about to visit.
    :param path: None if this host has no plan of it.
    """

    number: int
    chain_id: str
    reverse: bool
    hop: int
    path: Path | None = None

    @property
    def group(self) -> Hop | None:
        """The hop that the packet is about to visit; None at the end of the path."""
        if self.path is None or self.hop >= len(self.path.hops):
            return None
        return self.path.hops[self.hop]


@dataclass(frozen=True, slots=True)
class OvnTunnel:
    """A tunnel of ovn-controller's.

    :param ofport: OpenFlow port of its br-int.
    :param has_metadata: whether packets in it say which logical ports they are from and for.
    """

    ofport: int
    has_metadata: bool = True


@dataclass(frozen=True, slots=True)
class OvnBridge:
    """The br-int of ovn-controller on a host whose chains are steered on br-chain.

    :param ports: Neutron port id -> OpenFlow port, of those that are not on br-chain.
    :param tunnels: address of the remote end -> its tunnel.
    :param physical: name of a logical port of the type localnet -> OpenFlow port that leads to its
        physical network.
    """

    name: str
    ports: Mapping[str, int] = field(default_factory=dict)
    tunnels: Mapping[str, OvnTunnel] = field(default_factory=dict)
    physical: Mapping[str, int] = field(default_factory=dict)

    def way_out(self, ofport: int) -> tuple[Reach, str] | None:
        """Return where an OpenFlow port leads; None if that is unknown."""
        tunnels = {peer: tunnel.ofport for peer, tunnel in self.tunnels.items()}
        for reach, ways in (
            (Reach.PORT, self.ports),
            (Reach.TUNNEL, tunnels),
            (Reach.PHYSICAL, self.physical),
        ):
            for name, number in ways.items():
                if number == ofport:
                    return reach, name
        return None


OVN_UNSEEN = "OVN's bridge, whose flows are seen on the host only"
"""Where packets go by the patch ports of br-chain, if ``HostView.ovn`` is not known."""


@dataclass(frozen=True, slots=True)
class HostView:
    """What is known of a host.

    :param bridges: name -> role of each bridge of the host that packets of chains can pass; None
        for OVN's br-int.
    :param plans: of its chains, those that drain included.
    :param interfaces: name of an interface -> the Neutron port that is plugged in there.
    :param ovn: OVN's br-int; None on other hosts, and if its flows cannot be asked for.
    """

    local: LocalSwitch
    bridges: Mapping[str, Bridge | None]
    plans: Sequence[ChainPlan] = ()
    interfaces: Mapping[str, str] = field(default_factory=dict)
    ovn: OvnBridge | None = None

    def position(self, value: int) -> Position:
        """Return what a value of ``REG_PATH_POSITION`` means."""
        label = value & _LABEL_BITS & ~POSITION_ARRIVED
        number, hop = label & _NUMBER_BITS, value >> _HOP_SHIFT
        for plan in self.plans:
            for path in plan.paths:
                if path_label(plan.path_id, path.reverse) == label:
                    return Position(number, plan.id, path.reverse, hop, path)
        of_chain = (plan.id for plan in self.plans if plan.path_id & _NUMBER_BITS == number)
        is_reverse = label & 0x30000 == 0x20000
        return Position(number, next(of_chain, ""), is_reverse, hop)

    def targets(self) -> list[Target]:
        """Return the pairs in all plans, those that only return packets included."""
        hops = (hop for plan in self.plans for path in plan.paths for hop in path.hops)
        return [target for hop in hops for target in hop.functions]

    def pair(self, register: int) -> str:
        """Return the id of the pair that a value of ``REG_TARGET`` means; empty if unknown."""
        start = f"{register:0{_PAIR_DIGITS}x}"
        return next((t.pair_id for t in self.targets() if t.pair_id.startswith(start)), "")

    def pair_at(self, port_id: str) -> str:
        """Return the id of the pair that has a port; empty if none has."""
        for target in self.targets():
            if port_id in (target.ingress_port, target.egress_port):
                return target.pair_id
        return ""

    def port_at(self, ofport: int) -> str:
        """Return the id of the Neutron port with an OpenFlow port of br-int or br-chain."""
        ports = self.local.ports.items()
        return next((port_id for port_id, port in ports if port.ofport == ofport), "")

    def peer_at(self, ofport: int) -> str:
        """Return the address of the host at the other end of a tunnel; empty if it is none."""
        return next((ip for ip, tunnel in self.local.tunnels.items() if tunnel == ofport), "")

    def way_out(self, bridge: str, ofport: int, interface: str) -> tuple[Reach, str]:
        """Return what packets reach that leave a bridge of the host at a port.

        :param interface: the port's name; empty if it is not known.
        :returns: and its name, as in ``Exit``.
        """
        role = self.bridges[bridge]
        unknown = Reach.UNKNOWN, interface or f"port {ofport} of {bridge}"
        if interface in self.interfaces:
            return Reach.PORT, self.interfaces[interface]
        if role is None:
            return (self.ovn.way_out(ofport) if self.ovn else None) or unknown
        if role.kind is BridgeKind.INT and (port_id := self.port_at(ofport)):
            return Reach.PORT, port_id
        if role.kind is not BridgeKind.PHYSICAL and (peer := self.peer_at(ofport)):
            return Reach.TUNNEL, peer
        if role.kind is BridgeKind.PHYSICAL:
            return Reach.PHYSICAL, role.physical_network
        return (Reach.UNKNOWN, OVN_UNSEEN) if self._leads_to_ovn(ofport) else unknown

    def patch_into(self, bridge: str, before: str) -> int:
        """Return the port by which packets from one of Neutron's bridges enter another one.

        :param bridge: the name of the bridge that they enter; ``before``: of the other one.
        """
        role, last = self.bridges[bridge], self.bridges.get(before)
        if role is None or role.kind is not BridgeKind.INT:
            return self.local.patch_to_int or 0
        if last is not None and last.kind is BridgeKind.PHYSICAL:
            physical = self.local.physical.get(last.physical_network)
            return physical.patch_to_physical if physical else 0
        return self.local.patch_to_tun or 0

    def _leads_to_ovn(self, ofport: int) -> bool:
        wires = (port.wire for port in self.local.ports.values())
        return any(wire and ofport in (wire.network, wire.gate) for wire in wires)
