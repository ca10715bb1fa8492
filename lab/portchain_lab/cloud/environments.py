"""Virtual environments in the lab's cache, for programs whose dependencies are not Neutron's."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from portchain_lab import layout
from portchain_lab.errors import LabError
from portchain_lab.progress import Progress


def place(name: str, requirements: Sequence[str]) -> Path:
    """Return the folder of an environment, which exists once it is installed.

    :param requirements: each with its exact version.
    """
    digest = hashlib.sha256(repr((sys.version, tuple(requirements))).encode()).hexdigest()
    return layout.CACHE / name / digest[:16]


def install(name: str, requirements: Sequence[str], report: Progress) -> Path:
    """Install an environment if it is not in the cache, and return its folder.

    :param report: receives a line before packages are installed, which takes a minute or two.
    :raises LabError: pip fails; the message has the end of what it printed.
    """
    folder = place(name, requirements)
    folder.parent.mkdir(parents=True, exist_ok=True)
    complete = folder / "complete"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released by the kernel if this process dies
        if not complete.exists():
            report(f"installing {name}; only necessary once, takes a minute or two")
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(folder))
            pip = (str(folder / "bin" / "pip"), "install", "-q", "--disable-pip-version-check")
            _run(*pip, *requirements)
            complete.touch()
    return folder


def _run(*argv: str) -> None:
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-15:])
        msg = f"{' '.join(argv[:4])} failed:\n{tail}"
        raise LabError(msg)
