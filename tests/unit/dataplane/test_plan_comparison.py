"""Comparison of two plans: who must be prepared for a new one, and which packets look alike."""

from dataclasses import replace

import pytest

from portchain.dataplane.pipeline import ODD_GENERATION, POSITION_GENERATIONS
from portchain.dataplane.plan import ChainPlan, EarlierPairs, GraphIngress, Hop
from portchain.dataplane.plan_comparison import (
    can_mix_into_bypass,
    hops_with_other_pairs,
    is_covered_by,
    sends_elsewhere,
    share_positions,
)
from tests.plans import chain, classifier, source, tap, target

A, B, C = target("a", "h1"), target("b", "h2"), target("c", "h3")
D, E = target("d", "h1"), target("e", "h1")
FIRST, OTHER = classifier(), classifier(destination_ports=(200, 200))
VM, VM2 = source("vm", "h1", "10.0.0.10"), source("vm2", "h1", "10.0.0.11")


def path(*hops, **changes):
    (found,) = chain(*hops, **changes).paths
    return found


# --- Whether hosts with one plan can receive what is sent by another one.

PLAN = chain([A, B], [C], sources=(VM, VM2))
ENTRY = GraphIngress(7, 1, (VM,), (VM,))


def with_path(**changes):
    return replace(PLAN, paths=(replace(PLAN.paths[0], **changes),))


def with_hop(number=1, plan=PLAN, **changes):
    hops = list(plan.paths[0].hops)
    hops[number - 1] = replace(hops[number - 1], **changes)
    return replace(plan, paths=(replace(plan.paths[0], hops=tuple(hops)),))


@pytest.mark.parametrize(
    "plan",
    [
        PLAN,
        replace(PLAN, revision=2),
        with_hop(targets=(A,)),
        with_hop(targets=(), returning=(A, B)),
        with_hop(targets=(replace(A, weight=5), B)),
        with_hop(lb_fields=("ip_src",)),
        with_path(sources=(VM,)),
    ],
    ids=[
        *("same", "revision", "pair removed", "all pairs failed", "weight", "lb_fields"),
        "source removed",
    ],
)
def test_hosts_can_receive_what_they_expect(plan: ChainPlan) -> None:
    assert is_covered_by(plan, PLAN)


@pytest.mark.parametrize(
    "plan",
    [
        replace(PLAN, path_id=1 | ODD_GENERATION),
        replace(PLAN, generation=1),
        replace(PLAN, paths=PLAN.paths * 2),
        replace(PLAN, paths=()),
        with_path(reverse=True),
        with_path(hops=PLAN.paths[0].hops[:1]),
        with_path(entries=(ENTRY,)),
        with_path(branches=True),
        with_hop(group_id=9),
        with_hop(tap=True),
        with_hop(headers=(OTHER,)),
        with_hop(2, targets=(C, B)),
        with_hop(2, targets=(replace(C, tunnel_ip="192.0.2.9"),)),
        with_path(classifiers=(FIRST, OTHER)),
        with_path(classifiers=(OTHER,)),
        with_path(sources=(VM, VM2, source("vm3", "h1"))),
        with_path(sources=(VM, replace(VM2, mac="fa:16:3e:00:00:01"))),
    ],
    ids=[
        *("path id", "generation", "a path more", "a path less", "direction", "length"),
        *("entries", "branches", "group", "tap", "headers", "pair added", "pair changed"),
        *("classifier added", "classifier changed", "source added", "source changed"),
    ],
)
def test_hosts_must_be_prepared_for_what_they_do_not_expect(plan: ChainPlan) -> None:
    assert not is_covered_by(plan, PLAN)


@pytest.mark.parametrize(
    ("before", "after", "covered"),
    [
        ((), ("h2",), False),
        (("h2",), ("h2", "h3"), False),
        (("h2",), ("h2",), True),
        (("h2", "h3"), ("h3",), True),
    ],
)
def test_hosts_must_be_prepared_for_packets_but_not_for_frames(
    before: tuple[str, ...], after: tuple[str, ...], covered: bool
) -> None:
    """Who sends frames to a host again must not wait: the host loses the packets."""
    new, old = (replace(PLAN, packet_hosts=hosts) for hosts in (after, before))
    assert is_covered_by(new, old) is covered


def test_hosts_must_be_prepared_for_each_direction() -> None:
    requests, replies = PLAN.paths[0], replace(PLAN.paths[0], reverse=True)
    both = replace(PLAN, paths=(requests, replies))
    assert is_covered_by(both, both)
    for paths in (
        (requests, with_hop(group_id=9).paths[0]),
        (with_hop(group_id=9).paths[0], replies),
    ):
        assert not is_covered_by(replace(PLAN, paths=paths), both)


def test_plan_of_an_older_server_covers_any_generation() -> None:
    assert is_covered_by(PLAN, replace(PLAN, generation=None))
    assert not is_covered_by(replace(PLAN, generation=None), PLAN)


def test_sources_belong_to_their_classifier_whatever_its_number() -> None:
    """A source of one classifier is none of the other."""
    one, two = replace(VM, classifier=0), replace(VM2, classifier=1)
    before = with_path(classifiers=(FIRST, OTHER), sources=(one, two))
    renumbered = replace(two, classifier=0), replace(one, classifier=1)
    assert is_covered_by(with_path(classifiers=(OTHER, FIRST), sources=renumbered), before)
    assert not is_covered_by(with_path(classifiers=(FIRST, OTHER), sources=renumbered), before)


@pytest.mark.parametrize(
    ("before", "after", "covered"),
    [
        (None, None, True),
        (None, ("10.0.0.1/32",), True),
        (("10.0.0.1/32",), None, False),
        (("10.0.0.1/32",), ("10.0.0.1/32",), True),
        (("10.0.0.1/32", "10.0.0.2/32"), ("10.0.0.1/32",), True),
        (("10.0.0.1/32",), ("10.0.0.1/32", "10.0.0.2/32"), False),
        ((), ("10.0.0.1/32",), False),
    ],
)
def test_hosts_must_accept_the_sources_of_a_new_plan(
    before: tuple[str, ...] | None, after: tuple[str, ...] | None, covered: bool
) -> None:
    for field in ("returned_sources", "returned_macs"):
        old, new = (
            chain(Hop(1, (target("a", "h1"),), **{field: sources}))  # type: ignore[arg-type]
            for sources in (before, after)
        )
        assert is_covered_by(new, old) is covered


@pytest.mark.parametrize(
    ("before", "after", "covered"),
    [
        ((), (("10.0.0.1/32",), ()), True),
        ((("10.0.0.1/32",), ()), (), False),
        ((("10.0.0.1/32", "10.0.0.2/32"), ()), (("10.0.0.1/32",), ()), True),
        ((("10.0.0.1/32",), ()), (("10.0.0.1/32", "10.0.0.2/32"), ()), False),
        ((("10.0.0.1/32",), ()), ((), ("10.0.0.1/32",)), False),
    ],
)
def test_hosts_must_attribute_the_sources_of_a_new_plan(
    before: tuple[tuple[str, ...], ...], after: tuple[tuple[str, ...], ...], covered: bool
) -> None:
    plan = with_path(classifiers=(FIRST, OTHER))
    old, new = (with_hop(2, plan, accepted_sources=sources) for sources in (before, after))
    assert is_covered_by(new, old) is covered


# --- Which hops have other pairs.


def test_a_pair_without_weight_is_no_other_pair() -> None:
    """No new flow visits it, so the flows of the other pairs need not be remembered."""
    drained = replace(B, weight=0)
    before, after = (
        chain(Hop(1, targets, earlier_pairs=(EarlierPairs(((A.pair_id, 1),)),)))
        for targets in ((A,), (A, drained))
    )
    assert hops_with_other_pairs(before, after) == frozenset()
    weighted = chain(Hop(1, (A, B), earlier_pairs=(EarlierPairs(((A.pair_id, 1),)),)))
    assert hops_with_other_pairs(before, weighted) == {(False, 0)}


# --- Who sends to other hosts.


@pytest.mark.parametrize(
    ("hops", "senders"),
    [
        ([[A]], set()),
        ([[B]], {"h1"}),  # b continues from its own port
        ([[A], [B]], {"h1"}),
        ([[A, B], [C]], {"h1", "h2"}),
        ([[A, B], [target("d", "h1")]], {"h1", "h2"}),
        ([[A], tap(C), [B]], {"h1"}),
        ([[target("b", "h2", bridges=True)]], {"h1", "h2"}),  # back to the source's host
    ],
    ids=[
        "same host",
        "other host",
        "second hop",
        "pairs",
        "one of two pairs",
        "tap",
        "back to the origin",
    ],
)
def test_hosts_that_send_to_another_host(hops: list, senders: set[str]) -> None:
    assert {host for host in ("h1", "h2", "h3") if sends_elsewhere(path(*hops), host)} == senders


# --- Packets that look alike.


@pytest.mark.parametrize(
    ("generation", "other", "alike"),
    [
        (0, 0, True),
        (0, 1, False),
        (3, 3 + POSITION_GENERATIONS, True),
        (3, 2 + POSITION_GENERATIONS, False),
        (None, 2, True),
        (2, None, True),
    ],
)
def test_lists_share_positions_if_their_generations_do(
    generation: int | None, other: int | None, alike: bool
) -> None:
    plan = chain([A], [C])
    one, two = (replace(plan, generation=number) for number in (generation, other))
    assert share_positions(one, two) is alike
    assert not share_positions(one, replace(two, path_id=2)), "another label"


def test_lists_share_labels_if_both_have_sfc_aware_functions() -> None:
    aware = replace(chain([A], [target("c", "h3", encapsulation="mpls"), C]), generation=2)
    unaware = chain([A], [C])
    assert share_positions(aware, replace(aware, generation=4))
    assert not share_positions(aware, unaware)
    assert not share_positions(unaware, aware)


@pytest.mark.parametrize(
    ("before", "after", "can_bypass"),
    [
        ([[A]], [[A]], False),
        ([[A], [C]], [[A], [B], [C]], False),
        ([[A], [C]], [[C], [A]], True),
        ([[A], [C]], [[A]], False),
        ([[A], [B], [C]], [[A], [C], [B]], True),
        ([[A], [B], [C]], [[B], [A], [C]], True),
        ([[A], [B]], [[A], [B], [C]], False),
        ([[B], [C]], [[A], [B], [C]], False),
        ([[A], [B], [C], [D]], [[A], [B], [E], [C], [D]], False),
        ([[A], [B], [C]], [[D], [E], [C]], False),
        ([[A], [B], [C]], [[D], [B], [C]], False),
    ],
    ids=[
        *("same", "group added", "reversed", "group removed", "end reversed", "start reversed"),
        *("group added at the end", "group added at the start", "group added among many"),
        *("all groups but the last replaced", "first group replaced"),
    ],
)
def test_a_new_order_of_groups_can_bypass_one(before: list, after: list, can_bypass: bool) -> None:
    number = {A: 1, B: 2, C: 3, D: 4, E: 5}
    one, other = (path(*(Hop(number[hop[0]], tuple(hop)) for hop in p)) for p in (before, after))
    assert can_mix_into_bypass(one, other) is can_bypass


def test_only_unaware_functions_in_both_plans_mix_packets() -> None:
    def middle(group_id: int, pair, **changes):
        return path(Hop(1, (A,)), Hop(group_id, (pair,), **changes), Hop(3, (C,)))

    assert can_mix_into_bypass(middle(2, B), middle(4, B)), "b is in another group now"
    joined = path(Hop(1, (A, B)), Hop(4, (D,)), Hop(3, (C,)))
    assert can_mix_into_bypass(middle(2, B), joined), "b is in a group now that was there before"
    assert not can_mix_into_bypass(middle(2, B), middle(4, target("d", "h2")))
    assert not can_mix_into_bypass(middle(2, B, tap=True), middle(4, B)), "a tap returns nothing"
    aware = target("b", "h2", encapsulation="mpls")
    assert not can_mix_into_bypass(middle(2, aware), middle(4, aware))
