"""What requests and events read does not grow with the chains and classifiers of a project."""

import shutil

import pytest

from bench.scale import hosts, server
from portchain.db import port_cache

# The database reads tables of a few rows as a whole, which costs less than an index.
FEW, MANY = 110, 550
TOLERANCE = 40
"""The numbers of rows differ as the database estimates the costs of its plans."""
CACHED = port_cache.BUCKETS  # rows of a chain's ports
ROWS_OF_PORT = 200  # to find, plan and record the chains of a port
PAGES, ROWS_OF_PAGE = ("list chains, limit=100", "look for drift"), 100 * 100
SORTED = "list chains, sort_key"  # an attribute without an index: the rows of the project


pytestmark = pytest.mark.skipif(not shutil.which("mariadbd"), reason="mariadbd is not installed")


def test_costs_are_the_same_with_many_chains() -> None:
    for row in server.measure((FEW, MANY)):
        few, many = row.costs
        assert few.statements == many.statements, row
        if row.what.startswith(PAGES):
            assert many.rows < ROWS_OF_PAGE, row
        elif not row.what.startswith(SORTED):
            assert many.rows <= few.rows + TOLERANCE, row


def test_a_machine_concerns_as_many_hosts_however_many_a_chain_has() -> None:
    """Its own host, and those of the functions."""
    rows = {row.what: row for row in hosts.measure((10, 40), repeat=1)}
    for event, messages in (("created", 2), ("bound", 3), ("plugged in", 0)):
        assert rows[f"a machine: port {event}"].messages == (messages, messages)
    assert max(rows["a machine: port bound"].longest) < 10
    for event in ("a notified host reports prepared", "a notified host reports applied"):
        few, many = (cost.rows for cost in rows[f"a machine: {event}"].costs)
        assert many <= few + 2
    few, many = (cost.rows for cost in rows["a machine: port plugged in"].costs)
    assert many <= few + 5
    for event in ("created", "bound", "deleted"):
        row = rows[f"a machine: port {event}"]
        few, many = row.planning
        assert many <= few + CACHED
        assert many < ROWS_OF_PORT
        assert row.costs[1].rows <= row.costs[0].rows + TOLERANCE
    small, large = rows["a host that starts asks for its plans"].kilobytes
    assert large < 2 * small
