"""Rules about service graphs."""

from collections.abc import Collection, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import combinations, product

from portchain.core.function_kinds import traits_of
from portchain.core.model import ChainSnapshot, FlowClassifier, PortChain, ServiceGraph
from portchain.core.rules.classifier import ignoring_source, overlap
from portchain.core.rules.violation import Violation, first_duplicate, label, label_for


def check_service_graph(graph: ServiceGraph) -> None:
    """Check the structure of a graph.

    :raises Violation: there is no branching point, a branching point has no destination or one
        twice, or the chains form a loop.
    """
    if not graph.branches:
        raise Violation("port_chains", "a service graph needs at least one branching point")
    for source, destinations in graph.branches.items():
        if not destinations:
            raise Violation("port_chains", f"no chain follows {source}; remove it")
        repeated = first_duplicate(destinations)
        if repeated:
            raise Violation("port_chains", f"{repeated} follows {source} more than once")
    try:
        TopologicalSorter(graph.branches).prepare()
    except CycleError as error:
        loop = " -> ".join(reversed(error.args[1]))
        raise Violation("port_chains", f"there is a loop: {loop}") from error


def check_branch(
    source: PortChain, destinations: Sequence[PortChain], attribute: str = "port_chains"
) -> None:
    """Check that packets that leave a chain can be assigned to one of the chains that follow.

    Only the packet's header decides: the port that sent it is no longer known there.

    :raises Violation: a destination has another correlation, or a packet could enter two of them.
        The message names resources of the source chain's project only.
    """

    def named(resource: FlowClassifier | PortChain) -> str:
        own = resource.project_id == source.project_id
        return label(resource) if own else "of another project"

    for destination in destinations:
        if destination.correlation != source.correlation:
            raise Violation(
                attribute,
                f"chain {named(destination)} has correlation {destination.correlation}, "
                f"{label(source)} before it has {source.correlation}",
            )
    for one, other in combinations(destinations, 2):
        for first, second in product(one.flow_classifiers, other.flow_classifiers):
            if overlap(ignoring_source(first), ignoring_source(second)):
                raise Violation(
                    attribute,
                    f"a packet that leaves {label(source)} could enter port chain {named(one)} by "
                    f"flow classifier {named(first)} and port chain {named(other)} by "
                    f"{named(second)}; logical source ports are ignored there",
                )


def check_no_function_twice(
    snapshots: Collection[ChainSnapshot], attribute: str = "port_chains"
) -> None:
    """Check that no packet visits a function twice on its path through the chains of a graph.

    Packets that an SFC-unaware function returns look the same both times.

    :param snapshots: all chains of a graph.
    :raises Violation: such a function is in a chain, and in another that can be reached from it.
    """
    chains = {each.chain.id: each.chain for each in snapshots}
    successors = {each.chain.id: {chain.id for chain in each.successors} for each in snapshots}
    for first in chains.values():
        reached, pending = set[str](), [*successors[first.id]]
        while pending:
            reached.add(chain_id := pending.pop())
            pending += successors[chain_id] - reached
        for other in map(chains.__getitem__, sorted(reached)):
            shared = _unaware_egress_ports(first) & _unaware_egress_ports(other)
            if shared and _can_pass_both(first, other):
                raise Violation(
                    attribute,
                    f"a packet can pass {label_for(first.project_id, first)} and "
                    f"{label_for(first.project_id, other)}, which have a function in common that "
                    "understands no chain header; use another function in one of them, or pairs "
                    "with correlation",
                )


def _can_pass_both(one: PortChain, other: PortChain) -> bool:
    """Return whether classifiers of both chains match one packet, whichever port sends it."""
    return any(
        overlap(ignoring_source(first), ignoring_source(second))
        for first, second in product(one.flow_classifiers, other.flow_classifiers)
    )


def _unaware_egress_ports(chain: PortChain) -> frozenset[str]:
    """Return the egress ports of functions that return packets without saying to which chain they
    belong.
    """
    return frozenset(
        pair.egress
        for group in chain.port_pair_groups
        if not group.tap_enabled
        for pair in group.port_pairs
        if not traits_of(pair).identifies_chain
    )
