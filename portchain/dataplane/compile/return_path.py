"""From a function: on to the next hop or, after the last, back into Neutron's tables."""

import re
from collections.abc import Iterator

from portchain.dataplane.compile import sfc_aware, transport
from portchain.dataplane.compile.context import PathOnHost
from portchain.dataplane.flow import Flow, NoFlood
from portchain.dataplane.flow_builder import UNICAST, build_flow, goto, set_field
from portchain.dataplane.host_switch import Firewall, LocalPort
from portchain.dataplane.match import addresses_within, classifier_matches
from portchain.dataplane.pipeline import (
    POSITION_DONE,
    REG_NEUTRON_NET,
    REG_NEUTRON_PORT,
    REG_PATH_POSITION,
    Priority,
    path_position,
)
from portchain.dataplane.plan import Classifier, Source, Target


def return_flows(here: PathOnHost, index: int, target: Target) -> Iterator[Flow]:
    """What the function sends back goes to the next hop, or after the last on to its destination."""
    if (egress := here.port(target.egress_port)) is None:
        return
    at_end = _at_end(here, target, egress)
    if here.path.branches and here.path.ends_after(index):
        ended = (here.at_step(here.end), f"in_port={egress.ofport}")
        yield build_flow("BRANCH", Priority.POSITION, ended, *_back(at_end))
        at_end = [set_field(path_position(here.label, here.end), REG_PATH_POSITION), goto("BRANCH")]
    onward = here.into(index + 1, *at_end)
    if target.function.encapsulation:
        yield from sfc_aware.return_flows(here, index, target, egress, onward)
        return
    came_from = frozenset({f"in_port={egress.ofport}", UNICAST, f"{REG_PATH_POSITION}=0"})
    for number, classifier in enumerate(here.path.headers_after(index)):
        for priority, words in _returned(here, number, classifier):
            # Chains with different source ports may have the same header in common; then only addresses tell them apart.
            contestable = classifier.source_port_known and priority == Priority.RETURN
            yield build_flow(
                "LOCAL_SWITCHING", priority, words | came_from, *onward, contestable=contestable
            )
    if here.path.hops[index].headers:
        # What the function has not changed as stated is still the chain's, and must not go around the next ones.
        for classifier in here.path.headers_after(index - 1):
            for words in classifier_matches(classifier):
                yield build_flow("LOCAL_SWITCHING", Priority.RETURN_UNCHANGED, words | came_from)
    if target.function.chain_traffic_only:
        # Both ends of a bridge in one network make a circle: what it bridges besides the chain, e.g. broadcasts, and what
        # it sends itself would go round for ever. Nothing but the chain's frames gets in, either: what has been through the
        # function once and is flooded would come out as if the chain had sent it there.
        for port_id in (target.ingress_port, target.egress_port):
            if (port := here.port(port_id)) is not None:
                match = (f"in_port={port.ofport}",)
                yield build_flow("LOCAL_SWITCHING", Priority.OTHER_FROM_L2_FUNCTION, match)
                here.no_flood.add(NoFlood(port.ofport, port.record))


def _returned(
    here: PathOnHost, number: int, classifier: Classifier
) -> Iterator[tuple[int, frozenset[str]]]:
    known = [
        address
        for source in here.path.sources
        if source.classifier == number
        for address in addresses_within(source.addresses, classifier)
    ]
    if known and classifier.source_port_known:
        for words in classifier_matches(classifier, known):
            yield Priority.RETURN_EXACT, words
    for words in classifier_matches(classifier):
        yield Priority.RETURN, words


def _at_end(here: PathOnHost, target: Target, egress: LocalPort) -> list[str]:
    if not target.function.keeps_source_mac:
        return _into_neutron(here, egress)
    return [set_field(path_position(here.label, here.end), REG_PATH_POSITION), goto("REJOIN")]


def _into_neutron(here: PathOnHost, port: LocalPort) -> list[str]:
    """Rejoin Neutron's tables behind the egress checks: the chain vouches for what the function sends in its course.

    The port is not tracked: conntrack sees one direction only and would call the second packet invalid.
    """
    if here.switch.firewall is not Firewall.OPENVSWITCH:
        return [set_field(POSITION_DONE, REG_PATH_POSITION), goto("TRANSIENT")]
    return [
        set_field(POSITION_DONE, REG_PATH_POSITION),
        set_field(port.ofport, REG_NEUTRON_PORT),
        set_field(port.vlan, REG_NEUTRON_NET),
        goto("ACCEPT_OR_INGRESS"),
    ]


def _back(actions: list[str]) -> list[str]:
    """The same from one of our tables: only a resubmit goes back to a table with a smaller number."""
    return [re.sub(r"goto_table:(\d+)", r"resubmit(,\1)", action) for action in actions]


def rejoin_flows(here: PathOnHost) -> Iterator[Flow]:
    """A frame that still has the address of its origin goes on from there (docs/decisions/0008).

    Elsewhere, every learning switch on its way would take the function's place for the origin's.
    """
    end, host = here.end, here.switch.host
    last = here.path.senders_into(end)
    if not any(isinstance(one, Target) and one.function.keeps_source_mac for one in last):
        return
    ends_here = host in here.senders(end)
    for port_id, mac, origin in map(_place, here.path.origins):
        match = (here.at_step(end), f"dl_src={mac}")
        if origin.host == host:
            port = here.switch.ports.get(port_id)
            if port is None:
                continue
            from_port = f"set_field:{port.ofport}->in_port"
            onward = _back(_into_neutron(here, port))
            yield build_flow("REJOIN", Priority.POSITION, match, from_port, *onward)
            at_end = set_field(path_position(here.label, end), REG_PATH_POSITION)
            yield from transport.decapsulation_flows(
                here, origin, at_end, goto("REJOIN"), mac=mac, index=end, mark=transport.BACK
            )
        elif ends_here:
            yield from transport.encapsulation_flows(
                here, "REJOIN", match, origin, mac=mac, index=end, mark=transport.BACK
            )


def _place(origin: Source | Target) -> tuple[str, str, Source | Target]:
    """The port and MAC address that an origin's frames come from."""
    if isinstance(origin, Source):
        return origin.port_id, origin.mac, origin
    return origin.egress_port, origin.egress_mac, origin
