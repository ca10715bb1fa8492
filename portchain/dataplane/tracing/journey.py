"""Follows a packet from host to host. Pure, but for asking the hosts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from portchain.core.function_kinds import L2, MPLS_AWARE, NSH_AWARE, FunctionTraits
from portchain.dataplane.tracing.packet import Packet
from portchain.dataplane.tracing.steps import Decision, Exit, HostTrace, Reach, Start, Step

MOST_VISITS = 64
"""So many times hosts are asked at most: a packet that visits more is in a loop."""


class Outcome(StrEnum):
    """How the way of a packet ends."""

    DELIVERED = "DELIVERED"
    DROPPED = "DROPPED"
    LOST = "LOST"


@dataclass(frozen=True, slots=True)
class Function:
    """A port pair that a packet can visit.

    :param egress_ports: ingress port -> egress port; both ways, for replies.
    """

    traits: FunctionTraits
    egress_ports: Mapping[str, str]


class Topology(Protocol):
    """Where things are, as the server knows. Empty text means that it does not know."""

    def host_of(self, port_id: str) -> str:
        """Return the host that a port is bound to."""

    def host_at(self, address: str) -> str:
        """Return the host with a tunnel address."""

    def tunnel_address(self, host: str) -> str:
        """Return the tunnel address of a host."""

    def mac_of(self, port_id: str) -> str:
        """Return the MAC address of a port."""

    def port_with(self, mac: str) -> str:
        """Return the port that frames to a MAC address are for."""

    def function(self, pair_id: str) -> Function | None:
        """Return the function of a port pair; None if there is no such pair."""


@dataclass(frozen=True, slots=True)
class Journey:
    """The way of a packet.

    :param steps: each with its host.
    """

    steps: tuple[tuple[str, Step], ...]
    outcome: Outcome


Ask = Callable[[str, Start, Packet], HostTrace]
"""Asks a host. An exception means that it does not answer."""


def follow(port_id: str, packet: Packet, topology: Topology, ask: Ask) -> Journey:
    """Return the way of a packet that a port sends."""
    steps: list[tuple[str, Step]] = []
    host, start = topology.host_of(port_id), Start(port_id=port_id)
    next_hop = packet.eth_dst
    for _ in range(MOST_VISITS):
        trace = ask(host, start, packet)
        steps += ((host, _in_chain(step, steps)) for step in trace.steps)
        way = _choose(trace.exits, topology, packet)
        if way is None:
            is_lost = any(step.decision is Decision.LOST for step in trace.steps)
            return Journey(tuple(steps), Outcome.LOST if is_lost else Outcome.DROPPED)
        if way.reach is Reach.PORT and not way.pair_id:
            return Journey(tuple(steps), Outcome.DELIVERED)
        onward = _onward(host, way, next_hop, topology)
        if isinstance(onward, Step):
            return Journey((*steps, (host, onward)), Outcome.LOST)
        host, start, packet = onward
    reason = "the packet does not arrive: it has visited too many hosts and functions"
    return Journey((*steps, (host, Step(Decision.LOST, reason))), Outcome.LOST)


_IN_CHAIN = (Decision.RETURNED, Decision.LEFT)


def _in_chain(step: Step, before: Sequence[tuple[str, Step]]) -> Step:
    """Return a step with its chain: hosts cannot tell it where several chains end in one way."""
    if step.chain_id or step.decision not in _IN_CHAIN:
        return step
    last = next((known for _, known in reversed(before) if known.chain_id), step)
    return replace(step, chain_id=last.chain_id, reverse=last.reverse)


def _choose(ways: tuple[Exit, ...], topology: Topology, packet: Packet) -> Exit | None:
    """Return the way to follow: of a flooded packet, that to its destination.

    What is neither here nor behind a tunnel is on the physical network, if the packet goes there.
    """
    if len(ways) < 2:
        return next(iter(ways), None)
    end = topology.port_with(packet.eth_dst)
    address = topology.tunnel_address(topology.host_of(end))
    return min(ways, key=lambda w: (w.name not in (end, address), w.reach is not Reach.PHYSICAL))


def _onward(
    host: str, way: Exit, next_hop: str, topology: Topology
) -> tuple[str, Start, Packet] | Step:
    """Return where a packet comes next, and as what; or why nobody knows."""
    if way.reach is Reach.PORT:
        return _return(host, way, next_hop, topology)
    if way.reach is Reach.TUNNEL:
        peer = topology.host_at(way.name)
        if not peer:
            return Step(Decision.LOST, f"no host has the tunnel address {way.name}", peer=way.name)
        return peer, Start(peer=topology.tunnel_address(host)), way.packet
    if way.reach is Reach.PHYSICAL:
        mac = way.packet.outer[1] if way.packet.outer else way.packet.eth_dst
        peer = topology.host_of(topology.port_with(mac))
        if peer and peer != host:
            return peer, Start(network=way.name), way.packet
        reason = "no port of these networks has its destination address: a router outside may"
        return Step(Decision.LOST, reason, peer=way.name)
    return Step(Decision.LOST, f"it leaves by {way.name}, which portchain does not know")


def _return(
    host: str, way: Exit, next_hop: str, topology: Topology
) -> tuple[str, Start, Packet] | Step:
    """Return what a function returns, if it works as its kind says."""
    function = topology.function(way.pair_id)
    egress = function.egress_ports.get(way.name) if function else None
    if function is None or egress is None:
        reason = f"the server does not know port pair {way.pair_id}"
        return Step(Decision.LOST, reason, pair_id=way.pair_id, port_id=way.name)
    packet = way.packet
    mac = topology.mac_of(egress)
    if function.traits == NSH_AWARE and packet.nsh is not None:
        path, index, ttl = packet.nsh
        packet = replace(packet, nsh=(path, index - 1, ttl - 1), outer=(mac, next_hop))
    elif function.traits == MPLS_AWARE and packet.labels:
        label = packet.labels[0]
        labels = (replace(label, ttl=label.ttl - 1), *packet.labels[1:])
        packet = replace(packet, labels=labels, eth_src=mac, eth_dst=next_hop)
    elif function.traits != L2:
        packet = replace(packet, eth_src=mac, eth_dst=next_hop)
    return host, Start(port_id=egress), packet
