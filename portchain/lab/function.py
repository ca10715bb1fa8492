"""A service function as a program, for kinds that a kernel cannot play: ``python -m portchain.lab.function KIND DEVICE...``.

It runs inside the virtual machine. What is for the machine and comes in at one interface goes out at the next one, which with a
single interface is the same. docs/functions.md says what functions of each kind get and give back.
"""

import argparse
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass

from portchain.lab.processes import READY

_MAC_BYTES, _HEADER_BYTES = 6, 14
_LONGEST = 65536


def _readdress(frame: bytes, own: bytes) -> bytes:
    """Back to where the frame came from, from an interface with the address ``own``."""
    return frame[_MAC_BYTES : 2 * _MAC_BYTES] + own + frame[2 * _MAC_BYTES :]


def _count_down(frame: bytes, place: int) -> bytes:
    """One less in the byte at ``place`` behind the Ethernet header."""
    place += _HEADER_BYTES
    return frame[:place] + bytes([(frame[place] - 1) % 256]) + frame[place + 1 :]


def mpls(frame: bytes, own: bytes) -> bytes:
    """Hand back an MPLS frame: the label's TTL is the service index (RFC 3032, 2.1: the last byte of four)."""
    return _count_down(_readdress(frame, own), 3)


def nsh(frame: bytes, own: bytes) -> bytes:
    """Hand back an NSH frame: the service index is the last byte of the service path header (RFC 8300, 2.3)."""
    return _count_down(_readdress(frame, own), 7)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a function of a kind takes, and how it turns that into what it hands back.

    :param ethertype: of the frames that it takes.
    :param answer: (frame, address of the interface that it leaves by) -> frame.
    """

    ethertype: int
    answer: Callable[[bytes, bytes], bytes]


KINDS = {"mpls": Kind(0x8847, mpls), "nsh": Kind(0x894F, nsh)}


def _listen(device: str, ethertype: int) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ethertype))
    sock.bind((device, ethertype))
    return sock


def serve(kind: Kind, devices: list[str]) -> None:
    """Hand back frames until the process is ended."""
    sockets = [_listen(device, kind.ethertype) for device in devices]
    addresses = [sock.getsockname()[4] for sock in sockets]
    selector = selectors.DefaultSelector()
    for index, sock in enumerate(sockets):
        selector.register(sock, selectors.EVENT_READ, index)
    print(READY, flush=True)
    while True:
        for key, _ in selector.select():
            frame, (_, _, packet_type, *_) = sockets[key.data].recvfrom(_LONGEST)
            if packet_type == socket.PACKET_HOST:
                out = (key.data + 1) % len(sockets)
                sockets[out].send(kind.answer(frame, addresses[out]))


def main(argv: list[str] | None = None) -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="portchain.lab.function", description=__doc__)
    parser.add_argument("kind", choices=sorted(KINDS), help="how the function handles packets")
    parser.add_argument("devices", nargs="+", metavar="DEVICE", help="an interface, such as eth0")
    arguments = parser.parse_args(argv)
    serve(KINDS[arguments.kind], arguments.devices)


if __name__ == "__main__":
    main()
