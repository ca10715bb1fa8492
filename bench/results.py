"""The results file of a run."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.points import Point

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
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.began.replace(':', '')}.json"
        head = json.dumps({"began": self.began, "about": self.about}, indent=1)
        points = ",\n".join("  " + json.dumps(point.to_json()) for point in self.points)
        path.write_text(f'{head.removesuffix("}").rstrip()},\n "points": [\n{points}\n ]\n}}\n')
        return path

    @classmethod
    def read(cls, path: Path) -> "Result":
        """Read a file that ``write`` wrote."""
        known = json.loads(path.read_text())
        return cls(known["began"], known["about"], [Point.from_json(p) for p in known["points"]])


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
