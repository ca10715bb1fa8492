"""Which packets a Neutron port receives, among those to a classifier's destination prefix. Pure.

A logical destination port does not stand for its fixed addresses alone: a virtual address
(``allowed_address_pairs``) can be its own, and a router's port, or one without port security,
receives packets to any address. Such packets are known by the MAC address that they are sent to.
"""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from portchain.core.model import Port
from portchain.dataplane.plan import Receiver

_Network = IPv4Network | IPv6Network

_NO_PACKET = {4: "255.255.255.255/32", 6: "::/128"}
"""A prefix that matches no packet. An empty list of prefixes would match all."""


def received(
    port: Port | None, ethertype: str, prefix: str | None
) -> tuple[tuple[str, ...], Receiver | None]:
    """Return what a port receives.

    :param port: None if it no longer exists.
    :param prefix: the classifier's CIDR; None for every address.
    :returns: the prefixes that contain the destination addresses of all these packets, and how the
        packets are known where they are sent; None if by the prefixes.
    """
    version = 4 if ethertype == "IPv4" else 6
    if port is None:
        return (_NO_PACKET[version],), None
    within = ip_network(prefix or ("0.0.0.0/0" if version == 4 else "::/0"))
    fixed = _narrowed(map(ip_network, port.fixed_ips), within)
    pairs = [ip_network(pair.prefix) for pair in port.address_pairs]
    # To be allowed to send from every address says nothing about which ones the port has.
    shared = _narrowed((one for one in pairs if one.prefixlen or prefix), within)
    own = fixed + tuple(one for one in shared if one not in fixed)
    forwards = port.forwards or any(not one.prefixlen for one in pairs if one.version == version)
    # If the user names a prefix in which the port has no address, the port forwards packets there.
    if forwards or (prefix is not None and not own):
        own = (prefix,) if prefix else ()
    elif not shared:
        return own or (_NO_PACKET[version],), None
    return own, Receiver(fixed, _macs(port), shared)


def _narrowed(networks: Iterator[_Network], within: _Network) -> tuple[str, ...]:
    """Return what the networks have in common with another one."""
    common = (max(one, within, key=_length) for one in networks if one.overlaps(within))
    return tuple(dict.fromkeys(map(str, common)))


def _length(network: _Network) -> int:
    return network.prefixlen


def _macs(port: Port) -> tuple[str, ...]:
    """Return the unicast MAC addresses by which a port receives frames."""
    macs = dict.fromkeys((port.mac_address, *(pair.mac_address for pair in port.address_pairs)))
    return tuple(mac for mac in macs if not int(mac[:2], 16) & 1)
