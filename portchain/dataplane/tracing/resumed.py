"""Completes traces in which Open vSwitch does not resume a packet. Pure, but for the switch.

``ofproto/trace-packet-out`` gives the actions that the trace begins with to the passes behind
connection tracking, too, and those end at once: "Recirculation conflict (actions)". Each such pass
is traced by itself, from the table where it should have resumed, with the packet as Open vSwitch
shows it there.
"""

import itertools
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from portchain.dataplane.tracing.output import Action, Event, parse

Retrace = Callable[[str, str, str], str]
"""Called with a bridge, a packet and an action; returns ``ofproto/trace-packet-out`` of these."""

_PASS = re.compile(r"^=+\nrecirc\(.*\n=+\n", re.MULTILINE)
_FLOW = re.compile(r"^Flow: (.*)$", re.MULTILINE)
_NOT_READ = re.compile(r"(?:recirc_id=\w+|eth|vlan_tci1=\w+)")
"""What Open vSwitch prints of a packet and does not read."""
_READ_AS = {"udp": "udp_", "udp6": "udp_", "sctp": "sctp_", "sctp6": "sctp_"}
_PORT = re.compile(r"tp_(?=src=|dst=)")
_CONFLICT = "Recirculation conflict (actions)"
_TRACKED = re.compile(r"ct\(.*\btable=(\d+)")
_MOST_PASSES = 16


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a packet is resumed that connection tracking has seen."""

    bridge: str
    table: int


def complete(text: str, retrace: Retrace) -> str:
    """Return a trace with all passes of its packet.

    :param text: output of ``ofproto/trace-packet-out``.
    """
    if _CONFLICT not in text:
        return text
    # Open vSwitch resumes packets in the order in which they were tracked.
    done: list[str] = []
    places: deque[_Place] = deque()
    waiting = deque(_passes(text))
    while waiting and len(done) < _MOST_PASSES:
        one = waiting.popleft()
        place = places.popleft() if done and places else None
        packet = _FLOW.search(one)
        if _CONFLICT in one and place is not None and packet is not None:
            again = retrace(place.bridge, _readable(packet[1]), f"resubmit(,{place.table})")
            first, *more = _passes(again)
            found = _PASS.match(one)
            one = (found[0] if found else "") + first
            waiting += more
        done.append(one)
        places += _places(one)
    return "".join(done)


def _passes(text: str) -> list[str]:
    """Divide a trace at the headings of its passes, each of which stays with its pass."""
    starts = [0, *(found.start() for found in _PASS.finditer(text)), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(starts)]


def _places(text: str) -> list[_Place]:
    return [place for event in parse(text) if (place := _place(event))]


def _place(event: Event) -> _Place | None:
    if not isinstance(event, Action):
        return None
    found = _TRACKED.match(event.text)
    return _Place(event.visit.bridge, int(found[1])) if found else None


def _readable(packet: str) -> str:
    """Return a packet as Open vSwitch reads it, which is not always as it prints it."""
    words = [word for word in packet.split(",") if not _NOT_READ.fullmatch(word)]
    ports = next((_READ_AS[word] for word in words if word in _READ_AS), "tcp_")
    text = ",".join(_PORT.sub(ports, word) for word in words)
    return text.replace("icmp_", "icmpv6_") if "icmp6" in words else text
