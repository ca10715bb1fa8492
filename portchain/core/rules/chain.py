"""Rules about port chains: how their groups, functions and classifiers must fit together."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, product

from portchain.core.function_kinds import traits_of
from portchain.core.model import FailureMode, FlowClassifier, PortChain, PortPairGroup
from portchain.core.rules.classifier import ICMP_REPLY_TYPES
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
    :raises Violation: a pair's egress is the ingress of the next pair on the path, or a logical
        port is where packets enter the function next to it.
    """
    _check_ends(chain, attribute)
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


def _check_ends(chain: PortChain, attribute: str) -> None:
    """Check that no function gets packets at the very port that sends them into the chain."""
    groups = chain.port_pair_groups
    for classifier in chain.flow_classifiers:
        ends = [(classifier.logical_source_port, "ingress", groups)]
        if chain.symmetric:
            ends.append((classifier.logical_destination_port, "egress", groups[::-1]))
        for port, side, in_order in ends:
            for pair in (pair for group in _first(in_order) for pair in group.port_pairs):
                if getattr(pair, side) == port:
                    own = pair.project_id == chain.project_id
                    raise Violation(
                        attribute,
                        f"{label_for(chain.project_id, classifier)} takes packets from "
                        f"{f'port {port}' if own else 'a port'}, which is also the {side} of "
                        f"{label_for(chain.project_id, pair)} that they visit first; no switch "
                        "sends a packet back to the port it came from. Give the function a port "
                        "of its own",
                    )


def _first(groups: Sequence[PortPairGroup]) -> Iterator[PortPairGroup]:
    """Yield the groups that can be the first one for a packet."""
    for group in groups:
        yield group
        if not group.tap_enabled and group.failure_mode is not FailureMode.OPEN:
            break


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
