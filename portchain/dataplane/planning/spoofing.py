"""Decides with which source addresses functions may return packets. Pure.

A function's port is subject to Neutron's port security, but what it returns to a chain continues
behind the port security. Without a check of its own, a chain would let its owner send with the
addresses of others (docs/decisions/0045).
"""

import ipaddress
from collections.abc import Iterable, Iterator
from itertools import chain

from portchain.core.function_kinds import traits_of
from portchain.core.model import ChainSnapshot, Port, PortPairGroup
from portchain.core.rules import Violation, label_for

ANYWHERE = ("0.0.0.0/0", "::/0")


def may_send_from(port: Port) -> Iterator[str]:
    """Yield the CIDRs that Neutron lets a port send from.

    These are its fixed addresses, its allowed address pairs, and the link-local IPv6 addresses of
    its MAC addresses.
    """
    if port.forwards:
        yield from ANYWHERE
        return
    for address in port.fixed_ips:
        yield str(ipaddress.ip_network(address))
    for pair in port.address_pairs:
        yield str(ipaddress.ip_network(pair.prefix, strict=False))
    for mac in {port.mac_address, *(pair.mac_address for pair in port.address_pairs)}:
        yield str(ipaddress.ip_network(_link_local(mac)))


def frame_addresses(port: Port) -> tuple[str, ...]:
    """Return the MAC addresses that Neutron lets a port send from; empty for any."""
    if port.forwards:
        return ()
    others = {pair.mac_address for pair in port.address_pairs} - {port.mac_address}
    return (port.mac_address, *sorted(others))


def returned_sources(
    snapshot: ChainSnapshot, reverse: bool = False
) -> list[tuple[str, ...] | None]:
    """Return ``Hop.returned_sources`` for each hop of a path.

    :param reverse: whether it is the path of the replies.
    """
    groups = snapshot.chain.port_pair_groups
    in_path_order = groups[::-1] if reverse else groups
    ends = snapshot.destinations if reverse else snapshot.sources
    allowed = set(_of_ports(snapshot, chain.from_iterable(ends.values())))
    if snapshot.predecessors:
        allowed = set(ANYWHERE)  # the sources are those of other chains
    found: list[tuple[str, ...] | None] = []
    for group in in_path_order:
        if group.tap_enabled:
            found.append(None)
            continue
        if _may_change_source(group, reverse=reverse):
            allowed |= set(_of_ports(snapshot, _returning_ports(group, reverse=reverse)))
        found.append(_collapsed(allowed))
    return found


def check_mappings(snapshot: ChainSnapshot) -> None:
    """Check that functions translate to source addresses that somebody may send from.

    :raises Violation: neither the function's port nor a source of the chain may.
    """
    groups = snapshot.chain.port_pair_groups
    for group, allowed in zip(groups, returned_sources(snapshot), strict=True):
        prefix = group.egress_n_tuple.get("source_ip_prefix")
        egress_ports = _returning_ports(group, reverse=False)
        if prefix is None or allowed is None or not egress_ports:
            continue
        if not snapshot.ports.keys() >= set(egress_ports):
            continue  # a port that no longer exists: such a chain is DOWN
        network = ipaddress.ip_network(str(prefix), strict=False)
        known = [ipaddress.ip_network(each) for each in allowed]
        if not any(one.version == network.version and _contains(one, network) for one in known):
            raise Violation(
                "port_pair_groups",
                f"the functions of {label_for(snapshot.chain.project_id, group)} translate to "
                f"source_ip_prefix {prefix}, which port security lets neither their egress ports "
                "nor the sources of the chain send from. Add the prefix to allowed_address_pairs "
                "of the egress ports, or give them the address",
            )


def _may_change_source(group: PortPairGroup, *, reverse: bool) -> bool:
    declared = not reverse and "source_ip_prefix" in group.egress_n_tuple
    return declared or not all(traits_of(pair).keeps_packet for pair in group.port_pairs)


def _returning_ports(group: PortPairGroup, *, reverse: bool) -> list[str]:
    return [pair.ingress if reverse else pair.egress for pair in group.port_pairs]


def _of_ports(snapshot: ChainSnapshot, port_ids: Iterable[str]) -> Iterator[str]:
    for port_id in port_ids:
        if port_id in snapshot.ports:
            yield from may_send_from(snapshot.ports[port_id])


def _collapsed(cidrs: Iterable[str]) -> tuple[str, ...]:
    networks = [ipaddress.ip_network(cidr) for cidr in cidrs]
    four = [one for one in networks if isinstance(one, ipaddress.IPv4Network)]
    six = [one for one in networks if isinstance(one, ipaddress.IPv6Network)]
    fewest = (*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six))
    return tuple(map(str, fewest))


def _contains(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
    other: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> bool:
    return network.prefixlen <= other.prefixlen and other.network_address in network


def _link_local(mac: str) -> ipaddress.IPv6Address:
    """Return the link-local address with the interface identifier of a MAC address (RFC 4291)."""
    octets = bytes(int(octet, 16) for octet in mac.split(":"))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return ipaddress.IPv6Address(bytes([0xFE, 0x80, *[0] * 6]) + identifier)
