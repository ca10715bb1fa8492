"""Reads the MTU of a network interface of this host."""

import fcntl
import socket
import struct

_SIOCGIFMTU = 0x8921  # Linux: ioctl of netdevice(7)
_REQUEST = struct.Struct("16si12x")
_LONGEST_NAME = 15


def read_mtu(interface: str) -> int:
    """Return the MTU in bytes; 0 if there is no such interface."""
    name = interface.encode()
    if not name or len(name) > _LONGEST_NAME:
        return 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            answer = fcntl.ioctl(asked, _SIOCGIFMTU, _REQUEST.pack(name, 0))
        except OSError:
            return 0
    return int(_REQUEST.unpack(answer)[1])
