"""What an agent with many chains does, counted: no times."""

import pytest

from bench.scale.agent import measure_one
from bench.scale.rows import rows_of, text_table


@pytest.fixture(scope="module")
def runs():
    return [measure_one(chains, functions=0) for chains in (10, 40)]


def test_a_start_with_all_flows_in_place_touches_none(runs):
    assert [run["start: flows touched"] for run in runs] == [0, 0]


def test_flows_grow_with_chains_and_not_with_hash_slots(runs):
    small, large = (run["flows"] for run in runs)
    assert (large - small) / 30 < 40


def test_a_comparison_reads_each_bridge_once(runs):
    assert [run["comparison: bridges read"] for run in runs] == [2, 2]


def test_rows_have_a_value_for_each_size(runs):
    rows = rows_of(runs)
    (flows,) = [row for row in rows if row.what == "flows"]
    assert flows.values == tuple(run["flows"] for run in runs)
    (start,) = [row for row in rows if row.what == "start with all flows in place"]
    assert start.unit == "s"
    assert len(text_table("title", (10, 40), rows).splitlines()) == len(rows) + 1
