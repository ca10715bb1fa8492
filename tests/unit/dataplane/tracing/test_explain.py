"""Decisions that follow from the flows that a packet has matched."""

from dataclasses import replace
from typing import Any

import pytest

from portchain.dataplane.flow import COOKIE, Bridge, BridgeKind
from portchain.dataplane.host_switch import Firewall, PhysicalBridge
from portchain.dataplane.pipeline import (
    POSITION_DONE,
    POSITION_RETURNED,
    REG_SLOT,
    TABLES,
    Priority,
    path_label,
    path_position,
)
from portchain.dataplane.tracing.explain import Ports, explain
from portchain.dataplane.tracing.host_view import HostView
from portchain.dataplane.tracing.output import Block, Visit, parse
from portchain.dataplane.tracing.packet import Label, Packet
from portchain.dataplane.tracing.packet_state import PacketState
from portchain.dataplane.tracing.parts import Explained
from portchain.dataplane.tracing.reasons import NO_CLASSIFIER, why_dropped
from portchain.dataplane.tracing.steps import Decision, Exit, Reach, Step
from tests.plans import TUNNEL_IPS, chain, ident, switch, target

PACKET = Packet(
    "fa:16:3e:00:00:01", "fa:16:3e:00:00:02", "IPv4", "10.0.0.10", "10.0.0.20", 6, 23, 100
)
PLAN = chain([target("a", "h1"), target("b", "h2")])
VIEW = HostView(
    switch("h1", "vm", "a-in", "a-out", firewall=Firewall.OPENVSWITCH),
    {"br-int": Bridge.INT, "br-tun": Bridge.TUN},
    [PLAN],
)
INT, TUN = BridgeKind.INT, BridgeKind.TUN
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
    in_chain = lines[: len(CLASSIFIED)] == CLASSIFIED
    assert (step.chain_id, step.hop) == ((PLAN.id, 0) if in_chain else ("", None))


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


# --- What hosts decide on a packet's way through a chain.

LABEL = path_label(PLAN.path_id)
ENTERED, NEXT = (f"{path_position(LABEL, hop, 0):#x}" for hop in (0, 1))
A, B, C = (int(ident(name)[:8], 16) for name in "abc")


def explained(
    *lines: str,
    in_port: int = 11,
    view: HostView = VIEW,
    packet: Packet = PACKET,
    ports: Ports = {},  # noqa: B006 - nobody changes it
    **more: Any,
) -> Explained:
    """Explain lines of one pass, through br-int unless they name another bridge."""
    first = () if lines[0].startswith("bridge") else ('bridge("br-int")', "--------")
    text = "\n".join([*first, *lines, "", f"Datapath actions: {more.pop('datapath', 'drop')}"])
    state = PacketState(packet, in_port, hidden=more.pop("hidden", 0))
    return explain(parse(text), view, state, ports, is_start=more.pop("is_start", True))


def decisions(found: Explained) -> list[tuple[Decision, str, int | None]]:
    return [(step.decision, step.chain_id, step.hop) for step in found.steps]


def selected(*lines: str, pair: int = A) -> list[str]:
    """Lines that classify a packet, and select a pair as these lines say."""
    return [
        *CLASSIFIED,
        f"150. ip,reg8=0x10001, priority 10, {OURS}",
        "    goto_table:155",
        *lines,
        f"    set_field:{pair:#x}->reg9",
        "    goto_table:152",
        f"152. reg8=0x10001, priority 10, {OURS}",
    ]


ONLY = ("151. priority 10", "    resubmit(,151)")


def test_a_packet_enters_a_chain_and_its_function_gets_it() -> None:
    to_function = "    set_field:fa:16:3e:00:00:0a->eth_dst"
    found = explained(*selected(*ONLY), to_function, "    output:12")
    assert decisions(found) == [
        (Decision.CLASSIFIED, PLAN.id, None),
        (Decision.SELECTED, PLAN.id, 0),
        (Decision.DELIVERED, PLAN.id, 0),
    ]
    entered, _, delivered = found.steps
    assert (entered.bridge, entered.table, entered.pair_id) == ("br-int", 73, "")
    assert delivered.reason == "the ingress port of the selected pair"
    assert (delivered.port_id, delivered.pair_id) == (ident("a-in"), ident("a"))
    sent = replace(PACKET, eth_dst="fa:16:3e:00:00:0a")
    assert found.exits == (Exit(Reach.PORT, ident("a-in"), sent, ident("a")),)


WEIGHTED = replace(
    VIEW, plans=[chain([target("a", "h1", 3), target("b", "h2"), target("c", "h2", 0)])]
)
CHOSEN = (f"146. priority 10, {OURS}", f"    set_field:0x7->{REG_SLOT}")


@pytest.mark.parametrize(
    ("lines", "pair", "reason"),
    [
        (ONLY, A, "it is the only pair of its group that takes new traffic"),
        (
            ("155. reg8=0x10001, priority 10", "    resubmit(,151)"),
            *(A, "flow affinity: earlier packets of this traffic flow have visited it"),
        ),
        (("155. No match.", "        drop", *ONLY), A, "it is the only pair"),
        (CHOSEN, A, "hash slot 7, which belongs to it; weight 3 of 4 in its group"),
        (CHOSEN, B, "hash slot 7, which belongs to it; weight 1 of 4 in its group"),
        (CHOSEN, C, "the traffic flow has hash slot 7, which belongs to it"),
        (CHOSEN, 0x5, "the traffic flow has hash slot 7, which belongs to it"),
    ],
)
def test_a_trace_says_why_a_pair_is_selected(
    lines: tuple[str, ...], pair: int, reason: str
) -> None:
    found = explained(*selected(*lines, pair=pair), "    output:12", view=WEIGHTED)
    step = found.steps[1]
    assert step.decision is Decision.SELECTED
    assert reason in step.reason
    assert step.reason.endswith(reason) or "only" in reason
    pairs = {A: ident("a"), B: ident("b"), C: ident("c")}
    assert step.pair_id == pairs.get(pair, "00000005")


def test_a_pair_is_selected_by_a_plan_that_the_host_has_no_more() -> None:
    found = explained(*selected(*CHOSEN), "    output:12", view=replace(VIEW, plans=[]))
    assert decisions(found)[1] == (Decision.SELECTED, "", 0)
    assert found.steps[1].reason == "the traffic flow has hash slot 7, which belongs to it"


def moved(table: int, priority: int, position: str, *then: str, cookie: str = OURS) -> list[str]:
    """Lines of a flow that changes the path position."""
    lines = [f" {table}. ip, priority {priority}, {cookie}", f"    set_field:{position}->reg8"]
    return [*lines, *(then or ("    output:11",))]


def test_a_function_returns_a_packet_that_goes_on() -> None:
    (returned, *_) = explained(*moved(0, Priority.RETURN, NEXT), in_port=13).steps
    assert (returned.decision, returned.chain_id, returned.hop) == (Decision.RETURNED, PLAN.id, 0)
    assert (returned.port_id, returned.pair_id) == (ident("a-out"), ident("a"))
    (again, *_) = explained(*moved(0, Priority.RETURN, ENTERED), in_port=13).steps
    assert (again.decision, again.hop) == (Decision.RETURNED, 0)


def test_a_packet_leaves_its_chain_behind_the_last_function() -> None:
    done = f"{POSITION_DONE:#x}"
    lines = moved(0, Priority.RETURN, f"{POSITION_RETURNED:#x}", "    goto_table:148")
    found = explained(*lines, *moved(148, 10, done), in_port=13)
    assert decisions(found) == [
        (Decision.RETURNED, "", None),
        (Decision.LEFT, "", None),
        (Decision.DELIVERED, "", None),
    ]
    assert (found.steps[0].port_id, found.steps[0].pair_id) == (ident("a-out"), ident("a"))
    assert found.steps[-1].reason == "its destination is here"
    bridging = moved(0, Priority.RETURN, NEXT, "    goto_table:153")
    found = explained(*bridging, *moved(153, 10, done), in_port=13)
    assert decisions(found)[1] == (Decision.LEFT, PLAN.id, None)


def test_a_packet_of_a_chain_comes_from_another_host() -> None:
    frame = [f" 0. mpls,mpls_label={LABEL}, priority {Priority.CHAIN_FRAME}, {OURS}"]
    found = explained(*frame, f"    set_field:{ENTERED}->reg8", "    drop", is_start=False)
    assert decisions(found) == [
        (Decision.RECEIVED, PLAN.id, None),
        (Decision.DROPPED, PLAN.id, 0),
    ]


@pytest.mark.parametrize("position", [POSITION_DONE, POSITION_RETURNED])
def test_a_packet_behind_its_chain_is_dropped_in_no_chain(position: int) -> None:
    step = explained(*moved(0, Priority.RETURN, f"{position:#x}", "    drop")).steps[-1]
    assert (step.decision, step.chain_id, step.hop) == (Decision.DROPPED, "", None)


def test_replies_are_told_from_requests() -> None:
    (path,) = PLAN.paths
    both = replace(PLAN, paths=(path, replace(path, reverse=True)))
    for reverse in (False, True):
        label = path_label(PLAN.path_id, reverse)
        lines = moved(73, Priority.CLASSIFY, f"{path_position(label, 0, 0):#x}", "    drop")
        steps = explained(*lines, view=replace(VIEW, plans=[both])).steps
        assert [step.reverse for step in steps] == [reverse] * 2


@pytest.mark.parametrize(
    ("table", "priority"), [("ARRIVED", Priority.POSITION), ("RETURNED", Priority.CHAIN_FRAME)]
)
def test_only_the_first_table_takes_packets_from_functions_and_hosts(
    table: str, priority: int
) -> None:
    found = explained(*moved(TABLES[table].number, priority, NEXT), is_start=False)
    assert [step.decision for step in found.steps] == [Decision.DELIVERED]


@pytest.mark.parametrize("hop", [0, 1])
def test_a_packet_enters_the_next_chain_of_a_service_graph(hop: int) -> None:
    lines = moved(149, Priority.BRANCH, f"{path_position(LABEL, hop, 0):#x}")
    found = explained(*lines, is_start=False).steps[0]
    assert (found.decision is Decision.CLASSIFIED) is (hop == 0)


@pytest.mark.parametrize(
    ("table", "priority", "position", "reason"),
    [
        (0, Priority.TO_GROUP, POSITION_DONE, "broadcast and multicast"),
        (0, Priority.LINK_TRAFFIC, POSITION_DONE, "neighbour discovery"),
        (73, Priority.CLASSIFY, POSITION_DONE, "a router forwards it"),
        (0, Priority.OWN_TRAFFIC, 0, "the function has sent it of its own"),
    ],
)
def test_packets_that_stay_out_of_chains(
    table: int, priority: int, position: int, reason: str
) -> None:
    before = [] if position else moved(0, 1, ENTERED, "    goto_table:0")
    steps = explained(*before, *moved(table, priority, f"{position:#x}")).steps
    (step,) = [one for one in steps if one.decision is Decision.NOT_CLASSIFIED]
    assert step.reason.startswith(reason)
    assert (step.table, step.chain_id) == (table, "")


# --- Packets that no classifier matches.

PLAIN = ("73. priority 1", "    output:12")


@pytest.mark.parametrize(
    ("lines", "firewall", "unclassified"),
    [
        (PLAIN, Firewall.OPENVSWITCH, True),
        (("94. priority 1", "    output:12"), Firewall.OPENVSWITCH, True),
        (("60. priority 1", "    output:12"), Firewall.OPENVSWITCH, False),
        (("60. priority 1", "    output:12"), Firewall.ELSEWHERE, True),
        (("71. priority 1", "    drop"), Firewall.OPENVSWITCH, False),
        ((f"73. ip, priority 320, {OURS}", "    drop"), Firewall.OPENVSWITCH, False),
        ((f"73. ip, priority 320, {OURS}", "    output:12"), Firewall.OPENVSWITCH, True),
        (("73. priority 1", "    drop"), Firewall.OPENVSWITCH, True),
        (
            (f"73. ip, priority 1, {OURS}", "    goto_table:94", "94. priority 0", "    drop"),
            *(Firewall.OPENVSWITCH, True),
        ),
    ],
)
def test_a_packet_is_in_no_chain_if_it_has_passed_where_chains_begin(
    lines: tuple[str, ...], firewall: Firewall, unclassified: bool
) -> None:
    view = replace(VIEW, local=switch("h1", "vm", "a-in", "a-out", firewall=firewall))
    first, *_ = explained(*lines, view=view).steps
    assert (first.reason == NO_CLASSIFIER) is unclassified
    if unclassified:
        table = int(lines[0].partition(".")[0])
        assert first == Step(Decision.NOT_CLASSIFIED, NO_CLASSIFIER, "br-int", table)
    assert explained(*lines, view=view, is_start=False).steps[0].reason != NO_CLASSIFIER


def test_what_a_function_returns_is_in_a_chain_and_other_bridges_have_no_classifiers() -> None:
    entrance = ("73. priority 1", "    output:12")
    found = explained(*moved(0, Priority.RETURN, NEXT, "    goto_table:73"), *entrance, in_port=13)
    assert NO_CLASSIFIER not in {step.reason for step in found.steps}
    for table in (73, 152):
        beyond = ('bridge("br-tun")', "---", f"{table}. priority 1", "    output:102")
        (step,) = explained(*beyond).steps
        assert (step.decision, step.pair_id) == (Decision.FORWARDED, "")


# --- Where packets leave a host.

WIDE = replace(
    VIEW,
    local=replace(VIEW.local, patch_to_tun=21, patch_to_int=31),
    bridges={**VIEW.bridges, "br-net": Bridge.physical("net"), "br-ovn": None},
    interfaces={"tap1": ident("vm")},
)


def at(bridge: str, number: int) -> Exit | None:
    """Return the way of a packet that a bridge sends out at a port."""
    lines = (f'bridge("{bridge}")', "--------", " 0. priority 1", f"    output:{number}")
    return next(iter(explained(*lines, view=WIDE).exits), None)


@pytest.mark.parametrize(
    ("bridge", "number", "reach", "name"),
    [
        ("br-int", 12, Reach.PORT, ident("a-in")),
        ("br-int", 102, Reach.TUNNEL, TUNNEL_IPS["h2"]),
        ("br-int", 7, Reach.UNKNOWN, "port 7 of br-int"),
        ("br-tun", 103, Reach.TUNNEL, TUNNEL_IPS["h3"]),
        ("br-tun", 12, Reach.UNKNOWN, "port 12 of br-tun"),
        ("br-net", 102, Reach.PHYSICAL, "net"),
        ("br-ovn", 12, Reach.UNKNOWN, "port 12 of br-ovn"),
    ],
)
def test_a_packet_leaves_by_what_is_at_the_port(
    bridge: str, number: int, reach: Reach, name: str
) -> None:
    assert at(bridge, number) == Exit(reach, name, PACKET)


def test_what_other_bridges_do_is_beyond_the_host() -> None:
    assert at("br-else", 12) is None
    lost = explained('bridge("br-ovn")', "---", " 0. priority 1", "    output:9", view=WIDE).steps
    assert [(step.decision, step.reason) for step in lost] == [
        (Decision.NOT_CLASSIFIED, "no chain on this host has the port as a source"),
        (Decision.LOST, "it leaves by port 9 of br-ovn"),
    ]


def test_a_packet_that_goes_to_another_host_says_how() -> None:
    def last(*lines: str, packet: Packet = PACKET) -> Step:
        return explained(*lines, view=WIDE, packet=packet).steps[-1]

    plain = last('bridge("br-net")', "---", " 0. priority 1", "    output:9")
    assert (plain.decision, plain.peer) == (Decision.FORWARDED, "net")
    assert plain.reason == "by the physical network, as Neutron sends it"
    labelled = replace(PACKET, labels=(Label(LABEL),))
    chained = last('bridge("br-tun")', "---", " 0. priority 1", "    output:102", packet=labelled)
    assert (chained.decision, chained.peer) == (Decision.FORWARDED, TUNNEL_IPS["h2"])
    assert chained.reason == "through the tunnel, with the labels of its chain"


@pytest.mark.parametrize("note", ["skipping output to input port", "output to nonexistent port"])
def test_a_packet_that_the_switch_does_not_send_is_dropped_with_its_words(note: str) -> None:
    found = explained(*PLAIN, f"     >> {note}")
    assert not found.exits
    assert (found.steps[-1].decision, found.steps[-1].reason) == (Decision.DROPPED, note)


def test_ports_that_actions_name_are_not_flooded_to_again() -> None:
    ports = {5: ("br-int", 12, "a"), 6: ("br-int", 13, "b"), 7: ("br-ovn", 1, "tap1")}
    lines = ("94. priority 1", "    output:12", "    NORMAL", "     -> flooding")
    found = explained(*lines, ports=ports, datapath="5,6,7,8", view=WIDE)
    assert [way.name for way in found.exits] == [ident("a-in"), ident("a-out"), ident("vm")]
    unknown = {5: ("br-int", 99, "tap9")}
    (way,) = explained("94. priority 1", "    NORMAL", ports=unknown, datapath="5").exits
    assert (way.reach, way.name) == (Reach.UNKNOWN, "tap9")
    notes = ("     -> no way", "     -> at all")
    last = explained("94. priority 1", "    NORMAL", *notes).steps[-1]
    assert last.reason == "no way at all"


TAP = replace(VIEW, plans=[chain([target("a", "h1")], [target("b", "h2")])])


@pytest.mark.parametrize(
    ("number", "port", "peer", "pair"),
    [(12, ident("a-in"), "", ident("a")), (102, "", TUNNEL_IPS["h2"], "")],
)
def test_a_tap_gets_a_copy_and_the_packet_goes_on_unchanged(
    number: int, port: str, peer: str, pair: str
) -> None:
    copied = "fa:16:3e:00:00:0a"
    found = explained(
        *CLASSIFIED,
        f"154. ip, priority 10, {OURS}",
        f"    clone(set_field:5->reg9,set_field:{copied}->eth_dst,output:{number})",
        "    set_field:5->reg9",
        f"    set_field:{copied}->eth_dst",
        f"    output:{number}",
        "    output:13",
    )
    copy, onward = found.steps[1:]
    assert (copy.decision, copy.port_id, copy.peer, copy.pair_id, copy.chain_id, copy.hop) == (
        *(Decision.COPIED, port, peer, pair, PLAN.id, 0),
    )
    assert (onward.decision, onward.port_id) == (Decision.DELIVERED, ident("a-out"))
    assert found.exits == (Exit(Reach.PORT, ident("a-out"), PACKET),)


def test_where_a_copy_has_gone_is_no_reason_why_the_packet_is_dropped() -> None:
    found = explained(
        *CLASSIFIED,
        f"150. ip, priority 10, {OURS}",
        "    clone(output:21)",
        "    output:21",
        "",
        '    bridge("br-tun")',
        "    ----------------",
        "         0. priority 1",
        "            output:102",
        "    drop",
        view=WIDE,
    )
    last = found.steps[-1]
    assert (last.decision, last.bridge, last.table) == (Decision.DROPPED, "br-int", 150)
    assert last.reason == "the group of the next hop has no pair that can forward packets"


# --- Several bridges and passes.


def test_a_packet_that_another_bridge_has_got_too_goes_on_as_before() -> None:
    found = explained(
        *CLASSIFIED,
        f"152. ip, priority 10, {OURS}",
        f"    set_field:{A:#x}->reg9",
        "    output:21",
        "",
        '    bridge("br-tun")',
        "    ----------------",
        "         0. priority 1",
        "            output:102",
        "    output:12",
        view=WIDE,
    )
    assert [way.name for way in found.exits] == [TUNNEL_IPS["h2"], ident("a-in")]
    assert found.steps[-1].pair_id == ident("a")


def test_a_packet_that_goes_to_a_bridge_beyond_the_host_leaves_there() -> None:
    lines = ("60. priority 1", "    output:7", "", 'bridge("br-else")', "---", " 0. priority 1")
    assert [way.name for way in explained(*lines, "    output:1").exits] == ["port 7 of br-int"]


def test_a_switch_that_sees_a_packet_again_forgets_to_which_ports_it_has_sent_it() -> None:
    text = f"""\
bridge("br-int")
----------------
94. priority 1
    output:12
    clone(set_field:{PACKET.eth_src}->eth_dst,output:12)
    set_field:{PACKET.eth_src}->eth_dst
    output:12

Datapath actions: 5,recirc(0x1)

bridge("br-int")
----------------
94. priority 1
    NORMAL

Datapath actions: 5,6
"""
    ports = {5: ("br-int", 12, "a"), 6: ("br-int", 13, "b")}
    found = explain(parse(text), VIEW, PacketState(PACKET, 11), ports, is_start=True)
    assert [way.name for way in found.exits] == [ident("a-in"), ident("a-in"), ident("a-out")]
    assert {way.packet for way in found.exits} == {PACKET}


@pytest.mark.parametrize(
    ("second", "patch", "in_port"), [("br-tun", 31, 31), ("br-ovn", 31, 31), ("br-tun", None, 0)]
)
def test_a_packet_enters_the_next_bridge_by_a_patch_port_without_registers(
    second: str, patch: int | None, in_port: int
) -> None:
    view = replace(WIDE, local=replace(WIDE.local, patch_to_int=patch))
    labelled = replace(PACKET, labels=(Label(LABEL),))
    text = f"""\
bridge("br-int")
----------------
73. tcp, priority 1
    set_field:0x7->reg1
    ct(table=94,zone=1)

Datapath actions: ct,recirc(0x1)

bridge("br-int")
----------------
94. priority 1
    output:21

bridge("{second}")
----------------
 0. priority 1
    pop_mpls:0x800
"""
    state = PacketState(labelled, 11, hidden=1)
    found = explain(parse(text), view, state, {}, is_start=True)
    assert found.frozen is not None
    assert found.frozen.state == PacketState(labelled, in_port, hidden=1)
    assert not found.steps, "what follows is not known yet"


FROM_NETWORK = ('bridge("br-net")', "---", " 0. priority 1", "    output:1", "")


@pytest.mark.parametrize("before", [(), FROM_NETWORK])
def test_registers_are_of_one_bridge_and_the_chain_is_known_on_the_next(
    before: tuple[str, ...],
) -> None:
    found = explained(
        *before,
        'bridge("br-int")',
        "--------",
        *CLASSIFIED,
        f"152. ip, priority 10, {OURS}",
        "    output:21",
        "",
        'bridge("br-tun")',
        "--------",
        " 0. priority 1",
        "    output:102",
        view=WIDE,
        packet=replace(PACKET, labels=(Label(LABEL),)),
    )
    assert decisions(found)[-1] == (Decision.FORWARDED, PLAN.id, 0)


PHYSICAL = {"net": PhysicalBridge(41, 42)}
UNKNOWN: dict[str, Any] = {"physical": {}, "patch_to_tun": None}


@pytest.mark.parametrize(
    ("first", "known", "in_port"),
    [
        ("br-tun", {"physical": PHYSICAL}, 21),
        ("br-ovn", {"physical": PHYSICAL}, 21),
        ("br-net", {"physical": PHYSICAL}, 41),
        ("br-tun", UNKNOWN, 0),
        ("br-net", UNKNOWN, 0),
    ],
)
@pytest.mark.parametrize(
    ("header", "pop"),
    [({"labels": (Label(LABEL),)}, "pop_mpls:0x800"), ({"nsh": (1, 2, 3)}, "decap()")],
)
def test_a_header_that_the_switch_cannot_look_behind_ends_a_trace(
    first: str, known: dict[str, Any], in_port: int, header: dict[str, Any], pop: str
) -> None:
    """The trace is continued from there, with what was below the header."""
    view = replace(WIDE, local=replace(WIDE.local, **known))
    packet = replace(PACKET, **header)
    lines = (
        *(f'bridge("{first}")', "---", " 0. priority 1", "    output:1", ""),
        *('bridge("br-int")', "---", f" 0. mpls, priority 301, {OURS}"),
        *("    set_field:0x7->reg1", f"    {pop}", "    output:12"),
    )
    found = explained(*lines, view=view, packet=packet, hidden=1, is_start=False)
    assert found.frozen is not None
    assert (found.frozen.visit.bridge, found.frozen.visit.table) == ("br-int", 0)
    assert found.frozen.state == PacketState(packet, in_port, {"reg1": 7}, hidden=1)
    assert not found.exits
    assert Decision.DROPPED not in {step.decision for step in found.steps}
    assert explained(*lines, view=view, packet=packet, is_start=False).exits


def test_a_packet_without_hidden_headers_does_not_end_a_trace() -> None:
    framed = replace(PACKET, outer=("fa:16:3e:00:00:03", "fa:16:3e:00:00:04"))
    assert explained(" 0. ip, priority 1", "    decap()", "    output:12", packet=framed).exits


def test_a_packet_keeps_its_registers_while_the_switch_tracks_its_connection() -> None:
    text = f"""\
bridge("br-int")
----------------
73. tcp, priority 320, {OURS}
    ct(commit,zone=1)
    learn(table=155,reg8[])
    set_field:0x10001->reg8
    ct(table=150,zone=1)
    set_field:0->reg8
    clone(output:12)
    output:12

Datapath actions: ct,recirc(0x1)

bridge("br-int")
----------------
    thaw
        Resuming from table 150
150. No match.
    drop

Datapath actions: drop
"""
    found = explain(parse(text), VIEW, PacketState(PACKET, 11), {}, is_start=True)
    assert decisions(found)[0] == (Decision.CLASSIFIED, PLAN.id, None)
    assert decisions(found)[-1] == (Decision.DROPPED, PLAN.id, 0)


# --- Reasons.


def visit(
    bridge: str, table: int, priority: int, match: str | None = "", ours: bool = True
) -> Visit:
    return Visit(Block(0, bridge), table, match, priority, COOKIE if ours else 0)


@pytest.mark.parametrize(
    ("visits", "kind", "words"),
    [
        (
            [visit("br-tun", 0, Priority.STRAY_FRAME)],
            BridgeKind.TUN,
            "no flow of this host expects",
        ),
        (
            [visit("br-tun", 0, Priority.STRAY_FRAME, ours=False)],
            BridgeKind.TUN,
            "br-tun has no way",
        ),
        ([visit("br-tun", 0, 1)], TUN, "bridge br-tun has no way to its destination"),
        ([visit("br-int", 0, Priority.EXPIRED)], INT, "an NSH with a TTL of 0"),
        ([visit("br-int", 0, 7)], INT, "a flow of portchain drops it"),
        ([visit("br-int", 149, Priority.BRANCH_FRAGMENT)], INT, "a fragment may belong"),
        (
            [visit("br-int", 150, Priority.BRANCH_FRAGMENT)],
            BridgeKind.INT,
            "has no pair that can forward",
        ),
        ([visit("br-int", 149, Priority.BRANCH)], INT, "cannot realise the chain"),
        (
            [visit("br-int", 146, Priority.NO_PAIR)],
            BridgeKind.INT,
            "no pair that takes new traffic",
        ),
        (
            [visit("br-int", 151, Priority.NO_PAIR)],
            BridgeKind.INT,
            "no pair that takes new traffic",
        ),
        (
            [visit("br-int", 148, 1, None, ours=False)],
            BridgeKind.INT,
            "no source of the chain may use",
        ),
        (
            [visit("br-int", 150, 1, ours=False)],
            BridgeKind.INT,
            "no flow of Neutron's in table 150",
        ),
        (
            [visit("br-int", 99, 1, None, ours=False)],
            BridgeKind.INT,
            "no flow of Neutron's in table 99",
        ),
        ([visit("br-int", 25, 2, ours=False)], INT, "MAC spoofing"),
        ([visit("br-int", 93, 2, ours=False)], INT, "no flow of Neutron's in table 93"),
        ([visit("br-chain", 150, Priority.ENTER)], INT, "comes from its gate"),
        ([visit("br-int", 8, 50), visit("br-int", 9, 0)], None, "OVN does not forward it"),
    ],
)
def test_reasons_follow_from_the_last_flow(
    visits: list[Visit], kind: BridgeKind | None, words: str
) -> None:
    assert words in why_dropped(visits, kind)
