"""Transport between hosts: the whole Ethernet frame in MPLS (docs/decisions/0001).

Frames use a tunnel of Neutron's. Between hosts without a tunnel they use the provider network of
the port that they are for (docs/decisions/0002 and 0009).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from portchain.dataplane.compile.context import PathOnHost
from portchain.dataplane.flow import Bridge, Flow
from portchain.dataplane.flow_builder import (
    CHAIN_MAC,
    CHAIN_TUNNEL_ID,
    NO_VLAN,
    PROVIDER_MACS,
    build_flow,
    frame_match,
    provider_mac,
    push_vlan,
)
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.pipeline import Priority, frame_ttl
from portchain.dataplane.plan import Segment, Source, Target

# Traffic class of a chain frame: on its path to a function, or back to its origin after the last.
TO_FUNCTION, TO_ORIGIN = 0, 1

_DECAPSULATE = ("decap()", "decap(packet_type(ns=0,type=0))")


@dataclass(frozen=True, slots=True)
class _Uplink:
    """A connection from br-int to another host.

    :param from_int: port of br-int that leads to the outer bridge (br-tun or a physical bridge).
    :param to_outer: the other end of that patch, a port of the outer bridge.
    :param table: name of the table of the outer bridge, and ``bridge`` the bridge itself.
    :param actions: of the outer bridge, on frames for the other host.
    :param source_mac: source address of the outer Ethernet header.
    """

    from_int: int
    to_outer: int
    table: str
    bridge: Bridge
    actions: tuple[str, ...]
    source_mac: str


def encapsulation_flows(
    context: PathOnHost,
    table: str,
    match: tuple[str, ...],
    to: Source | Target,
    *,
    mac: str,
    index: int,
    traffic_class: int,
    clone: bool = False,
) -> Iterator[Flow]:
    """Yield the flows that send packets to another host.

    :param table: name of the table of br-int from which packets with ``match`` are sent.
    :param to: the source or target on the other host.
    :param mac: MAC address of its port that the packets are for.
    :param index: index of the hop that the packets are about to visit.
    :param traffic_class: ``TO_FUNCTION`` or ``TO_ORIGIN``.
    :param clone: whether to send copies and leave the packets unchanged.
    """
    segment = _segment(to, traffic_class)
    uplink = _tunnel_uplink(context, to) or _provider_uplink(context, segment)
    if uplink is None:
        context.missing.add(_why_no_uplink(context.switch, to, segment))
        return
    actions = (
        "encap(mpls)",
        f"set_field:{context.label}->mpls_label",
        f"set_field:{traffic_class}->mpls_tc",
        f"set_field:{frame_ttl(context.generation, index)}->mpls_ttl",
        "encap(ethernet)",
        f"set_field:{mac}->eth_dst",
        f"set_field:{uplink.source_mac}->eth_src",
        f"output:{uplink.from_int}",
    )
    sent = (f"clone({','.join(actions)})",) if clone else actions
    yield build_flow(table, Priority.POSITION, match, *sent)
    frames = (f"in_port={uplink.to_outer}", *frame_match(context.label, mac))
    yield build_flow(
        uplink.table, Priority.CHAIN_FRAME, frames, *uplink.actions, bridge=uplink.bridge
    )


def decapsulation_flows(
    context: PathOnHost, to: Source | Target, *onward: str, mac: str, index: int, traffic_class: int
) -> Iterator[Flow]:
    """Yield the flows that decapsulate chain frames from other hosts.

    The flows accept frames from the tunnel and from the provider network: the sending host decides,
    and it can get its tunnel before or after this host.

    :param onward: the actions after decapsulation. Other parameters as in ``encapsulation_flows``.
    """
    switch, wanted = context.switch, tuple(_place_matches(context, index, traffic_class))
    if switch.patch_to_tun is not None:
        frame = (f"in_port={switch.patch_to_tun}", *frame_match(context.label, mac))
        for words in wanted:
            match = (*frame, *words)
            yield build_flow("LOCAL_SWITCHING", Priority.CHAIN_FRAME, match, *_DECAPSULATE, *onward)
    segment = _segment(to, traffic_class)
    physical = switch.physical.get(segment.physical_network) if segment else None
    if segment is None or physical is None:
        return
    tag, untag = _tag_words(segment)
    bridge, out = Bridge.physical(segment.physical_network), f"output:{physical.patch_to_int}"
    for host in sorted(context.sender_hosts(index) - {switch.host}):
        sent_by = f"dl_src={provider_mac(context.chain_id, host)}"
        frame = ("mpls", tag, f"mpls_label={context.label}", f"dl_dst={mac}", sent_by)
        yield build_flow("PHYSICAL_SWITCHING", Priority.CHAIN_FRAME, frame, out, bridge=bridge)
        for words in wanted:
            match = (f"in_port={physical.patch_to_physical}", *frame, *words)
            yield build_flow(
                "LOCAL_SWITCHING", Priority.CHAIN_FRAME, match, *untag, *_DECAPSULATE, *onward
            )


def _place_matches(
    context: PathOnHost, index: int, traffic_class: int
) -> Iterator[tuple[str, ...]]:
    """Yield the words that match frames of this list of groups at one hop."""
    wanted = f"mpls_tc={traffic_class}"
    if context.generation is None:
        # Plans that hosts got before the server was upgraded stay: others may have newer ones.
        yield (wanted,)
        return
    # An agent before contract 1.9 says the hop, but not the list.
    for generation in (context.generation, None):
        yield (wanted, f"mpls_ttl={frame_ttl(generation, index)}")


def frame_guard_flows(switch: LocalSwitch) -> Iterator[Flow]:
    """Yield the flows that drop chain frames which no other flow of ours expects.

    No bridge learns from such frames, and none of them reaches a port.
    """
    if switch.patch_to_tun is not None:
        match = (f"in_port={switch.patch_to_tun}", "mpls", NO_VLAN)
        yield build_flow("LOCAL_SWITCHING", Priority.STRAY_FRAME, match)
    if switch.patch_to_int is not None:
        match = (f"in_port={switch.patch_to_int}", "mpls", NO_VLAN)
        yield build_flow("TUNNEL_SWITCHING", Priority.STRAY_FRAME, match)
        # Accept chain frames from any tunnel, even one that l2population adds later.
        match = ("mpls", NO_VLAN, f"tun_id={CHAIN_TUNNEL_ID}")
        to_int = f"output:{switch.patch_to_int}"
        yield build_flow("TUNNEL_SWITCHING", Priority.FROM_TUNNEL, match, to_int)
    for name, physical in switch.physical.items():
        match = (f"in_port={physical.patch_to_physical}", "mpls", PROVIDER_MACS)
        yield build_flow("LOCAL_SWITCHING", Priority.STRAY_FRAME, match)
        # Drops frames that a virtual machine forges, and our own frames of deleted chains.
        match = (f"in_port={physical.patch_to_int}", "mpls", PROVIDER_MACS)
        bridge = Bridge.physical(name)
        yield build_flow("PHYSICAL_SWITCHING", Priority.STRAY_FRAME, match, bridge=bridge)


def _tunnel_uplink(context: PathOnHost, to: Source | Target) -> _Uplink | None:
    switch = context.switch
    tunnel = switch.tunnels.get(to.tunnel_ip)
    if tunnel is None or switch.patch_to_tun is None or switch.patch_to_int is None:
        return None
    return _Uplink(
        from_int=switch.patch_to_tun,
        to_outer=switch.patch_to_int,
        table="TUNNEL_SWITCHING",
        bridge=Bridge.TUN,
        actions=(f"set_field:{CHAIN_TUNNEL_ID}->tun_id", f"output:{tunnel}"),
        source_mac=CHAIN_MAC,
    )


def _provider_uplink(context: PathOnHost, segment: Segment | None) -> _Uplink | None:
    if segment is None or segment.physical_network not in context.switch.physical:
        return None
    physical = context.switch.physical[segment.physical_network]
    tag = () if segment.vlan is None else push_vlan(segment.vlan)
    return _Uplink(
        from_int=physical.patch_to_physical,
        to_outer=physical.patch_to_int,
        table="PHYSICAL_SWITCHING",
        bridge=Bridge.physical(segment.physical_network),
        # NORMAL handles an uplink that is a bond. The bridge may learn the source address, which
        # is this host's own.
        actions=(*tag, "NORMAL"),
        source_mac=provider_mac(context.chain_id, context.switch.host),
    )


def _tag_words(segment: Segment) -> tuple[str, tuple[str, ...]]:
    """Return the word that matches frames of a segment, and the actions that remove their tag."""
    if segment.vlan is None:
        return NO_VLAN, ()
    return f"dl_vlan={segment.vlan}", ("pop_vlan",)


def _segment(to: Source | Target, traffic_class: int) -> Segment | None:
    """Return the segment of the port that a frame is for."""
    if isinstance(to, Source):
        return to.segment
    return to.ingress_segment if traffic_class == TO_FUNCTION else to.egress_segment


def _why_no_uplink(switch: LocalSwitch, to: Source | Target, segment: Segment | None) -> str:
    peer = f"{to.host} ({to.tunnel_ip or 'which has no tunnel address'})"
    if segment is None:
        reason = "the port there is not on a VLAN or flat network"
    else:
        reason = f"{switch.host} has no bridge for physical network {segment.physical_network}"
    return f"no tunnel from host {switch.host} to {peer}, and {reason}"
