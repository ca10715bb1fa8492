"""Virtual environments in the lab's cache, for programs whose dependencies are not Neutron's."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from portchain_lab import layout
from portchain_lab.errors import LabError
from portchain_lab.file_lock import locked
from portchain_lab.progress import Progress


def place(name: str, requirements: Sequence[str], constraints: Path | None = None) -> Path:
    """Return the folder of an environment, which exists once it is installed.

    :param requirements: each with its exact version, or with a version in the constraints.
    :param constraints: a file with versions.
    """
    versions = constraints.read_text() if constraints else ""
    facts = (sys.version, tuple(requirements), versions)
    return layout.CACHE / name / hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def install(
    name: str, requirements: Sequence[str], report: Progress, constraints: Path | None = None
) -> Path:
    """Install an environment if it is not in the cache, and return its folder.

    Parameters as for ``place``.

    :param report: receives a line before packages are installed, which takes a minute or two.
    :raises LabError: pip fails; the message has the end of what it printed.
    """
    folder = place(name, requirements, constraints)
    complete = folder / "complete"
    with locked(folder.with_suffix(".lock")):
        if not complete.exists():
            report(f"installing {name}; only necessary once, takes a minute or two")
            shutil.rmtree(folder, ignore_errors=True)
            run([sys.executable, "-m", "venv", str(folder)])
            pip = [str(folder / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
            run([*pip, *(("-c", str(constraints)) if constraints else ()), *requirements])
            complete.touch()
    return folder


def requirements(file: Path) -> tuple[str, ...]:
    """Return what a file with pinned versions names: a package and its version each."""
    lines = file.read_text().splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def run(argv: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
    """Run a command of an environment.

    :param variables: environment variables that it gets besides those of this process.
    :raises LabError: it fails; the message has the end of what it printed.
    """
    done = subprocess.run(
        argv,
        env={**os.environ, **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        msg = f"{' '.join(argv)} failed:\n{done.stdout.strip()[-2000:]}"
        raise LabError(msg)
