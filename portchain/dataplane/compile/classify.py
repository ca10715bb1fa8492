"""Classification: diverts packets from Neutron's tables to the chain's first hop."""

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from portchain.core.counters import Counter, CounterKind, DropReason
from portchain.dataplane.compile.context import PathOnHost
from portchain.dataplane.conjunction import build_flows
from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import UNICAST, build_flow, resubmit, set_field
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.match import (
    HeaderMatch,
    addresses_within,
    header_matches,
    protocol_words,
    sent_matches,
    undecided_fragment_matches,
)
from portchain.dataplane.pipeline import (
    BEFORE_CHECKS,
    POSITION_DONE,
    REG_CHECKS,
    REG_NEUTRON_NET,
    REG_OWN,
    REG_PATH_POSITION,
    Priority,
    path_label,
    path_position,
)
from portchain.dataplane.plan import Classifier, Source

_TRACKED_NEW = "ct_state=+new-est"


def classifier_flows(context: PathOnHost, *, drop: bool = False) -> Iterator[Flow]:
    """Yield the flows that send traffic of the plan's sources on this host to the first hop.

    :param drop: yield flows that drop this traffic instead.
    """
    for number, sources in sorted(_sources_here(context).items()):
        classifier = context.path.classifiers[number]
        counter = _entrance_counter(context, classifier, drop=drop)
        for rank, match in sent_matches(classifier):
            yield from _entrance(
                context, _outside(match), list(sources), rank, drop=drop, counter=counter
            )
        if not context.path.ends_after(-1):
            yield from _hold_fragments(context, classifier, sources)


def _entrance_counter(context: PathOnHost, classifier: Classifier, *, drop: bool) -> Counter | None:
    """Return what the flows count that let a classifier's packets enter, or drop them."""
    if drop:
        return context.counter(CounterKind.DROPPED, DropReason.UNREALISED)
    return context.counter(CounterKind.CLASSIFIED, classifier.id)


def forwarded_traffic_flows(context: PathOnHost) -> Iterator[Flow]:
    """Yield the flows that keep out what a router among the sources forwards for the chain's ends.

    These packets have been classified where they were sent.
    """
    mark = set_field(POSITION_DONE, REG_PATH_POSITION)
    for number, sources in sorted(_sources_here(context).items()):
        classifier = context.path.classifiers[number]
        for in_port, source in sources.items():
            forwarded = list(addresses_within(source.forwarded, classifier))
            for match in header_matches(classifier, forwarded) if forwarded else ():
                for table, priority in _entrance_tables(context):
                    above = priority - Priority.REPLY_OFFSET + Priority.FORWARDED_OFFSET
                    passed = _outside(match) | {in_port}
                    yield from build_flows(table, above, passed, mark, resubmit(table))


def coarse_guard_flows(context: PathOnHost) -> Iterator[Flow]:
    """Yield few flows that drop all IP packets which might be in the chain, and others.

    They are below the flows of all chains.
    """
    in_ports = _sources_here(context)
    for ethertype in sorted({classifier.ethertype for classifier in context.path.classifiers}):
        match = HeaderMatch(frozenset({*protocol_words(ethertype, None), UNICAST}))
        sources = {
            word
            for number, classifier in enumerate(context.path.classifiers)
            if classifier.ethertype == ethertype
            for word in in_ports.get(number, ())
        }
        if sources:
            outside = match | {f"{REG_PATH_POSITION}=0"}
            yield from _entrance(
                context,
                outside,
                sorted(sources),
                Priority.COARSE_RANK,
                drop=True,
                counter=context.counter(CounterKind.DROPPED, DropReason.UNREALISED),
            )
        for end in _ends_before(context):
            yield from build_flows("BRANCH", Priority.COARSE_BRANCH, match | {end})


def own_traffic_flows(context: PathOnHost) -> Iterator[Flow]:
    """Yield the flows that take what named sources send for their own traffic.

    The port can be that of a function of another chain. There, the return flows would take these
    packets for packets that the function returns. They must not look at a packet of the chain that
    has an address of the port.
    """
    mark = set_field(1, REG_OWN)
    for number, sources in sorted(_sources_here(context).items()):
        classifier = context.path.classifiers[number]
        for in_port, source in sources.items() if classifier.source_port_known else ():
            own = list(addresses_within(source.addresses, classifier))
            for match in header_matches(classifier, own) if own else ():
                first = _outside(match) | {in_port, f"{REG_OWN}=0"}
                again = resubmit("LOCAL_SWITCHING")
                yield from build_flows("LOCAL_SWITCHING", Priority.OWN_TRAFFIC, first, mark, again)


def _sources_here(context: PathOnHost) -> dict[int, dict[str, Source]]:
    """Return the index of each classifier -> the words that match its sources on this host.

    A source that is not plugged in sends nothing, so it is not reported as missing.
    """
    found: defaultdict[int, dict[str, Source]] = defaultdict(dict)
    for source in context.path.sources:
        port = context.switch.ports.get(source.port_id)
        if source.host == context.switch.host and port is not None:
            found[source.classifier][f"in_port={port.ofport}"] = source
    return found


def _outside(match: HeaderMatch) -> HeaderMatch:
    """Match unicast frames outside of chains. A match can name their destination already."""
    named = any(word.startswith("dl_dst=") for word in match.words)
    return match | {f"{REG_PATH_POSITION}=0", *(() if named else (UNICAST,))}


def graph_ingress_flows(context: PathOnHost, *, drop: bool = False) -> Iterator[Flow]:
    """Yield the flows that accept packets of preceding chains in a service graph (table BRANCH).

    They ignore the source ports of the classifiers: all packets at the end of a chain come from
    its last functions.

    :param drop: as for ``classifier_flows``.
    """
    enter = () if drop else context.actions_into(0)
    for end in _ends_before(context):
        for classifier in context.path.classifiers:
            counter = _entrance_counter(context, classifier, drop=drop)
            for rank, header in _branch_matches(classifier):
                priority = Priority.BRANCH - rank * Priority.RANK_OFFSET
                yield from build_flows("BRANCH", priority, header | {end}, *enter, counter=counter)
            for words in undecided_fragment_matches(
                classifier, lambda known: (match for _, match in _branch_matches(known))
            ):
                fragments = context.counter(CounterKind.DROPPED, DropReason.FRAGMENT)
                yield build_flow(
                    "BRANCH", Priority.BRANCH_FRAGMENT, words | {end}, counter=fragments
                )


def _ends_before(context: PathOnHost) -> Iterator[str]:
    """Yield the words that match packets at the end of a preceding chain, on this host."""
    for entry in context.path.entries:
        if context.switch.host in {sender.host for sender in entry.senders}:
            end = path_position(path_label(entry.path_id), entry.hops)
            yield f"{REG_PATH_POSITION}={end:#x}"


def _branch_matches(classifier: Classifier) -> Iterator[tuple[int, HeaderMatch]]:
    """Match as at the sender; or, if the last function sends frames elsewhere, by the header."""
    matches = dict.fromkeys(sent_matches(classifier))
    if classifier.receiver is not None:
        matches |= dict.fromkeys((2, match) for match in header_matches(classifier))
    yield from matches


def _entrance(
    context: PathOnHost,
    match: HeaderMatch,
    in_ports: Collection[str],
    rank: int,
    *,
    drop: bool,
    counter: Counter | None,
) -> Iterator[Flow]:
    """Yield flows in the tables where Neutron has completed the egress checks of the port.

    :param in_ports: words that match the sources.
    :param rank: as from ``sent_matches``.
    :param counter: as in ``Flow``.
    """
    below = rank * Priority.RANK_OFFSET + (Priority.REPLY_OFFSET if context.path.reverse else 0)

    def build(table: str, priority: int, match: HeaderMatch, *before: str) -> Iterator[Flow]:
        actions = () if drop else (*before, *_enter_from(context, table))
        for words, counts in _looks(context, drop=drop):
            yield from build_flows(
                table,
                priority - below,
                match | words,
                *actions,
                sources=in_ports,
                counter=counter if counts else None,
            )

    if context.switch.firewall is Firewall.OPENVSWITCH and not context.path.ends_after(-1):
        # This flow overtakes the firewall's flow that commits new connections to conntrack.
        # Replies need the conntrack entry.
        commit = f"ct(commit,zone=NXM_NX_{REG_NEUTRON_NET.upper()}[0..15])"
        new = match | {_TRACKED_NEW}
        yield from build("ACCEPT_OR_INGRESS", Priority.CLASSIFY_NEW, new, commit)
    for table, priority in _entrance_tables(context):
        yield from build(table, priority, match)


def _looks(context: PathOnHost, *, drop: bool) -> tuple[tuple[frozenset[str], bool], ...]:
    """Return what else the flows match, and whether they count, for each look at a packet.

    br-chain looks twice at what enters a chain: before and after OVN's checks. It counts once.
    """
    if drop or not context.switch.has_br_chain:
        return ((frozenset(), True),)
    return (frozenset({BEFORE_CHECKS}), False), (frozenset({f"{REG_CHECKS}=0"}), True)


def _entrance_tables(context: PathOnHost) -> Iterator[tuple[str, int]]:
    """Yield the tables in which packets enter, and the priority there."""
    if context.switch.firewall is not Firewall.OPENVSWITCH:
        yield "TRANSIENT", Priority.CLASSIFY
        return
    yield "ACCEPT_OR_INGRESS", Priority.CLASSIFY
    # Replies of connections that the other side opened do not pass ACCEPT_OR_INGRESS.
    yield "ACCEPTED_EGRESS", Priority.CLASSIFY
    # After a restart of the switch, the firewall's flows for the port are missing for a moment,
    # and Neutron's table 60 would switch the packet with NORMAL.
    yield "TRANSIENT", Priority.CLASSIFY_UNGUARDED


def _hold_fragments(
    context: PathOnHost, classifier: Classifier, in_ports: Iterable[str]
) -> Iterator[Flow]:
    """Yield flows that drop fragments which may belong to the chain (docs/decisions/0049).

    They yield to the flows of any chain that can tell that a fragment is its own.
    """
    undecided = undecided_fragment_matches(
        classifier, lambda known: (_outside(match) for _, match in sent_matches(known))
    )
    counter = context.counter(CounterKind.DROPPED, DropReason.FRAGMENT)
    for words, in_port in itertools.product(undecided, in_ports):
        for table, priority in _entrance_tables(context):
            held = priority - Priority.FRAGMENT_OFFSET
            yield build_flow(table, held, words | {in_port}, counter=counter)


def _enter_from(context: PathOnHost, table: str) -> tuple[str, ...]:
    """Return the actions into the first hop; if all hops are taps, back into Neutron's table."""
    mark = set_field(POSITION_DONE, REG_PATH_POSITION)
    return context.actions_into(0, mark, resubmit(table))
