"""What a run leaves behind: a file with everything that was measured, and the picture."""

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
    """One run.

    :param began: when, in ISO 8601.
    :param about: versions, options, and what the machine is like.
    """

    began: str
    about: Mapping[str, Any]
    points: list[Point]

    def write(self, directory: Path) -> Path:
        """Write the result under its date and time, a point a line, and return the file."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.began.replace(':', '')}.json"
        head = json.dumps({"began": self.began, "about": self.about}, indent=1)
        points = ",\n".join("  " + json.dumps(point.to_json()) for point in self.points)
        path.write_text(f'{head.removesuffix("}").rstrip()},\n "points": [\n{points}\n ]\n}}\n')
        return path

    @classmethod
    def read(cls, path: Path) -> "Result":
        """The result that was written."""
        known = json.loads(path.read_text())
        return cls(known["began"], known["about"], [Point.from_json(p) for p in known["points"]])


def now() -> str:
    """The present time in UTC, to the minute."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M")


def machine() -> dict[str, Any]:
    """What numbers depend on, but nothing that tells whose machine it is."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * _PAGE / 2**30),
        "python": platform.python_version(),
        "neutron": metadata.version("neutron"),
        "load_before": round(os.getloadavg()[0], 1),
    }
