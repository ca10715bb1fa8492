"""Statistics on measured values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import results
from bench.points import NETWORKING_SFC, PORTCHAIN, Measured, Point, percentile, ratio

VALUES = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=50)


def point(*values: float, name: str = PORTCHAIN, chains: int = 0, subject: str = "a create"):
    return Point(name, chains, "latency", subject, values)


@given(VALUES, st.integers(1, 100))
def test_percentile_is_the_value_at_the_nearest_rank(values, percent):
    found = percentile(values, percent)
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_95th_percentile_of_twenty_values_is_the_nineteenth():
    assert percentile(list(range(1, 21)), 95) == 19


@given(VALUES)
def test_median_lies_in_the_middle(values):
    middle = point(*values).median
    assert sum(value <= middle for value in values) * 2 >= len(values)
    assert sum(value >= middle for value in values) * 2 >= len(values)


def test_a_point_needs_a_known_metric_and_values():
    with pytest.raises(ValueError, match="metric 'speed'"):
        Point(PORTCHAIN, 0, "speed", "a", (1.0,))
    with pytest.raises(ValueError, match="at least one value"):
        point()


def test_ratio_compares_medians_and_needs_both():
    assert ratio(point(100.0, 600.0, 700.0), point(200.0)) == 3.0
    assert ratio(None, point(1.0)) is None
    assert ratio(point(1.0), None) is None
    assert ratio(point(1.0), point(0.0)) is None
    assert ratio(point(1.0), point(-2.0)) is None


def test_points_are_found_in_the_order_of_measurement():
    measured = Measured(
        [
            point(9.0, name=NETWORKING_SFC, chains=50),
            point(1.0, chains=200),
            point(2.0, subject="another create"),
            point(0.5),
            Point(PORTCHAIN, 0, "memory", "agent", (100.0,)),
        ]
    )
    assert measured.implementations == [PORTCHAIN, NETWORKING_SFC]
    assert measured.chains == [0, 50, 200]
    assert measured.metrics == ["latency", "memory"]
    assert measured.subjects("latency") == ["a create", "another create"]
    assert measured.get("latency", "a create", PORTCHAIN, 200).median == 1.0
    assert measured.get("latency", "a create", PORTCHAIN, 50) is None


def test_growth_is_from_the_fewest_chains_to_the_most():
    measured = Measured([point(2.0, chains=n + 1, subject="b") for n in range(2)])
    assert measured.growth("latency", "b", PORTCHAIN) == 1.0
    series = [(0, 2.0), (200, 5.0), (50, 100.0)]
    measured = Measured([point(value, chains=chains) for chains, value in series])
    assert measured.growth("latency", "a create", PORTCHAIN) == 2.5
    assert measured.growth("latency", "a create", NETWORKING_SFC) is None
    assert Measured([point(1.0)]).growth("latency", "a create", PORTCHAIN) is None


def test_ratio_compares_the_same_number_of_chains():
    measured = Measured(
        [point(2.0), point(8.0, name=NETWORKING_SFC), point(9.0, name=NETWORKING_SFC, chains=50)]
    )
    assert measured.ratio("latency", "a create", 0) == 4.0
    assert measured.ratio("latency", "a create", 50) is None


def test_a_result_is_read_as_it_was_written(tmp_path):
    result = results.Result("2026-01-02T03:04", {"cores": 2}, [point(1.25, 2.5), point(3.0)])
    path = result.write(tmp_path / "new")
    assert path.name == "2026-01-02T0304.json"
    assert results.Result.read(path) == result
