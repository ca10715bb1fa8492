"""The results file of a run."""

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from bench.points import Point


class Line(Protocol):
    """One line of a results file."""

    def to_json(self) -> dict[str, Any]:
        """The line as JSON can hold it."""


_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Result:
    """The results of one run.

    :param began: start of the run, in ISO 8601, UTC.
    :param about: versions, options, and properties of the machine.
    """

    began: str
    about: Mapping[str, Any]
    points: list[Point]

    def write(self, directory: Path) -> Path:
        """Write a file named after the start of the run; returns its path."""
        return write_file(directory, self.began, self.about, "points", self.points)

    @classmethod
    def read(cls, path: Path) -> "Result":
        """Read a file that ``write`` wrote."""
        known = json.loads(path.read_text())
        return cls(known["began"], known["about"], [Point.from_json(p) for p in known["points"]])


def write_file(
    directory: Path,
    began: str,
    about: Mapping[str, Any],
    name: str,
    lines: Iterable[Line],
    *,
    suffix: str = "",
) -> Path:
    """Write a results file, with one line for each result.

    :param began: start of the run, which the file is named after, with a suffix.
    :param about: as in ``Result``.
    :param name: what the lines are called in the file.
    :returns: the file's path.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{began.replace(':', '')}{suffix}.json"
    head = json.dumps({"began": began, "about": about}, indent=1).removesuffix("}").rstrip()
    body = ",\n".join("  " + json.dumps(line.to_json()) for line in lines)
    path.write_text(f'{head},\n "{name}": [\n{body}\n ]\n}}\n')
    return path


def now() -> str:
    """The current time in UTC, to the minute."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M")


def machine() -> dict[str, Any]:
    """Properties of this machine that matter for the figures; none of them identifies it."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * _PAGE / 2**30),
        "python": platform.python_version(),
        "neutron": metadata.version("neutron"),
        "load_before": round(os.getloadavg()[0], 1),
    }
