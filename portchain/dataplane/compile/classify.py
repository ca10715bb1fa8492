"""Classification: diverts packets from Neutron's tables to the chain's first hop."""

from collections.abc import Iterator

from portchain.core.protocols import NEIGHBOUR_DISCOVERY
from portchain.dataplane.compile.context import PathOnHost
from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import UNICAST, build_flow, resubmit, set_field
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.match import classifier_matches, covers_neighbour_discovery
from portchain.dataplane.pipeline import (
    POSITION_DONE,
    REG_NEUTRON_NET,
    REG_PATH_POSITION,
    Priority,
    path_label,
    path_position,
)

_TRACKED_NEW = "ct_state=+new-est"


def classifier_flows(context: PathOnHost) -> Iterator[Flow]:
    """Yield the flows that send traffic of the plan's sources on this host to the first hop."""
    for source in context.path.sources:
        # A source that is not plugged in sends nothing, so it is not reported as missing.
        port = context.switch.ports.get(source.port_id)
        if source.host != context.switch.host or port is None:
            continue
        outside = {f"in_port={port.ofport}", UNICAST, f"{REG_PATH_POSITION}=0"}
        for words in classifier_matches(context.path.classifiers[source.classifier]):
            yield from _entrance(context, words | outside)


def graph_ingress_flows(context: PathOnHost) -> Iterator[Flow]:
    """Yield the flows that accept packets of preceding chains in a service graph (table BRANCH).

    They ignore the source ports of the classifiers: all packets at the end of a chain come from
    its last functions.
    """
    for entry in context.path.entries:
        if context.switch.host not in {sender.host for sender in entry.senders}:
            continue
        end = path_position(path_label(entry.path_id), entry.hops)
        for classifier in context.path.classifiers:
            for words in classifier_matches(classifier):
                match = words | {f"{REG_PATH_POSITION}={end:#x}"}
                yield build_flow("BRANCH", Priority.BRANCH, match, *context.actions_into(0))


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


def _entrance(context: PathOnHost, match: frozenset[str]) -> Iterator[Flow]:
    """Yield flows in the tables where Neutron has completed the egress checks of the port."""
    below = Priority.REPLY_OFFSET if context.path.reverse else 0
    if context.switch.firewall is not Firewall.OPENVSWITCH:
        enter = _enter_from(context, "TRANSIENT")
        yield build_flow("TRANSIENT", Priority.CLASSIFY - below, match, *enter)
        return
    enter = _enter_from(context, "ACCEPT_OR_INGRESS")
    if not context.path.ends_after(-1):
        # This flow overtakes the firewall's flow that commits new connections to conntrack.
        # Replies need the conntrack entry.
        commit = f"ct(commit,zone=NXM_NX_{REG_NEUTRON_NET.upper()}[0..15])"
        new = match | {_TRACKED_NEW}
        yield build_flow("ACCEPT_OR_INGRESS", Priority.CLASSIFY_NEW - below, new, commit, *enter)
    yield build_flow("ACCEPT_OR_INGRESS", Priority.CLASSIFY - below, match, *enter)
    # Replies of connections that the other side opened do not pass ACCEPT_OR_INGRESS.
    enter = _enter_from(context, "ACCEPTED_EGRESS")
    yield build_flow("ACCEPTED_EGRESS", Priority.CLASSIFY - below, match, *enter)
    # After a restart of the switch, the firewall's flows for the port are missing for a moment,
    # and Neutron's table 60 would switch the packet with NORMAL.
    enter = _enter_from(context, "TRANSIENT")
    yield build_flow("TRANSIENT", Priority.CLASSIFY_UNGUARDED - below, match, *enter)


def _enter_from(context: PathOnHost, table: str) -> tuple[str, ...]:
    """Return the actions into the first hop; if all hops are taps, back into Neutron's table."""
    mark = set_field(POSITION_DONE, REG_PATH_POSITION)
    return context.actions_into(0, mark, resubmit(table))
