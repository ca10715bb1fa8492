"""Keys by which a database finds the few classifiers that may overlap with another one.

The key of an attribute has the hexadecimal digits with which all of its values begin. Two values
can be equal only if one of the two keys begins with the other one. So the keys that go with a key
are the beginnings of it, which are few, and those that begin with it, which are neighbours in an
index. A key may have fewer digits than possible: then more is found, and nothing is missed.
"""

from ipaddress import ip_network

from portchain.core.model import PortRange

_BITS = 4
"""A digit stands for so many bits."""
_PORT_DIGITS = 4


def address_key(ethertype: str, prefix: str | None) -> str:
    """Return the key of the addresses in a prefix: the version of IP, and digits of the prefix.

    :param ethertype: ``IPv4`` or ``IPv6``.
    :param prefix: a CIDR, None for every address of the ethertype.
    """
    version = ethertype[-1]
    if prefix is None:
        return version
    network = ip_network(prefix)
    return version + network.network_address.packed.hex()[: network.prefixlen // _BITS]


def ports_key(protocol: int | None, ports: PortRange | None) -> str:
    """Return the key of transport ports: two digits of the protocol, and those of the ports.

    :param protocol: the IP protocol number, None for every protocol.
    :param ports: None for every port.
    """
    if protocol is None:
        return ""
    key = f"{protocol:02x}"
    if ports is None:
        return key
    for low, high in zip(*(f"{port:0{_PORT_DIGITS}x}" for port in ports), strict=True):
        if low != high:
            break
        key += low
    return key


def beginnings(key: str) -> list[str]:
    """Return the keys with which a key begins, the empty one and itself included."""
    return [key[:length] for length in range(len(key) + 1)]


def end(key: str) -> str:
    """Return what is behind all keys that begin with a key, and before all others that follow."""
    return f"{key}g"
