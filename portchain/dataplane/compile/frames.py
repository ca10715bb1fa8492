"""Chain frames: the whole Ethernet frame in MPLS (docs/decisions/0001).

They cross provider networks between hosts without a tunnel (docs/decisions/0009), and tunnels to
hosts that do not know packets in MPLS.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from portchain.dataplane.compile.crossing import Crossing
from portchain.dataplane.flow import Bridge, Flow
from portchain.dataplane.flow_builder import (
    CHAIN_MAC,
    CHAIN_TUNNEL_ID,
    NO_VLAN,
    build_flow,
    frame_match,
    provider_mac,
    push_vlan,
    set_label,
)
from portchain.dataplane.pipeline import Priority, frame_ttl
from portchain.dataplane.plan import Segment

_DECAPSULATE = ("decap()", "decap(packet_type(ns=0,type=0))")


@dataclass(frozen=True, slots=True)
class Uplink:
    """A connection from br-int or br-chain to another host.

    :param port: port of br-int that leads to the outer bridge; the tunnel's on br-chain.
    :param source_mac: source address of the outer Ethernet header.
    :param outer: what the outer bridge does with frames for the other host; None without one.
    """

    port: int
    source_mac: str
    outer: "OuterBridge | None" = None


@dataclass(frozen=True, slots=True)
class OuterBridge:
    """A bridge between br-int and other hosts: br-tun or a physical bridge.

    :param from_int: port of the bridge that leads to br-int.
    :param table: name of its table.
    :param actions: on frames for the other host.
    """

    from_int: int
    table: str
    bridge: Bridge
    actions: tuple[str, ...]


def find_uplink(crossing: Crossing) -> Uplink | None:
    """Return the way to the other host: a tunnel or, without one, a provider network."""
    switch, tunnel = crossing.switch, crossing.tunnel
    if tunnel is not None and switch.has_br_chain:
        return Uplink(tunnel, CHAIN_MAC)
    if tunnel is None or switch.patch_to_tun is None or switch.patch_to_int is None:
        return _provider_uplink(crossing)
    to_host = (f"set_field:{CHAIN_TUNNEL_ID}->tun_id", f"output:{tunnel}")
    outer = OuterBridge(switch.patch_to_int, "TUNNEL_SWITCHING", Bridge.TUN, to_host)
    return Uplink(switch.patch_to_tun, CHAIN_MAC, outer)


def _provider_uplink(crossing: Crossing) -> Uplink | None:
    segment, switch = crossing.segment, crossing.switch
    if segment is None or segment.physical_network not in switch.physical:
        return None
    physical = switch.physical[segment.physical_network]
    tag = () if segment.vlan is None else push_vlan(segment.vlan)
    bridge = Bridge.physical(segment.physical_network)
    # NORMAL handles an uplink that is a bond. The bridge may learn the source address, which is
    # this host's own.
    to_host = (*tag, "NORMAL")
    return Uplink(
        physical.patch_to_physical,
        provider_mac(crossing.context.chain_id, switch.host),
        OuterBridge(physical.patch_to_int, "PHYSICAL_SWITCHING", bridge, to_host),
    )


def why_no_uplink(crossing: Crossing) -> str:
    """Return why there is no way to the other host, for the owner of the chain."""
    switch, to, segment = crossing.switch, crossing.to, crossing.segment
    peer = f"{to.host} ({to.tunnel_ip or 'which has no tunnel address'})"
    if segment is None:
        reason = "the port there is not on a VLAN or flat network"
    else:
        reason = f"{switch.host} has no bridge for physical network {segment.physical_network}"
    return f"no tunnel from host {switch.host} to {peer}, and {reason}"


def sending_actions(crossing: Crossing, uplink: Uplink) -> tuple[str, ...]:
    """Return the actions of br-int that send packets to the other host."""
    return (
        "encap(mpls)",
        *set_label(crossing.label, crossing.traffic_class, crossing.ttl),
        "encap(ethernet)",
        f"set_field:{crossing.mac}->eth_dst",
        f"set_field:{uplink.source_mac}->eth_src",
        f"output:{uplink.port}",
    )


def leaving_flows(crossing: Crossing, uplink: Uplink) -> Iterator[Flow]:
    """Yield the flow of the outer bridge that lets these frames leave the host.

    Where the flow names the host, it matches the list of groups, too: by each list, a function can
    be on another host, and frames of every second list have one label.
    """
    if (outer := uplink.outer) is not None:
        place = (f"mpls_ttl={crossing.ttl}",) if outer.bridge == Bridge.TUN else ()
        frames = (f"in_port={outer.from_int}", *frame_match(crossing.label, crossing.mac), *place)
        yield build_flow(
            outer.table, Priority.CHAIN_FRAME, frames, *outer.actions, bridge=outer.bridge
        )


def tunnel_arrival_flows(crossing: Crossing, onward: tuple[str, ...]) -> Iterator[Flow]:
    """Yield the flows that decapsulate frames from tunnels, if any host sends some.

    A host that accepts packets also sends them, to hosts that accept them.

    :param onward: the actions after that.
    """
    context, switch = crossing.context, crossing.switch
    hosts = {switch.host, *crossing.senders}
    if hosts <= context.packet_hosts and crossing.mac not in context.ambiguous_macs:
        return
    frame = (f"in_port={switch.patch_to_tun}", *frame_match(crossing.label, crossing.mac))
    for place in _places(crossing):
        match = (*frame, *place)
        yield build_flow("LOCAL_SWITCHING", Priority.CHAIN_FRAME, match, *_DECAPSULATE, *onward)


def provider_arrival_flows(crossing: Crossing, onward: tuple[str, ...]) -> Iterator[Flow]:
    """Yield the flows that decapsulate frames from the provider network of the port.

    :param onward: the actions after that.
    """
    segment = crossing.segment
    physical = crossing.switch.physical.get(segment.physical_network) if segment else None
    if segment is None or physical is None:
        return
    tag, untag = _tag_words(segment)
    bridge, out = Bridge.physical(segment.physical_network), f"output:{physical.patch_to_int}"
    for host in crossing.senders:
        sent_by = f"dl_src={provider_mac(crossing.context.chain_id, host)}"
        label = ("mpls", tag, f"mpls_label={crossing.label}")
        frame = (*label, f"dl_dst={crossing.mac}", sent_by)
        yield build_flow("PHYSICAL_SWITCHING", Priority.CHAIN_FRAME, frame, out, bridge=bridge)
        for place in _places(crossing):
            match = (f"in_port={physical.patch_to_physical}", *frame, *place)
            yield build_flow(
                "LOCAL_SWITCHING", Priority.CHAIN_FRAME, match, *untag, *_DECAPSULATE, *onward
            )


def _places(crossing: Crossing) -> Iterator[tuple[str, ...]]:
    """Yield the words that match frames of this list of groups at one hop."""
    wanted = f"mpls_tc={crossing.traffic_class}"
    if crossing.context.generation is None:
        # Plans that hosts got before the server was upgraded stay: others may have newer ones.
        yield (wanted,)
        return
    # An agent before contract 1.9 says the hop, but not the list.
    for generation in (crossing.context.generation, None):
        yield (wanted, f"mpls_ttl={frame_ttl(generation, crossing.index)}")


def _tag_words(segment: Segment) -> tuple[str, tuple[str, ...]]:
    """Return the word that matches frames of a segment, and the actions that remove their tag."""
    if segment.vlan is None:
        return NO_VLAN, ()
    return f"dl_vlan={segment.vlan}", ("pop_vlan",)
