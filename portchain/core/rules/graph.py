"""Rules about service graphs."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter

from portchain.core.function_kinds import traits_of
from portchain.core.model import (
    ChainSnapshot,
    FlowClassifier,
    PortChain,
    PortPair,
    ServiceGraph,
)
from portchain.core.rules.many_classifiers import first_common_header
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
    common = first_common_header(*(one.flow_classifiers for one in destinations))
    if common is not None:
        one, other = (
            next(d for d in destinations if each in d.flow_classifiers) for each in common
        )
        first, second = common
        raise Violation(
            attribute,
            f"a packet that leaves {label(source)} could enter port chain {named(one)} by flow "
            f"classifier {named(first)} and port chain {named(other)} by {named(second)}; logical "
            "source ports are ignored there",
        )


def check_no_function_twice(
    snapshots: Collection[ChainSnapshot], attribute: str = "port_chains"
) -> None:
    """Check that no packet visits a function twice on its path through the chains of a graph.

    Packets that an SFC-unaware function returns look the same both times.

    :param snapshots: all chains of a graph.
    :raises Violation: such a function is in a chain, and in another that can be reached from it.
    """
    for first, followers in _with_followers(snapshots):
        for other in followers:
            shared = _unaware_egress_ports(first) & _unaware_egress_ports(other)
            if shared and _can_pass_both(first, other):
                raise Violation(
                    attribute,
                    f"a packet can pass {label_for(first.project_id, first)} and "
                    f"{label_for(first.project_id, other)}, which have a function in common that "
                    "understands no chain header; use another function in one of them, or pairs "
                    "with correlation",
                )


def check_no_source_is_function(
    snapshots: Collection[ChainSnapshot], attribute: str = "flow_classifiers"
) -> None:
    """Check that no packet is sent by the port at which a function of its path returns packets.

    What the function sends of its own would look like what it returns.

    :param snapshots: all chains of a graph, or one chain that is in no graph.
    :raises Violation: a classifier names the port of an SFC-unaware function of its chain, or of a
        chain that follows, as a source of packets or replies.
    """
    for first, followers in _with_followers(snapshots):
        for chain in (first, *followers):
            for classifier in first.flow_classifiers:
                ends = [(classifier.logical_source_port, _unaware_egress_ports(chain))]
                if first.symmetric:
                    ends.append((classifier.logical_destination_port, _unaware_ports_back(chain)))
                for port, returning in ends:
                    if port in returning:
                        raise Violation(
                            attribute,
                            f"{label_for(first.project_id, classifier)} takes what port {port} "
                            "sends, and a function of "
                            f"{label_for(first.project_id, chain)}, which understands no chain "
                            "header, returns packets at that port: nothing tells them apart. Name "
                            "another port of the machine, or use a pair with correlation",
                        )


def _with_followers(
    snapshots: Collection[ChainSnapshot],
) -> Iterator[tuple[PortChain, list[PortChain]]]:
    """Yield each chain with all chains that its packets can reach in a service graph."""
    chains = {each.chain.id: each.chain for each in snapshots}
    links = [(each.chain.id, after.id) for each in snapshots for after in each.successors]
    for first in chains.values():
        yield first, [chains[chain_id] for chain_id in sorted(reachable([first.id], links))]


def reachable(first: Iterable[str], links: Iterable[tuple[str, str]]) -> set[str]:
    """Return what can be reached from some chains of service graphs.

    :param first: ids of the chains; they are returned only if another one of them leads to them.
    :param links: pairs of a chain's id and that of a chain that can be reached from it at once.
    """
    after = defaultdict[str, set[str]](set)
    for chain_id, next_id in links:
        after[chain_id].add(next_id)
    reached = set[str]()
    pending = {next_id for chain_id in first for next_id in after[chain_id]}
    while pending:
        reached |= pending
        pending = {next_id for chain_id in pending for next_id in after[chain_id]} - reached
    return reached


def _can_pass_both(one: PortChain, other: PortChain) -> bool:
    """Return whether classifiers of both chains match one packet, whichever port sends it."""
    return first_common_header(one.flow_classifiers, other.flow_classifiers) is not None


def _unaware_egress_ports(chain: PortChain) -> frozenset[str]:
    """Return the egress ports of functions that return packets without saying to which chain they
    belong.
    """
    return frozenset(pair.egress for pair in _unaware_pairs(chain))


def _unaware_ports_back(chain: PortChain) -> frozenset[str]:
    """Return the ports at which such functions return replies."""
    return frozenset(pair.ingress for pair in _unaware_pairs(chain))


def _unaware_pairs(chain: PortChain) -> Iterator[PortPair]:
    for group in chain.port_pair_groups:
        for pair in () if group.tap_enabled else group.port_pairs:
            if not traits_of(pair).identifies_chain:
                yield pair
