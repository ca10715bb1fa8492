"""Processor time of the lab's programs.

Unlike elapsed time, it hardly depends on other load of the machine.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from portchain_lab.hosts import netns, processes
from portchain_lab.lab import Lab

NANOSECONDS = 1e9


def spent(pids: Iterable[int]) -> dict[int, float]:
    """Processor time of each process so far, in seconds, all threads together.

    Processes that have ended are missing from the result.
    """
    found: dict[int, float] = {}
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            tasks = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/schedstat")]
            if tasks:
                found[pid] = sum(int(text.split()[0]) for text in tasks) / NANOSECONDS
    return found


class Meter:
    """The processor time of some programs of the lab.

    :param programs: such as ``neutron-api``; without any, all servers, switches and agents.
    """

    def __init__(self, lab: Lab, *programs: str) -> None:
        if programs:
            records = [lab.processes.read(program) for program in programs]
            assert all(records), programs
            self._pids = [pid for one in records if one for pid in processes.group_pids(one)]
        else:
            spaces = (lab.layout.controller_namespace, *map(lab.layout.namespace, lab.hosts))
            self._pids = [pid for space in spaces for pid in netns.pids(space)]

    def seconds(self) -> float:
        """Processor time so far, in seconds."""
        return sum(spent(self._pids).values())
