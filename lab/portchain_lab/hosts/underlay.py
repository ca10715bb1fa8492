"""The lab's physical network: two Linux bridges that connect the controller and the hosts.

The bridge ``mgmt`` carries API, RPC and database traffic; the bridge ``underlay`` carries tunnels
and provider networks. A host's underlay interface is a port of its Open vSwitch bridge ``br-phy``,
because in the userspace datapath only a bridge's own port can terminate a tunnel.
"""

import re
from collections.abc import Iterable

from portchain_lab import layout
from portchain_lab.hosts import netns

UNDERLAY_LEG = "under0"
UNDERLAY_BRIDGE = "br-phy"


def build(lab: layout.Layout) -> None:
    """Create the namespaces of controller and hosts, and connect them."""
    netns.create(
        [lab.fabric_namespace, lab.controller_namespace, *map(lab.namespace, lab.host_names)]
    )
    netns.ip(
        "link add mgmt type bridge",
        "link set mgmt up",
        "link add underlay type bridge",
        f"link set underlay mtu {layout.UNDERLAY_MTU} up",
        namespace=lab.fabric_namespace,
    )
    _connect_to_bridge(lab, lab.controller_namespace, "eth0", "mgmt", port="ctl")
    netns.ip(
        f"addr add {layout.CONTROLLER_IP}/{layout.MANAGEMENT_PREFIX} dev eth0",
        namespace=lab.controller_namespace,
    )
    for host in lab.host_names:
        _connect(lab, host)


def reconnect(lab: layout.Layout, host: str) -> None:
    """Create the namespace of a host that was powered off again, and connect it."""
    netns.create([lab.namespace(host)])
    _connect(lab, host)


def _connect(lab: layout.Layout, host: str) -> None:
    space = lab.namespace(host)
    _connect_to_bridge(lab, space, "mgmt0", "mgmt", port=host)
    _connect_to_bridge(
        lab, space, UNDERLAY_LEG, "underlay", port=f"{host}u", mtu=layout.UNDERLAY_MTU
    )
    netns.ip(
        f"addr add {lab.management_ip(host)}/{layout.MANAGEMENT_PREFIX} dev mgmt0",
        namespace=space,
    )
    if not lab.in_kernel:
        # A userspace switch forwards packets as they are, so the kernel must fill in checksums.
        disable_offloads(space, [UNDERLAY_LEG])
        disable_offloads(lab.fabric_namespace, [f"{host}u"])


def is_connected(lab: layout.Layout, host: str) -> bool:
    """Return whether the fabric still has the veth interfaces of a host."""
    found = netns.run(lab.fabric_namespace, "ip", "-o", "link", "show", "type", "veth").splitlines()
    return any(line.split()[1].partition("@")[0] in (host, f"{host}u") for line in found)


def _connect_to_bridge(
    lab: layout.Layout, space: str, leg: str, bridge: str, *, port: str, mtu: int = 1500
) -> None:
    """Connect an interface of a namespace to one of the two bridges.

    :param leg: name of the interface in the namespace ``space``.
    :param port: name of its peer in the fabric's namespace.
    """
    netns.ip(
        f"link add {port} mtu {mtu} type veth peer name {leg} mtu {mtu} netns {space}",
        f"link set {port} master {bridge} up",
        namespace=lab.fabric_namespace,
    )
    netns.ip(f"link set {leg} up", namespace=space)


def disable_offloads(namespace: str, devices: Iterable[str]) -> None:
    """Disable checksum and segmentation offload of interfaces."""
    for device in devices:
        features = [word for name in ("tx", "tso", "gso", "gro") for word in (name, "off")]
        netns.run(namespace, "ethtool", "-K", device, *features)


def has_tunnel_endpoint(lab: layout.Layout, host: str) -> bool:
    """Return whether the switch has created ``br-phy``.

    A restarted switch has the bridge in its database and reports ready before it creates it.
    """
    return bool(tunnel_mac(lab, host))


def configure_tunnel_endpoint(lab: layout.Layout, host: str) -> None:
    """Assign the tunnel address to ``br-phy``; necessary after each start of the switch."""
    # Without duplicate address detection, an IPv6 address is usable at once.
    prefix, options = (64, " nodad") if lab.ipv6_underlay else (24, "")
    netns.ip(
        f"addr replace {lab.tunnel_ip(host)}/{prefix} dev {UNDERLAY_BRIDGE}{options}",
        f"link set {UNDERLAY_BRIDGE} up",
        namespace=lab.namespace(host),
    )


def tunnel_mac(lab: layout.Layout, host: str) -> str:
    """MAC address of the tunnel endpoint; empty while the switch has not created ``br-phy``."""
    links = netns.run(lab.namespace(host), "ip", "-o", "link", "show")
    found = re.search(rf" {UNDERLAY_BRIDGE}:.* link/ether (\S+)", links)
    return found[1] if found else ""


def flush_mac_table(lab: layout.Layout) -> None:
    """Empty the MAC table of the bridge between the hosts."""
    netns.ip("link set underlay type bridge fdb_flush", namespace=lab.fabric_namespace)


def destroy(lab: layout.Layout) -> None:
    """Delete the lab's namespaces with all that is in them."""
    netns.delete(netns.with_prefix(lab.prefix))
