"""The words rules are written in: constants and small helpers of the compiler."""

from portchain.dataplane.flow import Flow, flow
from portchain.dataplane.pipeline import TABLES

UNICAST = "dl_dst=00:00:00:00:00:00/01:00:00:00:00:00"
"""ARP, DHCP discovery, neighbour discovery and multicast stay out of chains: they are about the link, not along a path."""

NO_VLAN = "vlan_tci=0x0000/0x1fff"
"""Frames between br-int and br-tun carry a VLAN tag unless they are ours, so a virtual machine cannot forge one."""

CHAIN_TUNNEL_ID = 0
"""Tunnel id of chain frames. Neutron numbers networks from 1, so no tenant's frame can carry it (docs/decisions/0002)."""

CHAIN_MAC = "0e:70:6f:72:74:63"
"""Source address of the outer Ethernet header between hosts: locally administered, nobody's."""

# lb_fields the switch can hash by alone; the empty set is the whole 5-tuple, the same for both directions of a flow.
HASH_FIELDS = {
    frozenset[str](): "symmetric_l3l4+udp",
    frozenset({"eth_src"}): "eth_src",
    frozenset({"ip_src"}): "nw_src",
    frozenset({"ip_dst"}): "nw_dst",
}


def frame_match(label: int, mac: str) -> tuple[str, ...]:
    """A chain frame between hosts: the label says the chain, the outer destination the port."""
    return ("mpls", NO_VLAN, f"mpls_label={label}", f"dl_dst={mac}")


def set_field(value: int, register: str) -> str:
    return f"set_field:{value:#x}->{register}" if value else f"set_field:0->{register}"


def goto(name: str) -> str:
    return f"goto_table:{TABLES[name].number}"


def rule(
    table_name: str, priority: int, match: frozenset[str] | tuple[str, ...], *actions: str
) -> Flow:
    table = TABLES[table_name]
    return flow(table.bridge, table.number, priority, match, actions)
