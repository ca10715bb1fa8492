"""VLAN interfaces for the subports of a trunk, as a program.

Run it as ``python -m portchain_lab.guests.vlan_subports PARENT DEVICE=VLAN...``. It replaces the
kernel's VLAN interfaces, which some kernels lack. Each device is an existing TAP device. Frames
that arrive at the parent interface with the device's tag are delivered to it, untagged; frames
sent through it leave by the parent, tagged.
"""

import argparse
import fcntl
import os
import selectors
import socket
import struct
from collections.abc import Callable

from portchain_lab.hosts.processes import READY

# From <linux/if_packet.h>, <linux/if_ether.h> and <linux/if_tun.h>.
ETH_P_ALL = 3
ETH_P_8021Q = 0x8100
SOL_PACKET = 263
PACKET_AUXDATA = 8
TP_STATUS_VLAN_VALID = 1 << 4
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000

_AUXDATA = struct.Struct("IIIHHHH")
_VLAN_BITS = 0x0FFF
_ADDRESSES = 12
_LONGEST = 65536


def with_tag(frame: bytes, vlan: int) -> bytes:
    """Insert an 802.1Q tag behind the addresses of a frame."""
    return frame[:_ADDRESSES] + struct.pack("!HH", ETH_P_8021Q, vlan) + frame[_ADDRESSES:]


def tag_of(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """The VLAN of a received frame, whose tag the kernel has stripped; None if untagged."""
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tag, _ = _AUXDATA.unpack(data)
            return tag & _VLAN_BITS if status & TP_STATUS_VLAN_VALID else None
    return None


def _open_tap(device: str) -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TAP | IFF_NO_PI))
    return tap


def _open_parent(device: str) -> socket.socket:
    parent = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    parent.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    parent.bind((device, ETH_P_ALL))
    return parent


def serve(parent_device: str, vlans: dict[str, int]) -> None:
    """Add and strip tags until the process is killed.

    :param vlans: TAP device -> VLAN, 1..4094.
    """
    parent = _open_parent(parent_device)
    taps = {vlan: _open_tap(device) for device, vlan in vlans.items()}

    def receive() -> None:
        frame, ancillary, _, address = parent.recvmsg(_LONGEST, 256)
        tap = taps.get(tag_of(ancillary) or 0)
        if tap is not None and address[2] != socket.PACKET_OUTGOING:
            os.write(tap, frame)

    def sender(vlan: int) -> Callable[[], None]:
        def send() -> None:
            parent.send(with_tag(os.read(taps[vlan], _LONGEST), vlan))

        return send

    selector = selectors.DefaultSelector()
    selector.register(parent, selectors.EVENT_READ, receive)
    for vlan, tap in taps.items():
        selector.register(tap, selectors.EVENT_READ, sender(vlan))
    print(READY, flush=True)
    while True:
        for key, _ in selector.select():
            key.data()


def main(argv: list[str] | None = None) -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="portchain_lab.guests.vlan_subports", description=__doc__)
    parser.add_argument("parent", help="the interface that the tagged frames use, such as eth0")
    parser.add_argument("device", nargs="+", metavar="DEVICE=VLAN", help="such as eth0.100=100")
    arguments = parser.parse_args(argv)
    pairs = (text.rpartition("=") for text in arguments.device)
    serve(arguments.parent, {device: int(vlan) for device, _, vlan in pairs})


if __name__ == "__main__":
    main()
