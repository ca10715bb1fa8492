"""Where ports, functions and hosts are, for traces. Reads only what is asked for."""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.plugins.ml2 import models as ml2
from neutron_lib import constants
from neutron_lib.db import api as db_api

from portchain.core.function_kinds import traits_of
from portchain.dataplane.tracing.journey import Function
from portchain.db import convert, models


class DatabaseTopology:
    """Implements ``dataplane.tracing.journey.Topology``.

    :param network_id: the network on which frames go from port to port, outside of chains.
    :param tunnel_addresses: host -> the address of its tunnels.
    """

    def __init__(self, context: Any, network_id: str, tunnel_addresses: Mapping[str, str]) -> None:
        self._context = context
        self._network_id = network_id
        self._addresses = tunnel_addresses
        self._hosts = {address: host for host, address in tunnel_addresses.items() if address}

    def host_of(self, port_id: str) -> str:
        """See ``Topology``."""
        binding = ml2.PortBinding
        return self._text(
            sa.select(binding.host).where(
                binding.port_id == port_id, binding.status == constants.ACTIVE
            )
        )

    def host_at(self, address: str) -> str:
        """See ``Topology``."""
        return self._hosts.get(address, "")

    def tunnel_address(self, host: str) -> str:
        """See ``Topology``."""
        return self._addresses.get(host, "")

    def mac_of(self, port_id: str) -> str:
        """See ``Topology``."""
        return self._text(sa.select(models_v2.Port.mac_address).where(models_v2.Port.id == port_id))

    def port_with(self, mac: str) -> str:
        """See ``Topology``. A MAC address is unique on its network only."""
        port = models_v2.Port
        on_network = (port.network_id == self._network_id).desc()
        return self._text(
            sa.select(port.id).where(port.mac_address == mac).order_by(on_network).limit(1)
        )

    def function(self, pair_id: str) -> Function | None:
        """See ``Topology``."""
        with db_api.CONTEXT_READER.using(self._context) as session:
            row = session.get(models.PortPair, pair_id)
            if row is None:
                return None
            ends = {row.ingress: row.egress, row.egress: row.ingress}
            return Function(traits_of(convert.pair(row)), ends)

    def _text(self, query: sa.Select[Any]) -> str:
        with db_api.CONTEXT_READER.using(self._context) as session:
            return str(session.scalar(query) or "")


def next_hop(session: Any, network_id: str, destination: str) -> tuple[str, str]:
    """Return to which port of a network packets go that have a destination address.

    :returns: id and MAC address of the port with the address or, if none has it, of a router of the
        network; empty texts if there is none.
    """
    port, allocation, subnet = models_v2.Port, models_v2.IPAllocation, models_v2.Subnet
    query = (
        sa.select(port.id, port.mac_address)
        .join(allocation, allocation.port_id == port.id)
        .where(port.network_id == network_id)
        .order_by(port.id)
        .limit(1)
    )
    gateways = sa.select(subnet.gateway_ip).where(
        subnet.network_id == network_id, subnet.ip_version == (6 if ":" in destination else 4)
    )
    wanted: tuple[Callable[[Any], Any], ...] = (
        lambda address: address == destination,
        lambda address: address.in_(gateways),
    )
    for condition in wanted:
        found = session.execute(query.where(condition(allocation.ip_address))).first()
        if found is not None:
            return found.id, found.mac_address
    return "", ""
