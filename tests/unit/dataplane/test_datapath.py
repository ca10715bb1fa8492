"""Reading what a datapath can do, and finding what flows use."""

import pytest

from portchain.dataplane.datapath import (
    COPIES,
    FEATURES,
    FRAMES,
    MPLS,
    NSH,
    PACKET_LENGTH,
    Feature,
    constructs,
    describe,
    keeps_old_entries,
    lacking,
    parse_features,
    shortfall,
)
from portchain.dataplane.flow import Bridge, NoFlood, make_flow

EVERYTHING = {title: least for feature in FEATURES for title, least in feature.shown_by}


def test_features_are_read() -> None:
    text = "MPLS Label add: No\nMax MPLS depth: 3\nRecirc: Yes\nOdd line\nOther: maybe\n"
    assert parse_features(text) == {"MPLS Label add": 0, "Max MPLS depth": 3, "Recirc": 1}


def test_nothing_is_lacking_if_every_line_says_yes() -> None:
    assert lacking(EVERYTHING) == frozenset()


def test_a_line_that_is_missing_proves_nothing() -> None:
    assert lacking({}) == frozenset()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"MPLS Label add": 0}, {FRAMES}),
        ({"Max MPLS depth": 0}, {MPLS}),
        ({"Check pkt length action": 0}, {PACKET_LENGTH}),
        ({"Clone action": 0}, {NSH}),  # copies use nested samples
        ({"Clone action": 0, "Sample nesting": 3}, {NSH, COPIES}),
    ],
)
def test_what_is_lacking(changed: dict[str, int], expected: set[Feature]) -> None:
    assert lacking(EVERYTHING | changed) == expected


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ("drop", {"drop"}),
        ("NORMAL", {"NORMAL"}),
        ("encap(mpls),set_field:7->mpls_label,output:3",
         {"encap(mpls)", "set_field", "mpls_label", "output"}),
        ("encap(nsh(md_type=1)),encap(ethernet)", {"encap(nsh)", "encap(ethernet)"}),
        ("decap(),decap(packet_type(ns=0,type=0)),resubmit(,152)",
         {"decap", "decap(packet_type)", "resubmit"}),
        ("clone(encap(mpls),set_field:0e:70:6f:72:74:63->eth_src,output:4),goto_table:3",
         {"clone", "encap(mpls)", "set_field", "eth_src", "output", "goto_table"}),
        ("ct(commit,zone=NXM_NX_REG6[0..15]),conjunction(1,1/2)", {"ct", "conjunction"}),
        ("learn(table=155,eth_type=0x800,load:NXM_NX_REG9[]->NXM_NX_REG9[]),pop_vlan",
         {"learn", "pop_vlan"}),
        ("multipath(symmetric_l3l4,0,modulo_n,128,0,NXM_NX_REG11[0..6])", {"multipath"}),
        ("push:NXM_OF_ETH_SRC[],move:pkt_reg5[0..47]->NXM_OF_ETH_SRC[],pop:NXM_OF_ETH_SRC[]",
         {"push", "move", "pop"}),
    ],
)  # fmt: skip
def test_what_actions_use(actions: str, expected: set[str]) -> None:
    assert constructs(make_flow(Bridge.INT, 0, 1, (), [actions])) == expected


def test_what_matches_use() -> None:
    flow = make_flow(Bridge.INT, 0, 1, ("tcp", "reg8=0", "nw_src=10.0.0.1"), ["set_field:1->reg9"])
    assert constructs(flow) == {"tcp", "register", "nw_src", "set_field", "drop"} - {"drop"}


def test_what_a_chain_lacks_follows_from_its_flows() -> None:
    entries = [
        NoFlood(4),
        make_flow(Bridge.TUN, 0, 1, ("mpls",), ["output:1"]),
        make_flow(Bridge.INT, 0, 1, ("mpls",), ["decap()", "decap(packet_type(ns=0,type=0))"]),
    ]
    assert "MPLS Label add" in shortfall(entries, FEATURES)
    assert "Clone action" not in shortfall(entries, FEATURES)
    assert shortfall(entries, ()) == ""


def test_each_feature_that_is_lacking_is_described_with_its_effect() -> None:
    assert describe(()) == ""
    said = describe({NSH, PACKET_LENGTH})
    assert said.startswith("the datapath lacks Check pkt length action (")
    assert f"; NSH ({NSH.effect})" in said


@pytest.mark.parametrize(
    ("version", "keeps"),
    [
        ("2.15.0", True),
        ("2.17.7", True),
        ("2.17.8", False),
        ("3.0.4", True),
        ("3.0.5", False),
        ("3.1.0", True),
        ("3.1.10", False),
        ("3.2.0", False),
        ("10.0.0", False),
        ("unknown", False),
    ],
)
def test_releases_that_modify_the_wrong_entry(version: str, keeps: bool) -> None:
    assert keeps_old_entries(f"ovs-vswitchd (Open vSwitch) {version}\n") is keeps
