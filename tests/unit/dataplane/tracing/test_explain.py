"""Decisions that follow from the last flow that a packet has matched."""

import pytest

from portchain.dataplane.flow import COOKIE, Bridge
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.pipeline import Priority
from portchain.dataplane.tracing.explain import explain
from portchain.dataplane.tracing.host_view import HostView
from portchain.dataplane.tracing.output import parse
from portchain.dataplane.tracing.packet import Packet
from portchain.dataplane.tracing.packet_state import PacketState
from portchain.dataplane.tracing.steps import Decision, Reach, Step
from tests.plans import chain, ident, switch, target

PACKET = Packet(
    "fa:16:3e:00:00:01", "fa:16:3e:00:00:02", "IPv4", "10.0.0.10", "10.0.0.20", 6, 23, 100
)
PLAN = chain([target("a", "h1"), target("b", "h2")])
VIEW = HostView(
    switch("h1", "vm", "a-in", "a-out", firewall=Firewall.OPENVSWITCH),
    {"br-int": Bridge.INT, "br-tun": Bridge.TUN},
    [PLAN],
)
OURS = f"cookie {COOKIE:#x}"


def last_step(*lines: str, in_port: int = 11) -> Step:
    """Explain lines of one pass through br-int; return the last decision."""
    text = "\n".join(['bridge("br-int")', "--------", *lines, "", "Datapath actions: drop"])
    state = PacketState(PACKET, in_port)
    return explain(parse(text), VIEW, state, {}, is_start=True).steps[-1]


CLASSIFIED = (f"73. tcp, priority 320, {OURS}", "    set_field:0x10001->reg8", "    goto_table:150")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((" 0. priority 0", "    goto_table:71", "71. priority 0", "    drop"), "port security"),
        (("72. ct_state=+new, priority 0", "    resubmit(,93)", "93. priority 0", "    drop"),
         "no egress rule"),
        (("82. priority 0", "    resubmit(,93)", "93. priority 0", "    drop"), "no ingress rule"),
        ((f"73. tcp, priority 320, {OURS}", "    drop"), "cannot realise the chain"),
        ((f"73. tcp,nw_frag=yes, priority 305, {OURS}", "    drop"), "fragment"),
        ((*CLASSIFIED, f"150. reg8=0x10001, priority 10, {OURS}", "    drop"), "has no pair"),
        ((*CLASSIFIED, "150. No match.", "    drop"), "does not know this plan"),
        ((*CLASSIFIED, f"150. ip, priority 10, {OURS}", "    goto_table:152", "152. No match.",
          "    drop"), "no way to the selected pair"),
        ((f" 0. mpls, priority {Priority.STRAY_FRAME}, {OURS}", "    drop"), "no flow of this"),
        ((f" 0. ip, priority {Priority.OTHER_FROM_L2_FUNCTION}, {OURS}", "    drop"), "bridges"),
        ((" 0. priority 65535", "    drop"), "not wired the port"),
    ],
)  # fmt: skip
def test_what_drops_a_packet_is_named(lines: tuple[str, ...], words: str) -> None:
    step = last_step(*lines)
    assert step.decision is Decision.DROPPED
    assert words in step.reason
    assert (step.chain_id == PLAN.id) == (lines[: len(CLASSIFIED)] == CLASSIFIED)


def test_labels_of_the_way_to_another_host_leave_with_the_packet() -> None:
    text = f"""\
bridge("br-int")
----------------
73. tcp, priority 320, {OURS}
    set_field:0x10001->reg8
    set_field:0x{ident("b")[:8]}->reg9
    goto_table:152
152. ip, priority 10, {OURS}
    push_mpls:0x8847
    set_field:543705->mpls_label
    set_field:0->mpls_tc
    set_field:255->mpls_ttl
    push_mpls:0x8847
    set_field:65537->mpls_label
    set_field:0->mpls_tc
    set_field:239->mpls_ttl
    push_mpls:0x8847
    set_field:102->mpls_label
    output:1

bridge("br-tun")
----------------
 0. mpls,in_port=1, priority 301, {OURS}
    pop_mpls:0x8847
    output:NXM_NX_REG0[0..15]
     -> output port is 102

Datapath actions: 9
"""
    found = explain(parse(text), VIEW, PacketState(PACKET, 11), {}, is_start=True)
    (way,) = found.exits
    assert (way.reach, way.name) == (Reach.TUNNEL, "192.0.2.2")
    assert [(label.value, label.ttl) for label in way.packet.labels] == [
        (65537, 239),
        (543705, 255),
    ]
    assert [step.decision for step in found.steps] == [Decision.CLASSIFIED, Decision.FORWARDED]


def test_a_switch_that_floods_has_several_exits() -> None:
    text = """\
bridge("br-int")
----------------
94. priority 1
    NORMAL
     -> no learned MAC for destination, flooding

Datapath actions: 3,5,99
"""
    ports = {3: ("br-int", 12, "tap1"), 5: ("br-int", 13, "tap2"), 99: ("other", 1, "x")}
    found = explain(parse(text), VIEW, PacketState(PACKET, 11), ports, is_start=True)
    assert {way.name for way in found.exits} == {ident("a-in"), ident("a-out")}
    assert found.steps[0].decision is Decision.NOT_CLASSIFIED
