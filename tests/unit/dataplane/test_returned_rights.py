"""What functions may return by an earlier plan, once a later one is known."""

import random
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from portchain.dataplane.plan import ChainPlan, Hop
from portchain.dataplane.returned_rights import within_rights
from tests.plans import chain, mac, tap, target

A, B = target("a", "h1"), target("b", "h2")


def plan(sources: tuple[str, ...] | None, macs: tuple[str, ...] | None = None) -> ChainPlan:
    return chain(Hop(1, (A,), returned_sources=sources, returned_macs=macs), tap(B))


def sources(made: ChainPlan) -> tuple[str, ...] | None:
    return made.paths[0].hops[0].returned_sources


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (("10.0.0.1/32",), ("10.0.0.1/32",), ("10.0.0.1/32",)),
        (("10.0.0.1/32", "10.0.0.2/32"), ("10.0.0.2/32", "10.0.0.3/32"), ("10.0.0.2/32",)),
        (("10.0.0.0/24", "::/0"), ("10.0.0.9/32", "fe80::1/128"), ("10.0.0.9/32", "fe80::1/128")),
        (("10.0.0.9/32", "fe80::1/128"), ("10.0.0.0/24",), ("10.0.0.9/32",)),
        (("10.0.0.0/24",), (), ()),
        (None, ("10.0.0.1/32",), ("10.0.0.1/32",)),
        (("10.0.0.1/32",), None, ("10.0.0.1/32",)),
        (None, None, None),
    ],
)
def test_functions_return_what_both_plans_accept(
    before: tuple[str, ...] | None,
    after: tuple[str, ...] | None,
    expected: tuple[str, ...] | None,
) -> None:
    found = within_rights(plan(before), plan(after))
    assert sources(found) == expected
    assert found.paths[0].hops[1] == plan(before).paths[0].hops[1], "a tap returns nothing"


@pytest.mark.parametrize("seed", range(30))
def test_no_address_is_lost_and_none_is_gained(seed: int) -> None:
    draw = random.Random(seed)

    def some() -> tuple[str, ...]:
        made = (f"10.0.0.{draw.randrange(64)}/{draw.choice([26, 28, 30, 32, 32])}" for _ in "abcd")
        return tuple(str(ip_network(one, strict=False)) for one in made)

    before, after = some(), some()
    found = sources(within_rights(plan(before), plan(after))) or ()
    for host in range(64):
        address = ip_address(f"10.0.0.{host}")
        accepted = [any(address in ip_network(one) for one in each) for each in (before, after)]
        assert any(address in ip_network(one) for one in found) is all(accepted)


def test_frames_have_addresses_that_both_plans_accept() -> None:
    one, other = mac("one"), mac("other")
    for before, after, expected in (
        ((one, other), (other,), (other,)),
        (None, (other,), (other,)),
        ((one,), None, (one,)),
        (None, None, None),
    ):
        found = within_rights(plan((), before), plan((), after))
        assert found.paths[0].hops[0].returned_macs == expected


def test_functions_use_the_addresses_that_their_ports_have_now() -> None:
    def with_macs(*macs: str) -> ChainPlan:
        return chain([replace(A, return_macs=macs)], [B])

    found = within_rights(with_macs(mac("old")), with_macs(mac("new")))
    assert found == with_macs(mac("new"))
    assert within_rights(with_macs(mac("old")), chain([B])) == with_macs(mac("old"))
    (path,) = with_macs(mac("old")).paths
    hop = replace(path.hops[0], targets=(), returning=path.hops[0].targets)
    switched_off = replace(with_macs(), paths=(replace(path, hops=(hop,)),))
    (target,) = within_rights(switched_off, with_macs(mac("new"))).paths[0].hops[0].returning
    assert target.return_macs == (mac("new"),)


def test_a_direction_that_is_not_steered_any_more_returns_nothing() -> None:
    one = plan(("10.0.0.1/32",))
    replies = replace(one.paths[0], reverse=True)
    found = within_rights(replace(one, paths=(*one.paths, replies)), one)
    assert [path.hops[0].returned_sources for path in found.paths] == [("10.0.0.1/32",), ()]
