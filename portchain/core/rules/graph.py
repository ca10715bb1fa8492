"""Service graphs."""

from collections.abc import Collection, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import combinations, product

from portchain.core.function_kinds import traits_of
from portchain.core.model import ChainSnapshot, FlowClassifier, PortChain, ServiceGraph
from portchain.core.rules.classifier import from_any_port, overlap
from portchain.core.rules.violation import Violation, first_repeated, label, label_for


def check_service_graph(graph: ServiceGraph) -> None:
    """Check how the chains of a graph follow each other.

    :raises Violation: no branching point, one without destinations or with one twice, or a loop.
    """
    if not graph.branches:
        raise Violation("port_chains", "a service graph needs at least one branching point")
    for source, destinations in graph.branches.items():
        if not destinations:
            raise Violation("port_chains", f"no chain follows {source}; leave it out")
        repeated = first_repeated(destinations)
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
    """Check that what leaves a chain can be handed to those that follow it.

    The packet alone decides: nobody knows any more which port has sent it.

    :raises Violation: another correlation, or a packet could enter two of the destinations. Only
        what belongs to the source's project has a name there.
    """

    def named(thing: FlowClassifier | PortChain) -> str:
        return label(thing) if thing.project_id == source.project_id else "of another project"

    for destination in destinations:
        if destination.correlation != source.correlation:
            raise Violation(
                attribute,
                f"chain {named(destination)} has correlation {destination.correlation}, "
                f"{label(source)} before it has {source.correlation}",
            )
    for one, other in combinations(destinations, 2):
        for first, second in product(one.flow_classifiers, other.flow_classifiers):
            if overlap(from_any_port(first), from_any_port(second)):
                raise Violation(
                    attribute,
                    f"a packet that leaves {label(source)} could enter port chain {named(one)} by flow "
                    f"classifier {named(first)} and port chain {named(other)} by {named(second)}; logical "
                    "source ports do not count there",
                )


def check_functions_once(
    snapshots: Collection[ChainSnapshot], attribute: str = "port_chains"
) -> None:
    """Check that packets come to a function once on their way through the chains of a graph.

    What one that sees no chain header hands back the second time looks as it did the first time.

    :param snapshots: all chains of a graph.
    :raises Violation: a function is in a chain, and in one that can be reached from it.
    """
    known = {one.chain.id: one.chain for one in snapshots}
    after = {one.chain.id: {chain.id for chain in one.successors} for one in snapshots}
    for first in known.values():
        reached, ahead = set[str](), [*after[first.id]]
        while ahead:
            reached.add(chain_id := ahead.pop())
            ahead += after[chain_id] - reached
        for other in map(known.__getitem__, sorted(reached)):
            if _unaware_senders(first) & _unaware_senders(other) and _can_both_take(first, other):
                raise Violation(
                    attribute,
                    f"{label_for(first.project_id, first)} and {label_for(first.project_id, other)}, which a packet can both "
                    "pass, have a function in common that understands no chain header; use another function in one of them, or "
                    "pairs with correlation",
                )


def _can_both_take(one: PortChain, other: PortChain) -> bool:
    """Whether classifiers of both match one packet, whichever port sends it."""
    return any(
        overlap(from_any_port(first), from_any_port(second))
        for first, second in product(one.flow_classifiers, other.flow_classifiers)
    )


def _unaware_senders(chain: PortChain) -> frozenset[str]:
    """The ports from which functions hand back packets that say nothing of their chain."""
    return frozenset(
        pair.egress
        for group in chain.port_pair_groups
        if not group.tap_enabled
        for pair in group.port_pairs
        if not traits_of(pair).identifies_chain
    )
