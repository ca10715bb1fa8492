"""Which packets are one flow, and which of their fields are hashed."""

from itertools import permutations

import pytest

from portchain.core.protocols import SCTP, TCP, UDP
from portchain.dataplane.compile.flow_hash import (
    flow_kinds,
    fragment_matches,
    hash_fields,
    hashed_kinds,
)
from portchain.dataplane.plan import LB_FIELDS, Classifier, opposite_field

ANY = (Classifier("IPv4"),)
ANY6 = (Classifier("IPv6"),)


def test_tcp_is_hashed_by_itself_where_packets_can_be_tcp() -> None:
    fields = ("ip_src", "udp_dst")
    kinds = list(hashed_kinds(ANY, fields, reverse=False))
    assert [(kind.protocol, kind.fields) for kind in kinds] == [
        (UDP, fields),
        (None, ("ip_src",)),
        (TCP, ("ip_src",)),
    ]
    udp = (Classifier("IPv4", UDP),)
    assert all(kind.protocol != TCP for kind in hashed_kinds(udp, ("ip_src",), reverse=False))
    assert [kind.protocol for kind in hashed_kinds(ANY, ("tcp_dst",), reverse=False)] == [TCP, None]


@pytest.mark.parametrize("chosen", [*permutations(LB_FIELDS, 2), LB_FIELDS, LB_FIELDS[::-1]])
def test_replies_and_fields_in_another_order_have_the_same_hash(chosen: tuple[str, ...]) -> None:
    opposite = tuple(map(opposite_field, chosen))
    requests, again, replies = (
        list(hashed_kinds(ANY, fields, reverse=reverse))
        for fields, reverse in ((chosen, False), (chosen[::-1], False), (opposite, True))
    )
    assert again == requests
    assert [kind.fields for kind in replies] == [
        tuple(map(opposite_field, kind.fields)) for kind in requests
    ]


def test_later_fragments_of_ipv6_count_as_datagrams() -> None:
    by_udp_port = list(fragment_matches(flow_kinds(ANY6, ("udp_dst",), reverse=False)))
    assert by_udp_port == [("udp6", "nw_frag=yes"), ("ipv6", "nw_frag=later")]
    by_tcp_port = list(fragment_matches(flow_kinds(ANY6, ("tcp_dst",), reverse=False)))
    assert by_tcp_port == [("tcp6", "nw_frag=yes")]
    by_udp_port = list(fragment_matches(flow_kinds(ANY, ("udp_dst",), reverse=False)))
    assert by_udp_port == [("udp", "nw_frag=yes")]


def test_the_switch_learns_once_for_all_protocols_unless_ports_count() -> None:
    (kind,) = flow_kinds(ANY6, ("ip_src",), reverse=False)
    assert kind.learned == (("eth_type=0x86dd", "NXM_NX_IPV6_SRC[]"),)
    *_, others = flow_kinds(ANY6, ("ip_src", "udp_dst"), reverse=False)
    assert [words[1] for words in others.learned] == ["NXM_OF_IP_PROTO[]", "nw_proto=44"]


def test_connections_are_hashed_by_ports_and_all_other_packets_by_addresses() -> None:
    kinds = list(hashed_kinds(ANY, (), reverse=False))
    assert [(kind.protocol, len(kind.fields)) for kind in kinds] == [(TCP, 4), (SCTP, 4), (None, 2)]


@pytest.mark.parametrize(
    ("fields", "moves"),
    [
        (
            ("ip_src", "tcp_dst"),
            [
                "move:NXM_OF_IP_SRC[0..3]->OXM_OF_PKT_REG5[0..3]",
                "move:NXM_OF_TCP_DST[0..7]->OXM_OF_PKT_REG5[4..11]",
            ],
        ),
        (("ip_dst",), ["move:NXM_OF_IP_DST[0..7]->OXM_OF_PKT_REG5[0..7]"]),
    ],
)
def test_some_bits_are_hashed_in_the_place_of_the_source_address_that_comes_back(
    fields: tuple[str, ...], moves: list[str]
) -> None:
    assert hash_fields(fields, "IPv4") == (
        *("set_field:0->reg10", "set_field:0->reg11"),
        *moves,
        "push:NXM_OF_ETH_SRC[]",
        "move:OXM_OF_PKT_REG5[0..47]->NXM_OF_ETH_SRC[]",
        "set_field:0->reg11",
        "multipath(eth_src,0,modulo_n,128,0,NXM_NX_REG11[0..6])",
        "pop:NXM_OF_ETH_SRC[]",
    )


def test_hashed_bits_fit_into_the_field_that_is_hashed() -> None:
    for ports in ("tcp", "udp"):
        fields = tuple(field for field in LB_FIELDS if field[:3] in ("eth", "ip_", ports))
        moves = [action for action in hash_fields(fields, "IPv6") if action.startswith("move:")]
        assert moves[-2].endswith("[24..31]"), "the last port"
        assert moves[-1].startswith("move:OXM_OF_PKT_REG5[0..47]->")
