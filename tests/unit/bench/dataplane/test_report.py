"""The tables and the results file of the data plane's benchmark."""

import io
import json

import pytest
from rich.console import Console

from bench.dataplane import report, rows
from bench.dataplane.cases import BARE, CHAIN, DIRECT, NONE, STATIC, Case
from bench.dataplane.goals import goal
from bench.dataplane.rows import Row
from bench.points import NETWORKING_SFC, ON_OVN, PORTCHAIN

ONE, THREE = Case(2), Case(2, 3, symmetric=True)
ROWS = [
    Row(PORTCHAIN, NONE, DIRECT, "tcp cpu", (700.0, 900.0, 800.0)),
    Row(PORTCHAIN, STATIC, ONE, "tcp cpu", (1000.0,)),
    Row(PORTCHAIN, CHAIN, ONE, "tcp cpu", (1300.0,)),
    Row(PORTCHAIN, STATIC, THREE, "tcp cpu", (1000.0,)),
    Row(PORTCHAIN, CHAIN, THREE, "tcp cpu", (1300.0,)),
    Row(PORTCHAIN, CHAIN, ONE, "upcalls", (3.5,)),
    Row(NETWORKING_SFC, STATIC, ONE, "tcp cpu", (1100.0,)),
    Row(NETWORKING_SFC, CHAIN, ONE, "tcp cpu", (1200.0,)),
]


def table(title: str, some=ROWS) -> list[dict[str, str]]:
    """The lines of a table, by heading."""
    out = Console(file=io.StringIO(), width=400)
    found = dict(report.tables(some, markdown=True))
    out.print(found[title])
    lines = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in out.file.getvalue().splitlines()
        if "|" in line
    ]
    heading, _, *body = lines
    return [dict(zip(heading, line, strict=True)) for line in body]


def test_a_chain_is_judged_by_its_ratio_to_static_flows():
    one, three = table(rows.METRICS["tcp cpu"])
    assert (one["functions"], one["goal"], one["met"]) == ("2", "<= 1.2", "no")
    assert (three["functions"], three["goal"], three["met"]) == (
        "2 x 3, both directions",
        "<= 1.4",
        "yes",
    )
    assert one["no chain"] == "800"


def test_a_chain_is_compared_with_networking_sfc_by_the_ratios_in_both_labs():
    one, three = table(rows.METRICS["tcp cpu"])
    assert (one["portchain / networking-sfc"], one["no worse"]) == ("1.19", "no")
    assert (three["portchain / networking-sfc"], three["no worse"]) == ("-", "-")


def test_counts_are_judged_by_their_value():
    (line,) = table(rows.METRICS["upcalls"])
    assert (line["goal"], line["met"]) == ("<= 0", "no")


@pytest.mark.parametrize(
    ("metric", "value", "met"),
    [
        ("tcp rate", 0.95, True),
        ("tcp rate", 0.94, False),
        ("packets", 0.96, False),
        ("udp cpu", 1.2, True),
        ("udp cpu", 1.21, False),
        ("changes", 0.01, True),
        ("changes", 0.1, False),
    ],
)
def test_goals_are_limits(metric, value, met):
    wanted = goal(metric, ONE)
    assert wanted is not None
    assert wanted.is_met(value) is met


def test_less_is_better_only_for_costs():
    fast = [
        Row(PORTCHAIN, CHAIN, ONE, "tcp rate", (900.0,)),
        Row(NETWORKING_SFC, CHAIN, ONE, "tcp rate", (800.0,)),
        *(Row(name, STATIC, ONE, "tcp rate", (1000.0,)) for name in (PORTCHAIN, NETWORKING_SFC)),
    ]
    (line,) = table(rows.METRICS["tcp rate"], fast)
    assert line["no worse"] == "yes"


def test_the_growth_with_other_connections_is_judged():
    crowded = [*ROWS, Row(PORTCHAIN, CHAIN, ONE, "tcp cpu", (1456.0,), alive=10_000)]
    title = f"{rows.METRICS['tcp cpu']}, with 10000 other connections open"
    (line,) = table(title, crowded)
    assert (line["growth"], line["<= 1.1"]) == ("1.12", "no")


def test_columns_without_values_are_left_out():
    (line,) = table(rows.METRICS["upcalls"])
    assert "by hand" not in line


def test_the_picture_shows_ratios_to_static_flows():
    labels, series = report.drawn(ROWS)
    assert labels == ["2", "2 x 3, both directions"]
    assert [round(value or 0, 2) for value in next(iter(series.values()))] == [1.3, 1.3]


def test_a_results_file_is_read_as_it_was_written(tmp_path):
    path = rows.write(ROWS, {"machine": {}}, "2026-01-02T03:04", tmp_path)
    assert path.name == "2026-01-02T0304-dataplane.json"
    assert rows.read(path) == ROWS


def test_a_file_of_the_first_version_is_shown(tmp_path):
    path = tmp_path / "old.json"
    old = [
        {"functions": 0, "metric": "connections", "values": [360.7]},
        {"functions": 8, "metric": "connections", "values": [106.0, 108.0]},
    ]
    path.write_text(json.dumps({"began": "", "about": {}, "rows": old}))
    (line,) = table(rows.METRICS["connections"], rows.read(path))
    assert line == {
        "functions": "8",
        "no chain": "361",
        "portchain": "107",
        "/ no chain": "0.30",
    }


ON_HOSTS_OF_OVN = [
    Row(ON_OVN, BARE, DIRECT, "tcp cpu", (500.0,)),
    Row(ON_OVN, NONE, DIRECT, "tcp cpu", (600.0,)),
    Row(ON_OVN, CHAIN, ONE, "tcp cpu", (1560.0,)),
]


def test_hosts_of_ovn_are_compared_with_others_and_with_no_detour():
    one, three = table(rows.METRICS["tcp cpu"], [*ROWS, *ON_HOSTS_OF_OVN])
    assert (one[ON_OVN], one["nobody has a chain"], one["/ portchain"]) == ("1560", "500", "1.20")
    assert (three[ON_OVN], three["/ portchain"]) == ("-", "-")


def test_the_picture_leaves_out_what_has_nothing_to_compare_with():
    _, series = report.drawn([*ROWS, *ON_HOSTS_OF_OVN])
    assert [name for name in series if ON_OVN in name] == []
    assert [name for name in series if PORTCHAIN in name] != []
