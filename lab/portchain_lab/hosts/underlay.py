"""The lab's wires: two switches, and the controller and the hosts plugged into them.

Management carries API, messages and database; the underlay carries the tunnels. The underlay leg of
a host is a port of its Open vSwitch bridge ``br-phy``, because only a bridge's own port can be a
tunnel end of the userspace datapath.
"""

import re
from collections.abc import Iterable

from portchain_lab import layout
from portchain_lab.hosts import netns

UNDERLAY_LEG = "under0"
UNDERLAY_BRIDGE = "br-phy"


def build(lab: layout.Layout) -> None:
    """Make the namespaces and the wires between them."""
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
    _wire(lab, lab.controller_namespace, "eth0", "mgmt", port="ctl")
    netns.ip(
        f"addr add {layout.CONTROLLER_IP}/{layout.MANAGEMENT_PREFIX} dev eth0",
        namespace=lab.controller_namespace,
    )
    for host in lab.host_names:
        _connect(lab, host)


def connect_anew(lab: layout.Layout, host: str) -> None:
    """Make the namespace of a host that is gone, and its wires."""
    netns.create([lab.namespace(host)])
    _connect(lab, host)


def _connect(lab: layout.Layout, host: str) -> None:
    space = lab.namespace(host)
    _wire(lab, space, "mgmt0", "mgmt", port=host)
    _wire(lab, space, UNDERLAY_LEG, "underlay", port=f"{host}u", mtu=layout.UNDERLAY_MTU)
    netns.ip(
        f"addr add {lab.management_ip(host)}/{layout.MANAGEMENT_PREFIX} dev mgmt0",
        namespace=space,
    )
    # The kernel has to fill in checksums: a userspace switch forwards packets as it gets them.
    disable_offloads(space, [UNDERLAY_LEG])
    disable_offloads(lab.fabric_namespace, [f"{host}u"])


def is_connected(lab: layout.Layout, host: str) -> bool:
    """Whether the wires of a host are there."""
    found = netns.run(lab.fabric_namespace, "ip", "-o", "link", "show", "type", "veth").splitlines()
    return any(line.split()[1].partition("@")[0] in (host, f"{host}u") for line in found)


def _wire(
    lab: layout.Layout, space: str, leg: str, switch: str, *, port: str, mtu: int = 1500
) -> None:
    """Connect an interface of a namespace to a port of one of the switches."""
    netns.ip(
        f"link add {port} mtu {mtu} type veth peer name {leg} mtu {mtu} netns {space}",
        f"link set {port} master {switch} up",
        namespace=lab.fabric_namespace,
    )
    netns.ip(f"link set {leg} up", namespace=space)


def disable_offloads(namespace: str, devices: Iterable[str]) -> None:
    """Turn checksum and segmentation offloads of interfaces off."""
    for device in devices:
        netns.run(
            namespace,
            "ethtool",
            "-K",
            device,
            "tx",
            "off",
            "tso",
            "off",
            "gso",
            "off",
            "gro",
            "off",
        )


def has_tunnel_end(lab: layout.Layout, host: str) -> bool:
    """Whether the switch has made ``br-phy``: one that knows it already from before answers earlier."""
    return bool(tunnel_mac(lab, host))


def configure_tunnel_end(lab: layout.Layout, host: str) -> None:
    """Give ``br-phy`` the tunnel's address; needed again after each start of the switch."""
    # Without looking for duplicates, an IPv6 address is usable at once.
    prefix, options = (64, " nodad") if lab.ipv6_underlay else (24, "")
    netns.ip(
        f"addr replace {lab.tunnel_ip(host)}/{prefix} dev {UNDERLAY_BRIDGE}{options}",
        f"link set {UNDERLAY_BRIDGE} up",
        namespace=lab.namespace(host),
    )


def tunnel_mac(lab: layout.Layout, host: str) -> str:
    """MAC address of the tunnel's end; empty while the switch has made none."""
    links = netns.run(lab.namespace(host), "ip", "-o", "link", "show")
    found = re.search(rf" {UNDERLAY_BRIDGE}:.* link/ether (\S+)", links)
    return found[1] if found else ""


def flush_mac_tables(lab: layout.Layout) -> None:
    """Empty the MAC table of the switch between the hosts."""
    netns.ip("link set underlay type bridge fdb_flush", namespace=lab.fabric_namespace)


def destroy(lab: layout.Layout) -> None:
    """Remove the lab's namespaces with all that is in them."""
    netns.delete(netns.with_prefix(lab.prefix))
