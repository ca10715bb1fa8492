"""How a switch is told of a packet, and what its actions do to the packet."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from portchain.core import protocols
from portchain.dataplane.tracing.packet import Label, Packet
from portchain.dataplane.tracing.packet_state import PacketState

PACKET = Packet("fa:16:3e:00:00:01", "fa:16:3e:00:00:02", "IPv4", "10.0.0.1", "10.0.0.2", 6, 23, 80)
PACKET6 = replace(PACKET, ethertype="IPv6", source="fd00::1", destination="fd00::2")
LABELS = (Label(0x10001, 2, 239), Label(102))
ETHERNET = "in_port=3,dl_src=fa:16:3e:00:00:01,dl_dst=fa:16:3e:00:00:02"
IP = "nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64"
IP6 = "ipv6_src=fd00::1,ipv6_dst=fd00::2,nw_ttl=64"


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (PACKET, f"tcp,{IP},tcp_src=23,tcp_dst=80,tcp_flags=0x002"),
        (
            replace(PACKET, is_established=True),
            f"tcp,{IP},tcp_src=23,tcp_dst=80,tcp_flags=0x010",
        ),
        (replace(PACKET, protocol=protocols.UDP), f"udp,{IP},udp_src=23,udp_dst=80"),
        (replace(PACKET6, protocol=protocols.SCTP), f"sctp6,{IP6},sctp_src=23,sctp_dst=80"),
        (
            replace(PACKET, protocol=protocols.ICMP, source_port=8, destination_port=1),
            f"icmp,{IP},icmp_type=8,icmp_code=1",
        ),
        (
            replace(PACKET6, protocol=protocols.ICMPV6, source_port=128, destination_port=0),
            f"icmp6,{IP6},icmpv6_type=128,icmpv6_code=0",
        ),
        (replace(PACKET, protocol=47), f"ip,nw_proto=47,{IP}"),
        (
            replace(PACKET, labels=LABELS),
            "dl_type=0x8847,mpls_label=65537,mpls_ttl=239,mpls_tc=2,mpls_bos=0",
        ),
        (
            replace(PACKET, labels=LABELS[1:]),
            "dl_type=0x8847,mpls_label=102,mpls_ttl=255,mpls_tc=0,mpls_bos=1",
        ),
        (
            replace(PACKET, nsh=(0x10001, 254, 63)),
            "dl_type=0x894f,nsh_mdtype=1,nsh_np=3,nsh_spi=0x10001,nsh_si=254,nsh_ttl=63",
        ),
    ],
)
def test_a_packet_is_described_by_its_outermost_header(packet: Packet, words: str) -> None:
    assert packet.flow_text(3) == f"{ETHERNET},{words}"


def test_a_description_has_what_is_around_the_packet() -> None:
    framed = replace(PACKET, outer=("fa:16:3e:00:00:03", "fa:16:3e:00:00:04"), tunnel_id=17, vlan=0)
    assert framed.flow_text(3, {"reg8": "0x1", "reg9": "0x2"}).startswith(
        "in_port=3,dl_src=fa:16:3e:00:00:03,dl_dst=fa:16:3e:00:00:04,"
        "reg8=0x1,reg9=0x2,tun_id=0x11,dl_vlan=0,tcp,"
    )
    assert replace(framed, labels=LABELS, nsh=(1, 2, 3)).bare == PACKET


def test_the_depth_counts_headers_in_front_of_the_packet() -> None:
    assert [
        replace(PACKET, labels=labels, nsh=nsh).depth
        for labels, nsh in (((), None), (LABELS, None), ((), (1, 2, 3)), (LABELS[:1], (0, 0, 0)))
    ] == [0, 2, 1, 2]


# --- Actions.


def after(*actions: str, packet: Packet = PACKET) -> PacketState:
    state = PacketState(packet, 3)
    for action in actions:
        state.apply(action)
    return state


@pytest.mark.parametrize(
    ("actions", "registers"),
    [
        (["set_field:0x10001->reg8"], {"reg8": 0x10001}),
        (["set_field:7->reg8", "load:0x9->NXM_NX_REG8[]"], {"reg8": 9}),
        (["load:0x5->NXM_NX_REG0[4..7]"], {"reg0": 0x50}),
        (["set_field:0xff->reg1", "load:0->NXM_NX_REG1[4]"], {"reg1": 0xEF}),
        (["set_field:0xff->reg1", "load:0x3->NXM_NX_REG1[0..1]"], {"reg1": 0xFF}),
        (["load:0xff->NXM_NX_REG1[8..11]"], {"reg1": 0xF00}),
        (["set_field:0xff->reg1", "set_field:0x500/0xf0f->reg1"], {"reg1": 0x5F0}),
        (["set_field:1->reg1", "set_field:2->reg2"], {"reg1": 1, "reg2": 2}),
        (["set_field:1->xreg1", "set_field:1->metadata"], {}),
    ],
)
def test_registers_have_what_actions_have_written(
    actions: Sequence[str], registers: dict[str, int]
) -> None:
    state = after(*actions)
    assert state.registers == registers
    assert (state.packet, state.in_port) == (PACKET, 3)
    assert [state.register(name) for name in registers] == [*registers.values()]
    assert state.register("reg15") == 0


FRAMED = replace(PACKET, outer=("fa:16:3e:00:00:03", "fa:16:3e:00:00:04"))
LABELLED = replace(PACKET, labels=LABELS)


@pytest.mark.parametrize(
    ("before", "actions", "changes"),
    [
        (PACKET, ["set_field:fa:16:3e:00:00:09->eth_dst"], {"eth_dst": "fa:16:3e:00:00:09"}),
        (PACKET, ["set_field:fa:16:3e:00:00:09->eth_src"], {"eth_src": "fa:16:3e:00:00:09"}),
        (
            FRAMED,
            ["set_field:fa:16:3e:00:00:09->eth_src", "set_field:fa:16:3e:00:00:08->eth_dst"],
            {"outer": ("fa:16:3e:00:00:09", "fa:16:3e:00:00:08")},
        ),
        (
            PACKET,
            ["push_mpls:0x8847", "set_field:0x10->mpls_label", "set_field:2->mpls_tc"],
            {"labels": (Label(16, 2),)},
        ),
        (LABELLED, ["push_mpls:0x8847"], {"labels": (LABELS[0], *LABELS)}),
        (PACKET, ["push_mpls:0x8847"], {"labels": (Label(0),)}),
        (PACKET, ["encap(mpls)"], {"labels": (Label(0),)}),
        (PACKET, ["encap(nsh(md_type=1))"], {"nsh": (0, 0, 0)}),
        (
            LABELLED,
            ["set_field:9->mpls_ttl"],
            {"labels": (replace(LABELS[0], ttl=9), LABELS[1])},
        ),
        (LABELLED, ["set_field:1->mpls_bos"], {}),
        (PACKET, ["set_field:9->mpls_ttl"], {}),
        (LABELLED, ["pop_mpls:0x8847"], {"labels": LABELS[1:]}),
        (
            PACKET,
            ["encap(mpls)", "set_field:5->mpls_label", "encap(ethernet)"],
            {"labels": (Label(5),), "outer": ("", "")},
        ),
        (
            PACKET,
            ["encap(nsh(md_type=1))", "set_field:0x10001->nsh_spi", "set_field:254->nsh_si",
             "set_field:63->nsh_ttl"],
            {"nsh": (0x10001, 254, 63)},
        ),
        (PACKET, ["set_field:63->nsh_ttl"], {}),
        (replace(LABELLED, nsh=(1, 2, 3), outer=("", "")), ["decap()"],
         {"labels": (), "nsh": None, "outer": None}),
        (PACKET, ["push_vlan:0x8100", "set_field:4101->vlan_vid"], {"vlan": 5}),
        (PACKET, ["push_vlan:0x8100"], {"vlan": 0}),
        (PACKET, ["mod_vlan_vid:0x7"], {"vlan": 7}),
        (replace(PACKET, vlan=5), ["pop_vlan"], {"vlan": None}),
        (replace(PACKET, vlan=5), ["strip_vlan"], {"vlan": None}),
        (PACKET, ["set_field:0x11->tun_id"], {"tunnel_id": 17}),
        (LABELLED, ["set_field:0x11->tun_id"], {"tunnel_id": 17}),
        (replace(PACKET, nsh=(1, 2, 3)), ["set_field:0x11->tun_id"], {"tunnel_id": 17}),
        (PACKET, ["load:0x11->NXM_NX_TUN_ID[]"], {"tunnel_id": 17}),
        (PACKET, ["output:5", "resubmit(,60)", "set_field:5->tun_src"], {}),
    ],
)  # fmt: skip
def test_headers_are_as_actions_have_left_them(
    before: Packet, actions: Sequence[str], changes: dict[str, object]
) -> None:
    state = after(*actions, packet=before)
    assert state.packet == replace(before, **changes)  # type: ignore[arg-type]
    assert (state.registers, state.in_port) == ({}, 3)


def test_values_that_open_vswitch_has_moved_are_taken_from_what_it_says() -> None:
    state = PacketState(PACKET, 3)
    notes = ("NXM_OF_ETH_DST[] is now fa:16:3e:00:00:09", "reg9 is now 0x7", "another note")
    state.apply("move:NXM_NX_REG0[]->NXM_NX_REG9[]", notes)
    assert (state.packet.eth_dst, state.registers) == ("fa:16:3e:00:00:09", {"reg9": 7})
    state.apply("pop:NXM_OF_ETH_SRC[]", ["NXM_OF_ETH_SRC[] is now fa:16:3e:00:00:08"])
    state.apply("pop:NXM_NX_TUN_ID[]", ["NXM_NX_TUN_ID[] is now 0x5/0xff"])
    assert (state.packet.eth_src, state.packet.tunnel_id) == ("fa:16:3e:00:00:08", 5)


def test_a_packet_counts_as_received_where_actions_say() -> None:
    assert after("set_field:7->in_port").in_port == 7
    assert after("set_field:LOCAL->in_port").in_port == 3


def test_copies_are_independent_and_other_bridges_see_no_registers() -> None:
    state = PacketState(PACKET, 3, {"reg1": 1}, hidden=2)
    copy = state.copy()
    assert copy == state
    copy.apply("set_field:5->reg1")
    assert state.register("reg1") == 1
    assert state.in_next_bridge(9) == PacketState(PACKET, 9, {}, hidden=2)


def test_what_ovn_writes_beside_a_packet_in_a_tunnel_goes_with_it() -> None:
    state = PacketState(PACKET, 3)
    state.apply("set_field:0x7/0xffffff->tun_id")
    state.apply("set_field:0x2->tun_metadata0")
    metadata = "NXM_NX_TUN_METADATA0[16..30]"
    state.apply(f"move:NXM_NX_REG14[0..14]->{metadata}", [f"{metadata} is now 0x5"])
    assert (state.packet.tunnel_id, state.packet.tunnel_metadata) == (7, 0x50002)
    assert ",tun_id=0x7,tun_metadata0=0x50002,tcp," in state.packet.flow_text(1)
    assert state.packet.bare == PACKET


def test_a_learned_flow_restores_an_address() -> None:
    state = PacketState(PACKET, 3)
    state.apply("load:0xfa1600000009->NXM_OF_ETH_DST[]")
    assert state.packet == replace(PACKET, eth_dst="fa:16:00:00:00:09")
