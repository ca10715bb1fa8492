"""What requests and events read does not grow with the chains and classifiers of a project."""

import shutil

import pytest

from bench.scale import hosts, server
from portchain.db import port_cache
from tests.full import in_full

# The database reads tables of a few rows as a whole, which costs less than an index.
FEW, MANY = 110, 330
TOLERANCE = 40
"""The numbers of rows differ as the database estimates the costs of its plans."""
MACHINES = in_full((10, 1000), (10, 60))
CACHED = port_cache.BUCKETS + 5  # rows of a chain's ports
MOST = 175  # rows that are read to find, plan and record the chains of a port
LONGEST = 20
"""KB of a message. Parts of a plan have 2 KB on average; where one ends depends on ids of ports."""
STATEMENTS = 30
"""To create a chain with a logical source port, those for Neutron's quotas included."""
ROWS_OF_CHAIN, KB_OF_CHAIN = 46, 0.2
"""Of each chain with a group that changes: 20 rows are those of its ten hosts, read and written."""
ROWS_OF_SYNC = 60
"""Of each host that asks for its plans, beside those of the plans."""
ROWS_OF_PAGE = {"list chains, limit=100": 100 * 40, "look for drift": 100 * 100}


pytestmark = pytest.mark.skipif(not shutil.which("mariadbd"), reason="mariadbd is not installed")


def test_costs_are_the_same_with_many_chains() -> None:
    for row in server.measure((FEW, MANY)):
        few, many = row.costs
        assert few.statements == many.statements, row
        if row.what.startswith("create chain, "):
            assert many.statements <= STATEMENTS, row
        pages = [most for what, most in ROWS_OF_PAGE.items() if row.what.startswith(what)]
        if pages:
            assert many.rows < pages[0], row
        else:
            assert many.rows <= few.rows + TOLERANCE, row


def test_a_group_costs_little_for_each_chain_that_uses_it() -> None:
    """On ten hosts. What the chains share is read once, and sent compressed."""
    (row,) = hosts.measure_shared_group((20, 120), 1)
    few, many = row.costs
    assert few.statements == many.statements
    assert many.rows - few.rows <= 100 * ROWS_OF_CHAIN
    assert row.messages == (10, 10)
    assert row.longest[1] - row.longest[0] <= 100 * KB_OF_CHAIN


def test_a_machine_concerns_as_many_hosts_however_many_a_chain_has() -> None:
    """Its own host, and those of the functions. Nothing that is read grows with the machines."""
    rows = {row.what: row for row in hosts.measure(MACHINES, 1, only_machines=True)}
    for event, messages in (("created", 2), ("bound", 3), ("plugged in", 0), ("deleted", 3)):
        row = rows[f"a machine: port {event}"]
        few, many = row.costs
        assert row.messages == (messages, messages)
        assert max(row.longest) < LONGEST
        assert many.rows <= few.rows + CACHED
        assert max(row.planning) <= MOST
    for event in ("a notified host reports prepared", "a notified host reports applied"):
        few, many = rows[f"a machine: {event}"].costs
        assert many.rows <= few.rows + 2


def test_a_host_that_starts_asks_for_little_however_many_hosts_a_chain_has() -> None:
    rows = {row.what: row for row in hosts.measure((10, 40), 1)}
    small, large = rows["a host that starts asks for its plans"].kilobytes
    assert large < 2 * small


def test_hosts_that_start_at_the_same_time_share_the_plans_of_a_chain() -> None:
    """The first one's plan, and one for all who have asked meanwhile."""
    together = 12
    alone, at_once = hosts.measure_starts((20,), together)
    assert at_once.messages == (together,)
    own = at_once.costs[0].rows - 2 * alone.costs[0].rows
    assert own < together * ROWS_OF_SYNC
