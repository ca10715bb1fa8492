"""Accepts from functions only packets that the chain's sources may send (anti-spoofing).

The return flows find out to which chain and hop a packet belongs. The flows here look at its source
address and at that of its frame, in a table of their own, so that addresses and port ranges do not
multiply. A function that routes uses the few MAC addresses of its port. One that keeps the source's
may return frames of many sources: such packets pass the table twice, first by the one address and
then by the other.

Port security also forbids machines to act as routers, as DHCP servers, and as their neighbours.
What functions return continues behind port security, so such messages are not accepted here either.
"""

from collections.abc import Iterator
from itertools import product

from portchain.core import function_kinds
from portchain.core.protocols import (
    DHCP_PORTS,
    NEIGHBOUR_ADVERTISEMENT,
    NEIGHBOUR_DISCOVERY_HOP_LIMIT,
    ROUTER_ADVERTISEMENT,
)
from portchain.dataplane.compile.context import PathOnHost
from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import build_flow, goto, resubmit, set_field, with_resubmit
from portchain.dataplane.host_switch import LocalPort
from portchain.dataplane.match import covers_dhcp, covers_neighbour_discovery, parse_network
from portchain.dataplane.pipeline import (
    POSITION_BRANCHING,
    POSITION_DONE,
    POSITION_RETURNED,
    REG_CHECKED,
    REG_OWN,
    REG_PATH_POSITION,
    Priority,
)
from portchain.dataplane.plan import Target

_FIELDS = {"IPv4": ("ip", "nw_src", 4), "IPv6": ("ipv6", "ipv6_src", 6)}


def is_checked(context: PathOnHost, index: int) -> bool:
    """Tell whether the plan says with which sources the functions of a hop return packets."""
    return context.path.hops[index].returned_sources is not None


def checked_flows(
    context: PathOnHost, index: int, target: Target, egress: LocalPort, onward: tuple[str, ...]
) -> tuple[tuple[str, ...], list[Flow]]:
    """Return how packets that a function on this host returns at hop ``index`` are checked.

    :param onward: the actions for packets that are accepted.
    :returns: the actions that have a packet checked, and the flows that do it.
    """
    position = _position(context, index, target, onward)
    flows = [*_flows_for_others(context, index, target, egress, position)]
    from_hop: tuple[str, ...] = (f"{REG_PATH_POSITION}={position:#x}", f"in_port={egress.ofport}")
    routes = target.function == function_kinds.L3
    frames = list(map(_frame_word, target.return_macs)) if routes else []
    kept = _macs_to_check(context, index, target)
    actions = with_resubmit(onward)
    if kept is not None:
        flows += [
            build_flow(
                "RETURNED",
                Priority.POSITION,
                (*from_hop, f"{REG_CHECKED}=0x1", *_frame_word(mac)),
                set_field(0, REG_CHECKED),
                *actions,
            )
            for mac in kept
        ]
        from_hop = (*from_hop, f"{REG_CHECKED}=0")
        actions = [set_field(1, REG_CHECKED), resubmit("RETURNED")]
    flows += [
        build_flow("RETURNED", Priority.POSITION, (*from_hop, *source, *frame), *actions)
        for source, frame in product(_source_words(context, index), frames or [()])
    ]
    return (set_field(position, REG_PATH_POSITION), goto("RETURNED")), flows


def _flows_for_others(
    context: PathOnHost, index: int, target: Target, egress: LocalPort, position: int
) -> Iterator[Flow]:
    """Yield the flows for what does not count as returned.

    If the function routes, that is what it sends of its own, and port security checks it as
    everybody's packets. From other functions it is dropped.
    """
    from_hop = (f"{REG_PATH_POSITION}={position:#x}", f"in_port={egress.ofport}")
    own: tuple[str, ...] = ()
    if target.function == function_kinds.L3:
        own = (
            set_field(0, REG_PATH_POSITION), set_field(1, REG_OWN), resubmit("LOCAL_SWITCHING")
        )  # fmt: skip
        yield build_flow("RETURNED", Priority.NOT_RETURNED, from_hop, *own)
    for message in _forbidden_messages(context, index, target):
        yield build_flow("RETURNED", Priority.FORBIDDEN, (*from_hop, *message), *own)


def _forbidden_messages(
    context: PathOnHost, index: int, target: Target
) -> Iterator[tuple[str, ...]]:
    """Match messages that no machine may send, as far as the function could return them.

    Those of an ordinary length never get here from SFC-unaware functions (``link_traffic``). But
    hosts ignore options that they do not know, and accept a longer message all the same.
    """
    headers = context.path.headers_after(index)
    inside = bool(target.function.encapsulation)  # a header may hide any message
    for ethertype, (client, server) in DHCP_PORTS.items():
        if ethertype not in context.ethertypes:
            continue
        if inside or any(covers_dhcp(one, ethertype, (server, client)) for one in headers):
            udp = "udp" if ethertype == "IPv4" else "udp6"
            yield udp, f"tp_src={server}", f"tp_dst={client}"
    if "IPv6" in context.ethertypes and (inside or any(map(covers_neighbour_discovery, headers))):
        for icmp_type in (ROUTER_ADVERTISEMENT, NEIGHBOUR_ADVERTISEMENT):
            limit = f"nw_ttl={NEIGHBOUR_DISCOVERY_HOP_LIMIT}"
            yield "icmp6", f"icmp_type={icmp_type}", "icmp_code=0", limit


def _frame_word(mac: str) -> tuple[str, ...]:
    return (f"dl_src={mac}",)


def _macs_to_check(context: PathOnHost, index: int, target: Target) -> tuple[str, ...] | None:
    """Return the MAC addresses of frames that a function may return; None for any.

    At the end of a path, table REJOIN accepts frames of the path's origins only.
    """
    if not target.function.keeps_source_mac:
        return None
    is_checked_by_rejoin = index + 1 == context.end and not context.path.branches
    return None if is_checked_by_rejoin else context.path.hops[index].returned_macs


def _position(context: PathOnHost, index: int, target: Target, onward: tuple[str, ...]) -> int:
    """Return the position of packets that are to be checked.

    Several chains can end at a function that routes, with packets of the same header. Their flows
    must be the same then: it does not matter to which chain a packet belongs. Behind a header, the
    chain is known: a port can have functions of both kinds, and the flows check different things.
    """
    ends = set_field(POSITION_DONE, REG_PATH_POSITION) in onward
    if ends and not target.function.encapsulation:
        return POSITION_RETURNED
    branches = context.path.branches and context.path.ends_after(index)
    return context.position(index + 1) | (POSITION_BRANCHING if branches else 0)


def _source_words(context: PathOnHost, index: int) -> Iterator[tuple[str, ...]]:
    sources = context.path.hops[index].returned_sources or ()
    for ethertype in context.ethertypes:
        protocol, field, version = _FIELDS[ethertype]
        for network in map(parse_network, sources):
            if network.version == version:
                exact = network.prefixlen == network.max_prefixlen
                value = network.network_address if exact else network
                yield (protocol, f"{field}={value}") if network.prefixlen else (protocol,)
