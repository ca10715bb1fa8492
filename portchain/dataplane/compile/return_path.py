"""Return path: forwards packets from a function to the next hop or, after the last hop, to Neutron.

A function returns packets at its egress port.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from itertools import product

from portchain.core.counters import CounterKind, DropReason
from portchain.dataplane.compile import rate_limits, returned, sfc_aware, transport
from portchain.dataplane.compile.context import PathOnHost, at
from portchain.dataplane.compile.crossing import TO_ORIGIN, Crossing
from portchain.dataplane.conjunction import build_flows
from portchain.dataplane.flow import Flow, NoFlood
from portchain.dataplane.flow_builder import (
    UNICAST,
    build_flow,
    goto,
    resubmit,
    set_field,
    with_resubmit,
)
from portchain.dataplane.host_switch import Firewall, LocalPort
from portchain.dataplane.match import (
    HeaderMatch,
    address_matches,
    addresses_within,
    header_matches,
    returned_matches,
    source_words,
    undecided_fragment_matches,
)
from portchain.dataplane.pipeline import (
    POSITION_DONE,
    REG_NEUTRON_NET,
    REG_NEUTRON_PORT,
    REG_OWN,
    REG_PATH_POSITION,
    Priority,
)
from portchain.dataplane.plan import Classifier, Path, Source, Target

_Selected = tuple[int, HeaderMatch, list[str]]
"""A priority, a match, and words of which one must match the source, too; none for any source."""


def return_flows(context: PathOnHost, index: int, target: Target) -> Iterator[Flow]:
    """Yield the flows for what a function on this host returns at hop ``index``."""
    if (egress := context.find_port(target.egress_port)) is None:
        return
    at_end = _actions_at_end(context, target, egress)
    if context.path.branches and context.path.ends_after(index):
        ended = (context.match_position(context.end), f"in_port={egress.ofport}")
        yield build_flow("BRANCH", Priority.POSITION, ended, *with_resubmit(at_end))
        at_end = [_set_end(context), goto("BRANCH")]
    onward = context.actions_into(index + 1, *at_end)
    metered = rate_limits.sent_actions(context.switch, target.egress_mac)
    if not target.function.encapsulation:
        onward = (*metered, *onward)
    if returned.is_checked(context, index):
        onward, flows = returned.checked_flows(context, index, target, egress, onward)
        yield from flows
    if target.function.encapsulation:
        yield from sfc_aware.return_flows(
            context, index, target, egress, metered=metered, onward=onward
        )
        return
    yield from _unaware_return_flows(context, index, target, egress, onward)
    if target.function.chain_traffic_only:
        yield from _isolate_bridging_function(context, target)


def _unaware_return_flows(
    context: PathOnHost, index: int, target: Target, egress: LocalPort, onward: tuple[str, ...]
) -> Iterator[Flow]:
    """Yield flows that recognise the chain's packets by their header fields.

    At a function that projects share, the source address counts too.
    """
    from_function = frozenset(
        {f"in_port={egress.ofport}", UNICAST, f"{REG_PATH_POSITION}=0", f"{REG_OWN}=0"}
    )
    accepted = context.path.hops[index].accepted_sources
    counter = context.counter(CounterKind.OUT, target.pair_id)
    # Several chains can end at a function that routes, and share flows there.
    ends = target.is_origin and not context.path.branches and context.path.ends_after(index)
    for number, classifier in enumerate(context.path.headers_after(index)):
        if accepted:
            matches = _matches_of_accepted(classifier, accepted[number])
        else:
            matches = _return_matches(context, number, classifier)
        for priority, header, sources in matches:
            # Chains with different source ports can have the same header fields. Then only
            # RETURN_EXACT distinguishes their packets.
            contestable = (
                not accepted and classifier.source_port_known and priority <= Priority.RETURN
            )
            yield from build_flows(
                "LOCAL_SWITCHING",
                priority,
                header | from_function,
                *onward,
                sources=sources,
                contestable=contestable,
                project=context.chain_owner,
                counter=None if contestable and ends else counter,
            )
    if context.path.hops[index].headers:
        # The function should have changed these packets. They must not bypass the next hops.
        unchanged = context.counter(CounterKind.DROPPED, DropReason.HEADER_UNCHANGED)
        for number, classifier in enumerate(context.path.headers_after(index - 1)):
            before: Iterable[_Selected] = [
                (Priority.RETURN, header, []) for header in header_matches(classifier)
            ]
            if accepted:
                addresses = (
                    _known_sources(context, number, classifier) or classifier.source_prefixes
                )
                before = _matches_of_accepted(classifier, addresses)
            for _, header, sources in before:
                yield from build_flows(
                    "LOCAL_SWITCHING",
                    Priority.RETURN_UNCHANGED,
                    header | from_function,
                    sources=sources,
                    counter=unchanged,
                )
    if context.path.branches or not context.path.ends_after(index):
        yield from _hold_fragments(context, index, from_function)


def _hold_fragments(
    context: PathOnHost, index: int, from_function: frozenset[str]
) -> Iterator[Flow]:
    """Drop fragments that may belong to the chain (docs/decisions/0049).

    A function can split packets. Their fragments must not bypass the functions that follow.
    """
    accepted = context.path.hops[index].accepted_sources
    counter = context.counter(CounterKind.DROPPED, DropReason.FRAGMENT)
    for number, classifier in enumerate(context.path.headers_after(index)):
        only_from = (
            [source_words(classifier, [one]) for one in accepted[number]] if accepted else [[]]
        )
        for words in undecided_fragment_matches(
            classifier, lambda known: header_matches(known, any_source=bool(accepted))
        ):
            for source in only_from:
                match = words.union(source, from_function)
                yield build_flow(
                    "LOCAL_SWITCHING", Priority.HOLD_RETURNED_FRAGMENT, match, counter=counter
                )


def _matches_of_accepted(classifier: Classifier, sources: Iterable[str]) -> Iterator[_Selected]:
    """Match a classifier's packets from some sources, CIDRs; nothing if there are none."""
    by_priority: defaultdict[int, list[str]] = defaultdict(list)
    for source in sources:
        network = ip_network(source)
        is_address = network.prefixlen == network.max_prefixlen
        by_priority[Priority.RETURN_EXACT if is_address else Priority.RETURN].append(source)
    for priority, cidrs in by_priority.items():
        words = source_words(classifier, cidrs)
        for rank, match in returned_matches(classifier, any_source=True):
            yield priority - rank, match, words


def _known_sources(context: PathOnHost, number: int, classifier: Classifier) -> list[str]:
    """Return the addresses, as CIDRs, of the ports whose traffic a classifier matches."""
    return [
        address
        for source in context.path.sources
        if source.classifier == number
        for address in addresses_within(source.addresses, classifier)
    ]


def _return_matches(
    context: PathOnHost, number: int, classifier: Classifier
) -> Iterator[_Selected]:
    known = _known_sources(context, number, classifier)
    if known and classifier.source_port_known:
        for rank, match in returned_matches(classifier, any_source=True):
            yield Priority.RETURN_EXACT - rank, match, source_words(classifier, known)
    for rank, match in returned_matches(classifier):
        yield Priority.RETURN - rank, match, []


def _isolate_bridging_function(context: PathOnHost, target: Target) -> Iterator[Flow]:
    """Drop all other traffic of a function that bridges, and keep flooding away from it.

    With both of its ports in one network the function closes a loop: what it bridges besides the
    chain, such as broadcasts, would circulate forever. And a flooded frame that has been through
    the function would leave it a second time as if the chain had sent it. On br-chain, a flow drops
    what OVN sends to the port.
    """
    for port_id in (target.ingress_port, target.egress_port):
        if (port := context.find_port(port_id)) is None:
            continue
        for in_port in (port.ofport, *([port.wire.network] if port.wire else [])):
            match = (f"in_port={in_port}",)
            yield build_flow("LOCAL_SWITCHING", Priority.OTHER_FROM_L2_FUNCTION, match)
        if port.wire is None:
            context.no_flood.add(NoFlood(port.ofport, port.record))


def _actions_at_end(context: PathOnHost, target: Target, egress: LocalPort) -> list[str]:
    if not target.is_origin:
        return [_set_end(context), goto("REJOIN")]
    return _actions_into_neutron(context, egress)


def _set_end(context: PathOnHost) -> str:
    return set_field(context.position(context.end), REG_PATH_POSITION)


def _actions_into_neutron(context: PathOnHost, port: LocalPort) -> list[str]:
    """Return the actions that send a packet to Neutron's tables, behind the egress checks.

    The egress checks of the function's port would drop packets of a chain: conntrack sees one
    direction only there, and calls the second packet invalid.
    """
    if context.switch.firewall is not Firewall.OPENVSWITCH:
        return [set_field(POSITION_DONE, REG_PATH_POSITION), goto("TRANSIENT")]
    return [
        set_field(POSITION_DONE, REG_PATH_POSITION),
        set_field(port.ofport, REG_NEUTRON_PORT),
        set_field(port.vlan, REG_NEUTRON_NET),
        goto("ACCEPT_OR_INGRESS"),
    ]


def rejoin_flows(context: PathOnHost) -> Iterator[Flow]:
    """Yield the flows that let a frame continue from the port whose MAC address it has.

    Sent from anywhere else, the frame would make every learning switch on its path believe that
    its source had moved to the function (docs/decisions/0008).
    """
    end, host = context.end, context.switch.host
    last = context.path.senders_into(end)
    if not any(isinstance(sender, Target) and not sender.is_origin for sender in last):
        return
    ends_here = host in context.sender_hosts(end)
    if ends_here:
        yield from _source_flows(context)
        yield from _shared_source_flows(context)
    for port_id, mac, origin in map(_port_of_origin, context.path.origins):
        port = context.switch.ports.get(port_id)
        crossing = Crossing(context, origin, mac, end, TO_ORIGIN)
        positions = [context.position(end)] if ends_here else []
        if origin.host == host and port is not None:
            yield from transport.arrival_flows(crossing, goto("REJOIN"))
            positions += [context.arrived_position(end)] if crossing.senders else []
        for position, sent_from in product(
            positions, (mac, *_own_further_macs(context.path, origin))
        ):
            match = (at(position), f"dl_src={sent_from}")
            if origin.host == host and port is not None:
                from_port = f"set_field:{port.ofport}->in_port"
                onward = with_resubmit(_actions_into_neutron(context, port))
                yield build_flow("REJOIN", Priority.POSITION, match, from_port, *onward)
            elif origin.host != host and ends_here:
                yield from transport.sending_flows(crossing, "REJOIN", match)


def _own_further_macs(path: Path, origin: Source | Target) -> list[str]:
    """Return the further MAC addresses of an origin from which no other origin sends."""
    if not isinstance(origin, Source):
        return []
    others = {
        mac
        for port_id, primary, other in map(_port_of_origin, path.origins)
        if port_id != origin.port_id
        for mac in (primary, *(other.further_macs if isinstance(other, Source) else ()))
    }
    return sorted(set(origin.further_macs) - others - {origin.mac})


def _shared_source_flows(context: PathOnHost) -> Iterator[Flow]:
    """Yield flows for frames whose source MAC address does not tell which origin has sent them.

    Such addresses are those of virtual routers (VRRP), which several sources share, and all others
    if nobody checks what a source sends. The frame gets the MAC address of one of these sources and
    continues from there: no switch then learns the shared address at the wrong place.
    """
    origins = _origins_by_distance(context)
    known = {mac for _, mac, _ in origins}
    sources = [(mac, origin) for _, mac, origin in origins if isinstance(origin, Source)]
    for shared in sorted({mac for _, source in sources for mac in source.further_macs} - known):
        senders = [mac for mac, source in sources if shared in source.further_macs]
        if len(senders) > 1:
            match = (context.match_position(context.end), f"dl_src={shared}")
            onward = (f"set_field:{senders[0]}->eth_src", resubmit("REJOIN"))
            yield build_flow("REJOIN", Priority.POSITION, match, *onward)
    unchecked = [mac for mac, source in sources if source.sends_from_any_mac]
    if unchecked:
        ended = (context.match_position(context.end),)
        onward = (f"set_field:{unchecked[0]}->eth_src", resubmit("REJOIN"))
        yield build_flow("REJOIN", Priority.ANY_SOURCE, ended, *onward)


def _source_flows(context: PathOnHost) -> Iterator[Flow]:
    """Yield flows that give packets from functions ``off_network`` a source address again.

    The packet's IP address tells which source has sent it. If no source has that address, for
    example because a function that routes has sent it, any origin will do: all are on the network
    of the destination, unless the sources are on several networks.
    """
    origins = _origins_by_distance(context)
    for target in context.path.without_source:
        match = (context.match_position(context.end), f"dl_src={target.egress_mac}")
        for number, (_, mac, origin) in enumerate(origins):
            onward = (f"set_field:{mac}->eth_src", resubmit("REJOIN"))
            if number == 0:
                yield build_flow("REJOIN", Priority.POSITION, match, *onward)
            if len(origins) > 1 and isinstance(origin, Source):
                for words in address_matches(origin.addresses):
                    yield build_flow("REJOIN", Priority.ADDRESS, (*match, *words), *onward)


def _origins_by_distance(context: PathOnHost) -> list[tuple[str, str, Source | Target]]:
    """Return port, MAC address and origin, those on this host first: they are the nearest."""
    ends = {port: (port, mac, o) for port, mac, o in map(_port_of_origin, context.path.origins)}
    return sorted(ends.values(), key=lambda end: (end[2].host != context.switch.host, end[0]))


def _port_of_origin(origin: Source | Target) -> tuple[str, str, Source | Target]:
    """Return the port and the MAC address that an origin sends its frames from."""
    if isinstance(origin, Source):
        return origin.port_id, origin.mac, origin
    return origin.egress_port, origin.egress_mac, origin
