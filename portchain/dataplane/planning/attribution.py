"""Decides which packets that a shared function returns belong to which chain. Pure.

An SFC-unaware function returns packets that say nothing about their chain: their header and their
source address decide. If the function serves chains of several projects, each chain takes there
only packets with the addresses of its own sources, and chains of two projects that could take the
same packet are refused (docs/decisions/0045).

What is compared is what the planner plans: the header fields behind each hop, after all header
mappings, in both directions and in service graphs.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from ipaddress import ip_address, ip_network
from itertools import product
from operator import itemgetter

from portchain.core.function_kinds import traits_of
from portchain.core.model import (
    ChainSnapshot,
    FlowClassifier,
    Port,
    PortChain,
    PortPair,
    PortPairGroup,
)
from portchain.core.rules import Violation, label, label_for
from portchain.dataplane.match import addresses_within
from portchain.dataplane.plan import Classifier, Source
from portchain.dataplane.planning import headers

_ANY_ADDRESS = {"IPv4": "0.0.0.0/0", "IPv6": "::/0"}
Place = tuple[str, str]
"""Id of a port, and ethertype."""
_ALTERNATIVE = (
    "use a group whose pairs have the correlation mpls or nsh in service_function_parameters, or "
    "a group of your own"
)


@dataclass(frozen=True, slots=True)
class Selector:
    """The packets that a chain takes at one port of an SFC-unaware function.

    :param chain: the chain. ``classifier``: its classifier. ``group``: the function's group.
    :param port: id of the port at which the function returns the packets.
    :param header: their header fields, after all header mappings on the path so far.
    :param sources: CIDRs that their source addresses are in; None for any address that the header
        allows.
    :param senders: CIDRs of the sources that the user named, if flows know them by their addresses;
        None if they know the header's source prefixes only.
    :param translated: whether a function has changed the source addresses.
    :param to_destination: whether the packets continue to their destination, as they would
        without a chain: the group is the last one, and it routes.
    :param attributable: whether packets that the function sends of its own are never among them.
    :param reverse: whether the packets are replies.
    """

    chain: PortChain
    classifier: FlowClassifier
    group: PortPairGroup
    port: str
    header: Classifier
    sources: tuple[str, ...] | None
    senders: tuple[str, ...] | None
    translated: bool
    to_destination: bool
    attributable: bool
    reverse: bool

    @property
    def place(self) -> Place:
        """What two selectors must have in common to take one packet."""
        return self.port, self.header.ethertype

    @property
    def source_ranges(self) -> list[tuple[int, int]]:
        """The first and the last address of each range that source addresses are in."""
        if self.sources is not None:
            return list(address_ranges(self.sources))
        return list(address_ranges(or_any(self.header.source_prefixes, self.header)))


def or_any(prefixes: tuple[str, ...], header: Classifier) -> tuple[str, ...]:
    """Return prefixes of a header, CIDRs; the one of all addresses if there are none."""
    return prefixes or (_ANY_ADDRESS[header.ethertype],)


def address_ranges(cidrs: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last address of each CIDR."""
    for network in (ip_network(cidr, strict=False) for cidr in cidrs):
        yield int(network[0]), int(network[-1])


class _Taken:
    """The source addresses that chains of several projects take at one port, of one ethertype.

    Protocol, ports and destination do not tell packets of two projects apart: by asking for one
    after the other, a project could find out those of another project.
    """

    def __init__(self, selectors: Iterable[Selector]) -> None:
        ranges = [
            (low, high, each.chain.project_id)
            for each in selectors
            for low, high in each.source_ranges
        ]
        ranges.sort()
        self._lows = [low for low, _, _ in ranges]
        # For each range, the last address of this range and those before it, for the two projects
        # that reach furthest.
        self._furthest: list[tuple[tuple[int, str], ...]] = []
        furthest: dict[str, int] = {}
        for _, high, project in ranges:
            furthest[project] = max(high, furthest.get(project, high))
            furthest = dict(nlargest(2, furthest.items(), key=itemgetter(1)))
            self._furthest.append(tuple((last, whose) for whose, last in furthest.items()))

    def by_other_project(self, selector: Selector) -> bool:
        """Tell whether a chain of another project takes an address that a selector takes, too."""
        return any(
            last >= low and project != selector.chain.project_id
            for low, high in selector.source_ranges
            for last, project in self._before(high)
        )

    def _before(self, address: int) -> tuple[tuple[int, str], ...]:
        count = bisect_right(self._lows, address)
        return self._furthest[count - 1] if count else ()


def selectors(snapshot: ChainSnapshot) -> list[Selector]:
    """Return what a chain takes at the ports of its SFC-unaware functions.

    A chain that drops all packets takes none of a shared function's: the planner sends it none.

    It depends neither on where ports are bound nor on which ports a classifier stands for at the
    moment. A classifier without a logical port counts with its whole prefix.
    """
    found = [*_selectors_of_path(snapshot, reverse=False)]
    if snapshot.chain.symmetric:
        found += _selectors_of_path(snapshot, reverse=True)
    return found


def check_isolated(
    own: Sequence[ChainSnapshot],
    others: Iterable[ChainSnapshot] = (),
    attribute: str = "port_pair_groups",
    changed: PortPairGroup | None = None,
) -> None:
    """Check that chains of two projects take no packet in common at a function that they share.

    :param own: the chains that a request changes. ``others``: chains that have ports in common with
        them; two chains of ``others`` are not compared.
    :param attribute: the attribute of the request that an error names.
    :param changed: the group whose change is checked; None if a chain or graph is.
    :raises Violation: two chains could take the same packet, or a chain could take what a function
        of another project sends of its own. The message names nothing of another project.
    """
    own_selectors = [selector for snapshot in own for selector in selectors(snapshot)]
    for selector in own_selectors:
        if not selector.attributable:
            raise Violation(attribute, _why_not_attributable(selector, changed))
    at_place: defaultdict[Place, list[Selector]] = defaultdict(list)
    for selector in (*own_selectors, *(one for each in others for one in selectors(each))):
        at_place[selector.place].append(selector)
    # Two chains that send a packet to its destination do the same with it.
    taken = {
        place: (_Taken(here), _Taken(one for one in here if not one.to_destination))
        for place, here in at_place.items()
    }
    for selector in own_selectors:
        by_any, by_those_that_continue = taken[selector.place]
        rivals = by_those_that_continue if selector.to_destination else by_any
        if rivals.by_other_project(selector):
            raise Violation(attribute, _why_not_isolated(selector, changed))


def accepted_sources(
    snapshot: ChainSnapshot,
    header_lists: Sequence[Sequence[Classifier]],
    sources: Iterable[Source],
    reverse: bool = False,
) -> list[tuple[tuple[str, ...], ...]]:
    """Return ``Hop.accepted_sources`` for each hop of a path.

    :param header_lists: the header fields along the path, one list for each classifier.
    :param sources: the sources of the path.
    :param reverse: whether it is the path of the replies.
    """
    addresses: dict[int, list[str]] = defaultdict(list)
    routed: set[int] = set()
    for source in sources:
        addresses[source.classifier] += source.addresses
        if snapshot.ports[source.port_id].routes:
            routed.add(source.classifier)
    return [
        tuple(
            hop.accepted_sources(header_list[hop.index + 1], addresses[number], number in routed)
            for number, header_list in enumerate(header_lists)
        )
        if _is_attributed_by_source(snapshot.chain, hop.group)
        else ()
        for hop in _hops(snapshot, reverse)
    ]


def unattributable_routers(snapshot: ChainSnapshot) -> Iterator[tuple[FlowClassifier, Port]]:
    """Yield the routers whose packets a function that projects share would return unattributed.

    :returns: each with the classifier that takes its packets or, in a symmetric chain, the replies.
    """
    for hop, classifier, header, senders in _attributed_by_address(snapshot):
        routers = [port for port in senders if port.routes]
        if routers and not hop.prefixes_behind_router(header):
            yield classifier, routers[0]


def senders_like_functions(
    snapshot: ChainSnapshot,
) -> Iterator[tuple[FlowClassifier, Port, PortPairGroup]]:
    """Yield the ports that have an address of a function that projects share.

    What it returns from there counts as what it sends of its own, so it bypasses the groups behind.
    If it changes headers, what it sends of its own from there would count as packets that it has
    not changed, and be dropped.

    :returns: each with the classifier that takes its packets or replies, and the function's group.
    """
    for hop, classifier, header, senders in _attributed_by_address(snapshot):
        group = hop.group
        ends = all(_sends_to_destination(hop, pair) for pair in group.port_pairs)
        if ends and not group.egress_n_tuple:
            continue
        own = _addresses_of(group, snapshot.ports)
        for port in senders:
            sent = addresses_within(port.addresses, header)
            if _addresses_overlap(sent, own):
                yield classifier, port, group


def _attributed_by_address(
    snapshot: ChainSnapshot,
) -> Iterator[tuple["_Hop", FlowClassifier, Classifier, list[Port]]]:
    """Yield each hop that tells projects apart by the addresses of the ports that send.

    :returns: with each of the chain's classifiers, its header fields behind the hop, and the ports
        that it takes packets of or, on the path of the replies, replies of.
    """
    chain = snapshot.chain
    for reverse, ends in ((False, snapshot.sources), (True, snapshot.destinations)):
        if reverse and not chain.symmetric:
            continue
        compute = headers.headers_of_replies if reverse else headers.request_headers
        header_lists = compute(chain, snapshot.ports)
        hops = [
            hop
            for hop in _hops(snapshot, reverse)
            if _is_attributed_by_source(chain, hop.group) and not hop.has_prefixes_only
        ]
        for classifier, along_path in zip(chain.flow_classifiers, header_lists, strict=True):
            found = (snapshot.ports.get(port_id) for port_id in ends.get(classifier.id, ()))
            ports = [port for port in found if port is not None]
            for hop in hops:
                yield hop, classifier, along_path[hop.index + 1], ports


@dataclass(frozen=True, slots=True)
class _Hop:
    """A hop of a chain, in one direction.

    :param index: position on the path, from 0.
    """

    snapshot: ChainSnapshot
    index: int
    group: PortPairGroup
    reverse: bool

    @property
    def is_last(self) -> bool:
        """Whether packets leave the chain, and enter no other one, behind this hop."""
        chain = self.snapshot.chain
        is_end = self.index == len(chain.port_pair_groups) - 1
        return is_end and (self.reverse or not self.snapshot.successors)

    @property
    def has_prefixes_only(self) -> bool:
        """Whether packets behind this hop have other sources than the addresses of known ports.

        A function has changed the source address, or they come from another chain of a graph.
        """
        return self.is_translated or (not self.reverse and bool(self.snapshot.predecessors))

    @property
    def is_translated(self) -> bool:
        """Whether a function of this chain, or of one before it, changes source addresses."""
        groups = self.snapshot.chain.port_pair_groups
        if self.reverse:
            return any("destination_ip_prefix" in group.egress_n_tuple for group in groups)
        preceding = (group for one in self.snapshot.ancestors for group in one.port_pair_groups)
        before = (*preceding, *groups[: self.index + 1])
        return any("source_ip_prefix" in group.egress_n_tuple for group in before)

    def accepted_sources(
        self, header: Classifier, addresses: Iterable[str], routed: bool
    ) -> tuple[str, ...]:
        """Return the CIDRs of the source addresses that packets with a header can have here.

        :param addresses: of the ports that send them.
        :param routed: whether a router is among these ports.
        """
        if self.has_prefixes_only:
            return or_any(header.source_prefixes, header)
        from_router = self.prefixes_behind_router(header) if routed else ()
        # A source on another network can have the address of a function: what comes from it is
        # the function's own, then.
        own = _addresses_of(self.group, self.snapshot.ports)
        senders = (
            address
            for address in addresses_within(addresses, header)
            if not _addresses_overlap([address], own)
        )
        return tuple(sorted({*senders, *from_router}))

    def prefixes_behind_router(self, header: Classifier) -> tuple[str, ...]:
        """Return the CIDRs that a router sends from; empty if they cannot be attributed.

        What the functions send of their own must not be among them.
        """
        own = _addresses_of(self.group, self.snapshot.ports)
        return () if _addresses_overlap(header.source_prefixes, own) else header.source_prefixes

    def named_sources(
        self, classifier: FlowClassifier, header: Classifier
    ) -> tuple[str, ...] | None:
        """Return the CIDRs that the user named as sources; None if the user named none."""
        port_id = self._named_end(classifier)
        if port_id is not None and not self.has_prefixes_only:
            port = self.snapshot.ports.get(port_id)
            if port is not None and port.routes:
                return self.prefixes_behind_router(header)
            return tuple(addresses_within(port.addresses if port else (), header))
        is_any = any(ip_network(prefix).prefixlen == 0 for prefix in header.source_prefixes)
        return header.source_prefixes if header.source_prefixes and not is_any else None

    def known_senders(
        self, classifier: FlowClassifier, header: Classifier
    ) -> tuple[str, ...] | None:
        """Return the CIDRs of the source that the user named; None if flows do not know them."""
        port = self.snapshot.ports.get(self._named_end(classifier) or "")
        if port is None or port.routes or self.has_prefixes_only:
            return None
        return tuple(addresses_within(port.addresses, header))

    def excludes_function(
        self, classifier: FlowClassifier, header: Classifier, named: tuple[str, ...] | None
    ) -> bool:
        """Tell whether the chain never takes what the hop's functions send of their own.

        The user must have named the sources or, for replies, the ports that they go to. A named
        port on another network can have the address of a function. A function that translates may
        itself send from the addresses that it translates to.
        """
        if named is None and not (self.reverse and header.destination_prefixes):
            return False
        if not self.has_prefixes_only and self._named_end(classifier) is None:
            return True  # the flows match addresses of ports but those of functions
        if self.has_prefixes_only:
            own = _may_send_from(self.group, self.snapshot.ports)
        else:
            own = _addresses_of(self.group, self.snapshot.ports)
        translates = not self.reverse and "source_ip_prefix" in self.group.egress_n_tuple
        return named is not None and not translates and not _addresses_overlap(named, own)

    def _named_end(self, classifier: FlowClassifier) -> str | None:
        """Return the id of the port that the user named as the sender."""
        if self.reverse:
            return classifier.logical_destination_port
        return classifier.logical_source_port


def _hops(snapshot: ChainSnapshot, reverse: bool) -> list[_Hop]:
    groups = snapshot.chain.port_pair_groups
    in_path_order = groups[::-1] if reverse else groups
    return [_Hop(snapshot, index, group, reverse) for index, group in enumerate(in_path_order)]


def _selectors_of_path(snapshot: ChainSnapshot, reverse: bool) -> Iterator[Selector]:
    compute = headers.headers_of_replies if reverse else headers.request_headers
    header_lists = compute(snapshot.chain, snapshot.ports)
    for hop in _hops(snapshot, reverse):
        for pair in () if hop.group.tap_enabled else hop.group.port_pairs:
            if not traits_of(pair).identifies_chain:
                yield from _selectors_of_pair(hop, pair, header_lists)


def _selectors_of_pair(
    hop: _Hop, pair: PortPair, header_lists: Sequence[Sequence[Classifier]]
) -> Iterator[Selector]:
    chain, group = hop.snapshot.chain, hop.group
    to_destination = _sends_to_destination(hop, pair)
    if takes_nothing(chain, group):
        return
    limited = _is_attributed_by_source(chain, group)
    for classifier, header_list in zip(chain.flow_classifiers, header_lists, strict=True):
        header = header_list[hop.index + 1]
        named = hop.named_sources(classifier, header)
        yield Selector(
            chain=chain,
            classifier=classifier,
            group=group,
            port=pair.ingress if hop.reverse else pair.egress,
            header=header,
            sources=named if limited else None,
            senders=hop.known_senders(classifier, header),
            translated=hop.is_translated,
            to_destination=to_destination,
            attributable=to_destination
            or group.project_id == chain.project_id
            or hop.excludes_function(classifier, header, named),
            reverse=hop.reverse,
        )


def _sends_to_destination(hop: _Hop, pair: PortPair) -> bool:
    """Tell whether what a function returns continues as without a chain."""
    return hop.is_last and not traits_of(pair).keeps_source_mac


def _is_attributed_by_source(chain: PortChain, group: PortPairGroup) -> bool:
    """Tell whether projects share a group of SFC-unaware functions."""
    return (
        (group.shared or group.project_id != chain.project_id)
        and not group.tap_enabled
        and not all(traits_of(pair).identifies_chain for pair in group.port_pairs)
    )


def takes_nothing(chain: PortChain, group: PortPairGroup) -> bool:
    """Tell whether a chain sends nothing to a group that it could use.

    At a shared function it would claim packets of other projects, only to drop them behind it.
    """
    return chain.drops_all and _is_attributed_by_source(chain, group)


def _addresses_of(group: PortPairGroup, ports: Mapping[str, Port]) -> tuple[str, ...]:
    addresses = (ip for port in group.port_ids if port in ports for ip in ports[port].addresses)
    return tuple(str(ip_network(ip_address(address))) for address in addresses)


def _may_send_from(group: PortPairGroup, ports: Mapping[str, Port]) -> tuple[str, ...]:
    """Return the CIDRs of the addresses that a group's functions have, and may have.

    To be allowed to send from every address says nothing about which ones a port has.
    """
    pairs = (pair for port in group.port_ids if port in ports for pair in ports[port].address_pairs)
    wide = (pair.prefix for pair in pairs if ip_network(pair.prefix, strict=False).prefixlen)
    return (*_addresses_of(group, ports), *wide)


def _addresses_overlap(some: Iterable[str], others: Iterable[str]) -> bool:
    networks = [[ip_network(prefix, strict=False) for prefix in each] for each in (some, others)]
    return any(one.overlaps(other) for one, other in product(*networks))


def _concerns_others(selector: Selector, changed: PortPairGroup) -> bool:
    """Tell whether the owner of a changed group may not see the selector's chain, or need not.

    Otherwise a borrower has changed a group of its own, and the selector's group is another one.
    """
    return selector.group.id == changed.id or selector.chain.project_id != changed.project_id


def _why_not_attributable(selector: Selector, changed: PortPairGroup | None) -> str:
    if changed is not None and _concerns_others(selector, changed):
        return (
            f"port chains of several projects use group {label(changed)}, some for packets whose "
            "sources they do not name, so they could take packets that functions of this kind send "
            "of their own; use pairs with the correlation mpls or nsh"
        )
    project = selector.chain.project_id
    if not selector.reverse and "source_ip_prefix" in selector.group.egress_n_tuple:
        return (
            f"packets of {label_for(project, selector.classifier)} that "
            f"{label_for(project, selector.group)} returns cannot be told from those that its "
            "functions send of their own: the functions translate source addresses, and may send "
            f"from the same ones. Let it be the last group, or {_ALTERNATIVE}"
        )
    packets = "replies to " if selector.reverse else ""
    return (
        f"{packets}packets of {label_for(project, selector.classifier)} that "
        f"{label_for(project, selector.group)} returns cannot be told from those that its "
        "functions send of their own. Name the sources in the classifier, by "
        "logical_source_port or source_ip_prefix; in a chain that follows another one, by a "
        f"source_ip_prefix without addresses of the functions. Or {_ALTERNATIVE}"
    )


def _why_not_isolated(selector: Selector, changed: PortPairGroup | None) -> str:
    if changed is not None and _concerns_others(selector, changed):
        return (
            f"port chains of several projects use functions of group {label(changed)}, and packets "
            "that functions of this kind return could belong to more than one of them; create a "
            "group for each project, or use pairs with the correlation mpls or nsh"
        )
    project = selector.chain.project_id
    packets = "replies to packets" if selector.reverse else "packets"
    return (
        f"{packets} of {label_for(project, selector.classifier)} that "
        f"{label_for(project, selector.group)} returns could belong to a port chain of another "
        "project: chains of two projects cannot take packets with the same source addresses there. "
        f"Name other sources, or {_ALTERNATIVE}"
    )
