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
    """Otherwise all chains would be planned again after an upgrade.

    Another value is wanted if existing chains have to get plans by new rules, as those of
    docs/decisions/0084.
    """
    assert drift.digest(everything()) == (
        "728f003320de0299be0a5551007d12b62bbe6846a9df994292b67ae5edf93fe0"
    )


def test_every_field_counts_that_is_not_ignored():
    one = everything()
    known = drift.digest(one)
    assert drift.digest(replace(one, failed={})) != known
    assert drift.digest(replace(one, predecessors=())) != known
    assert drift.digest(replace(one, chain=replace(one.chain, symmetric=True))) != known
    assert drift.digest(replace(one, chain=replace(one.chain, revision=99, name="new"))) == known
