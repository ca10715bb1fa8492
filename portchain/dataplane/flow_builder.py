"""Notation that the compiler writes flows in: constants and small helpers."""

import hashlib
import re
from collections.abc import Iterable

from portchain.core.counters import Counter
from portchain.dataplane.flow import Bridge, Flow, make_flow
from portchain.dataplane.pipeline import TABLES

UNICAST = "dl_dst=00:00:00:00:00:00/01:00:00:00:00:00"
"""Chains steer unicast only. ARP, DHCP discovery, neighbour discovery and other multicast concern
the link and stay on it."""

NO_VLAN = "vlan_tci=0x0000/0x1fff"
"""Neutron tags all frames between br-int and br-tun; chain frames are untagged. A virtual machine
therefore cannot forge one."""

PRIORITY_TAG = "dl_vlan=0"
"""Matches packets with a tag that has a priority and names no network (IEEE 802.1Q)."""

CHAIN_TUNNEL_ID = 0
"""Tunnel id of chain frames. Neutron's tunnel ids start at 1, so no tenant's frame has this one
(docs/decisions/0002)."""

CHAIN_MAC = "0e:70:6f:72:74:63"
"""Source address of the outer Ethernet header in tunnels: locally administered, no port has it."""

_VLAN_PRESENT = 0x1000  # OFPVID_PRESENT

PROVIDER_MACS = "dl_src=0e:00:00:00:00:00/ff:00:00:00:00:00"
"""Matches all source addresses that ``provider_mac`` generates."""


IP_WORDS = {"IPv4": ("ip", "0x0800"), "IPv6": ("ipv6", "0x86dd")}
"""EtherType in the API -> the word that matches it, and its number."""


def frame_match(label: int, mac: str) -> tuple[str, ...]:
    """Match whole frames in MPLS: by the path's label and the port that they are for."""
    return ("mpls", NO_VLAN, f"mpls_label={label}", "mpls_bos=1", f"dl_dst={mac}")


def provider_mac(chain_id: str, host: str) -> str:
    """Return the outer source address of chain frames on a provider network.

    Each host has its own, so that physical switches learn the right port for it. It depends on
    the chain's id, so that tenants cannot guess it (docs/decisions/0009).
    """
    digest = hashlib.blake2b(f"{chain_id}/{host}".encode(), digest_size=5).digest()
    return ":".join(f"{byte:02x}" for byte in b"\x0e" + digest)


def set_field(value: int, register: str) -> str:
    return f"set_field:{value:#x}->{register}" if value else f"set_field:0->{register}"


def goto(name: str) -> str:
    return f"goto_table:{TABLES[name].number}"


def resubmit(name: str) -> str:
    """Look a packet up in another table, and continue after it."""
    return f"resubmit(,{TABLES[name].number})"


def push_vlan(vlan: int) -> tuple[str, str]:
    """Add an 802.1Q tag."""
    return ("push_vlan:0x8100", f"set_field:{_VLAN_PRESENT | vlan}->vlan_vid")


def push_label(label: int, traffic_class: int, ttl: int) -> tuple[str, ...]:
    """Add an MPLS label behind the Ethernet header."""
    return ("push_mpls:0x8847", *set_label(label, traffic_class, ttl))


def set_label(label: int, traffic_class: int, ttl: int) -> tuple[str, ...]:
    """Write all fields of the top MPLS label."""
    return (
        f"set_field:{label}->mpls_label",
        f"set_field:{traffic_class}->mpls_tc",
        f"set_field:{ttl}->mpls_ttl",
    )


def with_resubmit(actions: Iterable[str]) -> list[str]:
    """Replace goto_table, which only leads to higher table numbers, by resubmit."""
    return [re.sub(r"goto_table:(\d+)", r"resubmit(,\1)", action) for action in actions]


def build_flow(
    table_name: str,
    priority: int,
    match: frozenset[str] | tuple[str, ...],
    *actions: str,
    bridge: Bridge | None = None,
    contestable: bool = False,
    project: str = "",
    counter: Counter | None = None,
) -> Flow:
    """Build a flow of a declared table.

    :param table_name: key of ``pipeline.TABLES``.
    :param bridge: for tables of physical bridges, which of them.
    :param contestable: as in ``Flow``. ``project`` and ``counter``: likewise.
    """
    table = TABLES[table_name]
    return make_flow(
        bridge or table.bridge,
        table.number,
        priority,
        match,
        actions,
        contestable=contestable,
        project=project,
        counter=counter,
    )
