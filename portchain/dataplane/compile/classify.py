"""Classification: diverts packets from Neutron's tables to the chain's first hop."""

from collections import defaultdict
from collections.abc import Collection, Iterator

from portchain.core.protocols import NEIGHBOUR_DISCOVERY
from portchain.dataplane.compile.context import PathOnHost
from portchain.dataplane.conjunction import build_flows
from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import UNICAST, build_flow, resubmit, set_field
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.match import HeaderMatch, covers_neighbour_discovery, header_matches
from portchain.dataplane.pipeline import (
    POSITION_DONE,
    REG_NEUTRON_NET,
    REG_PATH_POSITION,
    Priority,
    path_label,
    path_position,
)

_TRACKED_NEW = "ct_state=+new-est"


def classifier_flows(context: PathOnHost, *, drop: bool = False) -> Iterator[Flow]:
    """Yield the flows that send traffic of the plan's sources on this host to the first hop.

    :param drop: yield flows that drop this traffic instead.
    """
    for number, in_ports in sorted(_sources_here(context).items()):
        for match in header_matches(context.path.classifiers[number]):
            outside = match | {UNICAST, f"{REG_PATH_POSITION}=0"}
            yield from _entrance(context, outside, in_ports, drop=drop)


def _sources_here(context: PathOnHost) -> dict[int, list[str]]:
    """Return the index of each classifier -> the words that match its sources on this host.

    A source that is not plugged in sends nothing, so it is not reported as missing.
    """
    found: defaultdict[int, list[str]] = defaultdict(list)
    for source in context.path.sources:
        port = context.switch.ports.get(source.port_id)
        if source.host == context.switch.host and port is not None:
            found[source.classifier].append(f"in_port={port.ofport}")
    return found


def graph_ingress_flows(context: PathOnHost, *, drop: bool = False) -> Iterator[Flow]:
    """Yield the flows that accept packets of preceding chains in a service graph (table BRANCH).

    They ignore the source ports of the classifiers: all packets at the end of a chain come from
    its last functions.

    :param drop: as for ``classifier_flows``.
    """
    enter = () if drop else context.actions_into(0)
    for entry in context.path.entries:
        if context.switch.host not in {sender.host for sender in entry.senders}:
            continue
        end = path_position(path_label(entry.path_id), entry.hops)
        for classifier in context.path.classifiers:
            for header in header_matches(classifier):
                match = header | {f"{REG_PATH_POSITION}={end:#x}"}
                yield from build_flows("BRANCH", Priority.BRANCH, match, *enter)


def neighbour_discovery_flows(context: PathOnHost) -> Iterator[Flow]:
    """Yield the flows that keep unicast neighbour discovery out of the chain.

    Neighbour discovery concerns the link, and a classifier cannot exclude it.
    """
    if any(covers_neighbour_discovery(classifier) for classifier in context.path.classifiers):
        for icmp_type in NEIGHBOUR_DISCOVERY:
            match = ("icmp6", f"icmp_type={icmp_type}", f"{REG_PATH_POSITION}=0")
            mark = set_field(POSITION_DONE, REG_PATH_POSITION)
            again = resubmit("LOCAL_SWITCHING")
            yield build_flow("LOCAL_SWITCHING", Priority.NEIGHBOUR_DISCOVERY, match, mark, again)


def _entrance(
    context: PathOnHost, match: HeaderMatch, in_ports: Collection[str], *, drop: bool
) -> Iterator[Flow]:
    """Yield flows in the tables where Neutron has completed the egress checks of the port.

    :param in_ports: words that match the sources.
    """

    def build(table: str, priority: int, match: HeaderMatch, *before: str) -> Iterator[Flow]:
        actions = () if drop else (*before, *_enter_from(context, table))
        below = Priority.REPLY_OFFSET if context.path.reverse else 0
        return build_flows(table, priority - below, match, *actions, sources=in_ports)

    if context.switch.firewall is not Firewall.OPENVSWITCH:
        yield from build("TRANSIENT", Priority.CLASSIFY, match)
        return
    if not context.path.ends_after(-1):
        # This flow overtakes the firewall's flow that commits new connections to conntrack.
        # Replies need the conntrack entry.
        commit = f"ct(commit,zone=NXM_NX_{REG_NEUTRON_NET.upper()}[0..15])"
        new = match | {_TRACKED_NEW}
        yield from build("ACCEPT_OR_INGRESS", Priority.CLASSIFY_NEW, new, commit)
    yield from build("ACCEPT_OR_INGRESS", Priority.CLASSIFY, match)
    # Replies of connections that the other side opened do not pass ACCEPT_OR_INGRESS.
    yield from build("ACCEPTED_EGRESS", Priority.CLASSIFY, match)
    # After a restart of the switch, the firewall's flows for the port are missing for a moment,
    # and Neutron's table 60 would switch the packet with NORMAL.
    yield from build("TRANSIENT", Priority.CLASSIFY_UNGUARDED, match)


def _enter_from(context: PathOnHost, table: str) -> tuple[str, ...]:
    """Return the actions into the first hop; if all hops are taps, back into Neutron's table."""
    mark = set_field(POSITION_DONE, REG_PATH_POSITION)
    return context.actions_into(0, mark, resubmit(table))
