"""Why a switch drops a packet, in words: from the flow that was the last one to match."""

from portchain.dataplane.flow import COOKIE
from portchain.dataplane.pipeline import TABLES, Priority
from portchain.dataplane.tracing.output import Visit

FRAGMENTS = "a fragment may belong to a chain, and the switch cannot tell"
_NUMBERS = {
    name: TABLES[name].number
    for name in (
        *("LOCAL_SWITCHING", "TRANSIENT", "ACCEPT_OR_INGRESS", "ACCEPTED_EGRESS", "CHOICE"),
        *("ARRIVED", "HOP", "BALANCE", "FORWARD", "REJOIN", "BRANCH", "RETURNED"),
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


def why_dropped(visits: list[Visit], *, on_integration_bridge: bool) -> str:
    """Return why a packet ends in the last of the tables that it has visited.

    :param visits: without those of copies.
    :param on_integration_bridge: whether the last of them is on br-int or br-chain.
    """
    last = visits[-1]
    if not on_integration_bridge:
        if last.cookie == COOKIE and last.priority == Priority.STRAY_FRAME:
            return _RETURNS[Priority.STRAY_FRAME]
        return f"bridge {last.bridge} has no way to its destination"
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


def _why_ours(visit: Visit) -> str:
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
