"""Restarts the agents of a running lab with other options."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from portchain_lab import layout, programs, startup
from portchain_lab.hosts import switch, underlay
from portchain_lab.waiting import wait_for

REPORT_DEADLINE = 240.0
"""Seconds within which every agent must report its new configuration to Neutron."""


def restart_agents(
    lab: layout.Layout,
    *,
    rebuild_bridges: bool,
    stop: Callable[[str], None],
    start: Callable[[str], None],
    network: Any,
) -> None:
    """Stop agents and portchain-controller, write new configuration files, and start them.

    :param lab: the lab with its new options.
    :param rebuild_bridges: delete the agents' bridges, which another network type requires.
    :param network: the network service of an administrator's SDK connection.
    """
    affected = [f"agent@{host}" for host in lab.host_names]
    if lab.openflow_hosts:
        affected += programs.OPENFLOW_PROGRAMS
    with ThreadPoolExecutor(max_workers=startup.PARALLEL_STARTS) as pool:
        startup.finish([pool.submit(stop, name) for name in affected])
        if rebuild_bridges:
            hosts = lab.host_names
            startup.finish([pool.submit(_delete_agent_bridges, lab, host) for host in hosts])
        startup.write_agent_files(lab)
        startup.finish([pool.submit(start, name) for name in affected])
    wait_for(
        partial(_agents_have_reported, lab, network),
        REPORT_DEADLINE,
        "every agent to report its configuration to Neutron",
        interval=0.3,
    )


def _delete_agent_bridges(lab: layout.Layout, host: str) -> None:
    """Delete what an agent created that an agent for another network type would not use."""
    bridge = underlay.UNDERLAY_BRIDGE
    switch.vsctl(
        lab,
        host,
        *["--if-exists", "del-br", "br-tun", "--", "--if-exists", "del-br", "br-int"],
        *f"-- --if-exists del-port {bridge} phy-{bridge}".split(),
        *f"-- del-controller {bridge} -- del-fail-mode {bridge}".split(),
        applied=True,
    )
    switch.ofctl(lab, host, switch.OPENFLOW_VERSIONS, "del-flows", bridge)
    switch.ofctl(lab, host, switch.OPENFLOW_VERSIONS, "add-flow", bridge, "actions=normal")


def _agents_have_reported(lab: layout.Layout, network: Any) -> bool:
    """Return whether Neutron knows the network types that the agents now serve."""
    types = [lab.network_type] if lab.has_tunnels else []
    return all(
        agent.configuration.get("tunnel_types") == types
        and bool(agent.configuration.get("bridge_mappings")) != lab.has_tunnels
        for agent in network.agents()
        if agent.binary == "neutron-openvswitch-agent"
    )
