"""A service function as a program, for kinds that a kernel cannot play.

Run it as ``python -m portchain_lab.guests.service_function KIND DEVICE...``.

It runs inside the virtual machine. What is for the VM and comes in at one interface goes out at the next one, which with a
single interface is the same. docs/functions.md says what functions of each kind get and give back.
"""

import argparse
import selectors
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from portchain_lab.hosts.processes import READY

_MAC_BYTES, _HEADER_BYTES = 6, 14
_LONGEST = 65536
TRANSLATED_BIT = 0x80
"""What ``nat`` changes in the last byte of an address."""

_CHECKSUMS = {6: 16, 17: 6}  # IP protocol -> where in its header the checksum is

# From <linux/if_ether.h> and <linux/if_packet.h>; Python's socket module lacks them.
ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_MR_PROMISC = 1


def _readdress(frame: bytes, own: bytes) -> bytes:
    """Back to where the frame came from, from an interface with the address ``own``."""
    return frame[_MAC_BYTES : 2 * _MAC_BYTES] + own + frame[2 * _MAC_BYTES :]


def _count_down(frame: bytes, place: int) -> bytes:
    """One less in the byte at ``place`` behind the Ethernet header."""
    place += _HEADER_BYTES
    return frame[:place] + bytes([(frame[place] - 1) % 256]) + frame[place + 1 :]


def mpls(frame: bytes, own: bytes, _: int) -> bytes:
    """Hand back an MPLS frame: the label's TTL is the service index (RFC 3032, 2.1: the last byte of four)."""
    return _count_down(_readdress(frame, own), 3)


def nsh(frame: bytes, own: bytes, _: int) -> bytes:
    """Hand back an NSH frame: the service index is the last byte of the service path header (RFC 8300, 2.3)."""
    return _count_down(_readdress(frame, own), 7)


def nat(frame: bytes, _: bytes, index: int) -> bytes:
    """Hand on a frame with another IPv4 address, as a bump in the wire: that of the source of what comes in at the first
    interface, that of the destination of what comes in at the second. Other frames stay as they are.
    """
    if frame[12:14] != b"\x08\x00" or frame[_HEADER_BYTES + 9] not in _CHECKSUMS:
        return frame
    changed = bytearray(frame)
    word = _HEADER_BYTES + (12, 16)[index % 2] + 2  # where the address's last two bytes are
    transport = _HEADER_BYTES + 4 * (frame[_HEADER_BYTES] & 0xF)
    before = int.from_bytes(changed[word : word + 2])
    changed[word + 1] ^= TRANSLATED_BIT
    after = int.from_bytes(changed[word : word + 2])
    for place in (_HEADER_BYTES + 10, transport + _CHECKSUMS[frame[_HEADER_BYTES + 9]]):
        # RFC 1624, equation 3.
        known = int.from_bytes(changed[place : place + 2])
        total = (~known & 0xFFFF) + (~before & 0xFFFF) + after
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        changed[place : place + 2] = (~total & 0xFFFF).to_bytes(2)
    return bytes(changed)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a function of a kind takes, and how it turns that into what it hands back.

    :param ethertype: of the frames that it takes.
    :param answer: (frame, address of the interface that it leaves by, number of the one that it came in by) -> frame.
    :param bump: takes everything that passes by, as a bump in the wire; otherwise what is for the VM.
    """

    ethertype: int
    answer: Callable[[bytes, bytes, int], bytes]
    bump: bool = False


KINDS = {
    "mpls": Kind(0x8847, mpls),
    "nsh": Kind(0x894F, nsh),
    "nat": Kind(ETH_P_ALL, nat, bump=True),
}


def _listen(device: str, kind: Kind) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind.ethertype))
    sock.bind((device, kind.ethertype))
    if kind.bump:
        everything = struct.pack("iHH8x", socket.if_nametoindex(device), PACKET_MR_PROMISC, 0)
        sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, everything)
    return sock


def _takes(kind: Kind, packet_type: int) -> bool:
    if kind.bump:
        return packet_type != socket.PACKET_OUTGOING
    return packet_type == socket.PACKET_HOST


def serve(kind: Kind, devices: list[str]) -> None:
    """Hand back frames until the process is ended."""
    sockets = [_listen(device, kind) for device in devices]
    addresses = [sock.getsockname()[4] for sock in sockets]
    selector = selectors.DefaultSelector()
    for index, sock in enumerate(sockets):
        selector.register(sock, selectors.EVENT_READ, index)
    print(READY, flush=True)
    while True:
        for key, _ in selector.select():
            frame, (_, _, packet_type, *_) = sockets[key.data].recvfrom(_LONGEST)
            if _takes(kind, packet_type):
                out = (key.data + 1) % len(sockets)
                sockets[out].send(kind.answer(frame, addresses[out], key.data))


def main(argv: list[str] | None = None) -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(
        prog="portchain_lab.guests.service_function", description=__doc__
    )
    parser.add_argument("kind", choices=sorted(KINDS), help="how the function handles packets")
    parser.add_argument("devices", nargs="+", metavar="DEVICE", help="an interface, such as eth0")
    arguments = parser.parse_args(argv)
    serve(KINDS[arguments.kind], arguments.devices)


if __name__ == "__main__":
    main()
