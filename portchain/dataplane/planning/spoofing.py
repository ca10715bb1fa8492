"""Decides with which source addresses, and MAC addresses, functions may return packets. Pure.

A function's port is subject to Neutron's port security, but what it returns to a chain continues
behind the port security. Without a check of its own, a chain would let its owner send with the
addresses of others (docs/decisions/0045).
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain, product

from portchain.core.function_kinds import traits_of
from portchain.core.model import (
    ChainSnapshot,
    FailureMode,
    FlowClassifier,
    Port,
    PortChain,
    PortPairGroup,
    PortRole,
)
from portchain.core.rules import Violation, label_for
from portchain.dataplane.match import Network, common_networks

_LINK_LOCAL = "fe80::/10"
ANYWHERE = ("0.0.0.0/0", "::/0")


def may_send_from(port: Port) -> tuple[str, ...]:
    """Return the CIDRs that Neutron lets a port send from.

    These are its fixed addresses, its allowed address pairs, and the link-local IPv6 addresses of
    its MAC addresses.
    """
    if port.forwards:
        return ANYWHERE
    pairs = port.address_pairs
    return (
        *(str(_network(address)) for address in port.fixed_ips),
        *(str(ipaddress.ip_network(pair.prefix, strict=False)) for pair in pairs),
        *(_link_local(mac) for mac in {port.mac_address, *(pair.mac_address for pair in pairs)}),
    )


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
    senders = _senders(snapshot, reverse=reverse)
    changed = _known(snapshot, _translating_before(snapshot))
    found: list[tuple[str, ...] | None] = []
    for group, places in _places(snapshot, reverse=reverse):
        if group.tap_enabled:
            found.append(None)
            continue
        if _may_change_source(group, reverse=reverse):
            changed += _known(snapshot, _returning_ports(group, reverse=reverse))
        found.append(_collapsed(frozenset(_seen_from(places, [*senders, *changed]))))
    return found


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the functions of a group return packets.

    :param ports: a port on each network that they return packets to.
    :param of_others: id of each network of another project on which packets leave the chain there
        -> the CIDRs that the ports from which they continue may send from.
    """

    ports: tuple[Port, ...]
    of_others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def _places(snapshot: ChainSnapshot, *, reverse: bool) -> Iterator[tuple[PortPairGroup, _Places]]:
    """Yield each group of a path with where its functions return packets.

    An SFC-unaware function that routes returns them to the network of its port. Others return them
    to where they were before: the network of a source, or of the last function that routes.
    """

    def find_moving(group: PortPairGroup) -> list[str]:
        aware = {pair.id for pair in group.port_pairs if traits_of(pair).encapsulation}
        moving = (pair for pair in group.port_pairs if pair.id not in aware)
        return _routing_ports(replace(group, port_pairs=tuple(moving)), reverse=reverse)

    last = _last_groups(snapshot.chain, reverse=reverse)
    for group, before in _origins(snapshot, find_moving, reverse=reverse):
        moving = find_moving(group)
        kept = [] if len(moving) == len(group.port_pairs) else before
        returning = _known(snapshot, _returning_ports(group, reverse=reverse))
        ports = {port.network_id: port for port in (*returning, *kept)}
        leaving = (*_known(snapshot, moving), *kept) if group.id in last else ()
        yield group, _Places(tuple(ports.values()), _allowed_by_others(snapshot.chain, leaving))


def _last_groups(chain: PortChain, *, reverse: bool) -> set[str]:
    """Return the ids of the groups behind which packets can leave a chain.

    Packets skip groups that fail open, so there are several.
    """
    found: set[str] = set()
    for group in chain.port_pair_groups if reverse else reversed(chain.port_pair_groups):
        if not group.tap_enabled:
            found.add(group.id)
            if group.failure_mode is FailureMode.CLOSED:
                break
    return found


def _allowed_by_others(chain: PortChain, leaving: Iterable[Port]) -> dict[str, tuple[str, ...]]:
    """Return ``_Places.of_others``.

    What functions of a network's owner return there is this owner's choice, too.

    :param leaving: the ports from which packets continue that leave the chain.
    """
    found: dict[str, tuple[str, ...]] = {}
    for port in leaving:
        if port.network_project_id not in {chain.project_id, port.project_id} - {""}:
            allowed, before = may_send_from(port), found.get(port.network_id)
            found[port.network_id] = allowed if before is None else tuple(_common(before, allowed))
    return found


def _origins(
    snapshot: ChainSnapshot, find_new: Callable[[PortPairGroup], list[str]], *, reverse: bool
) -> Iterator[tuple[PortPairGroup, list[Port]]]:
    """Yield each group of a path with the ports from which its packets continue.

    These are the sources, or the functions before it that replace them.

    :param find_new: returns the ports of a group's functions that do that.
    """
    earlier = (group for before in snapshot.ancestors for group in before.port_pair_groups)
    new_before = (port for group in earlier for port in find_new(group))
    origins = [*_senders(snapshot, reverse=reverse), *_known(snapshot, new_before)]
    groups = snapshot.chain.port_pair_groups
    for group in groups[::-1] if reverse else groups:
        yield group, origins
        if new := find_new(group):
            all_new = len(new) == len(group.port_pairs)
            always_visited = all_new and group.failure_mode is FailureMode.CLOSED
            origins = [*([] if always_visited else origins), *_known(snapshot, new)]


def returned_macs(snapshot: ChainSnapshot, reverse: bool = False) -> list[tuple[str, ...] | None]:
    """Return ``Hop.returned_macs`` for each hop of a path.

    :param reverse: whether it is the path of the replies.
    """

    def find_routing(group: PortPairGroup) -> list[str]:
        return _routing_ports(group, reverse=reverse)

    found: list[tuple[str, ...] | None] = []
    for group, before in _origins(snapshot, find_routing, reverse=reverse):
        all_route = len(find_routing(group)) == len(group.port_pairs)
        found.append(None if group.tap_enabled or all_route else _frame_addresses_of(before))
    return found


def _frame_addresses_of(ports: Sequence[Port]) -> tuple[str, ...] | None:
    """Return the MAC addresses that ports may send from; None for any."""
    if any(port.forwards for port in ports):
        return None
    return tuple(sorted({mac for port in ports for mac in frame_addresses(port)}))


@lru_cache(maxsize=1 << 12)
def _as_prefix(address: str) -> str:
    """Return the prefix of one address. Chains that share a group have the same senders."""
    return str(ipaddress.ip_network(address))


def check_senders(snapshot: ChainSnapshot) -> None:
    """Check that no sender on another network has an address of the functions' network.

    :raises Violation: a sender has one, or a router sends from no other; its packets would be lost.
    """
    _check_routers(snapshot)
    _check_others_networks(snapshot)
    for reverse in (False, True) if snapshot.chain.symmetric else (False,):
        senders = [one for one in _senders(snapshot, reverse=reverse) if not one.routes]
        groups = [
            (one, at) for one, at in _places(snapshot, reverse=reverse) if not one.tap_enabled
        ]
        for (group, places), sender in product(groups, senders):
            fixed = list(map(_as_prefix, sender.fixed_ips))
            if _left(fixed, sender, places.ports) == fixed:
                continue
            project = snapshot.chain.project_id
            raise Violation(
                "port_pair_groups",
                f"{label_for(project, sender)} is on another network than the functions of "
                f"{label_for(project, group)}, or than another source of the packets that these "
                "return, but has an address of that network. Functions must not send with "
                "addresses of machines on another network. Put functions and sources on the "
                "network of the port, or give the port another address",
            )


def _check_routers(snapshot: ChainSnapshot) -> None:
    """Check that what routers send is not only from the functions' network.

    :raises Violation: a prefix says so.
    """
    for reverse in (False, True) if snapshot.chain.symmetric else (False,):
        ends = snapshot.destinations if reverse else snapshot.sources
        groups = _groups_before_translation(snapshot.chain, reverse=reverse)
        for group, classifier in product(groups, snapshot.chain.flow_classifiers):
            prefix = classifier.destination_prefix if reverse else classifier.source_prefix
            routers = (one for one in _known(snapshot, ends.get(classifier.id, ())) if one.routes)
            returning = _known(snapshot, _returning_ports(group, reverse=reverse))
            for router, function in product(routers if prefix else (), returning):
                if prefix and not _without_subnets([prefix], router, function):
                    raise Violation("port_pair_groups", _why_lost(snapshot, classifier, group))


def _why_lost(snapshot: ChainSnapshot, classifier: FlowClassifier, group: PortPairGroup) -> str:
    project = snapshot.chain.project_id
    return (
        f"{label_for(project, classifier)} takes packets that a router sends with addresses of the "
        f"network of the functions of {label_for(project, group)}. Functions must not send with "
        "addresses of machines on their network. Name these machines as the sources, or put the "
        "functions on another network"
    )


def _groups_before_translation(chain: PortChain, *, reverse: bool) -> Iterator[PortPairGroup]:
    """Yield the groups that get packets with the source addresses that they were sent with."""
    groups = chain.port_pair_groups
    for group in reversed(groups) if reverse else groups:
        if not group.tap_enabled:
            if _may_change_source(group, reverse=reverse):
                return
            yield group


def _check_others_networks(snapshot: ChainSnapshot) -> None:
    """Check that what senders send may leave the chain on networks of other projects.

    :raises Violation: Neutron does not let the ports there send with a sender's addresses.
    """
    chain = snapshot.chain
    versions = {4 if one.ethertype == "IPv4" else 6 for one in chain.flow_classifiers}
    for reverse in (False, True) if chain.symmetric else (False,):
        senders = _senders(snapshot, reverse=reverse)
        for group, places in _places(snapshot, reverse=reverse):
            is_translated = not reverse and _is_translated(snapshot, group)
            if group.tap_enabled or not places.of_others or is_translated:
                continue
            for sender in senders:
                sent = [one for one in _sent(snapshot, sender, reverse=reverse)
                        if _network(one).version in versions]  # fmt: skip
                left = _left(sent, sender, places.ports) if sender.routes else sent
                allowed = [*_allowed(left, sender, places.of_others)]
                if not allowed if sender.routes else allowed != sent:
                    raise Violation("port_pair_groups", _why_others(snapshot, sender, group))


def _is_translated(snapshot: ChainSnapshot, group: PortPairGroup) -> bool:
    """Tell whether packets have other source addresses behind a group than they were sent with."""
    groups = snapshot.chain.port_pair_groups
    before = (one for each in snapshot.ancestors for one in each.port_pair_groups)
    passed = (*before, *groups[: groups.index(group) + 1])
    return any("source_ip_prefix" in one.egress_n_tuple for one in passed)


def _sent(snapshot: ChainSnapshot, sender: Port, *, reverse: bool) -> tuple[str, ...]:
    """Return the CIDRs of addresses that a chain takes a sender's packets with.

    These are the addresses of the port. What is behind a router, classifiers say.
    """
    if not sender.routes:
        return tuple(map(_as_prefix, sender.fixed_ips))
    ends = snapshot.destinations if reverse else snapshot.sources
    prefixes = [
        one.destination_prefix if reverse else one.source_prefix
        for one in snapshot.chain.flow_classifiers
        if sender.id in ends.get(one.id, ())
    ]
    named = tuple(str(ipaddress.ip_network(one, strict=False)) for one in prefixes if one)
    return named if named and len(named) == len(prefixes) else ANYWHERE


def _why_others(snapshot: ChainSnapshot, sender: Port, group: PortPairGroup) -> str:
    project = snapshot.chain.project_id
    return (
        f"packets of {label_for(project, sender)} would leave the chain behind "
        f"{label_for(project, group)} on a network of another project, which the port is not on. "
        "There, Neutron does not let the ports from which they continue send with its addresses. "
        "Put the functions of the last group on the network of the port or on one of your own, "
        "let them translate source addresses to their own, or have the owner of the network add "
        "the addresses to allowed_address_pairs of their ports"
    )


def _seen_from(places: _Places, senders: Iterable[Port]) -> Iterator[str]:
    """Yield the CIDRs that senders may send from where functions return their packets.

    Users may give machines on networks of their own any address, and make routers there. On another
    network, that address may be another machine's (docs/decisions/0045). On a network of another
    project, any address that its owner has not allowed may be somebody's behind a router
    (docs/decisions/0084).
    """
    for sender in senders:
        left = _left(may_send_from(sender), sender, places.ports)
        if sender.routes:
            own = may_send_from(replace(sender, role=PortRole.END, port_security=True))
            elsewhere = [one for one in places.ports if one.network_id != sender.network_id]
            left += _left(own, sender, elsewhere)
        yield from _allowed(left, sender, places.of_others)


def _allowed(
    cidrs: Iterable[str], sender: Port, of_others: Mapping[str, tuple[str, ...]]
) -> Iterable[str]:
    """Return what a sender may send from of some CIDRs where packets leave the chain."""
    for network_id, allowed in of_others.items():
        if network_id != sender.network_id:
            cidrs = [*_common(cidrs, allowed)]
    return cidrs


def _common(some: Iterable[str], others: Sequence[str]) -> Iterator[str]:
    """Yield CIDRs of the addresses that are in two lists of CIDRs."""
    yield from map(str, common_networks(map(_network, some), map(_network, others)))


def _left(cidrs: Iterable[str], sender: Port, places: Iterable[Port]) -> list[str]:
    """Return what a sender may send from on the networks of some ports."""
    left = list(cidrs)
    for place in places:
        left = _without_subnets(left, sender, place)
    return left


def _without_subnets(cidrs: Iterable[str], sender: Port, place: Port) -> list[str]:
    """Return a sender's CIDRs without the addresses that are local to the network of a place.

    A sender on that network keeps them, but not a router: it does not send what the machines of a
    network send each other. Local are the network's subnets and link-local addresses: these are
    made of MAC addresses, which users may choose.
    """
    if sender.network_id == place.network_id and not sender.routes:
        return [*cidrs]
    left = [_network(cidr) for cidr in cidrs]
    for subnet in map(_network, (*place.network_subnets, _LINK_LOCAL)):
        left = [part for one in left for part in _difference(one, subnet)]
    return [str(one) for one in left]


def _difference(one: Network, other: Network) -> Iterator[Network]:
    if not one.overlaps(other):
        yield one
    elif other.prefixlen > one.prefixlen:
        yield from one.address_exclude(other)  # type: ignore[arg-type]


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
        if not any(_contains(one, network) for one in known):
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


def _routing_ports(group: PortPairGroup, *, reverse: bool) -> list[str]:
    """Return the ports at which functions return packets with their own MAC address."""
    if group.tap_enabled:
        return []
    routing = (pair for pair in group.port_pairs if not traits_of(pair).keeps_source_mac)
    return [pair.ingress if reverse else pair.egress for pair in routing]


def _returning_ports(group: PortPairGroup, *, reverse: bool) -> list[str]:
    return [pair.ingress if reverse else pair.egress for pair in group.port_pairs]


def _senders(snapshot: ChainSnapshot, *, reverse: bool) -> list[Port]:
    """Return the ports that send the packets of a path."""
    ends = snapshot.destinations if reverse else snapshot.sources
    return _known(snapshot, (*chain.from_iterable(ends.values()), *snapshot.senders))


def _translating_before(snapshot: ChainSnapshot) -> Iterator[str]:
    """Yield the egress ports of functions of earlier chains that may change source addresses."""
    for before in snapshot.ancestors:
        for group in before.port_pair_groups:
            if not group.tap_enabled and _may_change_source(group, reverse=False):
                yield from _returning_ports(group, reverse=False)


def _known(snapshot: ChainSnapshot, port_ids: Iterable[str]) -> list[Port]:
    return [snapshot.ports[port_id] for port_id in port_ids if port_id in snapshot.ports]


@lru_cache(maxsize=2**8)
def _collapsed(cidrs: frozenset[str]) -> tuple[str, ...]:
    """Return the fewest networks; kept, because a chain is planned to check it, too."""
    networks = [_network(cidr) for cidr in cidrs]
    four = [one for one in networks if isinstance(one, ipaddress.IPv4Network)]
    six = [one for one in networks if isinstance(one, ipaddress.IPv6Network)]
    fewest = (*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six))
    return tuple(map(str, fewest))


@lru_cache(maxsize=2**16)
def _network(cidr: str) -> Network:
    """Return a network; kept, because each hop of a chain needs those of all sources."""
    return ipaddress.ip_network(cidr)


def _contains(network: Network, other: Network) -> bool:
    return network.prefixlen <= other.prefixlen and other.network_address in network


@lru_cache(maxsize=2**16)
def _link_local(mac: str) -> str:
    """Return the CIDR of the link-local address with a MAC address's interface identifier.

    See RFC 4291, appendix A.
    """
    octets = bytes(int(octet, 16) for octet in mac.split(":"))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return f"{ipaddress.IPv6Address(bytes([0xFE, 0x80, *[0] * 6]) + identifier)}/128"
