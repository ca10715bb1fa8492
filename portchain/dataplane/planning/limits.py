"""What the switches cannot keep, and is refused before anything is written: pure functions of what is asked for."""

import itertools
from collections.abc import Iterator
from ipaddress import ip_network

from portchain.core.function_kinds import traits_of
from portchain.core.model import (
    ChainSnapshot,
    Encapsulation,
    PortChain,
    PortPair,
    PortPairGroup,
)
from portchain.core.rules import (
    PROTOCOLS_WITH_PORTS,
    Kind,
    Violation,
    label,
    label_for,
    overlap,
    turned,
)
from portchain.dataplane.pipeline import MAX_HOPS, MAX_NSH_HOPS
from portchain.dataplane.plan import SUPPORTED_FUNCTIONS

Reasons = Iterator[tuple[str, str]]
"""Attribute at fault and reason."""


def check_pair(pair: PortPair) -> None:
    """Refuse what contradicts itself: a header is addressed to its function, which a function that bridges is not.

    :raises Violation: of kind unsupported.
    """
    if traits_of(pair) not in SUPPORTED_FUNCTIONS:
        raise Violation(
            "function_kind",
            f"Open vSwitch gives functions of the kind {pair.kind} no {pair.correlation} header",
            Kind.UNSUPPORTED,
        )


def check_chain(snapshot: ChainSnapshot) -> None:
    """Refuse a chain that cannot be kept.

    :raises Violation: of kind unsupported, for the first reason there is.
    """
    chain = snapshot.chain
    for attribute, reason in itertools.chain(
        _too_many_hops(chain),
        _replies_without_a_pair(chain),
        _directions_that_meet(chain),
        _mappings_out_of_place(chain),
        _replies_that_miss(chain),
        _graphs(snapshot),
    ):
        raise Violation(attribute, reason, Kind.UNSUPPORTED)


def _too_many_hops(chain: PortChain) -> Reasons:
    """More than a service index counts."""
    most = MAX_NSH_HOPS if chain.correlation == Encapsulation.NSH else MAX_HOPS
    if len(chain.port_pair_groups) > most:
        yield (
            "port_pair_groups",
            f"Open vSwitch carries at most {most} groups in a chain with correlation {chain.correlation}",
        )


def _replies_without_a_pair(chain: PortChain) -> Reasons:
    """Replies that would be balanced by an address that they do not carry."""
    by_frame = [
        group
        for group in chain.port_pair_groups
        if not {"eth_src", "eth_dst"}.isdisjoint(group.lb_fields)
    ]
    if chain.symmetric and by_frame:
        yield (
            "chain_parameters",
            f"Open vSwitch cannot find the pair of a reply in port pair group {by_frame[0].name or by_frame[0].id}, which "
            "balances by addresses of the frame",
        )


def _directions_that_meet(chain: PortChain) -> Reasons:
    """Replies that could be mistaken for requests where a function has one port for both and sees no header."""
    single = [
        pair
        for group in chain.port_pair_groups
        if not group.tap_enabled
        for pair in group.port_pairs
        if pair.ingress == pair.egress and not traits_of(pair).identifies_chain
    ]
    if not chain.symmetric or not single:
        return
    replies = [turned(classifier) for classifier in chain.flow_classifiers]
    for request, reply in itertools.product(chain.flow_classifiers, replies):
        if overlap(request, reply):
            yield (
                "chain_parameters",
                f"{label_for(chain.project_id, single[0])} has one port for both directions of this symmetric chain, where "
                f"Open vSwitch cannot tell them apart: a packet that flow classifier {label(request)} matches could be a "
                f"reply to what {label(reply)} matches",
            )


def _mappings_out_of_place(chain: PortChain) -> Reasons:
    """Mappings to headers that the chain's packets cannot have, or of a function that hands nothing on."""
    for group in chain.port_pair_groups:
        mapping = {**group.ingress_n_tuple, **group.egress_n_tuple}
        if group.tap_enabled and mapping:
            yield (
                "port_pair_groups",
                f"{label(group)} has tap_enabled and a ppg_n_tuple_mapping; what a tap gets it hands to nobody",
            )
        with_ports = any("port" in key for key in mapping)
        families = {
            f"IPv{ip_network(str(value), strict=False).version}"
            for key, value in mapping.items()
            if key.endswith("_ip_prefix")
        }
        for classifier in chain.flow_classifiers:
            if families - {classifier.ethertype}:
                yield (
                    "port_pair_groups",
                    f"the ppg_n_tuple_mapping of {label(group)} has addresses of {', '.join(sorted(families))}, flow "
                    f"classifier {label(classifier)} is for {classifier.ethertype}",
                )
            if with_ports and classifier.protocol not in PROTOCOLS_WITH_PORTS:
                yield (
                    "port_pair_groups",
                    f"the ppg_n_tuple_mapping of {label(group)} has ports, which needs flow classifiers with protocol tcp, udp "
                    f"or sctp; {label(classifier)} has not",
                )


def _replies_that_miss(chain: PortChain) -> Reasons:
    """Replies that would not find back: to the pair that changed the header, or from a destination that only it knows."""
    changing = [group for group in chain.port_pair_groups if group.egress_n_tuple]
    if not chain.symmetric:
        return
    for group in changing:
        if len(group.port_pairs) > 1:
            yield (
                "chain_parameters",
                f"port pair group {label(group)} changes headers and has several pairs; Open vSwitch cannot tell which of "
                "them a reply has to go back to in a symmetric chain",
            )
        if "destination_ip_prefix" in group.egress_n_tuple:
            yield (
                "chain_parameters",
                f"port pair group {label(group)} changes destination addresses; Open vSwitch cannot tell whose replies "
                "belong to a symmetric chain then",
            )
        if any(
            p.ingress == p.egress and not traits_of(p).identifies_chain
            for g in _functions(chain)
            for p in g.port_pairs
        ):
            yield (
                "chain_parameters",
                f"port pair group {label(group)} changes headers, and a pair of this symmetric chain has one port for both "
                "directions; Open vSwitch cannot tell them apart there",
            )


def _graphs(snapshot: ChainSnapshot) -> Reasons:
    """What cannot be kept where chains follow each other: replies, which would have to find back through all chains, and
    frames of which the chain before does not say where they come from.
    """
    chain = snapshot.chain
    if chain.symmetric and (snapshot.predecessors or snapshot.successors):
        yield (
            "port_chains",
            f"Open vSwitch does not carry symmetric port chains in service graphs, and {label(chain)} is one",
        )
    if (snapshot.predecessors or snapshot.successors) and not _functions(chain):
        yield (
            "port_chains",
            f"Open vSwitch carries no port chains with nothing but tap groups in service graphs, and {label(chain)} is one",
        )
    if not all(map(_keeps_source_mac, _functions(chain))):
        return
    for before in snapshot.predecessors:
        if before.last_group is not None and _keeps_source_mac(before.last_group):
            yield (
                "port_chains",
                f"the functions of port chain {label(chain)} leave addresses as they are, and so do the last ones of "
                f"{label(before)} before it; Open vSwitch needs one that routes in between",
            )


def _functions(chain: PortChain) -> list[PortPairGroup]:
    return [group for group in chain.port_pair_groups if not group.tap_enabled]


def _keeps_source_mac(group: PortPairGroup) -> bool:
    return any(traits_of(pair).keeps_source_mac for pair in group.port_pairs)
