"""The interfaces that are plugged in at Neutron's ports, as live traces need them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from portchain.host.bridge import BridgeConnection

_SYSTEM = ("", "system")
_OWN_DEVICE = ("internal", "tap")

NO_DEVICES = (
    "a portchain-controller programs the host over the network: it can neither send packets as the "
    "host's ports nor watch them"
)


@dataclass(frozen=True, slots=True)
class Vif:
    """A virtual interface that is plugged in at a port.

    :param name: of the interface; the kernel's device has the same, if there is one.
    :param type: of its row in Open vSwitch's database.
    :param bridge: the one that it is plugged into.
    :param ofport: its OpenFlow port there.
    """

    name: str
    type: str
    bridge: BridgeConnection
    ofport: int

    def take_in(self, frame: bytes) -> None:
        """Have the bridge handle a frame by its flows, as if it had come from here.

        :raises RuntimeError: the bridge does not answer, or refuses.
        """
        packet = f"in_port={self.ofport},packet={frame.hex()},actions=table"
        self.bridge.ofctl("packet-out", packet)

    @property
    def has_device(self) -> bool:
        """Whether the kernel has a device for it."""
        return self.type in (*_SYSTEM, *_OWN_DEVICE)

    @property
    def is_users_end(self) -> bool:
        """Whether its device is what the port's user has, and not the switch's end of a link.

        Frames that the switch sends out at the port are received by such a device.
        """
        return self.type in _OWN_DEVICE


class LiveSwitch(Protocol):
    """The switch of a host with the interfaces of Neutron's ports."""

    def vifs(self) -> Mapping[str, Vif]:
        """Return Neutron port -> its interface, of those that are plugged in on this host.

        :raises UnreachableSwitchError: the interfaces are on another machine.
        """
