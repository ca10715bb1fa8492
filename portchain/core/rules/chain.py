"""Port chains: what their groups, functions and classifiers have to be to each other."""

from collections.abc import Iterable, Sequence
from itertools import pairwise, product

from portchain.core.function_kinds import identify_chains, traits_of
from portchain.core.model import FlowClassifier, PortChain, PortPairGroup
from portchain.core.rules.classifier import ICMP_ANSWERS, from_any_port, overlap, turned
from portchain.core.rules.violation import Violation, first_repeated, label, label_for


def check_port_chain(chain: PortChain) -> None:
    """Check a chain with its groups and classifiers in place.

    :raises Violation: no group, a group twice, two tap groups in a row, pairs whose correlation does
        not fit the chain's, replies that cannot be known.
    """
    if not chain.port_pair_groups:
        raise Violation("port_pair_groups", "a chain needs at least one port pair group")
    repeated = first_repeated([group.id for group in chain.port_pair_groups])
    if repeated:
        raise Violation("port_pair_groups", f"{repeated} is there more than once")
    for one, other in pairwise(chain.port_pair_groups):
        if one.tap_enabled and other.tap_enabled:
            raise Violation(
                "port_pair_groups",
                f"{label(one)} and {label(other)} both have tap_enabled; two such groups cannot "
                "follow each other",
            )
    check_sides(chain)
    for group in chain.port_pair_groups:
        check_correlation(chain, group)
    if chain.symmetric:
        _check_replies(chain.flow_classifiers)


def check_sides(chain: PortChain, attribute: str = "port_pair_groups") -> None:
    """Check that no port is on the same side of two functions: what it gets or sends could belong to either hop.

    :raises Violation: one is.
    """
    pairs = [pair for group in chain.port_pair_groups for pair in group.port_pairs]
    for side in ("ingress", "egress"):
        twice = first_repeated([getattr(pair, side) for pair in pairs])
        if twice:
            own = all(pair.project_id == chain.project_id for pair in pairs)
            which, whose = (f"port {twice}", label(chain)) if own else ("a port", "one")
            raise Violation(attribute, f"{which} is the {side} of two pairs of port chain {whose}")


def _check_replies(classifiers: Iterable[FlowClassifier]) -> None:
    """Check that it can be told what replies to a symmetric chain's packets look like."""
    for classifier in classifiers:
        answers = ICMP_ANSWERS.get(classifier.protocol or 0)
        if answers and classifier.source_ports and classifier.source_ports[0] not in answers:
            raise Violation(
                "flow_classifiers",
                f"{label(classifier)} is for ICMP type {classifier.source_ports[0]}, which has no replies: "
                "its chain cannot be symmetric",
            )


def check_correlation(
    chain: PortChain, group: PortPairGroup, attribute: str = "port_pair_groups"
) -> None:
    """Check that the functions of a group understand the chain's header, or see none: one that keeps VLAN tags sees none.

    :raises Violation: a pair wants another header than the chain uses.
    """
    for pair in group.port_pairs:
        if traits_of(pair).encapsulation in ("", chain.correlation):
            continue
        # Whoever shares a group, and whoever uses it, know nothing of each other's other resources.
        shared = group.project_id != chain.project_id
        one = "a pair" if shared else f"port pair {label(pair)}"
        other = "a port chain that uses it" if shared else f"port chain {label(chain)}"
        raise Violation(
            attribute,
            f"{one} of group {label(group)} has correlation {pair.correlation}, {other} has "
            f"{chain.correlation}",
        )


def check_told_apart(chain: PortChain, others: Iterable[PortChain]) -> None:
    """Check that what a borrowed function hands back can be told to be this chain's.

    Within a project classifiers do not overlap, but for those with different logical source ports: there the ports' addresses
    decide. Chains of other projects may take packets with the same header.

    :param others: chains of other projects that have groups in common with this one.
    :raises Violation: a function that sees no chain header could hand back a packet of either.
    """
    for other in others:
        both_ways = chain.symmetric and other.symmetric
        for group in chain.port_pair_groups:
            if group.id not in {one.id for one in other.port_pair_groups} or identify_chains(
                group.port_pairs
            ):
                continue
            forward = not _leave_alike(group, chain.port_pair_groups, other.port_pair_groups)
            back = both_ways and not _leave_alike(
                group, chain.port_pair_groups[::-1], other.port_pair_groups[::-1]
            )
            for one, another in product(chain.flow_classifiers, other.flow_classifiers):
                if (forward and _look_alike(one, another)) or (
                    back and _look_alike(turned(one), turned(another))
                ):
                    raise Violation(
                        "port_pair_groups",
                        f"what {label_for(chain.project_id, group)} hands back of flow classifier {label(one)} could be a port "
                        "chain's of another project; narrow the classifier, e.g. by a source prefix, or name its logical "
                        "source port",
                    )


def check_still_told_apart(
    before: PortPairGroup, after: PortPairGroup, chains: Sequence[PortChain]
) -> None:
    """Check that packets of several projects' chains are told apart behind a group whose pairs have changed.

    :param chains: all that the group is in. They are compared unless its functions were of a kind that needed no less.
    :raises Violation: a packet that the new functions hand back could be another project's, too.
    """
    if not after.port_pairs or identify_chains(after.port_pairs):
        return
    needed_before = before.port_pairs and not identify_chains(before.port_pairs)
    if needed_before and _routes(after) >= _routes(before):
        return
    for chain in chains:
        try:
            check_told_apart(chain, [one for one in chains if one.project_id != chain.project_id])
        except Violation as violation:
            raise Violation(
                "port_pairs",
                f"port chains of several projects use group {label(after)}, and packets that functions like these hand "
                "back could be of more than one; make a group for each project",
            ) from violation


def _leave_alike(
    group: PortPairGroup, one: Sequence[PortPairGroup], other: Sequence[PortPairGroup]
) -> bool:
    """Whether packets of two chains go on alike behind a group: to their destinations, from a function that routes."""
    return _routes(group) and one[-1].id == other[-1].id == group.id


def _routes(group: PortPairGroup) -> bool:
    return not any(traits_of(pair).keeps_source_mac for pair in group.port_pairs)


def _look_alike(one: FlowClassifier, other: FlowClassifier) -> bool:
    known = one.logical_source_port is not None and other.logical_source_port is not None
    return not known and overlap(from_any_port(one), from_any_port(other))
