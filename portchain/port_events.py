"""Decides which changes of Neutron's ports, subnets and agents affect port chains.

Pure functions over the dicts of Neutron's events.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network
from typing import Any

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.services.trunk.constants import TRUNK_SUBPORT_OWNER

from portchain.core import model

NOT_BOUND = (portbindings.VIF_TYPE_UNBOUND, portbindings.VIF_TYPE_BINDING_FAILED)
"""VIF types of a port that is bound to no host."""


def affects_chains(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether an update of a port could change the realisation of any chain that uses it."""
    return _relevant(before) != _relevant(after)


def affects_functions(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether an update of a port could change chains through a function at the port.

    When an agent restarts, the status of its ports goes from ACTIVE to BUILD and back to ACTIVE.
    That alone affects no chain.
    """
    return _is_down(before) != _is_down(after)


def _is_down(port: Mapping[str, Any]) -> bool:
    return port.get("status") == constants.PORT_STATUS_DOWN


def _relevant(port: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the attributes of a port that the realisation of a chain depends on."""
    bound = port.get(portbindings.VIF_TYPE) not in NOT_BOUND
    failed = port.get(portbindings.VIF_TYPE) == portbindings.VIF_TYPE_BINDING_FAILED
    return (
        failed,
        port.get(portbindings.HOST_ID) if bound else None,
        port.get(portbindings.VIF_TYPE) if bound else None,
        port.get("mac_address"),
        sorted(ip["ip_address"] for ip in port.get("fixed_ips") or ()),
        set(_address_pairs(port)),
        _port_security(port),
        port.get("device_id"),
        role_of(port),
        port.get("project_id"),
    )


def changes_tunnels(known: Mapping[str, Any], reported: Mapping[str, Any]) -> bool:
    """Return whether an agent reports other tunnels than before.

    :param known: the configurations that it reported before.
    :param reported: the configurations that it reports now.
    """
    return any(known.get(name) != reported.get(name) for name in ("tunneling_ip", "tunnel_types"))


def changes_gateways(*states: Mapping[str, Any]) -> bool:
    """Return whether an event of a subnet gives its network other prefixes or gateways.

    :param states: the subnet as it was created or deleted, or before and after an update. An
        update cannot change its prefix.
    """
    return len(states) == 1 or len({state["gateway_ip"] for state in states}) > 1


def with_all_addresses(*states: Mapping[str, Any]) -> model.Port:
    """Return a port with the addresses of all its states.

    A chain is affected by an address that the port gains or loses.

    :param states: the port before and after a change; at least one, the latest last.
    """
    port = states[-1]
    addresses = {ip["ip_address"] for state in states for ip in state.get("fixed_ips") or ()}
    return model.Port(
        id=port["id"],
        network_id=port["network_id"],
        project_id=port["project_id"],
        mac_address=port["mac_address"],
        fixed_ips=tuple(sorted(addresses)),
        role=role_of(port),
        address_pairs=tuple(pair for state in states for pair in _address_pairs(state)),
        port_security=all(map(_port_security, states)),
    )


def hosts_of(states: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the hosts that a port is on, or was, by its states before and after a change."""
    return {state.get(portbindings.HOST_ID) or "" for state in states} - {""}


_ROLES = {
    constants.DEVICE_OWNER_ROUTER_INTF: model.PortRole.ROUTER,
    constants.DEVICE_OWNER_HA_REPLICATED_INT: model.PortRole.ROUTER,
    # The router's namespace for source NAT is on one host.
    constants.DEVICE_OWNER_ROUTER_SNAT: model.PortRole.ROUTER,
    constants.DEVICE_OWNER_DVR_INTERFACE: model.PortRole.DISTRIBUTED_ROUTER,
}


def role_of(port: Mapping[str, Any]) -> model.PortRole:
    """Return what a port does for its network, by its ``device_owner``."""
    owner: str = port.get("device_owner") or ""
    if owner.startswith(constants.DEVICE_OWNER_NETWORK_PREFIX):
        return _ROLES.get(owner, model.PortRole.SERVICE)
    return model.PortRole.SUBPORT if owner == TRUNK_SUBPORT_OWNER else model.PortRole.END


def address_pair(address: str, mac_address: str) -> model.AddressPair:
    """Return an entry of a port's ``allowed_address_pairs``.

    :param address: an address or a CIDR; Neutron keeps it as the user wrote it, host bits included.
    """
    return model.AddressPair(str(ip_network(address, strict=False)), mac_address.lower())


def _address_pairs(port: Mapping[str, Any]) -> Iterator[model.AddressPair]:
    for pair in port.get("allowed_address_pairs") or ():
        yield address_pair(pair["ip_address"], pair["mac_address"])


def _port_security(port: Mapping[str, Any]) -> bool:
    return port.get("port_security_enabled") is not False
