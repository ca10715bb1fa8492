"""Rejects requests that Open vSwitch cannot realise, before anything is written. Pure."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network

from portchain.core.function_kinds import traits_of
from portchain.core.model import (
    ChainSnapshot,
    Encapsulation,
    FailureMode,
    PortChain,
    PortPair,
    PortPairGroup,
    PortRole,
)
from portchain.core.rules import (
    PROTOCOLS_WITH_PORTS,
    Kind,
    Violation,
    first_common_packet,
    label,
    label_for,
    reply_classifier,
)
from portchain.dataplane.pipeline import MAX_HOPS, MAX_NSH_HOPS
from portchain.dataplane.plan import SUPPORTED_FUNCTIONS, ChainPlan, Target
from portchain.dataplane.planning import attribution, spoofing
from portchain.dataplane.planning.planner import plan_chain
from portchain.dataplane.planning.size import least_flows

Reasons = Iterator[tuple[str, str]]
"""Pairs of the attribute that is at fault and the reason."""


def check_pair(pair: PortPair) -> None:
    """Reject a kind of function for which there are no flows.

    An example is a bridging function with a header: the header would need a destination address,
    and a function that bridges has none.

    :raises Violation: of kind unsupported.
    """
    if traits_of(pair) not in SUPPORTED_FUNCTIONS:
        raise Violation(
            "function_kind",
            f"Open vSwitch does not support function_kind {pair.kind} with correlation "
            f"{pair.correlation}",
            Kind.UNSUPPORTED,
        )


def check_chain(snapshot: ChainSnapshot) -> None:
    """Reject a chain that Open vSwitch cannot realise.

    :raises Violation: of kind unsupported, with the first reason found.
    """
    chain = snapshot.chain
    spoofing.check_mappings(snapshot)
    spoofing.check_senders(snapshot)
    for attribute, reason in itertools.chain(
        _too_many_hops(chain),
        _reply_without_pair(chain),
        _ambiguous_direction(chain),
        _invalid_mapping(chain),
        _lost_reply(chain),
        _unsupported_in_graph(snapshot),
        _distributed_router(snapshot),
        _router_behind_shared_function(snapshot),
        _sender_like_shared_function(snapshot),
        _leads_to_another_network(snapshot),
        _followed_from_another_network(snapshot),
    ):
        raise Violation(attribute, reason, Kind.UNSUPPORTED)


def check_size(snapshot: ChainSnapshot, most: int) -> None:
    """Reject a chain that needs too many flows on one host, whatever the host is like.

    :param most: flows on a host; 0 for any number.
    :raises Violation: of kind unsupported.
    """
    if most:
        check_size_of_plan(plan_chain(snapshot, {}).plan, most)


def check_size_of_plan(plan: ChainPlan, most: int) -> None:
    """Reject a plan that needs too many flows on one host; as ``check_size``."""
    needed = max(least_flows(plan).values(), default=0) if most else 0
    if needed > most:
        raise Violation(
            "flow_classifiers",
            f"the chain would need at least {needed} flows on one host, and at most {most} are "
            "allowed. Use fewer classifiers or port ranges, fewer groups, or functions on several "
            "hosts",
            Kind.UNSUPPORTED,
        )


def _too_many_hops(chain: PortChain) -> Reasons:
    """The service index, or the TTL of NSH, limits the number of hops."""
    limit = MAX_NSH_HOPS if chain.correlation == Encapsulation.NSH else MAX_HOPS
    if len(chain.port_pair_groups) > limit:
        yield (
            "port_pair_groups",
            f"Open vSwitch supports at most {limit} groups in a chain with correlation "
            f"{chain.correlation}",
        )


def _reply_without_pair(chain: PortChain) -> Reasons:
    """Replies do not have the MAC addresses by which the group balances requests."""
    by_frame = [
        group
        for group in chain.port_pair_groups
        if not {"eth_src", "eth_dst"}.isdisjoint(group.lb_fields)
    ]
    if chain.symmetric and by_frame:
        yield (
            "chain_parameters",
            f"port pair group {label(by_frame[0])} balances by MAC addresses; in a symmetric "
            "chain, Open vSwitch cannot find the pair of a reply by them",
        )


def _ambiguous_direction(chain: PortChain) -> Reasons:
    """At a function with a single port, replies can look like requests."""
    single = [
        pair
        for group in chain.port_pair_groups
        if not group.tap_enabled
        for pair in group.port_pairs
        if _hides_direction(pair)
    ]
    if not chain.symmetric or not single:
        return
    replies = [reply_classifier(classifier) for classifier in chain.flow_classifiers]
    common = first_common_packet(chain.flow_classifiers, replies)
    if common is not None:
        request, reply = common
        yield (
            "chain_parameters",
            f"{label_for(chain.project_id, single[0])} has one port for both directions of this "
            "symmetric chain, and Open vSwitch cannot tell the directions apart there: a packet "
            f"that flow classifier {label(request)} matches could be a reply to one that "
            f"{label(reply)} matches",
        )


def _invalid_mapping(chain: PortChain) -> Reasons:
    """The packets of the chain cannot have the headers of a mapping, or a tap has one."""
    for group in chain.port_pair_groups:
        mapping = {**group.ingress_n_tuple, **group.egress_n_tuple}
        if group.tap_enabled and mapping:
            yield (
                "port_pair_groups",
                f"port pair group {label(group)} has tap_enabled and a ppg_n_tuple_mapping; "
                "a tap returns no packets that the mapping could apply to",
            )
        if group.egress_n_tuple and group.failure_mode is FailureMode.OPEN:
            yield (
                "port_pair_groups",
                f"{label_for(chain.project_id, group)} changes headers and has failure_mode open; "
                "what follows would not know the packets that skip it. Use failure_mode closed, or "
                "a group without ppg_n_tuple_mapping",
            )
        has_ports = any("port" in key for key in mapping)
        families = {
            f"IPv{ip_network(str(value), strict=False).version}"
            for key, value in mapping.items()
            if key.endswith("_ip_prefix")
        }
        for classifier in chain.flow_classifiers:
            if families - {classifier.ethertype}:
                yield (
                    "port_pair_groups",
                    f"the ppg_n_tuple_mapping of {label(group)} has "
                    f"{', '.join(sorted(families))} addresses, but flow classifier "
                    f"{label(classifier)} has ethertype {classifier.ethertype}",
                )
            if has_ports and classifier.protocol not in PROTOCOLS_WITH_PORTS:
                yield (
                    "port_pair_groups",
                    f"the ppg_n_tuple_mapping of {label(group)} has ports, which requires flow "
                    f"classifiers with protocol tcp, udp or sctp; {label(classifier)} has another "
                    "one or none",
                )


def _lost_reply(chain: PortChain) -> Reasons:
    """Replies cannot be sent to the pair that changed the request's header."""
    changing = [group for group in chain.port_pair_groups if group.egress_n_tuple]
    if not chain.symmetric:
        return
    for group in changing:
        if len(group.port_pairs) > 1:
            yield (
                "chain_parameters",
                f"port pair group {label(group)} changes headers and has several pairs; in a "
                "symmetric chain, Open vSwitch cannot tell which of them a reply must go to",
            )
        if "destination_ip_prefix" in group.egress_n_tuple:
            yield (
                "chain_parameters",
                f"port pair group {label(group)} changes destination addresses; in a symmetric "
                "chain, Open vSwitch cannot tell which ports the replies come from",
            )
        if any(_hides_direction(pair) for other in _functions(chain) for pair in other.port_pairs):
            yield (
                "chain_parameters",
                f"port pair group {label(group)} changes headers, and a pair of this symmetric "
                "chain has one port for both directions; Open vSwitch cannot tell the directions "
                "apart there",
            )


def _unsupported_in_graph(snapshot: ChainSnapshot) -> Reasons:
    """Service graphs cannot return replies, and must know the origin of each frame."""
    chain = snapshot.chain
    is_in_graph = bool(snapshot.predecessors or snapshot.successors)
    if chain.symmetric and is_in_graph:
        yield (
            "port_chains",
            "Open vSwitch does not support symmetric port chains in service graphs, and "
            f"{label(chain)} is symmetric",
        )
    opening = [group for group in _functions(chain) if group.failure_mode is FailureMode.OPEN]
    if is_in_graph and opening:
        yield (
            "port_chains",
            "Open vSwitch does not support groups that fail open in service graphs, and "
            f"{label_for(chain.project_id, opening[0])} of {label(chain)} has failure_mode open; "
            "use failure_mode closed there",
        )
    if is_in_graph and not _functions(chain):
        yield (
            "port_chains",
            "Open vSwitch does not support port chains with tap groups only in service graphs, and "
            f"{label(chain)} has no other group",
        )
    if not all(map(_keeps_source_mac, _functions(chain))):
        return
    for before in snapshot.predecessors:
        if before.last_group is not None and _keeps_source_mac(before.last_group):
            yield (
                "port_chains",
                f"all functions of port chain {label(chain)} keep source MAC addresses, and so do "
                f"the last functions of the preceding chain {label(before)}; Open vSwitch needs a "
                "function that routes between them",
            )


def _distributed_router(snapshot: ChainSnapshot) -> Reasons:
    """A distributed router has a port on every host, and sends on whichever host it likes."""
    chain, ports = snapshot.chain, snapshot.ports
    ends = (snapshot.sources, snapshot.destinations if chain.symmetric else {})
    for found, what in zip(ends, ("packets", "replies"), strict=True):
        for classifier in chain.flow_classifiers:
            for port_id in found.get(classifier.id, ()):
                port = ports.get(port_id)
                if port is not None and port.role is PortRole.DISTRIBUTED_ROUTER:
                    yield (
                        "flow_classifiers",
                        f"{what} of {label_for(chain.project_id, classifier)} come from "
                        f"{label_for(chain.project_id, port)} of a distributed router, and Open "
                        "vSwitch cannot classify those. Use a router that is not distributed; or "
                        "classify other ports and, in a symmetric chain, a destination_ip_prefix "
                        "in the router's own subnet",
                    )


def _router_behind_shared_function(snapshot: ChainSnapshot) -> Reasons:
    """What comes from behind a router has any address, so it could be the function's own."""
    project = snapshot.chain.project_id
    for classifier, router in attribution.unattributable_routers(snapshot):
        yield (
            "flow_classifiers",
            f"{label_for(project, classifier)} takes what {label_for(project, router)} of a router "
            "sends, and functions that projects share return it. Name the addresses behind the "
            "router by source_ip_prefix or, for replies, destination_ip_prefix, without addresses "
            "of the functions; or use a group of your own",
        )


def _sender_like_shared_function(snapshot: ChainSnapshot) -> Reasons:
    """What a function returns from its own address does not continue in the chain."""
    project = snapshot.chain.project_id
    for classifier, port, group in attribution.senders_like_functions(snapshot):
        yield (
            "flow_classifiers",
            f"{label_for(project, classifier)} takes what {label_for(project, port)} sends, which "
            f"has an address of a function of {label_for(project, group)}. Projects share this "
            "group, so what it returns from there counts as what it sends of its own. Use another "
            "address, pairs with the correlation mpls or nsh in service_function_parameters, or a "
            "group that is not shared; or let this group be the last one",
        )


def _leads_to_another_network(snapshot: ChainSnapshot) -> Reasons:
    """A bridging function would pass frames from their network into another one.

    Frames that it returns continue on the network where they were before it
    (docs/decisions/0008), so they would never arrive.
    """
    chain, ports = snapshot.chain, snapshot.ports
    for group in _functions(chain):
        for pair in group.port_pairs:
            ends = {ports[end].network_id for end in (pair.ingress, pair.egress) if end in ports}
            if not traits_of(pair).chain_traffic_only or len(ends) < 2:
                continue
            if _sources_can_be_anywhere(snapshot) or not ends.isdisjoint(
                _networks_of_frames(snapshot)
            ):
                yield (
                    "port_pair_groups",
                    f"the ports of {label_for(chain.project_id, pair)} are on two networks, and "
                    f"packets of port chain {label(chain)} can come from one of them; a function "
                    "of kind l2 returns packets to the network that they come from, and does not "
                    "connect it to another one. Put both ports on one network, or use a function "
                    "of kind l3",
                )


def _followed_from_another_network(snapshot: ChainSnapshot) -> Reasons:
    """A chain that follows learns neither the source nor the network of such packets.

    A function that understands MPLS returns packets without their source MAC address. At the end of
    its own chain, the source's is written into them (docs/decisions/0008).
    """
    chain = snapshot.chain
    lost = [after for after in snapshot.successors if not any(map(_routes, _functions(after)))]
    if not lost:
        return
    # The plan contains functions that run only. This must not depend on which ones do now.
    ports = {
        port_id: replace(port, host="any host", plugged=True)
        for port_id, port in snapshot.ports.items()
    }
    path = plan_chain(replace(snapshot, ports=ports), {}).plan.paths[0]
    targets = path.senders_into(len(chain.port_pair_groups))
    if any(isinstance(target, Target) and target.off_network for target in targets):
        yield (
            "port_chains",
            f"the last functions of port chain {label(chain)} understand MPLS and are not on the "
            f"network of its packets, and port chain {label(lost[0])}, which follows, has no "
            "function that routes; the packets would not find their destination behind it. Put a "
            "function of kind l3 without correlation into one of them, or the last functions of "
            f"{label(chain)} on the network of its sources",
        )


def _sources_can_be_anywhere(snapshot: ChainSnapshot) -> bool:
    """Tell whether sources can be on all networks of the chain's functions."""
    if snapshot.predecessors:
        return False  # packets come from the functions of the preceding chains
    chain = snapshot.chain
    return any(
        classifier.logical_source_port is None
        or (chain.symmetric and classifier.logical_destination_port is None)
        for classifier in chain.flow_classifiers
    )


def _networks_of_frames(snapshot: ChainSnapshot) -> set[str]:
    """Return the networks of the ports that the chain's frames can have been sent by."""
    senders = {port for ids in snapshot.sources.values() for port in ids}
    senders |= {port for ids in snapshot.destinations.values() for port in ids}
    for before in (snapshot.chain, *snapshot.predecessors):
        for group in _functions(before):
            for pair in group.port_pairs:
                if not traits_of(pair).keeps_source_mac:
                    senders |= {pair.ingress, pair.egress}
    return {snapshot.ports[port].network_id for port in senders if port in snapshot.ports}


def _hides_direction(pair: PortPair) -> bool:
    """Tell whether requests and replies leave a function alike: by one port, without a header."""
    return pair.ingress == pair.egress and not traits_of(pair).identifies_chain


def _functions(chain: PortChain) -> list[PortPairGroup]:
    return [group for group in chain.port_pair_groups if not group.tap_enabled]


def _keeps_source_mac(group: PortPairGroup) -> bool:
    return any(map(_keeps_mac, group.port_pairs))


def _keeps_mac(pair: PortPair) -> bool:
    return traits_of(pair).keeps_source_mac


def _routes(group: PortPairGroup) -> bool:
    """Tell whether all functions return packets with their own MAC address and on their network."""
    return not any(_keeps_mac(pair) or traits_of(pair).encapsulation for pair in group.port_pairs)
