"""Between hosts: the whole Ethernet frame in MPLS (docs/decisions/0001), on a way that Neutron has already.

That is a tunnel, or where two hosts have none the provider network of the port that the frame is for (0002, 0009).
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
)
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.pipeline import FIRST_SERVICE_INDEX, Priority
from portchain.dataplane.plan import Segment, Source, Target

# The traffic class of a chain frame says what for it comes: the next function, or back to its origin after the last.
ONWARD, BACK = 0, 1

_VLAN_PRESENT = 0x1000
_HEADER_OFF = ("decap()", "decap(packet_type(ns=0,type=0))")


@dataclass(frozen=True, slots=True)
class _Uplink:
    """How frames get from br-int to another host.

    :param leave: port of br-int that leads to the bridge with the way out; ``enter`` is the other end.
    :param table: of that bridge. ``onward``: what is done with the frames there.
    :param source_mac: of the outer Ethernet header.
    """

    leave: int
    enter: int
    table: str
    bridge: Bridge
    onward: tuple[str, ...]
    source_mac: str


def encapsulation_flows(
    here: PathOnHost,
    table: str,
    match: tuple[str, ...],
    to: Source | Target,
    *,
    mac: str,
    index: int,
    mark: int,
    clone: bool = False,
) -> Iterator[Flow]:
    """Send packets that ``match`` in ``table`` to another host, for the port with address ``mac``.

    :param clone: send copies, and leave the packets as they are.
    """
    segment = _segment(to, mark)
    way = _tunnel_uplink(here, to) or _provider_uplink(here, segment)
    if way is None:
        here.missing.add(_why_no_uplink(here.switch, to, segment))
        return
    actions = (
        "encap(mpls)",
        f"set_field:{here.label}->mpls_label",
        f"set_field:{mark}->mpls_tc",
        f"set_field:{FIRST_SERVICE_INDEX - index}->mpls_ttl",
        "encap(ethernet)",
        f"set_field:{mac}->eth_dst",
        f"set_field:{way.source_mac}->eth_src",
        f"output:{way.leave}",
    )
    yield build_flow(
        table, Priority.POSITION, match, *([f"clone({','.join(actions)})"] if clone else actions)
    )
    frames = (f"in_port={way.enter}", *frame_match(here.label, mac))
    yield build_flow(way.table, Priority.CHAIN_FRAME, frames, *way.onward, bridge=way.bridge)


def decapsulation_flows(
    here: PathOnHost, to: Source | Target, *then: str, mac: str, index: int, mark: int
) -> Iterator[Flow]:
    """Take chain frames for the port with address ``mac`` out of their header and go on with ``then``.

    They are taken from either way: the sending host chooses, and can come to have a tunnel before or after this one.
    """
    switch, wanted = here.switch, f"mpls_tc={mark}"
    if switch.patch_to_tun is not None:
        match = (f"in_port={switch.patch_to_tun}", *frame_match(here.label, mac), wanted)
        yield build_flow("LOCAL_SWITCHING", Priority.CHAIN_FRAME, match, *_HEADER_OFF, *then)
    segment = _segment(to, mark)
    physical = switch.physical.get(segment.physical_network) if segment else None
    if segment is None or physical is None:
        return
    tag, untag = _tag_words(segment)
    bridge, out = Bridge.physical(segment.physical_network), f"output:{physical.patch_to_int}"
    for host in sorted(here.senders(index) - {switch.host}):
        sent_by = f"dl_src={provider_mac(here.chain_id, host)}"
        frame = ("mpls", tag, f"mpls_label={here.label}", f"dl_dst={mac}", sent_by)
        yield build_flow("PHYSICAL_SWITCHING", Priority.CHAIN_FRAME, frame, out, bridge=bridge)
        match = (f"in_port={physical.patch_to_physical}", *frame, wanted)
        yield build_flow(
            "LOCAL_SWITCHING", Priority.CHAIN_FRAME, match, *untag, *_HEADER_OFF, *then
        )


def frame_guard_flows(switch: LocalSwitch) -> Iterator[Flow]:
    """Chain frames go to our rules or nowhere: no switch of ours learns from them, and none gets to a port."""
    if switch.patch_to_tun is not None:
        match = (f"in_port={switch.patch_to_tun}", "mpls", NO_VLAN)
        yield build_flow("LOCAL_SWITCHING", Priority.STRAY_FRAME, match)
    if switch.patch_to_int is not None:
        match = (f"in_port={switch.patch_to_int}", "mpls", NO_VLAN)
        yield build_flow("TUNNEL_SWITCHING", Priority.STRAY_FRAME, match)
        # From any tunnel, also one that l2 population makes later.
        match = ("mpls", NO_VLAN, f"tun_id={CHAIN_TUNNEL_ID}")
        to_int = f"output:{switch.patch_to_int}"
        yield build_flow("TUNNEL_SWITCHING", Priority.FROM_TUNNEL, match, to_int)
    for name, physical in switch.physical.items():
        match = (f"in_port={physical.patch_to_physical}", "mpls", PROVIDER_MACS)
        yield build_flow("LOCAL_SWITCHING", Priority.STRAY_FRAME, match)
        # What a virtual machine forges ends here, as do our own frames of a chain that is gone.
        match = (f"in_port={physical.patch_to_int}", "mpls", PROVIDER_MACS)
        bridge = Bridge.physical(name)
        yield build_flow("PHYSICAL_SWITCHING", Priority.STRAY_FRAME, match, bridge=bridge)


def _tunnel_uplink(here: PathOnHost, to: Source | Target) -> _Uplink | None:
    switch = here.switch
    tunnel = switch.tunnels.get(to.tunnel_ip)
    if tunnel is None or switch.patch_to_tun is None or switch.patch_to_int is None:
        return None
    onward = (f"set_field:{CHAIN_TUNNEL_ID}->tun_id", f"output:{tunnel}")
    leave, enter = switch.patch_to_tun, switch.patch_to_int
    return _Uplink(leave, enter, "TUNNEL_SWITCHING", Bridge.TUN, onward, CHAIN_MAC)


def _provider_uplink(here: PathOnHost, segment: Segment | None) -> _Uplink | None:
    if segment is None or segment.physical_network not in here.switch.physical:
        return None
    physical = here.switch.physical[segment.physical_network]
    tag = () if segment.vlan is None else _push_vlan(segment.vlan)
    return _Uplink(
        leave=physical.patch_to_physical,
        enter=physical.patch_to_int,
        table="PHYSICAL_SWITCHING",
        bridge=Bridge.physical(segment.physical_network),
        # The uplink may be a bond, which only NORMAL knows. What the bridge learns is true: the source address is this host's.
        onward=(*tag, "NORMAL"),
        source_mac=provider_mac(here.chain_id, here.switch.host),
    )


def _push_vlan(vlan: int) -> tuple[str, str]:
    return ("push_vlan:0x8100", f"set_field:{_VLAN_PRESENT | vlan}->vlan_vid")


def _tag_words(segment: Segment) -> tuple[str, tuple[str, ...]]:
    """How a frame of the segment is matched, and what takes its tag off."""
    if segment.vlan is None:
        return NO_VLAN, ()
    return f"dl_vlan={segment.vlan}", ("pop_vlan",)


def _segment(to: Source | Target, mark: int) -> Segment | None:
    """The segment of the port that a frame is for."""
    if isinstance(to, Source):
        return to.segment
    return to.ingress_segment if mark == ONWARD else to.egress_segment


def _why_no_uplink(switch: LocalSwitch, to: Source | Target, segment: Segment | None) -> str:
    peer = f"{to.host} ({to.tunnel_ip or 'which has no tunnel address'})"
    if segment is None:
        wire = "the port there is not on a VLAN or flat network"
    else:
        wire = f"{switch.host} has no bridge for physical network {segment.physical_network}"
    return f"no tunnel from host {switch.host} to {peer}, and {wire}"
