"""The steering of a chain by static flows, as a person would write them. Pure.

One flow for each leg rewrites the destination's MAC address and outputs the packet to the next
function: at its port, or by Neutron's tunnel. If security groups are flows, source and destination
keep theirs: flows take packets after the checks of their sender's, and hand them to those of their
receiver.
In a group of several pairs, four bits of the client's port select one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

COOKIE = 0x62656E6368
SPLIT_MASK = 0x1E
"""The bits of the client's port that select a pair: not the lowest, for ``connect`` prefers ports
of one parity."""
SPLITS = tuple(range(0, SPLIT_MASK + 1, 2))
PRIORITY = 500
INT, TUN = "br-int", "br-tun"

Flows = dict[tuple[str, str], list[str]]
"""(host, bridge) -> flows in the notation of ovs-ofctl(8)."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A Neutron port in a switch.

    :param port: its OpenFlow port number in br-int.
    :param end: whether it is the source or the destination, whose security group checks what it
        receives.
    """

    host: str
    port: int
    mac: str
    end: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """The two ports of a service function."""

    ingress: Attachment
    egress: Attachment

    def turned(self) -> "Pair":
        """The pair as packets of the other direction see it."""
        return Pair(self.egress, self.ingress)


@dataclass(frozen=True, slots=True)
class Fabric:
    """How the switches are connected. All port numbers are OpenFlow's.

    :param vlans: host -> local VLAN id of the network.
    :param patches: host -> number in br-int of the port that leads to br-tun.
    :param tunnels: (host, other host) -> number of the tunnel's port in br-tun.
    :param segment: the tunnel id of the network.
    :param filtered: whether security groups are flows (firewall ``openvswitch``).
    """

    vlans: Mapping[str, int]
    patches: Mapping[str, int]
    tunnels: Mapping[tuple[str, str], int]
    segment: int
    filtered: bool = True


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction of a chain.

    :param match: of its packets, in the notation of ovs-ofctl(8), without the client's port.
    :param client: the field with the client's port.
    """

    sender: Attachment
    receiver: Attachment
    groups: Sequence[Sequence[Pair]]
    match: str
    client: str


def pair_index(group: int, split: int, pairs: int) -> int:
    """The pair that serves a value of the split's bits.

    Consecutive groups select independently of each other, as those of a chain do.
    """
    value = split // 2
    return (value // pairs if group % 2 else value) % pairs


def write(fabric: Fabric, directions: Sequence[Direction]) -> Flows:
    """All flows that carry the packets of the directions, without duplicates."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for direction in directions:
        for host, bridge, flow in _direction(fabric, direction):
            found.setdefault((host, bridge), {})[f"cookie={COOKIE:#x},{flow}"] = None
    return {place: list(flows) for place, flows in found.items()}


def _direction(fabric: Fabric, direction: Direction) -> Iterator[tuple[str, str, str]]:
    splits = SPLITS if len(direction.groups[0]) > 1 else (0,)
    for split in splits:
        bits = f",{direction.client}={split:#x}/{SPLIT_MASK:#x}" if len(splits) > 1 else ""
        match = f"{direction.match}{bits}"
        pairs = [
            group[pair_index(number, split, len(group))]
            for number, group in enumerate(direction.groups)
        ]
        sent_by = [direction.sender, *(pair.egress for pair in pairs)]
        sent_to = [*(pair.ingress for pair in pairs), direction.receiver]
        for sender, target in zip(sent_by, sent_to, strict=True):
            yield from _leg(fabric, sender, target, match)


def _leg(
    fabric: Fabric, sender: Attachment, target: Attachment, match: str
) -> Iterator[tuple[str, str, str]]:
    """The flows that carry packets from one port to the next one."""
    host = sender.host
    actions = f"mod_dl_dst:{target.mac},{_deliver(fabric, host, target)}"
    matched = f"in_port={sender.port},{match} actions="
    if sender.end and not fabric.filtered:
        yield host, INT, f"table=60,priority={PRIORITY},{matched}{actions}"
    elif sender.end:
        commit = "ct(commit,zone=NXM_NX_REG6[0..15]),"
        first = f"table=73,priority={PRIORITY + 1},ct_state=+new-est,"
        yield host, INT, f"{first}{matched}{commit}{actions}"
        for table in (73, 94):
            yield host, INT, f"table={table},priority={PRIORITY},{matched}{actions}"
    else:
        yield host, INT, f"table=0,priority={PRIORITY},{matched}{actions}"
    if target.host != host:
        yield from _tunnel(fabric, host, target)


def _deliver(fabric: Fabric, host: str, target: Attachment) -> str:
    if target.host != host:
        return f"mod_vlan_vid:{fabric.vlans[host]},output:{fabric.patches[host]}"
    if target.end and fabric.filtered:
        registers = f"load:{target.port}->NXM_NX_REG5[],load:{fabric.vlans[host]}->NXM_NX_REG6[]"
        return f"{registers},resubmit(,81)"
    return f"output:{target.port}"


def _tunnel(fabric: Fabric, host: str, target: Attachment) -> Iterator[tuple[str, str, str]]:
    """The flows between hosts. What arrives for the source or destination is left to Neutron's."""
    match = f"table=20,priority={PRIORITY},dl_vlan={fabric.vlans[host]},dl_dst={target.mac}"
    tunnel = fabric.tunnels[host, target.host]
    yield (
        host,
        TUN,
        f"{match} actions=strip_vlan,load:{fabric.segment}->NXM_NX_TUN_ID[],output:{tunnel}",
    )
    if not target.end:
        at, vlan = fabric.patches[target.host], fabric.vlans[target.host]
        match = f"table=0,priority={PRIORITY},ip,in_port={at},dl_vlan={vlan},dl_dst={target.mac}"
        yield target.host, INT, f"{match} actions=strip_vlan,output:{target.port}"
