"""Processor time of the lab's programs: unlike elapsed time, other work on the machine hardly adds
to it.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from portchain_lab.hosts import netns, processes
from portchain_lab.lab import Lab

NANOSECONDS = 1e9


def spent(pids: Iterable[int]) -> dict[int, float]:
    """Seconds that each process has run so far, all its threads together, to the nanosecond;
    processes that are gone are missing.
    """
    found: dict[int, float] = {}
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            tasks = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/schedstat")]
            if tasks:
                found[pid] = sum(int(text.split()[0]) for text in tasks) / NANOSECONDS
    return found


class Meter:
    """The processor time of one program of the lab, or of all of them.

    :param program: such as ``neutron-api``; empty for servers, switches and agents together.
    """

    def __init__(self, lab: Lab, program: str = "") -> None:
        if program:
            record = lab.processes.read(program)
            assert record, program
            self._pids = processes.group_pids(record)
        else:
            spaces = (lab.layout.controller_namespace, *map(lab.layout.namespace, lab.hosts))
            self._pids = [pid for space in spaces for pid in netns.pids(space)]

    def seconds(self) -> float:
        """Seconds that its processes have run so far."""
        return sum(spent(self._pids).values())
