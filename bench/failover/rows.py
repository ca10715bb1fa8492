"""Measured values, their file and their table."""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from bench.failover.cases import HANGS, KINDS, Case
from bench.failover.verdict import Failure
from bench.results import write_file


@dataclass(frozen=True, slots=True)
class Row:
    """The failures of a case."""

    case: Case
    failures: tuple[Failure, ...]

    def to_json(self) -> dict[str, Any]:
        """The row for the results file."""
        failures = [
            {key: round(value, 3) for key, value in asdict(one).items()} for one in self.failures
        ]
        return {**asdict(self.case), "failures": failures}

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> "Row":
        """The row that was saved as JSON."""
        failure = known.get("failure", HANGS)
        case = Case(known["driver"], known["kind"], known["where"], failure)
        return cls(case, tuple(Failure(**one) for one in known["failures"]))

    @property
    def is_right(self) -> bool:
        """Whether nothing went around the functions, and no connection was lost or moved."""
        return not any(one.around or one.broken or one.moved for one in self.failures)


def write(rows: Sequence[Row], about: Mapping[str, Any], began: str, directory: Path) -> Path:
    """Write the results file; returns its path."""
    return write_file(directory, began, about, "rows", rows, suffix="-failover")


def read(path: Path) -> list[Row]:
    """Read the rows of a results file."""
    return [Row.from_json(row) for row in json.loads(path.read_text())["rows"]]


def table(rows: Iterable[Row], markdown: bool = False) -> Table:
    """Each case with medians, and the worst of its failures."""
    drawn = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    for title in ("driver", "function", "where", "what fails"):
        drawn.add_column(title)
    columns: Mapping[str, Callable[[Row], str]] = {
        "failures": lambda row: str(len(row.failures)),
        "noticed (s)": lambda row: _spread([one.detection for one in row.failures]),
        "other function (s)": lambda row: _spread([one.switch_over for one in row.failures]),
        "datagrams lost": lambda row: _spread([one.lost for one in row.failures]),
        "around": lambda row: str(sum(one.around for one in row.failures)),
        "connections lost": lambda row: str(sum(one.broken for one in row.failures)),
        "connections moved back": lambda row: str(sum(one.moved for one in row.failures)),
    }
    for title in columns:
        drawn.add_column(title, justify="right")
    for row in rows:
        case = row.case
        cells = (cell(row) for cell in columns.values())
        drawn.add_row(case.driver, KINDS[case.kind].title, case.where, case.failure, *cells)
    return drawn


def _spread(values: Sequence[float]) -> str:
    """The median, and the worst value in parentheses."""
    median, worst = statistics.median(values), max(values)
    if all(isinstance(value, int) for value in values):
        return f"{median:.0f} ({worst})"
    return f"{median:.2f} ({worst:.2f})"
