"""Why a switch drops a packet, in words: from the flow that was the last one to match."""

from portchain.dataplane.flow import COOKIE, BridgeKind
from portchain.dataplane.pipeline import TABLES, Priority
from portchain.dataplane.plan import Hop
from portchain.dataplane.tracing.output import Visit
from portchain.dataplane.tracing.steps import Decision, Exit, Reach

NO_CLASSIFIER = "no flow classifier of a chain on this host matches it"
NO_CHAIN = "no chain on this host has the port as a source"
KEPT_OUT = {
    Priority.TO_GROUP: "broadcast and multicast packets stay out of chains",
    Priority.LINK_TRAFFIC: "neighbour discovery and DHCP stay out of chains",
}
ANSWERED = "OVN answers it, and the answer comes back to the port that has sent it"
VISITED_ALL = "it has visited all functions of its chain"
ROUTED = "a router forwards it for an end of the chain, and it was classified where it was sent"
TO_CHECKS = "into OVN, whose checks of what the port sends come before the chain"
UNSEEN_CHECKS = f"{TO_CHECKS}; they are not seen from here, and the trace goes on as if they passed"
FRAGMENTS = "a fragment may belong to a chain, and the switch cannot tell"
_NUMBERS = {
    name: TABLES[name].number
    for name in (
        *("LOCAL_SWITCHING", "TRANSIENT", "ACCEPT_OR_INGRESS", "ACCEPTED_EGRESS", "CHOICE"),
        *("ARRIVED", "HOP", "BALANCE", "FORWARD", "REJOIN", "BRANCH", "RETURNED", "COPY"),
    )
}
ENTRANCES = frozenset(
    _NUMBERS[name] for name in ("TRANSIENT", "ACCEPT_OR_INGRESS", "ACCEPTED_EGRESS")
)

_RETURNS = {
    Priority.DISGUISED: "the source sends a frame that would go around its chain: unicast in a "
    "frame to a group address, or with two priority tags",
    Priority.EXPIRED: "the function has returned an NSH with a TTL of 0",
    Priority.RETURN_UNCHANGED: "a function that changes headers has returned the original header",
    Priority.HOLD_RETURNED_FRAGMENT: FRAGMENTS,
    Priority.STRAY_FRAME: "no flow of this host expects this chain frame or header: its plan of "
    "the chain differs from the sender's, or the function has returned a wrong header",
    Priority.FORGED: "a function that understands headers gets them from its chains only",
    Priority.OTHER_FROM_L2_FUNCTION: "a function that bridges has sent it, and no chain expects it "
    "from there",
    Priority.RETURN: "two chains claim what the function returns with this header",
    Priority.RETURN - 1: "two chains claim what the function returns with this header",
}
_UNMATCHED = {
    "ARRIVED": "the packet is for a port that this host does not have, or expects no packets for",
    "HOP": "this host has no flows for the chain's hop: it does not know this plan of the chain",
    "BALANCE": "this host has no selection of pairs for the hop",
    "FORWARD": "there is no way to the selected pair: its port is not plugged in, or there is no "
    "tunnel to its host",
    "REJOIN": "there is no way back to the packet's origin: no source of the chain has its source "
    "address, its port is not plugged in, or there is no tunnel to its host",
    "BRANCH": "this host has no flows for the end of the chain",
    "RETURNED": "the function has returned a packet from a source address that no source of the "
    "chain may use",
}
_FORGOTTEN = (
    "it comes from its gate in OVN, and br-chain does not know the destination address any more "
    "that it had before OVN's checks"
)
_GUARDED = (
    "the host cannot realise the chain at the moment, and holds back its packets; the chain's "
    "status_reason says why"
)
# Tables of Neutron's openvswitch firewall, and of its protection against spoofing.
_FIREWALL = {
    23: "Neutron's agent has not wired the network yet",
    24: "ARP spoofing protection: the port may not use this address",
    25: "MAC spoofing protection: the port may not use this MAC address",
    71: "port security: the port may not send from this MAC or IP address",
    72: "security group: no egress rule allows it",
    81: "the destination port takes no such packet",
    82: "security group: no ingress rule of the destination port allows it",
}
_DROPPED_TRAFFIC = 93
_DEAD_VLAN_PRIORITY = 65535


def why_out(way: Exit, *, is_ovns: bool) -> tuple[Decision, str]:
    """Return what it means that a packet leaves the bridges of a host, and why it does.

    :param is_ovns: whether a flow of ovn-controller sends it.
    """
    if way.reach is Reach.PORT:
        at_pair = bool(way.pair_id)
        return Decision.DELIVERED, (
            "the ingress port of the selected pair" if at_pair else "its destination is here"
        )
    if way.reach is Reach.UNKNOWN:
        return Decision.LOST, f"it leaves by {way.name}"
    neutron = "OVN" if is_ovns else "Neutron"
    inside = "with the labels of its chain" if way.packet.labels else f"as {neutron} sends it"
    by = "through the tunnel" if way.reach is Reach.TUNNEL else "by the physical network"
    return Decision.FORWARDED, f"{by}, {inside}"


def why_selected(group: Hop | None, register: int, slot: int | None) -> str:
    """Return why a pair is selected for a new traffic flow.

    :param group: the hop; None if this host does not know it.
    :param register: the beginning of the pair's id, as ``REG_TARGET`` has it.
    :param slot: the flow's hash slot; None if it did not decide.
    """
    if slot is None:
        return "it is the only pair of its group that takes new traffic"
    taking = [target for target in group.targets if target.weight] if group else []
    start = f"{register:08x}"
    weight = next((one.weight for one in taking if one.pair_id.startswith(start)), None)
    total = sum(target.weight for target in taking)
    share = f"; weight {weight} of {total} in its group" if weight is not None else ""
    return f"the traffic flow has hash slot {slot}, which belongs to it{share}"


def why_dropped(visits: list[Visit], kind: BridgeKind | None) -> str:
    """Return why a packet ends in the last of the tables that it has visited.

    :param visits: without those of copies.
    :param kind: of the last bridge; None for OVN's.
    """
    last = visits[-1]
    if kind is None:
        return _why_ovn(visits)
    if kind is BridgeKind.INT:
        return _why_integration(visits)
    if last.cookie == COOKIE and last.priority == Priority.STRAY_FRAME:
        return _RETURNS[Priority.STRAY_FRAME]
    return f"bridge {last.bridge} has no way to its destination"


def _why_integration(visits: list[Visit]) -> str:
    last = visits[-1]
    if last.cookie == COOKIE:
        return _why_ours(last)
    if last.match is None:
        for name, reason in _UNMATCHED.items():
            if _NUMBERS[name] == last.table:
                return reason
    if last.priority == _DEAD_VLAN_PRIORITY:
        return "Neutron's agent has not wired the port yet, or has disabled it"
    if last.table == _DROPPED_TRAFFIC and len(visits) > 1:
        last = visits[-2]
    return _FIREWALL.get(last.table, f"no flow of Neutron's in table {last.table} lets it pass")


def _why_ovn(visits: list[Visit]) -> str:
    """Say how to find the logical flow that drops a packet: OVN's tables change with its versions.

    A flow's cookie is the beginning of the logical flow's id. An ACL only notes what it has
    decided: the next table does it.
    """
    *before, last = [visit for visit in visits if visit.bridge == visits[-1].bridge]
    cookies = [f"{visit.cookie:#x}" for visit in (*before[-1:], last) if visit.cookie]
    look = f": see {' and '.join(cookies)} in ovn-sbctl --uuid lflow-list" if cookies else ""
    return (
        "OVN does not forward it (port security, a security group, a chain's guard, no way to its "
        f"destination, or ovn-controller answers it){look}"
    )


def _why_ours(visit: Visit) -> str:
    is_entrance = visit.table in (_NUMBERS["HOP"], _NUMBERS["COPY"])
    if is_entrance and visit.priority == Priority.ENTER:
        return _FORGOTTEN
    is_fragment = "nw_frag=" in (visit.match or "") or (
        visit.table == _NUMBERS["BRANCH"] and visit.priority == Priority.BRANCH_FRAGMENT
    )
    if is_fragment:
        return FRAGMENTS
    if visit.table == _NUMBERS["HOP"]:
        return "the group of the next hop has no pair that can forward packets"
    if visit.table in {_NUMBERS["BALANCE"], _NUMBERS["CHOICE"]}:
        return "the group of the next hop has no pair that takes new traffic"
    if visit.table in ENTRANCES | {_NUMBERS["BRANCH"]}:
        return _GUARDED
    return _RETURNS.get(visit.priority, "a flow of portchain drops it")
