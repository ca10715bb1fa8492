"""Tables and the picture."""

import io

import pytest
from rich.console import Console

from bench import report
from bench.points import NETWORKING_SFC, PORTCHAIN, Measured, Point

MEASURED = Measured(
    Point(name, chains, "latency", "port_chain create", values)
    for name, chains, values in (
        (PORTCHAIN, 0, (50.0, 52.0, 99.0)),
        (PORTCHAIN, 200, (52.0,)),
        (NETWORKING_SFC, 0, (520.0,)),
    )
)


def test_a_line_has_medians_growth_and_ratios_under_their_headings():
    line = dict(
        zip(
            report.headings(MEASURED),
            report.cells(MEASURED, "latency", "port_chain create"),
            strict=False,
        )
    )
    assert line["portchain 0"] == "52 (99)"
    assert line["portchain 200"] == "52"
    assert line["networking-sfc 200"] == "-"
    assert line["ratio 0"] == "x10.0"
    assert line["ratio 200"] == "-"
    assert report.cells(MEASURED, "latency", "port_chain create")[2] == "x1.0"


def test_there_is_no_ratio_without_two_implementations_and_no_growth_without_two_sizes():
    alone = Measured([Point(PORTCHAIN, 0, "sql", "port_pair create", (3.0,))])
    assert report.headings(alone) == ["portchain 0"]
    assert report.cells(alone, "sql", "port_pair create") == ["3"]


@pytest.mark.parametrize(
    ("value", "text"), [(3.0, "3"), (3.14, "3.1"), (314.15, "314"), (-2.06, "-2.1"), (0.0, "0")]
)
def test_numbers_have_three_significant_digits(value, text):
    assert report.number(value) == text


def test_tables_can_be_drawn_as_markdown():
    ((title, table),) = report.tables(MEASURED, markdown=True)
    console = Console(width=200, file=io.StringIO())
    with console.capture() as capture:
        console.print(table)
    lines = [line.strip() for line in capture.get().splitlines() if line.strip()]
    assert title.startswith("Response time of a request")
    assert lines[0].startswith("|") and set(lines[1]) <= set("|-: ")
    assert lines[2].split("|")[1].strip() == "port chain create"


def test_the_picture_is_a_png_file(tmp_path):
    pytest.importorskip("matplotlib", reason="comes with the extra 'bench'")
    from bench import plot  # noqa: PLC0415

    plot.draw(MEASURED, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
