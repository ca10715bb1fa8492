"""Where the ports of OVN's br-int lead, for traces."""

from collections.abc import Collection

from portchain.dataplane import interposing
from portchain.dataplane.interposing import PortRow
from portchain.dataplane.tracing.host_view import OvnBridge, OvnTunnel

_WITHOUT_METADATA = "vxlan"  # its packets have no options


def ovn_bridge(integration: str, rows: Collection[PortRow]) -> OvnBridge:
    """Return where the ports of br-int lead that ovn-controller knows, but for those of ours.

    :param integration: the bridge's name.
    :param rows: the ports of both bridges.
    """
    plugged = [row for row in rows if row.is_plugged and not row.on_br_chain]
    numbers = {row.name: row.ofport for row in plugged if row.ofport is not None}
    ports = {
        port_id: numbers[row.name]
        for port_id, row in interposing.interfaces_of_ports(plugged).items()
    }
    tunnels = {
        row.options["remote_ip"]: OvnTunnel(numbers[row.name], row.type != _WITHOUT_METADATA)
        for row in plugged
        if not row.is_own and "remote_ip" in row.options
    }
    to_networks = f"patch-{integration}-to-"  # ovn-controller's names
    physical = {
        row.name.removeprefix(to_networks): numbers[row.name]
        for row in plugged
        if row.type == interposing.PATCH and row.name.startswith(to_networks)
    }
    return OvnBridge(integration, ports, tunnels, physical)
