"""Reads what Neutron knows about the underlay: tunnel endpoints and MTUs."""

from collections.abc import Collection
from typing import Any

from neutron.objects.agent import Agent
from neutron_lib import constants as n_const
from oslo_config import cfg

from portchain.conf import GROUP
from portchain.dataplane.planning.mtu import TunnelEnd, Underlay
from portchain.db.many_values import in_parts


def tunnel_ends(context: Any, hosts: Collection[str] | None = None) -> dict[str, TunnelEnd]:
    """Return host -> its tunnel endpoint, as its Open vSwitch agent reports it.

    :param hosts: None for all.
    """
    # Not the core plugin's get_agents(): beside ML2/OVN, that also asks every chassis, and blocks
    # while OVN's databases are unreachable.
    of_type, admin = {"agent_type": [n_const.AGENT_TYPE_OVS]}, context.elevated()
    filters = [{}] if hosts is None else [{"host": part} for part in in_parts(hosts)]
    configurations = {
        agent.host: agent.configurations
        for each in filters
        for agent in Agent.get_objects(admin, **of_type, **each)
    }
    return {
        host: TunnelEnd(
            configuration.get("tunneling_ip") or "",
            frozenset(configuration.get("tunnel_types") or ()),
        )
        for host, configuration in configurations.items()
    }


def underlay_of(options: cfg.ConfigOpts) -> Underlay:
    """Return the MTUs of the underlay that the server's options state.

    ML2 reads the same options for the MTUs of networks, in the same way.
    """
    if stated := options[GROUP].underlay_mtu:
        return Underlay(stated, {}, stated)
    default, path = options.global_physnet_mtu, options.ml2.path_mtu
    stated_mtus = options.ml2.physical_network_mtus
    physical = {name: _smallest(default, int(mtu)) for name, mtu in stated_mtus.items()}
    return Underlay(_smallest(default, path), physical, default)


def _smallest(*mtus: int) -> int:
    """Return the smallest known MTU; 0 if none is known."""
    return min((mtu for mtu in mtus if mtu > 0), default=0)
