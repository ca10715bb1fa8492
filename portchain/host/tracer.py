"""Traces packets on one host: asks Open vSwitch, which changes nothing when it traces."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from portchain.dataplane.flow import Bridge, Flow, parse_dump
from portchain.dataplane.flow_builder import with_resubmit
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.tracing.explain import Ports, explain
from portchain.dataplane.tracing.host_view import HostView
from portchain.dataplane.tracing.output import Action, Event, parse, parse_ports, split
from portchain.dataplane.tracing.packet import Packet
from portchain.dataplane.tracing.packet_state import PacketState
from portchain.dataplane.tracing.parts import Explained, Frozen
from portchain.dataplane.tracing.reasons import ANSWERED
from portchain.dataplane.tracing.resumed import complete
from portchain.dataplane.tracing.steps import Decision, HostTrace, Start, Step

_MOST_PARTS = 8
_MOST_TRACKINGS = 8
_OVN_UNSEEN = "it comes here by OVN, whose bridge can be asked on the host only"
_NO_METADATA = (
    "it comes here by OVN, and the server, of an earlier release, has not kept what says for which "
    "port"
)
_OPEN_CONNECTION = "trk,est"


class Tracing(Protocol):
    """An ovs-vswitchd that can be asked about packets."""

    def appctl(self, command: str, *args: str) -> str:
        """Give ovs-vswitchd a command, and return its answer; raise if it refuses."""

    def dump_table(self, bridge: str, table: int) -> str:
        """Return the flows of a table of a bridge as ``ovs-ofctl dump-flows`` prints them."""


class TraceableSwitch(Protocol):
    """The switch of a host that packets are traced in."""

    def view(self, plans: Sequence[ChainPlan]) -> HostView:
        """Return what is known of the host."""

    def tracing(self) -> AbstractContextManager[Tracing]:
        """Return what answers for the switch until the context ends.

        :raises UnreachableSwitchError: nothing does, and the text says why.
        """


class HostTracer:
    """Traces packets on one host."""

    def __init__(self, switch: Tracing) -> None:
        self._switch = switch

    def trace(self, view: HostView, start: Start, packet: Packet) -> HostTrace:
        """Return what the host does with a packet.

        :raises Exception: Open vSwitch does not answer, or refuses.
        """
        place = _place(view, start, packet)
        if isinstance(place, Step):
            return HostTrace((place,), ())
        bridge, in_port = place
        state = PacketState(packet, in_port, hidden=packet.depth)
        text = self._ask("ofproto/trace", bridge, state)
        steps: list[Step] = []
        for _ in range(_MOST_PARTS):
            part = self._explain(text, view, state, is_start=bool(start.port_id) and not steps)
            steps += part.steps
            if part.frozen is None:
                return HostTrace(tuple(_with_answers(view, start, steps)), part.exits)
            rest = list(part.frozen.actions) or self._rest_of(view, part.frozen)
            if rest is None:
                break
            state = part.frozen.state
            actions = _begin(state, rest)
            text = self._ask("ofproto/trace-packet-out", part.frozen.visit.bridge, state, actions)
        reason = "Open vSwitch does not show what it does with the packet behind this table"
        return HostTrace((*steps, Step(Decision.LOST, reason)), ())

    def _ask(self, command: str, bridge: str, state: PacketState, *actions: str) -> str:
        tracked = ["--ct-next", _OPEN_CONNECTION] * _MOST_TRACKINGS
        registers = {name: f"{value:#x}" for name, value in state.registers.items() if value}
        flow = state.packet.flow_text(state.in_port, registers)
        options = tracked if state.packet.is_established else []
        text = self._switch.appctl(command, *options, bridge, flow, *actions)
        return complete(
            text, lambda *words: self._switch.appctl("ofproto/trace-packet-out", *options, *words)
        )

    def _explain(
        self, text: str, view: HostView, state: PacketState, *, is_start: bool
    ) -> Explained:
        events = parse(text)
        ports: Ports = {}
        if any(_forwards_normally(event) for event in events):
            ports = parse_ports(self._switch.appctl("dpif/show"))
        return explain(events, view, state, ports, is_start=is_start)

    def _rest_of(self, view: HostView, frozen: Frozen) -> list[str] | None:
        """Return the actions of a flow behind those that remove a header; None if it has gone."""
        visit = frozen.visit
        words = frozenset((visit.match or "").split(","))
        role = view.bridges[visit.bridge] or Bridge.INT
        for flow in parse_dump(role, self._switch.dump_table(visit.bridge, visit.table)):
            if flow.key.priority == visit.priority and flow.key.match == words:
                return _behind_header(flow)
        return None


def _place(view: HostView, start: Start, packet: Packet) -> tuple[str, int] | Step:
    """Return the bridge and the OpenFlow port at which a packet arrives, or why it cannot."""
    if view.local.has_br_chain:
        return _place_on_ovn(view, start, packet)
    local = view.local
    names = {role: name for name, role in view.bridges.items() if role is not None}
    if start.port_id:
        port = local.ports.get(start.port_id)
        return _no_place(start) if port is None else (names[Bridge.INT], port.ofport)
    if start.peer:
        bridge, tunnel = names.get(Bridge.TUN), local.tunnels.get(start.peer)
        return _no_place(start) if bridge is None or tunnel is None else (bridge, tunnel)
    physical = local.physical.get(start.network)
    return _no_place(start) if physical is None else (names[Bridge.INT], physical.patch_to_physical)


def _place_on_ovn(view: HostView, start: Start, packet: Packet) -> tuple[str, int] | Step:
    """As ``_place``, on a host of OVN: chains have tunnels and ports of their own on br-chain."""
    local, ovn = view.local, view.ovn
    br_chain = next(name for name, role in view.bridges.items() if role is Bridge.INT)
    is_chains = bool(start.port_id) or packet.labels
    ports = {one: port.ofport for one, port in local.ports.items()}
    number = ports.get(start.port_id) if start.port_id else local.tunnels.get(start.peer)
    if is_chains and number is not None:
        return br_chain, number
    if ovn is None:
        return _no_place(start) if packet.labels else Step(Decision.LOST, _OVN_UNSEEN)
    tunnel = ovn.tunnels.get(start.peer)
    if tunnel is not None and tunnel.has_metadata and not packet.tunnel_metadata:
        return Step(Decision.LOST, _NO_METADATA, peer=start.peer)
    if not packet.labels:
        number = ovn.ports.get(start.port_id) or ovn.physical.get(start.network)
        number = tunnel.ofport if tunnel else number
    return _no_place(start) if number is None else (ovn.name, number)


def _no_place(start: Start) -> Step:
    """Return why a host does not get a packet."""
    if start.port_id:
        reason = "the port is not plugged in on this host"
        return Step(Decision.DROPPED, reason, port_id=start.port_id)
    if start.peer:
        reason = "this host has no tunnel to the one that sends the packet"
        return Step(Decision.DROPPED, reason, peer=start.peer)
    reason = "this host has no bridge for the physical network"
    return Step(Decision.DROPPED, reason, peer=start.network)


def _with_answers(view: HostView, start: Start, steps: list[Step]) -> Iterator[Step]:
    """Yield steps; those that deliver a packet to its sender say that it is OVN's answer."""
    for step in steps:
        is_back = step.decision is Decision.DELIVERED and step.port_id == start.port_id
        is_answer = view.local.has_br_chain and is_back and not step.pair_id
        yield replace(step, reason=ANSWERED) if is_answer else step


def _forwards_normally(event: Event) -> bool:
    return isinstance(event, Action) and event.text == "NORMAL"


def _behind_header(flow: Flow) -> list[str]:
    """Return the actions from the first on that removes a header."""
    actions = split(flow.actions)
    first = next(n for n, one in enumerate(actions) if one.startswith(("pop_mpls", "decap(")))
    return actions[first:]


def _begin(state: PacketState, actions: list[str]) -> str:
    """Do what actions do to a packet before it goes to a table; return the other actions."""
    at_once = ("pop_mpls", "decap(", "set_field:")
    begun = list(itertools.takewhile(lambda action: action.startswith(at_once), actions))
    for action in begun:
        state.apply(action)
    state.hidden = state.packet.depth
    return ",".join(with_resubmit(actions[len(begun) :])) or "drop"
