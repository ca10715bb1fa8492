"""What users may ask for: pure validation over the model.

Every function either returns or raises `Violation`, which names the attribute of the request and
the rule it breaks. Nothing is read or written here; callers load what a rule has to see.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import combinations, pairwise, product
from typing import TypeVar

from portchain.dataplane.match import NEIGHBOUR_DISCOVERY
from portchain.model import (
    FlowClassifier,
    FunctionKind,
    Port,
    PortChain,
    PortPair,
    PortPairGroup,
    PortRange,
    ServiceGraph,
)

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
PROTOCOLS_WITH_PORTS = frozenset({TCP, UDP, SCTP})
MAX_ICMP = 255  # the width of type and code
_ANSWERS = {
    ICMP: {0: 8, 8: 0, 13: 14, 14: 13},  # echo and timestamp (RFC 792)
    ICMPV6: {128: 129, 129: 128},  # echo (RFC 4443, section 4)
}
MAX_TRANSPORT_PORT = 65535
MAX_WEIGHT = 65535  # the width of a bucket's weight in OpenFlow

_T = TypeVar("_T")
_Network = IPv4Network | IPv6Network


class Kind(StrEnum):
    """What sort of rule was broken; it decides the type and the HTTP status of the answer."""

    INVALID = "invalid"
    CONFLICT = "conflict"
    UNSUPPORTED = "unsupported"


class Violation(Exception):  # noqa: N818 - it is raised on users' mistakes, not on errors of ours
    """A request breaks a rule.

    :param attribute: the attribute of the request at fault, in the API's notation.
    :param rule: the rule, as a sentence for the user.
    """

    def __init__(self, attribute: str, rule: str, kind: Kind = Kind.INVALID) -> None:
        super().__init__(f"{attribute}: {rule}")
        self.attribute = attribute
        self.rule = rule
        self.kind = kind


# Flow classifiers


def port_range(low: int | None, high: int | None) -> PortRange | None:
    """Return the range two optional bounds describe: a missing bound is open, two missing ones are
    any port.
    """
    if low is None and high is None:
        return None
    return (0 if low is None else low, MAX_TRANSPORT_PORT if high is None else high)


def protocol_of(ethertype: str, protocol: int | None) -> int | None:
    """Return the protocol a user means: ICMP is another one in IPv6, but has the same name."""
    return ICMPV6 if (ethertype, protocol) == ("IPv6", ICMP) else protocol


def check_flow_classifier(classifier: FlowClassifier) -> None:
    """Check the attributes of a classifier against each other.

    :raises Violation: reversed port range, ports without a protocol that has them, an ICMP type or
        code that cannot be, a prefix of the wrong address family or with bits set beyond its length.
    """
    if classifier.protocol in _ANSWERS:
        _check_icmp(classifier)
    else:
        _check_ports("source", classifier.source_ports, classifier.protocol)
        _check_ports("destination", classifier.destination_ports, classifier.protocol)
    _check_prefix("source_ip_prefix", classifier.source_prefix, classifier.ethertype)
    _check_prefix("destination_ip_prefix", classifier.destination_prefix, classifier.ethertype)


def _check_ports(side: str, ports: PortRange | None, protocol: int | None) -> None:
    if ports is None:
        return
    low, high = ports
    if low > high:
        raise Violation(
            f"{side}_port_range_min", f"{low} is greater than {side}_port_range_max, {high}"
        )
    if protocol not in PROTOCOLS_WITH_PORTS:
        raise Violation(
            f"{side}_port_range_min",
            f"it and {side}_port_range_max need protocol tcp, udp or sctp, or icmp, where they are type or code",
        )


def _check_icmp(classifier: FlowClassifier) -> None:
    """Where others have ports ICMP has its type and its code, as in OpenFlow: one of each."""
    for side, meaning, values in (
        ("source", "type", classifier.source_ports),
        ("destination", "code", classifier.destination_ports),
    ):
        if values is not None and not values[0] == values[1] <= MAX_ICMP:
            raise Violation(
                f"{side}_port_range_min",
                f"with protocol icmp this is the ICMP {meaning}, and has to be the same as "
                f"{side}_port_range_max and at most {MAX_ICMP}",
            )
    if classifier.source_ports is None:
        if classifier.destination_ports is not None:
            raise Violation(
                "destination_port_range_min",
                "with protocol icmp it and destination_port_range_max are the ICMP code, which needs "
                "an ICMP type, in source_port_range_min and _max",
            )
    elif classifier.protocol == ICMPV6 and classifier.source_ports[0] in NEIGHBOUR_DISCOVERY:
        raise Violation(
            "source_port_range_min",
            f"ICMPv6 types {NEIGHBOUR_DISCOVERY[0]} to {NEIGHBOUR_DISCOVERY[-1]} are neighbour "
            "discovery, which never enters a chain",
        )


def _check_prefix(attribute: str, prefix: str | None, ethertype: str) -> None:
    if prefix is None:
        return
    network = _network(prefix, attribute)
    if f"IPv{network.version}" != ethertype:
        raise Violation(attribute, f"{prefix} is not a prefix of ethertype {ethertype}")


def _network(prefix: str, attribute: str, key: str = "") -> _Network:
    """Return the network that a prefix of an attribute, or of a key of it, stands for."""
    try:
        network: _Network = ip_network(prefix, strict=False)
    except ValueError as error:
        raise Violation(attribute, f"{key}{error}") from error
    address = prefix.partition("/")[0]
    if ip_address(address) != network.network_address:
        raise Violation(
            attribute, f"{key}{prefix} has host bits set; its network would be {network}"
        )
    return network


def overlap(one: FlowClassifier, other: FlowClassifier) -> bool:
    """Tell whether a packet can exist that both classifiers match.

    A classifier without a logical source port classifies what its owner's ports send, so it never
    meets one of another owner; two logical source ports that differ never meet either.
    """
    return (
        one.ethertype == other.ethertype
        and _sources_meet(one, other)
        and _same_or_any(one.logical_destination_port, other.logical_destination_port)
        and _same_or_any(one.protocol, other.protocol)
        and _ranges_meet(one.source_ports, other.source_ports)
        and _ranges_meet(one.destination_ports, other.destination_ports)
        and _prefixes_meet(one.source_prefix, other.source_prefix)
        and _prefixes_meet(one.destination_prefix, other.destination_prefix)
    )


def check_overlap(
    classifier: FlowClassifier, others: Iterable[FlowClassifier], attribute: str = "flow_classifier"
) -> None:
    """Refuse a classifier that could match a packet another one matches.

    :raises Violation: naming the other classifier, unless it belongs to another project.
    """
    for other in others:
        if other.id != classifier.id and overlap(classifier, other):
            if other.project_id == classifier.project_id:
                who = f"flow classifier {label(other)}"
            else:
                who = "a flow classifier of another project"
            raise Violation(
                attribute,
                f"{label(classifier)} overlaps with {who}: a packet that both match could enter "
                "only one of their chains. Let them differ in ethertype, protocol, a port range, a "
                "prefix or a logical port",
            )


def turned(classifier: FlowClassifier) -> FlowClassifier:
    """The classifier of the replies to what a classifier matches."""
    source_ports, destination_ports = answering(
        classifier.protocol, classifier.source_ports, classifier.destination_ports
    )
    return replace(
        classifier,
        source_ports=source_ports,
        destination_ports=destination_ports,
        source_prefix=classifier.destination_prefix,
        destination_prefix=classifier.source_prefix,
        logical_source_port=classifier.logical_destination_port,
        logical_destination_port=classifier.logical_source_port,
    )


def answering(
    protocol: int | None, source: PortRange | None, destination: PortRange | None
) -> tuple[PortRange | None, PortRange | None]:
    """What replies have in the place of source and destination ports or, with ICMP, of type and code.

    :param source: of the requests; ``destination`` likewise. An ICMP type that has no replies stays as it is.
    """
    if protocol not in _ANSWERS:
        return destination, source
    if source is None:
        return None, destination
    answer = _ANSWERS[protocol].get(source[0], source[0])
    return (answer, answer), destination


def _sources_meet(one: FlowClassifier, other: FlowClassifier) -> bool:
    if one.logical_source_port is None or other.logical_source_port is None:
        return one.project_id == other.project_id
    return one.logical_source_port == other.logical_source_port


def _same_or_any(one: _T | None, other: _T | None) -> bool:
    return one is None or other is None or one == other


def _ranges_meet(one: PortRange | None, other: PortRange | None) -> bool:
    return one is None or other is None or (one[0] <= other[1] and other[0] <= one[1])


def _prefixes_meet(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return True
    first: _Network = ip_network(one)
    second: _Network = ip_network(other)
    # Two prefixes are disjoint unless one contains the other.
    return first.network_address in second or second.network_address in first


# Port pairs


def check_port_pair(pair: PortPair, ingress: Port, egress: Port) -> None:
    """Check that the two ports can be the two sides of one service function.

    :raises Violation: no device behind a port, two different devices, one port for a function that bridges, weight out of
        range.
    """
    for side, port in (("ingress", ingress), ("egress", egress)):
        if not port.device_id:
            raise Violation(
                side, f"port {label(port)} has no device_id: attach it to an instance first"
            )
    if ingress.device_id != egress.device_id:
        raise Violation(
            "egress",
            f"port {label(egress)} has device_id {egress.device_id}, the ingress port has "
            f"{ingress.device_id}; both must belong to the same device",
        )
    if pair.kind is FunctionKind.L2 and pair.ingress == pair.egress:
        raise Violation(
            "egress",
            "it is the ingress port, too; a function of the kind l2 is a bump in the wire, which has two ends",
        )
    if not 0 <= pair.weight <= MAX_WEIGHT:
        raise Violation("service_function_parameters", f"weight must be between 0 and {MAX_WEIGHT}")


# Port pair groups


def check_port_pair_group(group: PortPairGroup) -> None:
    """Check that the pairs of a group are interchangeable, and only one where that means nothing.

    :raises Violation: pairs of different correlation or kind, several pairs in a tap group, a reversed port range, a
        prefix with bits set beyond its length.
    """
    if group.tap_enabled and len(group.port_pairs) > 1:
        raise Violation(
            "port_pairs",
            "a group with tap_enabled takes one port pair: a copy of each packet goes to one observer",
        )
    for name in ("ingress_n_tuple", "egress_n_tuple"):
        for side in ("source", "destination"):
            _check_n_tuple(f"ppg_n_tuple_mapping: {name}: {side}", getattr(group, name), side)
    if len({pair.kind for pair in group.port_pairs}) > 1:
        raise Violation("port_pairs", "all port pairs of a group must have the same function_kind")
    correlations = {pair.correlation for pair in group.port_pairs}
    if len(correlations) > 1:
        kinds = ", ".join(sorted(str(kind).lower() for kind in correlations))
        raise Violation(
            "port_pairs",
            "all port pairs of a group must have the same service_function_parameters "
            f"correlation; these have {kinds}",
        )


def _check_n_tuple(where: str, n_tuple: Mapping[str, object], side: str) -> None:
    """Check what a group's n-tuple says of one side of packets."""
    attribute = "port_pair_group_parameters"
    prefix = n_tuple.get(f"{side}_ip_prefix")
    if isinstance(prefix, str):
        _network(prefix, attribute, f"{where}_ip_prefix: ")
    low, high = (n_tuple.get(f"{side}_port_range_{end}") for end in ("min", "max"))
    if isinstance(low, int) and isinstance(high, int) and low > high:
        raise Violation(
            attribute,
            f"{where}_port_range_min: {low} is greater than {side}_port_range_max, {high}",
        )


# Port chains


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
        answers = _ANSWERS.get(classifier.protocol or 0)
        if answers and classifier.source_ports and classifier.source_ports[0] not in answers:
            raise Violation(
                "flow_classifiers",
                f"{label(classifier)} is for ICMP type {classifier.source_ports[0]}, which has no replies: "
                "its chain cannot be symmetric",
            )


def check_correlation(
    chain: PortChain, group: PortPairGroup, attribute: str = "port_pair_groups"
) -> None:
    """Check that the functions of a group understand the chain's header, or see none.

    :raises Violation: a pair wants another header than the chain uses.
    """
    for pair in group.port_pairs:
        if pair.correlation in (None, chain.correlation):
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


# Service graphs


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
            if overlap(_from_any_port(first), _from_any_port(second)):
                raise Violation(
                    attribute,
                    f"a packet that leaves {label(source)} could enter port chain {named(one)} by flow "
                    f"classifier {named(first)} and port chain {named(other)} by {named(second)}; logical "
                    "source ports do not count there",
                )


def check_functions_once(
    chains: Iterable[PortChain], follows: Iterable[tuple[str, str]], attribute: str = "port_chains"
) -> None:
    """Check that packets come to a function once on their way through the chains of a graph.

    What one that sees no chain header hands back the second time looks as it did the first time.

    :param follows: ids of each chain and of one that follows it.
    :raises Violation: a function is in a chain, and in one that can be reached from it.
    """
    known = {chain.id: chain for chain in chains}
    after: dict[str, set[str]] = {chain_id: set() for chain_id in known}
    for source, destination in follows:
        after[source].add(destination)
    for first in known.values():
        reached, ahead = set[str](), [*after[first.id]]
        while ahead:
            reached.add(chain_id := ahead.pop())
            ahead += after[chain_id] - reached
        for other in map(known.__getitem__, sorted(reached)):
            if _unaware_senders(first) & _unaware_senders(other):
                raise Violation(
                    attribute,
                    f"{label_for(first.project_id, first)} and {label_for(first.project_id, other)}, which a packet can both "
                    "pass, have a function in common that understands no chain header; use another function in one of them, or "
                    "pairs with correlation",
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
            if group.id not in {one.id for one in other.port_pair_groups} or _is_aware(group):
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


def _is_aware(group: PortPairGroup) -> bool:
    return bool(group.port_pairs) and all(pair.correlation for pair in group.port_pairs)


def _leave_alike(
    group: PortPairGroup, one: Sequence[PortPairGroup], other: Sequence[PortPairGroup]
) -> bool:
    """Whether packets of two chains go on alike behind a group: to their destinations, from a function that routes."""
    routes = all(pair.kind is FunctionKind.L3 for pair in group.port_pairs)
    return routes and one[-1].id == other[-1].id == group.id


def _look_alike(one: FlowClassifier, other: FlowClassifier) -> bool:
    known = one.logical_source_port is not None and other.logical_source_port is not None
    return not known and overlap(_from_any_port(one), _from_any_port(other))


def _unaware_senders(chain: PortChain) -> frozenset[str]:
    """The ports from which functions hand back packets that say nothing of their chain."""
    return frozenset(
        pair.egress
        for group in chain.port_pair_groups
        if not group.tap_enabled
        for pair in group.port_pairs
        if pair.correlation is None
    )


def _from_any_port(classifier: FlowClassifier) -> FlowClassifier:
    return replace(classifier, logical_source_port=None, project_id="")


# Common


def first_repeated(ids: Sequence[str]) -> str | None:
    """Return the first id that stands in the list a second time, None if there is none."""
    seen: set[str] = set()
    for an_id in ids:
        if an_id in seen:
            return an_id
        seen.add(an_id)
    return None


_Thing = FlowClassifier | Port | PortPair | PortPairGroup | PortChain


def label_for(project_id: str, thing: _Thing) -> str:
    """Return kind and label of a resource; of one that is none of the project's, the kind alone."""
    kind = " ".join(re.findall("[A-Z][a-z]+", type(thing).__name__)).lower()
    if thing.project_id == project_id:
        return f"{kind} {label(thing)}"
    return f"a {kind} of another project"


def label(thing: _Thing) -> str:
    """Return the text by which a user recognises a resource: its name, if any, and its id."""
    return f"{thing.name} ({thing.id})" if thing.name else thing.id
