"""Loads Neutron's ports into the model."""

import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import allowed_address_pair, l3, l3_attrs
from neutron.db.models import segment as segment_models
from neutron.db.port_security import models as port_security
from neutron.plugins.ml2 import models as ml2
from neutron.services.trunk import models as trunk_models
from neutron_lib import constants
from neutron_lib.api.definitions import portbindings

from portchain.core import model
from portchain.db.many_values import in_parts
from portchain.port_events import NOT_BOUND, address_pair, role_of


def _port_query() -> sa.Select[Any]:
    """Select the columns that the model needs.

    Plain columns, because each of Neutron's ORM rows would load ten relations. With hierarchical
    port binding, a port has a row for each level. All is joined in the order in which the ports
    lead to it: from its side, a segment leads to all ports of its network.
    """
    port, binding, network = models_v2.Port, ml2.PortBinding, models_v2.Network
    level, segment = ml2.PortBindingLevel, segment_models.NetworkSegment
    security = port_security.PortSecurityBinding
    floating_ip, router = l3.FloatingIP, l3_attrs.RouterExtraAttributes
    floating = (
        sa.select(floating_ip.id)
        .join(router, router.router_id == floating_ip.router_id)
        .where(floating_ip.fixed_port_id == port.id, router.distributed)
        .exists()
    )
    query = sa.select(
        port.id,
        port.network_id,
        port.project_id,
        port.mac_address,
        port.status,
        port.device_id,
        port.device_owner,
        port.name,
        binding.host,
        binding.vif_type,
        network.mtu,
        network.project_id.label("network_project_id"),
        security.port_security_enabled,
        floating.label("floating"),
        level.level,
        level.driver,
        segment.network_type,
        segment.physical_network,
        segment.segmentation_id,
    )
    return (
        query.join(network, network.id == port.network_id)
        .join(
            binding,
            # A port has a second, inactive binding while its instance migrates.
            sa.and_(binding.port_id == port.id, binding.status == constants.ACTIVE),
            isouter=True,
        )
        .join(security, security.port_id == port.id, isouter=True)
        .join(
            level,
            sa.and_(level.port_id == port.id, level.host == binding.host),
            isouter=True,
        )
        .join(segment, segment.id == level.segment_id, isouter=True)
    )


def load_ports(session: Any, ids: Any) -> dict[str, model.Port]:
    """Return those ports that exist, by id, in one query.

    :param ids: the ids, or a query for them.
    """
    query = _port_query().where(models_v2.Port.id.in_(ids))
    nothing = [sa.null()] * len(query.selected_columns)
    parts = [sa.select(*nothing, *columns).where(condition) for columns, condition in _parts(ids)]
    rows = session.execute(sa.union_all(query.add_columns(*[sa.null()] * 5), *parts)).all()
    # The last level is that of the host's switch. One without a segment does not count.
    last = {row.id: row for row in sorted((row for row in rows if row.id), key=_level)}
    addresses = _addresses(last, [row[-5:] for row in rows if not row.id])
    return {port_id: _port(row, addresses[port_id]) for port_id, row in last.items()}


def load_ports_by_id(session: Any, port_ids: Iterable[str]) -> dict[str, model.Port]:
    """Return those ports that exist, by id."""
    found: dict[str, model.Port] = {}
    for part in in_parts(port_ids):
        found |= load_ports(session, part)
    return found


def load_places(session: Any, port_ids: Iterable[str]) -> dict[str, model.Port]:
    """Return those ports that exist, by id, only with what says where a port is and in which state.

    For lists of many resources: all that the model has of a port takes four times as many rows.
    """
    port, binding = models_v2.Port, ml2.PortBinding
    own = (port.id, port.network_id, port.project_id, port.mac_address, port.status, port.name)
    query = sa.select(*own, binding.host, binding.vif_type).join(
        binding,
        sa.and_(binding.port_id == port.id, binding.status == constants.ACTIVE),
        isouter=True,
    )
    parts = (session.execute(query.where(port.id.in_(part))) for part in in_parts(port_ids))
    return {row.id: model.Port(**_place(row)) for rows in parts for row in rows}


def load_owners(session: Any, addresses: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return which of some addresses ports have as their fixed IPs.

    :param addresses: id of a network and an address there, of each.
    :returns: the same -> MAC address of the port.
    """
    allocation, port = models_v2.IPAllocation, models_v2.Port
    found: dict[tuple[str, str], str] = {}
    for part in in_parts({address for _, address in addresses}):
        rows = session.execute(
            sa.select(allocation.network_id, allocation.ip_address, port.mac_address)
            .join(port, port.id == allocation.port_id)
            .where(allocation.ip_address.in_(part))
            .where(allocation.network_id.in_(sorted({network for network, _ in addresses})))
        )
        found |= {(network, address): str(mac) for network, address, mac in rows}
    return {one: mac for one, mac in found.items() if one in addresses}


def _level(row: Any) -> int:
    return -1 if row.network_type is None else int(row.level)


@dataclass(slots=True)
class _Addresses:
    """The addresses of a port: the fields of the same names, or similar ones, of ``model.Port``."""

    network_subnets: Collection[str]
    gateways: Collection[str]
    fixed_ips: list[str] = field(default_factory=list)
    pairs: list[model.AddressPair] = field(default_factory=list)
    subnets: set[str] = field(default_factory=set)


def _parts(ids: Any) -> Iterator[tuple[Sequence[Any], Any]]:
    """Yield what is read beside ports: fixed IPs, allowed address pairs and subnets.

    Each with its five columns, and the condition that finds it. A subnet is read once, not for each
    of its ports.

    :param ids: of ports, or a query for them.
    """
    allocation, allowed = models_v2.IPAllocation, allowed_address_pair.AllowedAddressPair
    subnet, none = models_v2.Subnet, sa.null()
    yield (
        (allocation.port_id, allocation.ip_address, none, allocation.subnet_id, none),
        allocation.port_id.in_(ids),
    )
    yield (
        (allowed.port_id, allowed.ip_address, allowed.mac_address, none, none),
        allowed.port_id.in_(ids),
    )
    networks = sa.select(models_v2.Port.network_id).where(models_v2.Port.id.in_(ids))
    yield (
        (none, subnet.cidr, subnet.network_id, subnet.id, subnet.gateway_ip),
        subnet.network_id.in_(networks),
    )


def _addresses(ports: Mapping[str, Any], rows: Sequence[Sequence[Any]]) -> dict[str, _Addresses]:
    """Return the addresses of ports, by the port's id.

    :param ports: port id -> row of the port.
    :param rows: of `_parts`.
    """
    subnets = [row for row in rows if row[0] is None]
    cidrs = {subnet_id: cidr for _, cidr, _, subnet_id, _ in subnets}
    of_network: dict[str, set[str]] = defaultdict(set)
    gateways: dict[str, set[str]] = defaultdict(set)
    for _, cidr, network_id, _, gateway in subnets:
        of_network[network_id].add(cidr)
        gateways[network_id] |= {gateway} - {None}
    found = {
        one: _Addresses(of_network[row.network_id], gateways[row.network_id])
        for one, row in ports.items()
    }
    of_ports = [row for row in rows if row[0] is not None]
    for port_id, address, mac, subnet_id, _ in sorted(
        of_ports, key=lambda row: (row[1], row[2] or "")
    ):
        if mac is not None:
            found[port_id].pairs.append(address_pair(address, mac))
        elif subnet_id in cidrs:
            found[port_id].fixed_ips.append(address)
            found[port_id].subnets.add(cidrs[subnet_id])
    return found


def _port(row: Any, addresses: _Addresses) -> model.Port:
    segment, mechanism = None, ""
    if row.network_type is not None:
        segment = model.Segment(row.network_type, row.physical_network, row.segmentation_id)
        mechanism = row.driver or ""
    return model.Port(
        **_place(row),
        fixed_ips=tuple(addresses.fixed_ips),
        device_id=row.device_id,
        role=role_of({"device_owner": row.device_owner}),
        address_pairs=tuple(addresses.pairs),
        # Without Neutron's extension for port security, every port has it.
        port_security=row.port_security_enabled is not False,
        subnets=tuple(sorted(addresses.subnets)),
        network_subnets=tuple(sorted(addresses.network_subnets)),
        gateways=tuple(sorted(addresses.gateways)),
        floating=bool(row.floating),
        segment=segment,
        mechanism=mechanism,
        mtu=row.mtu or 0,
        network_project_id=row.network_project_id or "",
    )


def _place(row: Any) -> dict[str, Any]:
    """Return the fields of a port that ``load_places`` reads, too."""
    return {
        "id": row.id,
        "network_id": row.network_id,
        "project_id": row.project_id,
        "mac_address": row.mac_address,
        "name": row.name or "",
        "host": "" if row.vif_type in NOT_BOUND else (row.host or ""),
        "plugged": row.status != constants.PORT_STATUS_DOWN,
        "being_bound": bool(row.host) and row.vif_type == portbindings.VIF_TYPE_UNBOUND,
    }


def devices_of_subports(session: Any, port_ids: Iterable[str]) -> dict[str, str]:
    """Return the device of each port that is a subport: the device of its trunk's parent port.

    Ports that are no subports are left out.
    """
    subport, trunk, parent = trunk_models.SubPort, trunk_models.Trunk, models_v2.Port
    query = (
        sa.select(subport.port_id, parent.device_id)
        .join(trunk, trunk.id == subport.trunk_id)
        .join(parent, parent.id == trunk.port_id)
        .where(subport.port_id.in_(list(port_ids)))
    )
    return dict(session.execute(query).all())


def has_address_in(port: model.Port, ethertype: str, prefix: str | None) -> bool:
    """Return whether a port has an address in a prefix of a classifier.

    An allowed address pair counts if all of it is in the prefix, such as a virtual address. With a
    wider one the port may forward packets of others, which is not known: see `may_send_from`.

    :param ethertype: the classifier's.
    :param prefix: a CIDR, None for every address of the ethertype.
    """
    network = _network(ethertype, prefix)
    if any(ip_address(address) in network for address in port.fixed_ips):
        return True
    return any(contains(str(network), pair.prefix) for pair in port.address_pairs)


def may_send_from(port: model.Port, ethertype: str, prefix: str | None) -> bool:
    """Return whether Neutron lets a port send packets from an address in a classifier's prefix.

    :param ethertype: the classifier's.
    :param prefix: a CIDR, None for every address of the ethertype.
    """
    network = _network(ethertype, prefix)
    return (
        port.forwards
        or has_address_in(port, ethertype, prefix)
        or any(network.overlaps(ip_network(pair.prefix)) for pair in port.address_pairs)
    )


@functools.lru_cache(maxsize=1 << 10)
def _network(ethertype: str, prefix: str | None) -> IPv4Network | IPv6Network:
    return ip_network(prefix or ("0.0.0.0/0" if ethertype == constants.IPv4 else "::/0"))


def contains(prefix: str, other: str) -> bool:
    """Return whether a prefix contains all of another one."""
    network, inner = ip_network(prefix), ip_network(other)
    return network.overlaps(inner) and network.prefixlen <= inner.prefixlen
