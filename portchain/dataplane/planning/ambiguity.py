"""Finds packets at a function's port that could belong to two chains. Pure.

An SFC-unaware function returns packets that say nothing about their chain: their header fields and
their source address decide. Two chains of one project can take the same there, although their
classifiers name different sources: sources can have one address on two networks, and functions
translate. And what a function returns with an address of its own port looks like what it sends of
its own, which can be another chain's (docs/decisions/0045).

``attribution`` compares what chains of two projects take of what a function returns.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from portchain.core.boxes import Box, Interval, overlapping
from portchain.core.model import ChainSnapshot, FlowClassifier, PortChain, PortPairGroup
from portchain.core.rules import Violation, label, label_for
from portchain.dataplane.match import addresses_within
from portchain.dataplane.plan import Classifier
from portchain.dataplane.planning import headers
from portchain.dataplane.planning.attribution import (
    Place,
    Selector,
    address_ranges,
    or_any,
    selectors,
)

_GROUPS = "port_pair_groups"


@dataclass(frozen=True, slots=True)
class _Sent:
    """The packets that a chain takes from a port that the user named as their source.

    :param port: id of the port. ``header``: their header fields.
    :param addresses: CIDRs of the port's addresses that the packets can have.
    """

    chain: PortChain
    classifier: FlowClassifier
    port: str
    header: Classifier
    addresses: tuple[str, ...]

    @property
    def place(self) -> Place:
        """Port and ethertype."""
        return self.port, self.header.ethertype


def check_unambiguous(
    own: Sequence[ChainSnapshot],
    others: Iterable[ChainSnapshot] = (),
    attribute: str = _GROUPS,
    changed: PortPairGroup | None = None,
) -> None:
    """Check that no packet at a function's port could belong to two chains.

    :param own: the chains that a request changes. ``others``: chains that have function ports in
        common with them, that name function ports of them, or whose function ports they name; two
        chains of ``others`` are not compared.
    :param attribute: the attribute of the request that an error names.
    :param changed: the group whose change is checked; None if a chain or graph is.
    :raises Violation: a packet could.
    """
    own_ids = {each.chain.id for each in own}
    returned: defaultdict[Place, list[Selector]] = defaultdict(list)
    sent: defaultdict[Place, list[_Sent]] = defaultdict(list)
    for snapshot in (*own, *others):
        for selector in selectors(snapshot):
            returned[selector.place].append(selector)
        for each in _sent(snapshot):
            sent[each.place].append(each)
    for place, here in returned.items():
        for one, other in _alike(here, own_ids):
            raise Violation(attribute, _why_alike(one, other, changed))
        for selector, source in _like_own(here, sent[place], own_ids):
            is_source = selector.chain.id not in own_ids
            at_fault = "flow_classifiers" if is_source and attribute == _GROUPS else attribute
            asking = (source if is_source else selector).chain.project_id
            reader = asking if changed is None else changed.project_id
            raise Violation(at_fault, _why_like_own(selector, source, reader))


def _sent(snapshot: ChainSnapshot) -> Iterator[_Sent]:
    """Yield what a chain takes from named ports, of the packets with an address of the port.

    A chain that follows another one takes these packets again when the service graph is deleted.
    """
    chain, ports = snapshot.chain, snapshot.ports
    paths = [(False, headers.request_headers(chain, ports))]
    if chain.symmetric:
        paths.append((True, headers.headers_of_replies(chain, ports)))
    for reverse, header_lists in paths:
        for classifier, along_path in zip(chain.flow_classifiers, header_lists, strict=True):
            ends = (classifier.logical_source_port, classifier.logical_destination_port)
            port = ports.get(ends[reverse] or "")
            if port is not None:
                addresses = tuple(addresses_within(port.addresses, along_path[0]))
                yield _Sent(chain, classifier, port.id, along_path[0], addresses)


def _alike(here: Sequence[Selector], own: set[str]) -> Iterator[tuple[Selector, Selector]]:
    """Yield selectors of two chains of one project that take a packet, and differ in what follows.

    They are in the order in which they are given.

    A switch looks for the addresses of named sources first. After that come packets with any
    address that the classifier allows, for chains whose sources it does not know.
    """
    by_address, by_prefix = [], []
    for number, one in enumerate(here):
        project = (one.chain.project_id, one.chain.project_id)
        labels = (
            one.chain.id,
            number if one.chain.id in own else "other",
            "at the end" if one.to_destination else number,
        )
        for header in _header_intervals(one.header):
            for source in address_ranges(one.senders or ()):
                by_address.append(Box(one, (project, source, *header), labels))
            among = "named" if one.senders is not None else number
            for source in address_ranges(_prefixes(one)):
                by_prefix.append(Box(one, (project, source, *header), (*labels, among)))
    yield from overlapping(by_address)
    yield from overlapping(by_prefix)


def _like_own(
    here: Sequence[Selector], sent: Sequence[_Sent], own: set[str]
) -> Iterator[tuple[Selector, _Sent]]:
    """Yield selectors, each with what another chain takes that looks alike.

    In what a function returns, an address of its own can only come from a function that translates,
    or from a source that has it too. Chains of two projects are compared by addresses alone, as in
    ``attribution``.
    """
    everything: tuple[Selector | _Sent, ...] = (*here, *sent) if sent else ()
    alike, of_projects = [], []
    for one in everything:
        labels = (isinstance(one, _Sent), one.chain.id if one.chain.id in own else "other")
        for source in address_ranges(_packet_sources(one)):
            of_projects.append(Box(one, (source,), (*labels, one.chain.project_id)))
            for header in _header_intervals(one.header):
                alike.append(Box(one, (source, *header), labels))
    for first, second in (*overlapping(alike), *overlapping(of_projects)):
        if isinstance(first, Selector) and isinstance(second, _Sent):
            yield first, second


def _packet_sources(one: Selector | _Sent) -> tuple[str, ...]:
    """Return the CIDRs of the source addresses that packets are known to have."""
    if isinstance(one, _Sent):
        return one.addresses
    if one.senders is not None:
        return one.senders
    return _prefixes(one) if one.translated else ()


def _prefixes(selector: Selector) -> tuple[str, ...]:
    return or_any(selector.header.source_prefixes, selector.header)


def _header_intervals(header: Classifier) -> Iterator[tuple[Interval, ...]]:
    """Yield intervals for all fields but the source address, for each destination prefix.

    Packets to a port's own addresses are found before those that it gets besides.
    """
    exact = header.receiver.addresses if header.receiver is not None else ()
    destinations = exact or or_any(header.destination_prefixes, header)
    for destination in address_ranges(destinations):
        yield (
            (header.protocol, header.protocol) if header.protocol is not None else (0, 255),
            header.source_ports or (0, 65535),
            header.destination_ports or (0, 65535),
            destination,
        )


def _why_alike(selector: Selector, other: Selector, changed: PortPairGroup | None) -> str:
    project = selector.chain.project_id
    if changed is not None and changed.project_id != project:
        return (
            f"two port chains of another project use functions of group {label(changed)}, and "
            "packets that functions of this kind return could belong to both of them; use other "
            "functions, or pairs with the correlation mpls or nsh"
        )
    return (
        f"packets of {label_for(project, selector.classifier)} that "
        f"{label_for(project, selector.group)} returns could belong to "
        f"{label_for(project, other.classifier)} of {label_for(project, other.chain)}: there, both "
        "match packets with the same header fields and source addresses. Use a group of its own in "
        "one of the chains, or pairs with the correlation mpls or nsh in "
        "service_function_parameters; or name different source addresses"
    )


def _why_like_own(selector: Selector, source: _Sent, reader: str) -> str:
    """Return the reason in words for a project, without the names of others' resources."""
    return (
        f"packets of {label_for(reader, selector.classifier)} that "
        f"{label_for(reader, selector.group)} returns can have an address of the port at which it "
        f"returns them, and {label_for(reader, source.classifier)} of "
        f"{label_for(reader, source.chain)} takes what this port sends: nothing tells them apart. "
        "Name another port as the source, let the function translate to another address, or use "
        "pairs with the correlation mpls or nsh in service_function_parameters"
    )
