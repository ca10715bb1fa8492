"""Transport between hosts: packets in MPLS (``labels``) or, if need be, whole frames (``frames``).

Both use a tunnel of Neutron's. Between hosts without a tunnel, frames use the provider network of
the port that they are for (docs/decisions/0002, 0009 and 0061).
"""

import itertools
from collections.abc import Iterator

from portchain.dataplane.compile import frames, labels
from portchain.dataplane.compile.crossing import Crossing
from portchain.dataplane.flow import Bridge, Flow
from portchain.dataplane.flow_builder import (
    CHAIN_TUNNEL_ID,
    IP_WORDS,
    NO_VLAN,
    PRIORITY_TAG,
    PROVIDER_MACS,
    build_flow,
    set_field,
)
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.pipeline import REG_PATH_POSITION, Priority


def sending_flows(
    crossing: Crossing, table: str, match: tuple[str, ...], *, clone: bool = False
) -> Iterator[Flow]:
    """Yield the flows that send packets to another host.

    Drops packets that a virtual machine has tagged, unless the tag is a priority tag.

    :param table: name of the table of br-int from which packets with ``match`` are sent.
    :param clone: whether to send copies and leave the packets unchanged.
    """
    uplink = frames.find_uplink(crossing)
    if uplink is None:
        crossing.context.missing.add(frames.why_no_uplink(crossing))
        return
    tunnel = labels.find_tunnel(crossing)
    if tunnel is None:
        yield from frames.leaving_flows(crossing, uplink)
    # Both forms have the same matches. So a plan with one form replaces a plan with the other at
    # once, also while packets of the old one are in flight.
    for ethertype, tag in itertools.product(crossing.context.ethertypes, (NO_VLAN, PRIORITY_TAG)):
        if tunnel is None:
            actions = frames.sending_actions(crossing, uplink)
        else:
            is_tagged = tag == PRIORITY_TAG
            actions = labels.sending_actions(crossing, tunnel, ethertype, is_tagged=is_tagged)
        sent = (f"clone({','.join(actions)})",) if clone else actions
        words = (*match, IP_WORDS[ethertype][0], tag)
        yield build_flow(table, Priority.POSITION, words, *sent)


def arrival_flows(crossing: Crossing, *onward: str) -> Iterator[Flow]:
    """Yield the flows that remove what other hosts have put around packets.

    They accept packets and frames from tunnels, and frames from the provider network: the sending
    host decides, and it can get its tunnel before or after this host.

    The packets get a path position of their own, which only flows to ports of this host match
    (docs/decisions/0064).

    :param onward: the actions after that.
    """
    if not crossing.senders:
        return
    arrived = crossing.context.arrived_position(crossing.index)
    onward = (set_field(arrived, REG_PATH_POSITION), *onward)
    if crossing.switch.patch_to_tun is not None:
        yield from labels.arrival_flows(crossing, onward)
        yield from frames.tunnel_arrival_flows(crossing, onward)
    yield from frames.provider_arrival_flows(crossing, onward)


def guard_flows(switch: LocalSwitch) -> Iterator[Flow]:
    """Yield the flows that a host needs once: they drop what no other flow of ours expects.

    No bridge learns from such packets and frames, and none of them reaches a port.
    """
    if switch.patch_to_tun is not None:
        match = (f"in_port={switch.patch_to_tun}", "mpls", NO_VLAN)
        yield build_flow("LOCAL_SWITCHING", Priority.STRAY_FRAME, match)
    if switch.patch_to_int is not None:
        match = (f"in_port={switch.patch_to_int}", "mpls", NO_VLAN)
        yield build_flow("TUNNEL_SWITCHING", Priority.STRAY_FRAME, match)
        yield from labels.into_tunnel_flows(switch)
        # Accept what comes from any tunnel, even one that l2population adds later.
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
