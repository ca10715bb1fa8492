"""Compares the way that a trace predicts with the places where a marked packet was seen. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from portchain.core.protocols import ICMP, ICMPV6, SCTP
from portchain.dataplane.tracing.journey import Journey, Outcome
from portchain.dataplane.tracing.packet import Packet
from portchain.dataplane.tracing.steps import Decision

TOKEN_BYTES = 16
"""The length of what marks a packet: the last bytes of its payload."""

_ECHO_REQUESTS = {ICMP: 8, ICMPV6: 128}
# What follows these headers decides how IPv6 packets are read (RFC 8200): a token must not.
_EXTENSION_HEADERS = frozenset({0, 43, 44, 50, 51, 60, 135, 139, 140})
_MOST_NAMED = 8


class Direction(StrEnum):
    """Which way a frame passes a port."""

    TO = "to"
    """From the switch to what is plugged in at the port."""
    FROM = "from"


@dataclass(frozen=True, slots=True)
class Spot:
    """A place where a packet can be seen.

    :param port_id: a Neutron port.
    """

    port_id: str
    direction: Direction


class Sight(StrEnum):
    """Whether a packet was seen at a spot."""

    NONE = ""
    """No packet was sent, or there is nothing to see."""
    SEEN = "SEEN"
    NOT_SEEN = "NOT_SEEN"
    NOT_WATCHED = "NOT_WATCHED"


@dataclass(frozen=True, slots=True)
class Observation:
    """What hosts say of a marked packet.

    :param not_sent: why it was not sent; empty if it was.
    :param unwatched: spots that could not be watched, and why.
    """

    not_sent: str = ""
    seen: frozenset[Spot] = frozenset()
    unwatched: Mapping[Spot, str] = field(default_factory=dict)

    def sight(self, spot: Spot | None) -> Sight:
        """Return whether the packet was seen at a spot."""
        if spot is None or self.not_sent:
            return Sight.NONE
        if spot in self.seen:
            return Sight.SEEN
        return Sight.NOT_WATCHED if spot in self.unwatched else Sight.NOT_SEEN


@dataclass(frozen=True, slots=True)
class Place:
    """A spot on a packet's way, as the viewer of the trace may know it.

    :param label: names it.
    :param host: empty if the viewer does not see it.
    :param reason: why it could not be watched; empty if it could, or the viewer may not know.
    """

    label: str
    sight: Sight
    direction: Direction = Direction.TO
    host: str = ""
    reason: str = ""


_DIRECTIONS = {
    Decision.DELIVERED: Direction.TO,
    Decision.COPIED: Direction.TO,
    Decision.RETURNED: Direction.FROM,
}


def spots_of(journey: Journey) -> tuple[Spot | None, ...]:
    """Return for each step where the packet can be seen then; None if it cannot."""
    found: list[Spot | None] = []
    for _, step in journey.steps:
        direction = _DIRECTIONS.get(step.decision)
        found.append(Spot(step.port_id, direction) if direction and step.port_id else None)
    return tuple(found)


def why_not_sendable(packet: Packet) -> str:
    """Return why hosts send no such packet; empty if they do."""
    is_in_chain = packet.labels or packet.outer or packet.nsh or packet.tunnel_id
    refusals = (
        (packet.is_established, "a live trace sends the first packet of a connection"),
        (is_in_chain or packet.vlan is not None, "ports send packets without headers of chains"),
        (packet.protocol == SCTP, "a live trace cannot send SCTP"),
        (not _is_echo_request(packet), "of ICMP, a live trace sends echo requests only"),
        (
            packet.ethertype != "IPv4" and packet.protocol in _EXTENSION_HEADERS,
            "a live trace cannot send headers that extend IPv6",
        ),
    )
    return next((reason for is_refused, reason in refusals if is_refused), "")


def _is_echo_request(packet: Packet) -> bool:
    """Tell whether a packet is an echo request of its IP version, if it is of ICMP at all."""
    if packet.protocol not in _ECHO_REQUESTS:
        return True
    kind, code = packet.source_port, packet.destination_port
    of_version = ICMP if packet.ethertype == "IPv4" else ICMPV6
    return packet.protocol == of_version and (kind, code) == (_ECHO_REQUESTS[of_version], 0)


def outcome(predicted: Outcome, at_end: Sight) -> Outcome:
    """Return how the way of a packet has ended.

    :param at_end: whether it was seen at its destination.
    """
    return {Sight.SEEN: Outcome.DELIVERED, Sight.NOT_SEEN: Outcome.DROPPED}.get(at_end, predicted)


def summary(places: Sequence[Place], end: Place | None, not_sent: str) -> str:
    """Return in words where a packet was seen, compared with where it was expected.

    :param places: those that the trace predicts, in their order.
    :param end: the destination, if the trace does not predict that the packet gets there.
    """
    if not_sent:
        return f"no packet was sent: {not_sent}"
    text = _compare(places)
    if end is not None and end.sight is Sight.SEEN:
        text += f"; it was seen at {end.label}, although the trace does not predict that"
    elif end is not None and end.sight is Sight.NOT_SEEN:
        text += f"; it was not seen at {end.label}, as predicted"
    unwatched = [one for one in (*places, *([end] if end else [])) if _is_dark(one)]
    if unwatched:
        words = [f"{one.label}{f' ({one.reason})' if one.reason else ''}" for one in unwatched]
        text += f"; not watched: {_listed(list(dict.fromkeys(words)))}"
    return text


def _is_dark(place: Place) -> bool:
    return place.sight is Sight.NOT_WATCHED


def _compare(places: Sequence[Place]) -> str:
    watched = [one for one in places if one.sight in (Sight.SEEN, Sight.NOT_SEEN)]
    seen = [one for one in watched if one.sight is Sight.SEEN]
    missing = [one for one in watched if one.sight is Sight.NOT_SEEN]
    if not places:
        return "the packet was sent"
    if not watched:
        return "the packet was sent, and no port where it is expected could be watched"
    if not missing:
        return f"the packet was seen at {_labels(seen)}, as predicted"
    first = watched.index(missing[0])
    if any(one.sight is Sight.SEEN for one in watched[first:]):
        return (
            f"the packet was seen at {_labels(seen)}, but not at {_labels(missing)}: "
            "it took another way than predicted"
        )
    last = watched[first - 1] if first else None
    hint = _where_to_look(last, missing[0], places)
    if last is None:
        return f"the packet was sent and seen nowhere; expected first at {missing[0].label}: {hint}"
    return f"the packet was last seen at {last.label}; expected next at {missing[0].label}: {hint}"


def _where_to_look(last: Place | None, expected: Place, places: Sequence[Place]) -> str:
    if last is not None and (last.direction, expected.direction) == (Direction.TO, Direction.FROM):
        between = places[places.index(last) + 1 : places.index(expected)]
        if not any(one.direction is Direction.TO for one in between):
            return "look at the function, which has got it and has not returned it"
    hosts = [one.host for one in (last, expected) if one is not None and one.host]
    if len(set(hosts)) > 1:
        return f"look at the way from host {hosts[0]} to host {hosts[1]}"
    if hosts:
        return f"look at the way to it, with the flows and the log of host {hosts[0]}"
    return "look at the way to it"


def _labels(places: Sequence[Place]) -> str:
    return _listed(list(dict.fromkeys(one.label for one in places)))


def _listed(words: list[str]) -> str:
    more = len(words) - _MOST_NAMED
    return ", ".join([*words[:_MOST_NAMED], *([f"{more} more"] if more > 0 else [])])
