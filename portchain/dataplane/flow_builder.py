"""The words rules are written in: constants and small helpers of the compiler."""

import hashlib

from portchain.dataplane.flow import Bridge, Flow, make_flow
from portchain.dataplane.pipeline import TABLES

UNICAST = "dl_dst=00:00:00:00:00:00/01:00:00:00:00:00"
"""ARP, DHCP discovery, neighbour discovery and multicast stay out of chains: they are about the link, not along a path."""

NO_VLAN = "vlan_tci=0x0000/0x1fff"
"""Frames between br-int and br-tun carry a VLAN tag unless they are ours, so a virtual machine cannot forge one."""

CHAIN_TUNNEL_ID = 0
"""Tunnel id of chain frames. Neutron numbers networks from 1, so no tenant's frame can carry it (docs/decisions/0002)."""

CHAIN_MAC = "0e:70:6f:72:74:63"
"""Source address of the outer Ethernet header in tunnels: locally administered, nobody's."""

PROVIDER_MACS = "dl_src=0e:00:00:00:00:00/ff:00:00:00:00:00"
"""Frames with a source address as ``provider_mac`` makes them."""


def frame_match(label: int, mac: str) -> tuple[str, ...]:
    """A chain frame between hosts: the label says the chain, the outer destination the port."""
    return ("mpls", NO_VLAN, f"mpls_label={label}", f"dl_dst={mac}")


def provider_mac(chain_id: str, host: str) -> str:
    """Source address of the outer Ethernet header on a physical network (docs/decisions/0009).

    It is a host's own, so that physical switches learn what is true, and who does not know the chain's id cannot guess it.
    """
    digest = hashlib.blake2b(f"{chain_id}/{host}".encode(), digest_size=5).digest()
    return ":".join(f"{byte:02x}" for byte in b"\x0e" + digest)


def set_field(value: int, register: str) -> str:
    return f"set_field:{value:#x}->{register}" if value else f"set_field:0->{register}"


def goto(name: str) -> str:
    return f"goto_table:{TABLES[name].number}"


def resubmit(name: str) -> str:
    """Do what a table says and come back."""
    return f"resubmit(,{TABLES[name].number})"


def build_flow(
    table_name: str,
    priority: int,
    match: frozenset[str] | tuple[str, ...],
    *actions: str,
    bridge: Bridge | None = None,
    contestable: bool = False,
) -> Flow:
    """Write a rule.

    :param bridge: which of several, where the declaration leaves it open.
    :param contestable: as in ``Flow``.
    """
    table = TABLES[table_name]
    where = (bridge or table.bridge, table.number, priority)
    return make_flow(*where, match, actions, contestable=contestable)
