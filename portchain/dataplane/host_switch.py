"""The state of a host's switch that the compiler depends on."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from portchain.dataplane.datapath import Feature


class Firewall(StrEnum):
    """Neutron's kind of firewall, which decides where on br-int the egress checks end."""

    OPENVSWITCH = "openvswitch"
    """Security groups are flows of br-int; their checks end in tables 73 and 94."""

    ELSEWHERE = "elsewhere"
    """No security groups (noop), or enforced outside of br-int (iptables): table 60."""


FROM_TUNNELS = 0xFEFF
"""On br-chain: OpenFlow port from which packets of all tunnels seem to come. No port has it."""


@dataclass(frozen=True, slots=True)
class Wire:
    """The patch ports that connect a port on br-chain to OVN's br-int.

    :param network: OpenFlow port of br-chain that leads to the port's own logical port.
    :param gate: the same for the port's gate; None if it has none.
    :param is_bound: whether OVN has bound the gate to this host. While ovn-controller restarts, it
        may say no, and still forward packets.
    """

    network: int
    gate: int | None = None
    is_bound: bool = False


@dataclass(frozen=True, slots=True)
class LocalPort:
    """A Neutron port that is plugged into this host's br-int, or into br-chain.

    :param ofport: OpenFlow port number.
    :param vlan: local VLAN of its network, 1..4094; 0 on br-chain, which has none.
    :param record: id of its row in OVSDB, which is new each time that the port is plugged in.
    :param wire: of a port on br-chain.
    """

    ofport: int
    vlan: int
    record: str = ""
    wire: Wire | None = None


@dataclass(frozen=True, slots=True)
class PhysicalBridge:
    """The patch ports between br-int and the bridge of a physical network.

    :param patch_to_physical: OpenFlow port of br-int that leads to the bridge.
    :param patch_to_int: OpenFlow port of the bridge that leads to br-int.
    """

    patch_to_physical: int
    patch_to_int: int


@dataclass(frozen=True, slots=True)
class HostNeeds:
    """What the chains of a host need of its switch.

    :param ports: names of logical ports: Neutron ports of this host, and gates of some of them.
    :param peers: tunnel addresses of the hosts that packets may go to.
    """

    ports: frozenset[str] = frozenset()
    peers: frozenset[str] = frozenset()

    def __or__(self, other: "HostNeeds") -> "HostNeeds":
        return HostNeeds(self.ports | other.ports, self.peers | other.peers)


@dataclass(frozen=True, slots=True)
class FlowLimits:
    """The most flows that a host has for one chain, and for all chains of one project.

    0 is no limit.
    """

    chain: int = 0
    project: int = 0


@dataclass(frozen=True, slots=True)
class LocalSwitch:
    """The state of a host's switch that the compiler depends on.

    :param host: the host's name in Neutron.
    :param ports: Neutron port id -> its port of br-int.
    :param patch_to_tun: OpenFlow port of br-int that leads to br-tun; None without tunnels.
    :param patch_to_int: OpenFlow port of br-tun that leads to br-int; None without tunnels.
    :param tunnels: IP address of the remote end -> OpenFlow port of br-tun.
    :param physical: name of a physical network -> its bridge.
    :param limits: what the operator allows chains to take.
    :param has_rate_limits: whether Neutron's agent limits the packet rates of ports here (QoS).
    :param lacks: what the datapath lacks of what chains may need, as far as known.
    :param largest_meter: the largest number of a meter of the bridge of chains; 0 if the datapath
        has no meters, or as long as the switch has not said.
    :param has_br_chain: whether chains are steered on a bridge of their own, in front of OVN's
        br-int, where ``tunnels`` end as well. ``patch_to_tun`` is ``FROM_TUNNELS`` then, and
        ``patch_to_int`` is None.
    :param failed: ids of the pairs whose functions have failed since the server planned, as their
        hosts say.
    """

    host: str
    firewall: Firewall
    ports: Mapping[str, LocalPort] = field(default_factory=dict)
    patch_to_tun: int | None = None
    patch_to_int: int | None = None
    tunnels: Mapping[str, int] = field(default_factory=dict)
    physical: Mapping[str, PhysicalBridge] = field(default_factory=dict)
    limits: FlowLimits = FlowLimits()
    has_rate_limits: bool = False
    lacks: frozenset[Feature] = frozenset()
    largest_meter: int = 0
    has_br_chain: bool = False
    failed: frozenset[str] = frozenset()

    def without_ports(self, port_ids: Collection[str]) -> "LocalSwitch":
        """Return the switch as it would be if none of these ports were plugged in."""
        if self.ports.keys().isdisjoint(port_ids):
            return self
        kept = {one: port for one, port in self.ports.items() if one not in port_ids}
        return replace(self, ports=kept)

    def changes_since(self, earlier: "LocalSwitch") -> HostNeeds | None:
        """Return the ports and tunnels that differ from an earlier state.

        :returns: None if anything else differs, too, but for ``failed``.
        """
        same = replace(self, ports=earlier.ports, tunnels=earlier.tunnels, failed=earlier.failed)
        if same != earlier:
            return None
        return HostNeeds(
            _differing(self.ports, earlier.ports), _differing(self.tunnels, earlier.tunnels)
        )

    def replugged_since(self, earlier: "LocalSwitch") -> frozenset[str]:
        """Return the ports that were plugged in, or unplugged, since an earlier state."""
        return frozenset(
            port_id
            for port_id in _differing(self.ports, earlier.ports)
            if _record(self, port_id) != _record(earlier, port_id)
        )


def _differing(one: Mapping[str, object], other: Mapping[str, object]) -> frozenset[str]:
    """Return the keys with different values. Most values are the same objects."""
    found = [
        key
        for key, value in one.items()
        if (before := other.get(key)) is not value and before != value
    ]
    return frozenset(found) | (other.keys() - one.keys())


def _record(switch: LocalSwitch, port_id: str) -> str | None:
    port = switch.ports.get(port_id)
    return None if port is None else port.record
