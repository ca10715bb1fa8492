"""Rules about port chains: how their groups, functions and classifiers must fit together."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, product

from portchain.core.function_kinds import identify_chains, traits_of
from portchain.core.model import FailureMode, FlowClassifier, PortChain, PortPairGroup
from portchain.core.rules.classifier import (
    ICMP_REPLY_TYPES,
    ignoring_source,
    overlap,
    reply_classifier,
)
from portchain.core.rules.violation import Violation, first_duplicate, label, label_for


def check_port_chain(chain: PortChain) -> None:
    """Check a chain with all its groups and classifiers.

    :raises Violation: the chain has no group, a group twice, two tap groups in a row, two functions
        that share a port in a way that no packet can pass, a pair that needs another chain header,
        or, if it is symmetric, a classifier whose packets have no replies.
    """
    if not chain.port_pair_groups:
        raise Violation("port_pair_groups", "a chain needs at least one port pair group")
    repeated = first_duplicate([group.id for group in chain.port_pair_groups])
    if repeated:
        raise Violation("port_pair_groups", f"{repeated} occurs more than once")
    for one, other in pairwise(chain.port_pair_groups):
        if one.tap_enabled and other.tap_enabled:
            raise Violation(
                "port_pair_groups",
                f"{label(one)} and {label(other)} both have tap_enabled; two such groups cannot "
                "follow each other",
            )
    check_port_sides(chain)
    check_ports_in_a_row(chain)
    for group in chain.port_pair_groups:
        check_correlation(chain, group)
    if chain.symmetric:
        _check_replies(chain.flow_classifiers)


def check_port_sides(chain: PortChain, attribute: str = "port_pair_groups") -> None:
    """Check that no port is the ingress of two functions, or the egress of two.

    Packets at such a port could belong to either hop.

    :raises Violation: a port is.
    """
    pairs = [pair for group in chain.port_pair_groups for pair in group.port_pairs]
    for side in ("ingress", "egress"):
        twice = first_duplicate([getattr(pair, side) for pair in pairs])
        if twice:
            own = all(pair.project_id == chain.project_id for pair in pairs)
            which, whose = (f"port {twice}", label(chain)) if own else ("a port", "one")
            raise Violation(attribute, f"{which} is the {side} of two pairs of port chain {whose}")


def check_ports_in_a_row(
    chain: PortChain,
    successors: Iterable[PortChain] = (),
    attribute: str = "port_pair_groups",
) -> None:
    """Check that no packet leaves one function by the port at which the next one takes it.

    A switch does not send a frame back to the port that it came from. Replies of a symmetric chain
    pass the same functions in reverse order, so they meet the same ports.

    :param successors: the chains that follow in a service graph.
    :raises Violation: a pair's egress is the ingress of the next pair on the path.
    """
    own, groups = chain.project_id, chain.port_pair_groups
    paths = [groups, *((*groups, *one.port_pair_groups) for one in successors)]
    for before, after in (hop for path in paths for hop in _hops(path)):
        for pair, following in product(before.port_pairs, after.port_pairs):
            if pair.egress == following.ingress:
                shared = f"port {pair.egress}" if own == pair.project_id else "a port"
                raise Violation(
                    attribute,
                    f"packets leave {label_for(own, pair)} by {shared}, which is also the ingress "
                    f"of {label_for(own, following)} after it; no switch sends a packet back to "
                    "the port it came from. Give one of the two functions a port of its own",
                )


def _hops(groups: Sequence[PortPairGroup]) -> Iterator[tuple[PortPairGroup, PortPairGroup]]:
    """Yield each group with every group that can be next for a packet.

    Packets do not return from a tap, and skip a group that fails open.
    """
    for number, before in enumerate(groups):
        if before.tap_enabled:
            continue
        for after in groups[number + 1 :]:
            yield before, after
            if not after.tap_enabled and after.failure_mode is not FailureMode.OPEN:
                break


def _check_replies(classifiers: Iterable[FlowClassifier]) -> None:
    """Check that the replies to the packets of a symmetric chain can be classified."""
    for classifier in classifiers:
        reply_types = ICMP_REPLY_TYPES.get(classifier.protocol or 0)
        if (
            reply_types
            and classifier.source_ports
            and classifier.source_ports[0] not in reply_types
        ):
            raise Violation(
                "flow_classifiers",
                f"{label(classifier)} matches ICMP type {classifier.source_ports[0]}, which has no "
                "replies: its chain cannot be symmetric",
            )


def check_correlation(
    chain: PortChain, group: PortPairGroup, attribute: str = "port_pair_groups"
) -> None:
    """Check that the functions of a group understand the chain's header, or need none.

    :raises Violation: a pair needs another header than the chain uses.
    """
    for pair in group.port_pairs:
        if traits_of(pair).encapsulation in ("", chain.correlation):
            continue
        # The owner of a shared group and its users must not see each other's resources.
        shared = group.project_id != chain.project_id
        one = "a pair" if shared else f"port pair {label(pair)}"
        other = "a port chain that uses it" if shared else f"port chain {label(chain)}"
        raise Violation(
            attribute,
            f"{one} of group {label(group)} has correlation {pair.correlation}, {other} has "
            f"{chain.correlation}",
        )


def check_attributable(chain: PortChain, others: Iterable[PortChain]) -> None:
    """Check that packets returned by a shared group can be attributed to one project.

    SFC-unaware functions return packets that say nothing about their chain, so classifiers decide.
    Classifiers of one project do not overlap, except if their logical source ports differ: then
    the addresses of these ports decide. Chains of other projects may classify packets with the
    same header.

    :param others: chains of other projects that use a group of this chain.
    :raises Violation: a function could return a packet that belongs to either chain.
    """
    for other in others:
        both_symmetric = chain.symmetric and other.symmetric
        theirs = {group.id for group in other.port_pair_groups}
        for group in chain.port_pair_groups:
            if group.id not in theirs or identify_chains(group.port_pairs):
                continue
            forward = not _same_continuation(group, chain.port_pair_groups, other.port_pair_groups)
            back = both_symmetric and not _same_continuation(
                group, chain.port_pair_groups[::-1], other.port_pair_groups[::-1]
            )
            for one, another in product(chain.flow_classifiers, other.flow_classifiers):
                if (forward and _indistinguishable(one, another)) or (
                    back and _indistinguishable(reply_classifier(one), reply_classifier(another))
                ):
                    raise Violation(
                        "port_pair_groups",
                        f"packets of flow classifier {label(one)} that "
                        f"{label_for(chain.project_id, group)} returns could belong to a port "
                        "chain of another project; narrow the classifier, for example with a "
                        "source prefix or a logical source port",
                    )


def check_group_attributable(
    before: PortPairGroup, after: PortPairGroup, chains: Sequence[PortChain]
) -> None:
    """Check that packets stay attributable to one project when the pairs of a group change.

    :param chains: all chains that use the group. They are compared only if the new functions
        require more than the old ones did.
    :raises Violation: a new function could return a packet of either of two projects.
    """
    if not after.port_pairs or identify_chains(after.port_pairs):
        return
    were_unaware = before.port_pairs and not identify_chains(before.port_pairs)
    if were_unaware and _routes(after) >= _routes(before):
        return
    for chain in chains:
        try:
            check_attributable(chain, [one for one in chains if one.project_id != chain.project_id])
        except Violation as violation:
            raise Violation(
                "port_pairs",
                f"port chains of several projects use group {label(after)}, and packets that "
                "functions of this kind return could belong to more than one of them; create a "
                "group for each project",
            ) from violation


def _same_continuation(
    group: PortPairGroup, one: Sequence[PortPairGroup], other: Sequence[PortPairGroup]
) -> bool:
    """Return whether packets of two chains take the same path after a group, so that it does not
    matter which chain they belong to: a function that routes sends them to their destination.
    """
    return _routes(group) and one[-1].id == other[-1].id == group.id


def _routes(group: PortPairGroup) -> bool:
    return not any(traits_of(pair).keeps_source_mac for pair in group.port_pairs)


def _indistinguishable(one: FlowClassifier, other: FlowClassifier) -> bool:
    known = one.logical_source_port is not None and other.logical_source_port is not None
    return not known and overlap(ignoring_source(one), ignoring_source(other))
