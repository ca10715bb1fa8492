"""The table and the results file of the data plane benchmark."""

import io

from rich.console import Console

from bench import dataplane
from bench.dataplane import Row

ROWS = [
    Row(0, "throughput", (400.0, 500.0, 450.0)),
    Row(8, "throughput", (90.0,)),
    Row(0, "upcalls", (2.5,)),
    Row(8, "upcalls", (10.0,)),
]


def test_the_table_shows_values_relative_to_no_chain():
    out = Console(file=io.StringIO(), width=200)
    out.print(dataplane.format_table(ROWS, markdown=True))
    lines = out.file.getvalue().splitlines()
    throughput = next(line for line in lines if "Mbit/s" in line)
    assert "450 (1.00)" in throughput
    assert "90 (0.20)" in throughput
    upcalls = next(line for line in lines if "cache" in line)
    assert [cell.strip() for cell in upcalls.split("|")[2:4]] == ["2.5", "10"]


def test_a_results_file_is_read_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr(dataplane, "draw", lambda rows, path: None)
    path = dataplane.write(ROWS, {"machine": {}}, "2026-01-02T03:04", tmp_path)
    assert path.name == "2026-01-02T0304-dataplane.json"
    assert dataplane.read(path) == ROWS
