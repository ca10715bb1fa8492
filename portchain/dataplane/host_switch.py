"""What the compiler has to know of a host's switch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Firewall(StrEnum):
    """Where on the integration bridge Neutron has finished checking what a port sends."""

    OPENVSWITCH = "openvswitch"
    """Security groups are flows on the bridge: the checks end in tables 73 and 94."""

    ELSEWHERE = "elsewhere"
    """No security groups (noop), or they are enforced before the bridge (iptables): table 60."""


@dataclass(frozen=True, slots=True)
class LocalPort:
    """A Neutron port that is plugged into this host's integration bridge.

    :param ofport: OpenFlow port number.
    :param vlan: local VLAN of its network, 1..4094.
    :param record: what the switch's database calls it; another one each time that the port is plugged in.
    """

    ofport: int
    vlan: int
    record: str = ""


@dataclass(frozen=True, slots=True)
class PhysicalBridge:
    """The bridge of a host that leads to a physical network.

    :param patch_to_physical: OpenFlow port of br-int that leads to it. ``patch_to_int`` the reverse.
    """

    patch_to_physical: int
    patch_to_int: int


@dataclass(frozen=True, slots=True)
class LocalSwitch:
    """What the compiler has to know of a host's switch.

    :param host: the host's name in Neutron.
    :param ports: Neutron port id -> where it is plugged in.
    :param patch_to_tun: OpenFlow port of br-int that leads to br-tun; None without tunnels. ``patch_to_int`` the reverse.
    :param tunnels: IP address of the remote end -> OpenFlow port of br-tun.
    :param physical: physical network -> its bridge.
    """

    host: str
    firewall: Firewall
    ports: Mapping[str, LocalPort] = field(default_factory=dict)
    patch_to_tun: int | None = None
    patch_to_int: int | None = None
    tunnels: Mapping[str, int] = field(default_factory=dict)
    physical: Mapping[str, PhysicalBridge] = field(default_factory=dict)
