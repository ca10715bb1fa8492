"""The status of a chain for each recorded fact."""

from dataclasses import replace

import pytest

from portchain.core.model import ChainStatus
from portchain.db.status import Facts, derive

FINE = Facts(revision=3, realised_revision=3)


@pytest.mark.parametrize(
    ("facts", "status", "reason"),
    [
        (FINE, ChainStatus.ACTIVE, ""),
        (replace(FINE, realised_revision=2), ChainStatus.BUILD, "waiting for the drivers"),
        (replace(FINE, pending=(("h1", ""),)), ChainStatus.BUILD, "waiting for h1"),
        (
            replace(FINE, pending=(("h1", "port p1"), ("h2", ""))),
            ChainStatus.BUILD,
            "waiting for h1 (port p1), h2",
        ),
        (replace(FINE, warning="long packets"), ChainStatus.ACTIVE, "long packets"),
        (
            replace(FINE, warning="long packets", pending=(("h1", ""),)),
            ChainStatus.BUILD,
            "waiting for h1; long packets",
        ),
        (
            replace(
                FINE,
                warning="long packets",
                host_warnings=(("h2", "slow"), ("h1", "slow"), ("h3", "lost")),
            ),
            ChainStatus.ACTIVE,
            "long packets; h3: lost; h1, h2: slow",
        ),
        (
            replace(FINE, host_warnings=(("h1", "slow"),), pending=(("h2", ""),)),
            ChainStatus.BUILD,
            "waiting for h2; h1: slow",
        ),
        (replace(FINE, down_reason="p1 is unbound"), ChainStatus.DOWN, "p1 is unbound"),
        (replace(FINE, errors=(("h1", "no bridge"),)), ChainStatus.ERROR, "h1: no bridge"),
        (replace(FINE, failure="driver x: no"), ChainStatus.ERROR, "driver x: no"),
    ],
)
def test_each_fact(facts: Facts, status: ChainStatus, reason: str) -> None:
    assert derive(facts) == (status, reason)


def test_hosts_with_warnings_are_counted_for_readers_who_may_not_see_them() -> None:
    warned = replace(FINE, host_warnings=(("h1", "slow"), ("h2", "slow"), ("h3", "lost")))
    assert derive(warned, name_hosts=False)[1] == "1 host: lost; 2 hosts: slow"


def test_worst_fact_determines_the_status() -> None:
    everything = Facts(
        revision=3,
        realised_revision=2,
        failure="failure",
        down_reason="down",
        errors=(("h1", "error"),),
        pending=(("h2", ""),),
    )
    assert derive(everything) == (ChainStatus.ERROR, "failure")
    less = replace(everything, failure="")
    assert derive(less) == (ChainStatus.ERROR, "h1: error")
    less = replace(less, errors=())
    assert derive(less) == (ChainStatus.DOWN, "down; waiting for the drivers")
    less = replace(less, realised_revision=3)
    assert derive(less) == (ChainStatus.DOWN, "down; waiting for 1 host")
    less = replace(less, pending=(("h1", "port p1"), ("h2", ""), ("h3", "")))
    assert derive(less) == (ChainStatus.DOWN, "down; waiting for 2 hosts")
    assert derive(replace(less, pending=(("h1", "port p1"),))) == (ChainStatus.DOWN, "down")
    assert derive(replace(less, down_reason=""))[0] == ChainStatus.BUILD


def test_a_chain_that_lost_a_group_says_nothing_of_its_past() -> None:
    lost = Facts(
        revision=3,
        realised_revision=3,
        group_withdrawn=True,
        failure="failure",
        down_reason="down",
        errors=(("h1", "error"),),
        pending=(("h2", ""), ("h3", "port p1")),
    )
    state, reason = derive(lost)
    assert state is ChainStatus.ERROR
    assert reason.endswith("Set port_pair_groups, or delete the chain; waiting for 1 host")
    for hidden in ("failure", "down", "error", "h1", "h2", "p1"):
        assert hidden not in reason
