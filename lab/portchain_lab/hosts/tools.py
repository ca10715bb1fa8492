"""Runs commands of this machine."""

import shlex
import shutil
import subprocess
from pathlib import Path

from portchain_lab.errors import LabError


def find(command: str) -> str | None:
    """Path of a command, also of those that only root has in its path; None if there is none."""
    return shutil.which(command) or shutil.which(command, path="/usr/sbin:/sbin")


def output(command: str, *arguments: str | Path) -> str:
    """Run a command and return what it printed.

    :raises LabError: it failed.
    """
    argv = (find(command) or command, *map(str, arguments))
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{shlex.join(argv)[:200]}\n{done.stderr.strip()}")
    return done.stdout
