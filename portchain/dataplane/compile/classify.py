"""Into the chain: what sources send is diverted to the first hop, where Neutron has checked it."""

from collections.abc import Iterator

from portchain.core.protocols import NEIGHBOUR_DISCOVERY
from portchain.dataplane.compile.context import PathOnHost
from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import UNICAST, build_flow, set_field
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.match import classifier_matches, covers_neighbour_discovery
from portchain.dataplane.pipeline import (
    POSITION_DONE,
    REG_NEUTRON_NET,
    REG_PATH_POSITION,
    TABLES,
    Priority,
    path_label,
    path_position,
)

_TRACKED_NEW = "ct_state=+new-est"


def classifier_flows(here: PathOnHost) -> Iterator[Flow]:
    """Divert what the plan's sources on this host send to the first hop."""
    for source in here.path.sources:
        # A source that is not plugged in sends nothing: the chain is complete without it, and classifies as it comes.
        port = here.switch.ports.get(source.port_id)
        if source.host != here.switch.host or port is None:
            continue
        for words in classifier_matches(here.path.classifiers[source.classifier]):
            yield from _hook(
                here, words | {f"in_port={port.ofport}", UNICAST, f"{REG_PATH_POSITION}=0"}
            )


def graph_ingress_flows(here: PathOnHost) -> Iterator[Flow]:
    """Divert to the first hop what leaves the chains before this one in a service graph and is for this one.

    Where a chain ends depends on nothing but its last functions, so the classifiers' source ports do not count here.
    """
    for entry in here.path.entries:
        if here.switch.host not in {sender.host for sender in entry.senders}:
            continue
        at_end = f"{REG_PATH_POSITION}={path_position(path_label(entry.path_id), entry.hops):#x}"
        for classifier in here.path.classifiers:
            for words in classifier_matches(classifier):
                yield build_flow("BRANCH", Priority.BRANCH, words | {at_end}, *here.into(0))


def _hook(here: PathOnHost, match: frozenset[str]) -> Iterator[Flow]:
    """Divert packets where Neutron has finished checking what the port sends, not before."""
    below = Priority.REPLY_OFFSET if here.path.reverse else 0
    if here.switch.firewall is not Firewall.OPENVSWITCH:
        yield build_flow("TRANSIENT", Priority.CLASSIFY - below, match, *_enter(here, "TRANSIENT"))
        return
    enter = _enter(here, "ACCEPT_OR_INGRESS")
    if not here.path.ends_after(-1):
        # The firewall commits a new connection in the rules that we overtake here; its replies need that entry.
        commit = f"ct(commit,zone=NXM_NX_{REG_NEUTRON_NET.upper()}[0..15])"
        new = match | {_TRACKED_NEW}
        yield build_flow("ACCEPT_OR_INGRESS", Priority.CLASSIFY_NEW - below, new, commit, *enter)
    yield build_flow("ACCEPT_OR_INGRESS", Priority.CLASSIFY - below, match, *enter)
    # Replies of connections that others opened come here without passing ACCEPT_OR_INGRESS.
    yield build_flow(
        "ACCEPTED_EGRESS", Priority.CLASSIFY - below, match, *_enter(here, "ACCEPTED_EGRESS")
    )
    # While the firewall has not taken charge of the port (its rules are lost when the switch restarts), packets would be
    # switched normally from here; below its rule, above NORMAL.
    yield build_flow(
        "TRANSIENT", Priority.CLASSIFY_UNGUARDED - below, match, *_enter(here, "TRANSIENT")
    )


def _enter(here: PathOnHost, table: str) -> tuple[str, ...]:
    """To the first hop. Where there are but taps, the packet goes on in Neutron's table as if nothing had been."""
    return here.into(
        0, set_field(POSITION_DONE, REG_PATH_POSITION), f"resubmit(,{TABLES[table].number})"
    )


def neighbour_discovery_flows(here: PathOnHost) -> Iterator[Flow]:
    """Keep unicast neighbour discovery out: it is about the link too, and a classifier cannot say "all but these"."""
    if any(covers_neighbour_discovery(classifier) for classifier in here.path.classifiers):
        for icmp_type in NEIGHBOUR_DISCOVERY:
            match = ("icmp6", f"icmp_type={icmp_type}", f"{REG_PATH_POSITION}=0")
            again = f"resubmit(,{TABLES['LOCAL_SWITCHING'].number})"
            yield build_flow(
                "LOCAL_SWITCHING",
                Priority.NEIGHBOUR_DISCOVERY,
                match,
                set_field(POSITION_DONE, REG_PATH_POSITION),
                again,
            )
