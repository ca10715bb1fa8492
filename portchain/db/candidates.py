"""The ports for which classifiers stand that do not name them: which are read, and which they are.

A chain looks for them on its networks (`portchain.db.source_networks`). Networks have many ports,
and most classifiers that name no port have a narrow prefix. For these, only ports that could matter
are read, found by their addresses.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import allowed_address_pair
from neutron.db.port_security import models as port_security
from neutron_lib import constants

from portchain.core import model
from portchain.db import source_networks
from portchain.db.ports import contains, has_address_in, load_ports, load_ports_by_id, may_send_from

_FEW_ADDRESSES = 64
"""The addresses of a prefix that has at most so many are looked up one by one."""


@dataclass(frozen=True, slots=True)
class OpenChain:
    """A chain with classifiers that stand for ports that they do not name.

    :param networks: where it looks for them.
    :param source_networks: where routers forward replies from other networks.
    """

    chain: model.PortChain
    networks: frozenset[str]
    source_networks: frozenset[str]

    @property
    def prefixes(self) -> Iterator[tuple[str, str | None]]:
        """The ethertype and prefix of each end that names no port."""
        for one in self.chain.flow_classifiers:
            if one.logical_source_port is None:
                yield one.ethertype, one.source_prefix
            if self.chain.symmetric and one.logical_destination_port is None:
                yield one.ethertype, one.destination_prefix

    def may_be_end(self, port: model.Port) -> bool:
        """Tell whether a port can count for the chain, whatever other ports there are.

        `portchain.db.port_usage` finds the chain for these ports.
        """
        if port.project_id != self.chain.project_id:
            return False
        if port.routes:
            return port.network_id in self.networks | self.source_networks
        if port.serves_network or port.network_id not in self.networks:
            return False
        return any(may_send_from(port, ethertype, prefix) for ethertype, prefix in self.prefixes)


def open_chain(
    chain: model.PortChain, networks: Collection[str], ports: Mapping[str, model.Port]
) -> OpenChain:
    """Return a chain with where it looks for ports.

    :param ports: port id -> port; at least the logical source ports that exist.
    """
    behind = source_networks.of_sources(chain, ports)
    return OpenChain(chain, frozenset(networks), frozenset(behind))


def load_candidates(session: Any, chains: Sequence[OpenChain]) -> "Candidates":
    """Load the ports for which the open classifiers of chains could stand."""
    if not any(one.networks or one.source_networks for one in chains):
        return Candidates({})
    ids = _ids_by_address(session, chains)
    ports = load_ports_by_id(session, ids)
    found = Candidates(ports)
    # Where no port has an address in a prefix, those that may send from any stand for it.
    lacking = {network for one in chains if found.lack_ends_of(one) for network in one.networks}
    if not lacking:
        return found
    more = load_ports(session, _without_port_security(lacking))
    return Candidates(ports | more) if more else found


def _ids_by_address(session: Any, chains: Sequence[OpenChain]) -> set[str]:
    """Return the ids of ports with an address that matters, or with allowed pairs, and of routers.

    Reads no other ports where prefixes have few addresses, one row of each where they have many,
    and all ports where a classifier matches every address.
    """
    whole: set[str] = set()
    wide: set[str] = set()
    points: set[str] = set()
    prefixes: dict[str, set[str]] = defaultdict(set)
    for one in chains:
        for _, prefix in one.prefixes:
            if prefix is None:
                whole |= one.networks
                continue
            network = ip_network(prefix)
            if network.num_addresses <= _FEW_ADDRESSES:
                points |= {str(address) for address in network}
                continue
            wide |= one.networks
            for network_id in one.networks:
                prefixes[network_id].add(prefix)
    networks = frozenset().union(*(one.networks for one in chains))
    of_routers = networks.union(*(one.source_networks for one in chains))
    port, allocation = models_v2.Port, models_v2.IPAllocation
    pair = allowed_address_pair.AllowedAddressPair
    none = sa.null()
    projects = port.project_id.in_({one.chain.project_id for one in chains})
    by_address = sa.select(allocation.port_id, allocation.network_id, allocation.ip_address)
    rows = session.execute(
        sa.union_all(
            sa.select(port.id, none, none).where(
                projects,
                port.network_id.in_(of_routers),
                port.device_owner.in_(constants.ROUTER_INTERFACE_OWNERS),
            ),
            # Chains classify no traffic of Neutron's own ports, such as DHCP servers.
            sa.select(port.id, none, none).where(
                projects,
                port.network_id.in_(whole),
                ~port.device_owner.startswith(constants.DEVICE_OWNER_NETWORK_PREFIX),
            ),
            sa.select(pair.port_id, none, none)
            .join(port, port.id == pair.port_id)
            .where(projects, port.network_id.in_(networks - whole)),
            by_address.where(
                allocation.ip_address.in_(points), allocation.network_id.in_(networks - whole)
            ),
            by_address.where(allocation.network_id.in_(wide - whole)),
        )
    )
    return {
        port_id
        for port_id, network_id, address in rows
        if address is None
        or address in points
        or any(ip_address(address) in ip_network(prefix) for prefix in prefixes[network_id])
    }


def _without_port_security(network_ids: Collection[str]) -> sa.Select[Any]:
    port, security = models_v2.Port, port_security.PortSecurityBinding
    return (
        sa.select(port.id)
        .join(security, security.port_id == port.id)
        .where(port.network_id.in_(network_ids), security.port_security_enabled.is_(False))
    )


@dataclass(slots=True)
class _Place:
    """The ports of one project on one network.

    :param ends: all but Neutron's own. ``paired``: those of them with allowed address pairs.
        ``forwarding``: those that may send from any address.
    :param addresses: the fixed addresses of the ends, with their ports; sorted.
    """

    ends: list[model.Port] = field(default_factory=list)
    paired: list[model.Port] = field(default_factory=list)
    forwarding: list[model.Port] = field(default_factory=list)
    routers: list[model.Port] = field(default_factory=list)
    addresses: list[tuple[int, int, str]] = field(default_factory=list)

    def add(self, port: model.Port) -> None:
        if port.routes:
            self.routers.append(port)
        if port.serves_network:
            return
        self.ends.append(port)
        if port.address_pairs:
            self.paired.append(port)
        if port.forwards:
            self.forwarding.append(port)
        parsed = map(ip_address, port.fixed_ips)
        self.addresses += [(address.version, int(address), port.id) for address in parsed]

    def with_address(self, ethertype: str, prefix: str | None) -> Iterator[str]:
        """Yield the ids of the ends that have an address in a prefix; see `has_address_in`."""
        if prefix is None:
            yield from _ids(port for port in self.ends if has_address_in(port, ethertype, prefix))
            return
        network = ip_network(prefix)
        first, last = int(network.network_address), int(network.broadcast_address)
        low = bisect_left(self.addresses, (network.version, first))
        high = bisect_right(self.addresses, (network.version, last + 1))
        yield from (port_id for _, _, port_id in self.addresses[low:high])
        yield from _ids(port for port in self.paired if has_address_in(port, ethertype, prefix))

    def may_send(self, ethertype: str, prefix: str | None) -> Iterator[str]:
        """Yield the ids of the ends that may send from a prefix in which none has an address."""
        yield from _ids(self.forwarding)
        yield from _ids(port for port in self.paired if may_send_from(port, ethertype, prefix))


class Candidates:
    """Ports, from which classifiers take those for which they stand.

    A port that may send from any address, or from a range that contains a classifier's prefix, and
    a router only count where no port has an address in the prefix: otherwise a packet that they
    forward would be classified twice, here and at its source.
    """

    def __init__(self, ports: Mapping[str, model.Port]) -> None:
        """Sort ports by project and network.

        :param ports: port id -> port.
        """
        self.ports = ports
        self._places: dict[tuple[str, str], _Place] = defaultdict(_Place)
        for port in ports.values():
            self._places[port.project_id, port.network_id].add(port)
        for place in self._places.values():
            place.addresses.sort()

    def lack_ends_of(self, one: OpenChain) -> bool:
        """Tell whether a classifier of a chain has a prefix in which no port has an address."""
        return any(
            fc.logical_source_port is None
            and fc.source_prefix is not None
            and not self._senders(one, fc)
            for fc in one.chain.flow_classifiers
        ) or any(
            fc.logical_destination_port is None
            and fc.destination_prefix is not None
            and not self._with_address(one, fc.ethertype, fc.destination_prefix)
            for fc in one.chain.flow_classifiers
            if one.chain.symmetric
        )

    def is_decided_by_port(self, one: OpenChain) -> bool:
        """Tell whether no port counts for a chain only because others do not.

        Then an event of a port changes nothing for other ports.
        """
        return all(
            fc.logical_source_port is not None or fc.source_prefix is None or self._senders(one, fc)
            for fc in one.chain.flow_classifiers
        ) and all(
            fc.logical_destination_port is not None
            or self._with_address(one, fc.ethertype, fc.destination_prefix)
            for fc in one.chain.flow_classifiers
            if one.chain.symmetric
        )

    def sources(self, one: OpenChain, classifier: model.FlowClassifier) -> tuple[str, ...]:
        """Return the ids of the ports whose traffic a classifier of a chain matches."""
        if classifier.logical_source_port is not None:
            return (classifier.logical_source_port,)
        found = self._senders(one, classifier)
        ethertype, prefix = classifier.ethertype, classifier.source_prefix
        if not found and prefix is not None:
            found = self._without_destination(self._may_send(one, ethertype, prefix), classifier)
            # Drivers that cannot classify what a distributed router sends must learn of it, to
            # refuse.
            found |= set(_ids(self._routers(one, one.networks)))
        return tuple(sorted(found))

    def destinations(self, one: OpenChain, classifier: model.FlowClassifier) -> tuple[str, ...]:
        """Return the ids of the ports whose replies belong to a classifier's traffic."""
        if classifier.logical_destination_port is not None:
            return (classifier.logical_destination_port,)
        ethertype, prefix = classifier.ethertype, classifier.destination_prefix
        found = self._with_address(one, ethertype, prefix)
        if not found:
            found = self._may_send(one, ethertype, prefix)
        routers = self._routers(one, one.networks | one.source_networks)
        behind = _ids(port for port in routers if not _is_on_link(port, prefix))
        return tuple(sorted({*found, *behind}))

    def _senders(self, one: OpenChain, classifier: model.FlowClassifier) -> set[str]:
        """Return the ids of the ports that have an address in a classifier's source prefix."""
        found = self._with_address(one, classifier.ethertype, classifier.source_prefix)
        return self._without_destination(found, classifier)

    def _with_address(self, one: OpenChain, ethertype: str, prefix: str | None) -> set[str]:
        """Return the ids of the ports on a chain's networks that have an address in a prefix.

        Functions of the chain are no ends of its traffic.
        """
        places = self._on(one, one.networks)
        found = {port_id for place in places for port_id in place.with_address(ethertype, prefix)}
        return found - one.chain.function_ports

    def _may_send(self, one: OpenChain, ethertype: str, prefix: str | None) -> set[str]:
        places = self._on(one, one.networks)
        found = {port_id for place in places for port_id in place.may_send(ethertype, prefix)}
        return found - one.chain.function_ports

    def _routers(self, one: OpenChain, networks: Collection[str]) -> Iterator[model.Port]:
        for place in self._on(one, networks):
            yield from (port for port in place.routers if port.id not in one.chain.function_ports)

    def _on(self, one: OpenChain, networks: Collection[str]) -> Iterator[_Place]:
        keys = ((one.chain.project_id, network_id) for network_id in networks)
        return (self._places[key] for key in keys if key in self._places)

    def _without_destination(self, ids: set[str], classifier: model.FlowClassifier) -> set[str]:
        """Leave out the only destination of a classifier's traffic, which is no source of it."""
        if classifier.logical_destination_port is not None:
            return ids - {classifier.logical_destination_port}
        network = ip_network(classifier.destination_prefix or "::/0")
        if network.num_addresses > 1:
            return ids
        return {
            port_id
            for port_id in ids
            if network.network_address not in map(ip_address, self.ports[port_id].fixed_ips)
        }


def _is_on_link(router: model.Port, prefix: str | None) -> bool:
    """Tell whether a router forwards nothing from a prefix to a network: it is the network's."""
    return prefix is not None and any(contains(subnet, prefix) for subnet in router.subnets)


def _ids(ports: Iterable[model.Port]) -> Iterator[str]:
    return (port.id for port in ports)
