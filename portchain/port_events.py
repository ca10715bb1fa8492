"""Which changes of Neutron ports and agents matter to port chains. Pure functions over their dicts."""

from collections.abc import Mapping
from typing import Any

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings

from portchain.core import model

NOT_BOUND = (portbindings.VIF_TYPE_UNBOUND, portbindings.VIF_TYPE_BINDING_FAILED)


def concerns_chains(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Tell whether a change of a port could alter the realisation of a chain.

    A port is ACTIVE, becomes BUILD and then ACTIVE again whenever its agent restarts; that alters
    nothing.
    """
    return _essence(before) != _essence(after)


def _essence(port: Mapping[str, Any]) -> tuple[Any, ...]:
    bound = port.get(portbindings.VIF_TYPE) not in NOT_BOUND
    return (
        port.get(portbindings.HOST_ID) if bound else None,
        port.get(portbindings.VIF_TYPE) if bound else None,
        port.get("mac_address"),
        sorted(ip["ip_address"] for ip in port.get("fixed_ips") or ()),
        port.get("device_id"),
        port.get("project_id"),
        port.get("status") == constants.PORT_STATUS_DOWN,
    )


def has_other_tunnels(known: Mapping[str, Any], reported: Mapping[str, Any]) -> bool:
    """Tell whether an agent has other tunnels than before, by its configurations then and now."""
    return any(known.get(name) != reported.get(name) for name in ("tunneling_ip", "tunnel_types"))


def changed(*states: Mapping[str, Any]) -> model.Port:
    """Return a port with every address it has in any of its states, before and after a change."""
    port = states[-1]
    addresses = {ip["ip_address"] for state in states for ip in state.get("fixed_ips") or ()}
    return model.Port(
        id=port["id"],
        network_id=port["network_id"],
        project_id=port["project_id"],
        mac_address=port["mac_address"],
        fixed_ips=tuple(sorted(addresses)),
    )


def serves_network(port: Mapping[str, Any]) -> bool:
    """Tell whether a port belongs to a router, DHCP server or the like; no chain takes traffic from
    those.
    """
    owner: str = port.get("device_owner") or ""
    return owner.startswith(constants.DEVICE_OWNER_NETWORK_PREFIX)
