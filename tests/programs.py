"""Neutron's and portchain's console programs, run by forks of a process that has imported Neutron.

Importing Neutron takes more processor time than what most of these programs do.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
# Only what every program of Neutron imports: the programs' own modules register command line
# options and tables when they are imported.
_FORKS.set_forkserver_preload(["alembic.config", "neutron.db.models_v2", "neutron.manager"])


def run(program: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run an installed console program in a process of its own.

    :param program: its name, as in the ``console_scripts`` of a distribution.
    :returns: its exit status and what it printed.
    """
    (entry,) = {one.value for one in entry_points(group="console_scripts", name=program)}
    argv = [program, *map(str, arguments)]
    with tempfile.TemporaryDirectory() as directory:
        stdout, stderr = Path(directory, "stdout"), Path(directory, "stderr")
        process = _FORKS.Process(target=_become, args=(entry, argv, stdout, stderr))
        process.start()
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(
            argv, process.exitcode, stdout.read_text(), stderr.read_text()
        )


def _become(entry: str, argv: list[str], stdout: Path, stderr: Path) -> None:
    """Call a program's entry point, ``module:function``, and exit as its script would."""
    for descriptor, file in ((1, stdout), (2, stderr)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    sys.argv = argv
    module, _, function = entry.partition(":")
    __import__(module)
    sys.exit(getattr(sys.modules[module], function)())
