"""Where a packet enters a host of OVN: on br-chain, or on OVN's own bridge."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from portchain.dataplane.flow import Bridge
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.tracing.host_view import HostView, OvnBridge, OvnTunnel
from portchain.dataplane.tracing.packet import Label, Packet
from portchain.dataplane.tracing.steps import Decision, Exit, HostTrace, Reach, Start
from portchain.host.bridge import UnreachableSwitchError
from portchain.host.trace_service import TraceService
from portchain.host.tracer import HostTracer, Tracing
from portchain.host.worker import HostWorker
from portchain.rpc import trace_codec
from tests.plans import TUNNEL_IPS, ident, mac, ovn_switch

PLAIN = Packet(mac("vm"), mac("dst"), "IPv4", "10.0.0.10", "10.0.0.20", 17, 1000, 100)
LABELLED = replace(PLAIN, labels=(Label(0x10001), Label(5)))
BY_OVN = replace(PLAIN, tunnel_id=1, tunnel_metadata=0x10002)
PEER = TUNNEL_IPS["h2"]
OVN = OvnBridge(
    "br-int",
    {ident("plain"): 7},
    {PEER: OvnTunnel(8), TUNNEL_IPS["h3"]: OvnTunnel(9, has_metadata=False)},
    {"provnet-1": 10},
)
VIEW = HostView(ovn_switch("h1", "vm"), {"br-chain": Bridge.INT, "br-int": None}, (), {}, OVN)
UNSEEN = replace(VIEW, bridges={"br-chain": Bridge.INT}, ovn=None)


class Switch:
    """Says that a packet is dropped; notes where it entered."""

    asked = ""

    def appctl(self, command: str, *args: str) -> str:
        bridge, flow = args
        self.asked = f"{bridge} {flow.partition(',')[0]}"
        return f'bridge("{bridge}")\n---\n 0. priority 0\n    drop\n\nDatapath actions: drop'

    def dump_table(self, bridge: str, table: int) -> str:
        return ""


def enter(view: HostView, start: Start, packet: Packet) -> tuple[str, HostTrace]:
    switch = Switch()
    trace = HostTracer(switch).trace(view, start, packet)
    return switch.asked, trace


VM = VIEW.local.ports[ident("vm")].ofport
TUNNEL = VIEW.local.tunnels[PEER]


@pytest.mark.parametrize(
    ("start", "packet", "place"),
    [
        (Start(port_id=ident("vm")), PLAIN, f"br-chain in_port={VM}"),
        (Start(port_id=ident("plain")), PLAIN, "br-int in_port=7"),
        (Start(peer=PEER), LABELLED, f"br-chain in_port={TUNNEL}"),
        (Start(peer=PEER), BY_OVN, "br-int in_port=8"),
        (Start(peer=TUNNEL_IPS["h3"]), replace(BY_OVN, tunnel_metadata=0), "br-int in_port=9"),
        (Start(network="provnet-1"), replace(PLAIN, vlan=5), "br-int in_port=10"),
    ],
)
def test_packets_enter_by_the_bridge_that_has_their_port(
    start: Start, packet: Packet, place: str
) -> None:
    asked, _ = enter(VIEW, start, packet)
    assert asked == place


@pytest.mark.parametrize(
    ("start", "packet", "decision", "words"),
    [
        (Start(port_id=ident("gone")), PLAIN, Decision.DROPPED, "not plugged in"),
        (Start(peer="192.0.2.9"), LABELLED, Decision.DROPPED, "no tunnel"),
        (Start(peer="192.0.2.9"), BY_OVN, Decision.DROPPED, "no tunnel"),
        (Start(network="provnet-2"), PLAIN, Decision.DROPPED, "physical network"),
        (Start(peer=PEER), replace(BY_OVN, tunnel_metadata=0), Decision.LOST, "earlier release"),
    ],
)
def test_packets_that_do_not_enter_are_told_why(
    start: Start, packet: Packet, decision: Decision, words: str
) -> None:
    asked, trace = enter(VIEW, start, packet)
    assert asked == ""
    assert trace.exits == ()
    (step,) = trace.steps
    assert step.decision is decision
    assert words in step.reason


def test_a_bridge_that_cannot_be_asked_is_said_to_be_unseen() -> None:
    for start in (Start(port_id=ident("plain")), Start(peer=PEER), Start(network="provnet-1")):
        asked, trace = enter(UNSEEN, start, BY_OVN)
        assert asked == ""
        assert trace.steps[0].decision is Decision.LOST
        assert "on the host only" in trace.steps[0].reason
    assert enter(UNSEEN, Start(peer=PEER), LABELLED)[0].startswith("br-chain")
    assert enter(UNSEEN, Start(port_id=ident("vm")), PLAIN)[0].startswith("br-chain")


def test_ways_out_of_ovns_bridge_are_known_by_their_ports() -> None:
    found = {number: VIEW.way_out("br-int", number, "") for number in range(7, 12)}
    assert found == {
        7: (Reach.PORT, ident("plain")),
        8: (Reach.TUNNEL, PEER),
        9: (Reach.TUNNEL, TUNNEL_IPS["h3"]),
        10: (Reach.PHYSICAL, "provnet-1"),
        11: (Reach.UNKNOWN, "port 11 of br-int"),
    }
    wire = VIEW.local.ports[ident("vm")].wire
    assert wire is not None
    reach, name = UNSEEN.way_out("br-chain", wire.network, "")
    assert reach is Reach.UNKNOWN
    assert "OVN's bridge" in name


TO_CHECKS = """\
bridge("br-chain")
------------------
 0. priority 10
    set_field:0x1->reg4
    goto_table:60
60. udp, priority 320
    set_field:0x110001->reg8
    goto_table:150
150. reg4=0x1, priority 40
    set_field:0x2->reg4
    resubmit(,143)
143. priority 10
    set_field:0e:00:00:00:00:01->eth_dst
    output:{network}

Datapath actions: 1
"""


class Classifying(Switch):
    """Sends a packet to OVN's checks, and delivers it afterwards."""

    def __init__(self, network: int) -> None:
        self._network = network
        self.questions: list[tuple[str, ...]] = []

    def appctl(self, command: str, *args: str) -> str:
        self.questions.append((command, *args))
        if command == "ofproto/trace":
            return TO_CHECKS.format(network=self._network)
        return f'bridge("br-chain")\n---\n60. priority 10\n    output:{VM}\n'


def test_a_trace_without_ovns_bridge_goes_on_as_if_its_checks_passed() -> None:
    """And says so; then the packet is traced from the gate on, by a second question."""
    wire = VIEW.local.ports[ident("vm")].wire
    assert wire is not None
    switch = Classifying(wire.network)
    trace = HostTracer(switch).trace(UNSEEN, Start(port_id=ident("vm")), PLAIN)
    first, unseen, last = trace.steps
    assert first.decision is Decision.CLASSIFIED
    assert unseen.decision is Decision.FORWARDED
    assert "not seen from here" in unseen.reason
    assert last.decision is Decision.DELIVERED
    assert trace.exits == (Exit(Reach.PORT, ident("vm"), PLAIN),)
    command, bridge, flow, actions = switch.questions[1]
    assert (command, bridge, actions) == ("ofproto/trace-packet-out", "br-chain", "resubmit(,60)")
    assert f"dl_dst={mac('dst')}" in flow
    assert "reg" not in flow


# --- What answers for a switch.


class Elsewhere:
    """A switch that something else is asked for, or nothing."""

    def __init__(self, tracing: Switch | None) -> None:
        self._tracing = tracing
        self.is_open = False

    def view(self, plans: Sequence[ChainPlan]) -> HostView:
        assert not self.is_open, "ports are read by another thread, which must not wait for this"
        return VIEW

    @contextmanager
    def tracing(self) -> Iterator[Tracing]:
        if self._tracing is None:
            raise UnreachableSwitchError("install it")
        self.is_open = True
        yield self._tracing
        self.is_open = False


def answer_of(switch: Elsewhere) -> HostTrace:
    def ask(question: Callable[[], Any], seconds: float) -> Any:
        return question()

    worker = SimpleNamespace(reconciler=SimpleNamespace(plans=()), ask=ask, host="h1")
    service = TraceService(cast("HostWorker", worker), switch)
    request = trace_codec.encode_request(Start(port_id=ident("vm")), PLAIN)
    return trace_codec.decode_trace(service(request))


def test_the_service_asks_what_answers_for_the_switch() -> None:
    tracing = Switch()
    switch = Elsewhere(tracing)
    assert answer_of(switch).steps[-1].decision is Decision.DROPPED
    assert tracing.asked == f"br-chain in_port={VM}"
    assert not switch.is_open


def test_the_service_says_why_nothing_answers_for_the_switch() -> None:
    (step,) = answer_of(Elsewhere(None)).steps
    assert (step.decision, step.reason) == (Decision.LOST, "install it")
