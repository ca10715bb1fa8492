"""What the chains of a host need of its switch."""

from dataclasses import replace

import pytest

from portchain.dataplane.host_switch import HostNeeds
from portchain.host.needs import NeedsOfChains
from portchain.rpc.contract import PlanUpdate
from tests.plans import chain, target
from tests.unit.host.in_memory_switch import let_time_pass


def needs(ports="", peers=""):
    return HostNeeds(frozenset(ports), frozenset(peers))


def test_the_union_follows_the_chains():
    chains = NeedsOfChains()
    assert chains.all == needs()
    chains.set("1", needs("ab", "x"))
    chains.set("2", needs("bc", "y"))
    assert chains.all == needs("abc", "xy")
    chains.set("1", needs("c", "y"))
    assert chains.all == needs("bc", "y")
    chains.set("2", needs())
    assert chains.all == needs("c", "y")
    chains.set("2", needs())
    chains.set("1", needs())
    assert chains.all == needs()


@pytest.mark.parametrize("change", [needs("ab", "x"), needs("b", "x"), needs("ab"), needs()])
def test_the_union_is_computed_only_if_it_differs(change):
    chains = NeedsOfChains()
    chains.set("1", needs("abc", "xy"))
    before = chains.all
    chains.set("2", change)
    chains.set("2", needs())
    assert chains.all is before


A, B, C = (target(name, "h1") for name in "abc")


@pytest.mark.parametrize(
    ("before", "plan"),
    [(chain([A], [B]), chain([B], [C])), (chain([A]), chain([B])), (chain([A], [B]), chain([A]))],
    ids=["closes", "drains", "drains, too"],
)
def test_a_port_that_has_left_a_chain_is_not_needed_after_the_change(
    memory, reconciler, before, plan
):
    reconciler.synchronise(PlanUpdate((before,)))
    reconciler.update(PlanUpdate((replace(plan, revision=2),)))
    needed = {port for plans in (before, plan) for port in plans.ports}
    assert needed <= memory.needs.ports
    let_time_pass(reconciler)
    reconciler.reconcile()
    left = before.ports - plan.ports
    assert left and not left & memory.needs.ports
    assert plan.ports <= memory.needs.ports
