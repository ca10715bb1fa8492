"""What a host knows that makes sense of a trace: its ports, its bridges, its plans."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portchain.dataplane.flow import Bridge
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.pipeline import POSITION_ARRIVED, path_label
from portchain.dataplane.plan import ChainPlan, Hop, Path, Target

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
class HostView:
    """What is known of a host.

    :param bridges: name -> role of each bridge of the host that packets of chains can pass; None
        for OVN's br-int.
    :param plans: of its chains, those that drain included.
    :param interfaces: name of an interface -> the Neutron port that is plugged in there.
    """

    local: LocalSwitch
    bridges: Mapping[str, Bridge | None]
    plans: Sequence[ChainPlan] = ()
    interfaces: Mapping[str, str] = field(default_factory=dict)

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
