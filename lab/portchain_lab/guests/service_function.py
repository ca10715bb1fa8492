"""A service function as a program, for kinds that a kernel cannot play.

Run it inside the VM as ``python -m portchain_lab.guests.service_function KIND DEVICE...``. It
sends what it receives on one interface out of the next one; with a single interface, back out of
the same one. docs/functions.md describes what functions of each kind receive and return.
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
"""The bit of an address's last byte that ``nat`` flips."""

_CHECKSUM_OFFSETS = {6: 16, 17: 6}
"""IP protocol -> offset of the checksum in its header, in bytes."""

# From <linux/if_ether.h> and <linux/if_packet.h>; Python's socket module lacks them.
ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_MR_PROMISC = 1


def _return_to_sender(frame: bytes, own: bytes) -> bytes:
    """Address a frame to its sender, from an interface with MAC address ``own``."""
    return frame[_MAC_BYTES : 2 * _MAC_BYTES] + own + frame[2 * _MAC_BYTES :]


def _decrement(frame: bytes, offset: int) -> bytes:
    """Decrement the byte at ``offset`` behind the Ethernet header."""
    offset += _HEADER_BYTES
    return frame[:offset] + bytes([(frame[offset] - 1) % 256]) + frame[offset + 1 :]


def mpls(frame: bytes, own: bytes, _: int) -> bytes:
    """Return an MPLS frame. The label's TTL is the service index (RFC 3032, 2.1: byte 3)."""
    return _decrement(_return_to_sender(frame, own), 3)


def nsh(frame: bytes, own: bytes, _: int) -> bytes:
    """Return an NSH frame. The service index ends the service path header (RFC 8300, 2.3)."""
    return _decrement(_return_to_sender(frame, own), 7)


def nat(frame: bytes, _: bytes, index: int) -> bytes:
    """Forward a frame as a bump in the wire, with one of its IPv4 addresses translated.

    :param index: the interface it arrived at. The first translates the source address, the second
        the destination address. Frames without TCP or UDP over IPv4 are not changed.
    """
    if frame[12:14] != b"\x08\x00" or frame[_HEADER_BYTES + 9] not in _CHECKSUM_OFFSETS:
        return frame
    changed = bytearray(frame)
    word = _HEADER_BYTES + (12, 16)[index % 2] + 2  # the address's last two bytes
    transport = _HEADER_BYTES + 4 * (frame[_HEADER_BYTES] & 0xF)
    before = int.from_bytes(changed[word : word + 2])
    changed[word + 1] ^= TRANSLATED_BIT
    after = int.from_bytes(changed[word : word + 2])
    for offset in (_HEADER_BYTES + 10, transport + _CHECKSUM_OFFSETS[frame[_HEADER_BYTES + 9]]):
        # RFC 1624, equation 3.
        known = int.from_bytes(changed[offset : offset + 2])
        total = (~known & 0xFFFF) + (~before & 0xFFFF) + after
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        changed[offset : offset + 2] = (~total & 0xFFFF).to_bytes(2)
    return bytes(changed)


@dataclass(frozen=True, slots=True)
class Kind:
    """How functions of one kind process frames.

    :param ethertype: of the frames that the function receives.
    :param process: (frame, MAC address of the output interface, number of the input interface)
        -> frame to send.
    :param bump: a bump in the wire, which also receives frames for other MAC addresses.
    """

    ethertype: int
    process: Callable[[bytes, bytes, int], bytes]
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


def _receives(kind: Kind, packet_type: int) -> bool:
    if kind.bump:
        return packet_type != socket.PACKET_OUTGOING
    return packet_type == socket.PACKET_HOST


def serve(kind: Kind, devices: list[str]) -> None:
    """Process frames until the process is killed."""
    sockets = [_listen(device, kind) for device in devices]
    addresses = [sock.getsockname()[4] for sock in sockets]
    selector = selectors.DefaultSelector()
    for index, sock in enumerate(sockets):
        selector.register(sock, selectors.EVENT_READ, index)
    print(READY, flush=True)
    while True:
        for key, _ in selector.select():
            frame, (_, _, packet_type, *_) = sockets[key.data].recvfrom(_LONGEST)
            if _receives(kind, packet_type):
                out = (key.data + 1) % len(sockets)
                sockets[out].send(kind.process(frame, addresses[out], key.data))


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
