"""Sends the packet of a trace, and says where hosts have seen it."""

import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, Protocol

from portchain.core import model, rules
from portchain.dataplane.tracing import live
from portchain.dataplane.tracing.journey import Journey, Outcome, Topology
from portchain.dataplane.tracing.live import Direction, Observation, Place, Spot
from portchain.dataplane.tracing.packet import Packet
from portchain.dataplane.tracing.steps import Decision
from portchain.rpc.live import HostFailedError
from portchain.rpc.live_codec import WatchRequest

WAIT_SECONDS = 3.0
"""How long hosts wait for the packet, at most: a function may first ask for an address."""

Shown = dict[str, Any]


class Hosts(Protocol):
    """Hosts that can be asked; ``rpc.live.LiveClient`` implements it."""

    def watch(
        self, context: Any, requests: Mapping[str, WatchRequest]
    ) -> Mapping[str, dict[str, str] | HostFailedError]:
        """Have hosts watch for a packet."""

    def send(self, context: Any, host: str, token: bytes, port_id: str, packet: Packet) -> str:
        """Have a host send it."""

    def sightings(
        self, context: Any, hosts: list[str], token: bytes, seconds: float
    ) -> Mapping[str, frozenset[Spot] | HostFailedError]:
        """Ask hosts where they have seen it."""


def check_live(packet: Packet, port: model.Port) -> None:
    """Refuse a packet that a port may not send.

    The network of a host whose firewall is not in Open vSwitch would take it all the same.

    :raises Violation: the packet is of a kind that hosts do not send, or its source address is not
        one of the port's.
    """
    if reason := live.why_not_sendable(packet):
        attribute = "established" if packet.is_established else "protocol"
        raise rules.Violation(attribute, reason)
    if port.port_security and not _may_send_from(port, packet.source):
        raise rules.Violation(
            "source_ip_address",
            f"a live trace sends from an address of port {port.id}, and {packet.source} is none",
        )


def _may_send_from(port: model.Port, address: str) -> bool:
    source = ip_address(address)
    pairs = (one for one in port.address_pairs if one.mac_address == port.mac_address)
    return address in port.fixed_ips or any(source in ip_network(one.prefix) for one in pairs)


@dataclass(frozen=True, slots=True)
class Sending:
    """A packet that is to be sent.

    :param journey: what its trace predicts.
    :param port_id: the port that sends it; ``end_port``: the one that it is for.
    """

    packet: Packet
    journey: Journey
    port_id: str
    end_port: str

    def spots(self, places: Topology) -> dict[Spot, str]:
        """Return spot -> its host, of all where the packet may be seen."""
        predicted = zip(live.spots_of(self.journey), self.journey.steps, strict=True)
        found = {spot: host for spot, (host, _) in predicted if spot is not None}
        if self.end_port:
            found.setdefault(Spot(self.end_port, Direction.TO), places.host_of(self.end_port))
        return found

    def requests(self, spots: Mapping[Spot, str]) -> dict[str, WatchRequest]:
        """Return host -> what it is to watch for, with a new token."""
        token, by_host = secrets.token_bytes(live.TOKEN_BYTES), defaultdict(set)
        for spot, host in spots.items():
            if host:
                by_host[host].add(spot)
        ends = self.packet.source, self.packet.destination
        return {
            host: WatchRequest(token, frozenset(some), *ends)
            for host, some in sorted(by_host.items())
        }


def observe(context: Any, hosts: Hosts, sending: Sending, places: Topology) -> Observation:
    """Have hosts watch the ports on a packet's way, send it once, and return where it was seen."""
    spots = sending.spots(places)
    requests = sending.requests(spots)
    if not requests:
        return Observation("no port on its way is bound to a host")
    token = next(iter(requests.values())).token
    unwatched = {spot: "it is not bound to a host" for spot, host in spots.items() if not host}
    answers = hosts.watch(context, requests)
    for host, answer in answers.items():
        for spot in requests[host].spots:
            if isinstance(answer, HostFailedError):
                unwatched[spot] = str(answer)
            elif spot.port_id in answer:
                unwatched[spot] = answer[spot.port_id]
    source = places.host_of(sending.port_id)
    not_sent = "the port is not bound to a host"
    if source:
        not_sent = hosts.send(context, source, token, sending.port_id, sending.packet)
    watching = [one for one, answer in answers.items() if not isinstance(answer, HostFailedError)]
    seen: set[Spot] = set()
    seconds = 0 if not_sent else WAIT_SECONDS
    for host, found in hosts.sightings(context, watching, token, seconds).items():
        if isinstance(found, HostFailedError):
            unwatched |= dict.fromkeys(requests[host].spots, str(found))
        else:
            seen |= found & requests[host].spots
    return Observation(not_sent, frozenset(seen), unwatched)


def add_observation(
    shown: Sequence[Shown], sending: Sending, seen: Observation, *, sees_end: bool
) -> tuple[list[Shown], Outcome]:
    """Return the steps of a trace with what was seen, and how the packet's way has ended.

    :param shown: the steps as their viewer may see them.
    :param sees_end: whether the viewer may know about the port that the packet is for.
    """
    spots = live.spots_of(sending.journey)
    steps = [
        step | {"seen": str(seen.sight(spot))} for step, spot in zip(shown, spots, strict=True)
    ]
    places = [
        _place(_label(step), spot, seen, step["host"], is_visible=bool(step["port_id"]))
        for step, spot in zip(shown, spots, strict=True)
        if spot is not None
    ]
    end = Spot(sending.end_port, Direction.TO) if sending.end_port else None
    unpredicted = None
    if end is not None and end not in spots:
        unpredicted = _place("its destination", end, seen, is_visible=sees_end)
    last: Shown = dict.fromkeys(shown[0], "") if shown else {}
    last |= {
        "decision": str(Decision.OBSERVED),
        "reason": live.summary(places, unpredicted, seen.not_sent),
        "table": None,
        "hop": None,
    }
    return [*steps, last], live.outcome(sending.journey.outcome, seen.sight(end))


def _place(label: str, spot: Spot, seen: Observation, host: str = "", *, is_visible: bool) -> Place:
    reason = seen.unwatched.get(spot, "") if is_visible else ""
    return Place(label, seen.sight(spot), spot.direction, host, reason)


def _label(step: Shown) -> str:
    kind = {"DELIVERED": "port", "COPIED": "tap port"}.get(step["decision"], "egress port")
    if not step["port_id"]:
        return "a port of another project"
    if step["decision"] == "DELIVERED" and step["port_pair_id"]:
        kind = "ingress port"
    return f"{kind} {step['port_id']}" + (f" on host {step['host']}" if step["host"] else "")
