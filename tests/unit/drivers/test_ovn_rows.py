"""Northbound rows of chains on OVN: which gates and guards follow from a chain, as values."""

from dataclasses import replace
from typing import Any

import pytest

from portchain.dataplane.gates import gate_mac
from portchain.dataplane.plan import Classifier, Receiver
from portchain.drivers.ovn.match import classified, exceptions
from portchain.drivers.ovn.rows import (
    Guard,
    gate_addresses,
    guard_acls,
    rows_of,
    while_changing,
)
from tests.plans import ident
from tests.unit.dataplane.planning.test_planner import snapshot

TCP = Classifier("IPv4", 6)
ANY = "ip4 && !eth.mcast"

EXPRESSIONS = [
    (
        Classifier("IPv4", 1, source_ports=(8, 8)),
        f"{ANY} && icmp4 && (ip.is_frag || icmp4.type == 8)",
    ),
    (
        Classifier("IPv6", 58, (128, 128), (0, 0)),
        "ip6 && !eth.mcast && (ip.later_frag || "
        "(icmp6 && (ip.is_frag || (icmp6.type == 128 && icmp6.code == 0))))",
    ),
    (TCP, f"{ANY} && tcp"),
    (replace(TCP, source_ports=(5, 5)), f"{ANY} && tcp && (ip.is_frag || tcp.src == 5)"),
    (replace(TCP, destination_ports=(0, 9)), f"{ANY} && tcp && (ip.is_frag || 0 <= tcp.dst <= 9)"),
    (replace(TCP, destination_ports=(0, 65535)), f"{ANY} && tcp"),
    (
        Classifier("IPv4", 132, (1, 2), (3, 3)),
        f"{ANY} && sctp && (ip.is_frag || (1 <= sctp.src <= 2 && sctp.dst == 3))",
    ),
    (Classifier("IPv6", 47), "ip6 && !eth.mcast && (ip.later_frag || ip.proto == 47)"),
    (Classifier("IPv4", 47), f"{ANY} && ip.proto == 47"),
    (replace(TCP, source_prefixes=("10.0.0.0/8",)), f"{ANY} && tcp && ip4.src == 10.0.0.0/8"),
    (replace(TCP, source_prefixes=("10.0.0.0/8", "0.0.0.0/0")), f"{ANY} && tcp"),
    (
        replace(TCP, destination_prefixes=("10.0.0.1/32", "10.0.0.2/32")),
        f"{ANY} && tcp && ip4.dst == {{10.0.0.1/32, 10.0.0.2/32}}",
    ),
    (
        replace(TCP, receiver=Receiver(("10.0.0.1/32",))),
        f"{ANY} && tcp && ip4.dst == 10.0.0.1/32",
    ),
    (
        replace(
            TCP,
            destination_prefixes=("10.0.0.0/8",),
            receiver=Receiver(("10.0.0.1/32",), ("fa:16:3e:00:00:01",), ("10.0.0.9/32",)),
        ),
        f"{ANY} && tcp && ((ip4.dst == 10.0.0.1/32) || (ip4.dst == 10.0.0.9/32) || "
        "(eth.dst == fa:16:3e:00:00:01 && ip4.dst == 10.0.0.0/8))",
    ),
    (replace(TCP, receiver=Receiver()), f"{ANY} && tcp && 0"),
]


@pytest.mark.parametrize(("classifier", "expression"), EXPRESSIONS, ids=range(len(EXPRESSIONS)))
def test_a_classifier_as_an_expression(classifier: Classifier, expression: str) -> None:
    assert classified(classifier) == expression


@pytest.mark.parametrize(
    ("classifier", "expected"),
    [
        (TCP, []),
        (Classifier("IPv4", 17, source_ports=(1, 60)), []),
        (
            Classifier("IPv4", 17, source_ports=(1, 67)),
            [
                f"{ANY} && udp && (ip.is_frag || 1 <= udp.src <= 67) && "
                "udp.src == 67 && udp.dst == 68"
            ],
        ),
        (
            Classifier("IPv6"),
            [
                "ip6 && !eth.mcast && udp.src == 546 && udp.dst == 547",
                "ip6 && !eth.mcast && udp.src == 547 && udp.dst == 546",
                "ip6 && !eth.mcast && icmp6.type == {133, 134, 135, 136, 137} && "
                "icmp6.code == 0 && ip.ttl == 255",
            ],
        ),
    ],
)
def test_traffic_of_the_link_is_an_exception(classifier: Classifier, expected: list[str]) -> None:
    assert list(exceptions(classifier)) == expected


def test_what_a_source_only_forwards_is_an_exception() -> None:
    classifier = replace(TCP, source_prefixes=("10.0.0.0/8",))
    found = list(exceptions(classifier, ["10.0.0.1", "192.0.2.1", "2001:db8::1"]))
    assert found == [f"{ANY} && tcp && ip4.src == 10.0.0.0/8 && ip4.src == 10.0.0.1/32"]


def gates(**how: Any) -> set[str]:
    rows = rows_of(snapshot(**how))
    assert set(rows.gates.values()) == {ident("net1")}
    names = ("src", "dst", *(f"pp{n}-{side}" for n in (1, 2, 3) for side in ("in", "out")))
    return {name for name in names if ident(name) in rows.gates}


def test_sources_and_the_egress_ports_of_routing_functions_have_gates() -> None:
    assert gates() == {"src", "pp1-out", "pp2-out", "pp3-out"}


def test_both_ends_and_both_ports_have_gates_if_replies_return_through_the_chain() -> None:
    both = {f"pp{n}-{side}" for n in (1, 2, 3) for side in ("in", "out")}
    assert gates(symmetric=True) == {"src", "dst", *both}


def test_a_function_that_is_not_plugged_in_keeps_its_gate() -> None:
    assert gates(pp1_in={"plugged": False}) == gates()


def test_each_direction_has_a_guard() -> None:
    guards = rows_of(snapshot(symmetric=True)).guards.values()
    assert {guard.ports for guard in guards} == {
        frozenset({ident("src")}),
        frozenset({ident("dst")}),
    }
    (replies,) = (guard.match for guard in guards if ident("dst") in guard.ports)
    assert "tcp.src == 100 && tcp.dst == 23" in replies
    assert "ip4.src == 10.0.0.20/32" in replies


def test_what_comes_by_a_gate_passes_the_guard() -> None:
    passing, exempt, dropping = guard_acls("pg", Guard("ip4", frozenset(), ("ip4 && udp",)))
    assert replace(exempt, match="") == replace(passing, match="")
    assert exempt.match == "inport == @pg && ip4 && udp"
    assert passing.priority > dropping.priority
    assert (passing.action, dropping.action) == ("allow", "drop")
    assert passing.match == "inport == @pg && eth.dst == $pg"
    assert dropping.match == "inport == @pg && ip4"
    assert {acl.options["apply-after-lb"] for acl in (passing, dropping)} == {"true"}


def test_only_the_gates_of_its_own_ports_let_pass_what_a_guard_drops() -> None:
    assert gate_addresses(guard()) == []
    expected = [gate_mac(ident("src")), gate_mac(ident("dst"))]
    assert gate_addresses(guard(ident("src"), ident("dst"))) == sorted(expected)


def guard(*ports: str) -> Guard:
    return Guard("ip4", frozenset(ports))


def test_while_a_chain_changes_it_has_only_the_guards_that_stay() -> None:
    present = {"stays": guard("a", "b"), "goes": guard("a")}
    wanted = {"stays": guard("b", "c"), "comes": guard("c")}
    assert while_changing(present, wanted) == {"stays": guard("b")}
    assert while_changing(present, {}) == {}
    assert while_changing(wanted, wanted) == wanted
