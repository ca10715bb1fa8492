"""The digest of what a chain is realised from."""

from dataclasses import replace

from portchain.core.model import AddressPair, Segment
from portchain.db import drift
from tests.unit.dataplane.planning.test_planner import after, snapshot


def everything():
    """Return a snapshot with values of all kinds: in a graph, with a segment and address pairs."""
    pairs = (AddressPair("10.0.0.0/24", "fa:16:3e:00:00:01"),)
    changes = {"segment": Segment("vlan", "physnet1", 7), "address_pairs": pairs}
    one = after(snapshot(symmetric=True, src=changes, pp1_in={"plugged": False}))
    return replace(one, failed={"pair": "no answer"}, owners={"net": {"10.0.0.1": "mac"}})


def test_a_digest_stays_the_same_from_release_to_release():
    """Otherwise all chains would be planned again after an upgrade."""
    assert drift.digest(everything()) == (
        "403b4089db80aede687e8c05032e0629c34b16ba22afaa26839db54aeefb7bf2"
    )


def test_every_field_counts_that_is_not_ignored():
    one = everything()
    known = drift.digest(one)
    assert drift.digest(replace(one, failed={})) != known
    assert drift.digest(replace(one, predecessors=())) != known
    assert drift.digest(replace(one, chain=replace(one.chain, symmetric=True))) != known
    assert drift.digest(replace(one, chain=replace(one.chain, revision=99, name="new"))) == known
