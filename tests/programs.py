"""Neutron's and portchain's console programs, run by forks of processes that have imported them.

Importing Neutron takes more processor time than what most of these programs do.
"""

import functools
import gc
import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from importlib.metadata import entry_points
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_FORKS = multiprocessing.get_context("forkserver")
# Only what every program of Neutron imports: the programs' own modules register command line
# options and tables when they are imported.
_FORKS.set_forkserver_preload(["alembic.config", "neutron.db.models_v2", "neutron.manager"])

# What these programs import further, always. Others are left alone: neutron-status, for instance,
# reads its arguments while it is imported.
_OWN_MODULES = {
    "neutron-db-manage": (
        "neutron.db.migration.cli",
        "neutron.db.migration.models.head",
        "portchain.db.models",
    ),
    "portchain-import": ("portchain.importer.cli", "portchain.importer.command"),
}


def run(program: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run an installed console program in a process of its own.

    :param program: its name, as in the ``console_scripts`` of a distribution.
    :returns: its exit status and what it printed.
    """
    argv = [program, *map(str, arguments)]
    with tempfile.TemporaryDirectory() as directory:
        stdout, stderr = Path(directory, "stdout"), Path(directory, "stderr")
        launcher = _launcher(program)
        launcher.send((argv, stdout, stderr))
        return subprocess.CompletedProcess(
            argv, launcher.recv(), stdout.read_text(), stderr.read_text()
        )


@functools.cache
def _launcher(program: str) -> "Connection[Any, int]":
    """Start a process that runs one program, again and again; return a connection to it."""
    (entry,) = {one.value for one in entry_points(group="console_scripts", name=program)}
    ours, its = multiprocessing.Pipe()
    _FORKS.Process(
        target=_serve, args=(its, entry, _OWN_MODULES.get(program, ())), daemon=True
    ).start()
    its.close()
    return ours


def _serve(requests: "Connection[int, Any]", entry: str, modules: tuple[str, ...]) -> None:
    """Import a program's modules; then fork a process for each request, until there is no client.

    :param entry: the entry point, ``module:function``.
    """
    for name in modules:
        importlib.import_module(name)
    gc.freeze()
    while True:
        try:
            argv, stdout, stderr = requests.recv()
        except EOFError:
            return
        process = os.fork()
        if process == 0:
            requests.close()
            _become(entry, argv, stdout, stderr)
        requests.send(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))


def _become(entry: str, argv: list[str], stdout: Path, stderr: Path) -> None:
    """Call a program's entry point, ``module:function``, and exit as its script would."""
    for descriptor, file in ((1, stdout), (2, stderr)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    sys.argv = argv
    module, _, function = entry.partition(":")
    sys.exit(getattr(importlib.import_module(module), function)())
