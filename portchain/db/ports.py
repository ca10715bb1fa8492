"""Loads Neutron's ports into the model."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import segment as segment_models
from neutron.plugins.ml2 import models as ml2
from neutron.services.trunk import models as trunk_models
from neutron_lib import constants

from portchain.core import model
from portchain.port_events import NOT_BOUND, serves_network


def _port_query() -> sa.Select[Any]:
    """Select the columns that the model needs.

    Plain columns, because each of Neutron's ORM rows would load ten relations.
    """
    port, binding, network = models_v2.Port, ml2.PortBinding, models_v2.Network
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
    )
    return query.join(network, network.id == port.network_id).join(
        binding,
        # A port has a second, inactive binding while its instance migrates.
        sa.and_(binding.port_id == port.id, binding.status == constants.ACTIVE),
        isouter=True,
    )


def load_ports(session: Any, *conditions: Any) -> dict[str, model.Port]:
    """Return by id the ports that meet all conditions on Neutron's table of ports."""
    rows = session.execute(_port_query().where(*conditions)).all()
    addresses: dict[str, list[str]] = defaultdict(list)
    allocation = models_v2.IPAllocation
    for port_id, address in session.execute(
        sa.select(allocation.port_id, allocation.ip_address)
        .where(allocation.port_id.in_([row.id for row in rows]))
        .order_by(allocation.ip_address)
    ):
        addresses[port_id].append(address)
    bindings = _bindings(session, [row.id for row in rows])
    not_bound = (None, "")
    return {
        row.id: _port(row, addresses[row.id], *bindings.get((row.id, row.host), not_bound))
        for row in rows
    }


def _bindings(
    session: Any, port_ids: Sequence[str]
) -> dict[tuple[str, str], tuple[model.Segment, str]]:
    """Return the segment that each port is bound to and the mechanism driver that bound it.

    :returns: (port id, host) -> (segment, mechanism driver).
    """
    level, segment = ml2.PortBindingLevel, segment_models.NetworkSegment
    rows = session.execute(
        sa.select(
            level.port_id,
            level.host,
            level.driver,
            segment.network_type,
            segment.physical_network,
            segment.segmentation_id,
        )
        .join(segment, segment.id == level.segment_id)
        .where(level.port_id.in_(port_ids))
        # With hierarchical port binding, the last level is that of the host's switch.
        .order_by(level.level)
    )
    return {
        (row.port_id, row.host): (
            model.Segment(row.network_type, row.physical_network, row.segmentation_id),
            row.driver,
        )
        for row in rows
    }


def _port(
    row: Any, addresses: Sequence[str], segment: model.Segment | None, mechanism: str
) -> model.Port:
    return model.Port(
        id=row.id,
        network_id=row.network_id,
        project_id=row.project_id,
        mac_address=row.mac_address,
        fixed_ips=tuple(addresses),
        host="" if row.vif_type in NOT_BOUND else (row.host or ""),
        plugged=row.status != constants.PORT_STATUS_DOWN,
        device_id=row.device_id,
        serves_network=serves_network({"device_owner": row.device_owner}),
        name=row.name or "",
        segment=segment,
        mechanism=mechanism,
        mtu=row.mtu or 0,
    )


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

    :param ethertype: the classifier's.
    :param prefix: a CIDR, None for every address of the ethertype.
    """
    everything = "0.0.0.0/0" if ethertype == constants.IPv4 else "::/0"
    network = ip_network(prefix or everything)
    return any(ip_address(address) in network for address in port.fixed_ips)
