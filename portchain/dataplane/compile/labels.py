"""Packets in MPLS, through tunnels: labels behind a packet's own Ethernet header.

The path's label says where in which chain the packet is, and the port's label which port it is for
(docs/decisions/0061).
"""

from collections import defaultdict
from collections.abc import Iterator

from portchain.dataplane.compile.crossing import Crossing
from portchain.dataplane.datapath import MPLS
from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import (
    CHAIN_TUNNEL_ID,
    IP_WORDS,
    NO_VLAN,
    build_flow,
    goto,
    push_label,
    set_field,
)
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.pipeline import (
    REG_PATH_POSITION,
    REG_TUNNEL,
    Priority,
    port_label,
)
from portchain.dataplane.plan import Path, Source

# Traffic class of a port's label: which version of IP follows it.
_IP_VERSIONS = {"IPv4": 0, "IPv6": 1}

_CONSTANT_TTL = 255
_POP = "pop_mpls:0x8847"


def ambiguous_macs(path: Path) -> frozenset[str]:
    """Return the MAC addresses of a path's ports that have the label of another one."""
    ends = [*path.origins, *(target for hop in path.hops for target in hop.functions)]
    by_label = defaultdict(set)
    for end in ends:
        macs = (end.mac,) if isinstance(end, Source) else (end.ingress_mac, end.egress_mac)
        for mac in macs:
            by_label[port_label(mac)].add(mac)
    return frozenset(mac for macs in by_label.values() if len(macs) > 1 for mac in macs)


def find_tunnel(crossing: Crossing) -> int | None:
    """Return the tunnel into which this host sends packets; None if it sends whole frames.

    :returns: the tunnel's OpenFlow port, as ``Crossing.tunnel``.
    """
    context = crossing.context
    is_possible = crossing.to.host in context.packet_hosts and MPLS not in crossing.switch.lacks
    return crossing.tunnel if is_possible and crossing.mac not in context.ambiguous_macs else None


def sending_actions(
    crossing: Crossing, tunnel: int, ethertype: str, *, is_tagged: bool
) -> tuple[str, ...]:
    """Return the actions of br-int that send packets to the other host.

    A priority tag ends here: labels would follow it, and br-tun would take it for a network's tag.

    On br-chain, which has the tunnel itself, the packets need no label that names the tunnel.

    :param tunnel: as ``find_tunnel`` returns it.
    :param ethertype: ``IPv4`` or ``IPv6``.
    :param is_tagged: whether the packets have a priority tag.
    """
    labelled = (
        *(("pop_vlan",) if is_tagged else ()),
        *push_label(port_label(crossing.mac), _IP_VERSIONS[ethertype], _CONSTANT_TTL),
        *push_label(crossing.label, crossing.traffic_class, crossing.ttl),
    )
    if crossing.switch.has_br_chain:
        return (*labelled, f"output:{tunnel}")
    return (
        *labelled,
        # The third label stays on this host. Open vSwitch computes that no packet has it.
        *push_label(tunnel, 0, _CONSTANT_TTL),
        f"output:{crossing.switch.patch_to_tun}",
    )


def arrival_flows(crossing: Crossing, onward: tuple[str, ...]) -> Iterator[Flow]:
    """Yield the flows that remove the labels of packets from tunnels.

    :param onward: the actions after that.
    """
    context = crossing.context
    if context.generation is None or crossing.mac in context.ambiguous_macs:
        return
    place = (
        *(f"in_port={crossing.switch.patch_to_tun}", "mpls", NO_VLAN, "mpls_bos=0"),
        *(f"mpls_label={crossing.label}", f"mpls_tc={crossing.traffic_class}"),
        f"mpls_ttl={crossing.ttl}",
    )
    position = set_field(context.position(crossing.index), REG_PATH_POSITION)
    yield build_flow(
        "LOCAL_SWITCHING", Priority.CHAIN_FRAME, place, position, _POP, goto("ARRIVED")
    )
    for ethertype in context.ethertypes:
        named = (
            *(context.match_position(crossing.index), "mpls"),
            f"mpls_label={port_label(crossing.mac)}",
            f"mpls_tc={_IP_VERSIONS[ethertype]}",
        )
        pop = f"pop_mpls:{IP_WORDS[ethertype][1]}"
        yield build_flow("ARRIVED", Priority.POSITION, named, pop, *onward)


def into_tunnel_flows(switch: LocalSwitch) -> Iterator[Flow]:
    """Yield the flow of br-tun that sends packets of all chains into the tunnels they name."""
    match = (f"in_port={switch.patch_to_int}", "mpls", NO_VLAN, "mpls_bos=0")
    tunnel = f"NXM_NX_{REG_TUNNEL.upper()}[0..15]"
    yield build_flow(
        "TUNNEL_SWITCHING",
        Priority.CHAIN_FRAME,
        match,
        f"move:OXM_OF_MPLS_LABEL[0..15]->{tunnel}",
        _POP,
        f"set_field:{CHAIN_TUNNEL_ID}->tun_id",
        f"output:{tunnel}",
    )
