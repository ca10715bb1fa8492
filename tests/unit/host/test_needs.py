"""What the chains of a host need of its switch."""

import pytest

from portchain.dataplane.host_switch import HostNeeds
from portchain.host.needs import NeedsOfChains


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
