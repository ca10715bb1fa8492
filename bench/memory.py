"""Resident memory of the lab's programs."""

import contextlib
import re
from pathlib import Path

from portchain_lab.hosts import processes
from portchain_lab.lab import Lab

KIB_PER_MIB = 1024


def resident(status: str) -> float:
    """MiB of resident memory, from the text of /proc/PID/status; 0 for a process that has none."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / KIB_PER_MIB if found else 0.0


def measure(lab: Lab) -> dict[str, list[float]]:
    """MiB by kind of program: of each API worker, of the RPC server's processes together, and of
    each host's agent without the helpers that it runs commands with.
    """
    _, *workers = _processes(lab, "neutron-api")
    agents = [_processes(lab, f"agent@{host}") for host in lab.hosts]
    return {
        "API worker": workers,
        "RPC server": [sum(_processes(lab, "neutron-rpc-server"))],
        "agent": [sizes[0] for sizes in agents],
    }


def _processes(lab: Lab, program: str) -> list[float]:
    """MiB of each process of a program, the one that started the others first."""
    record = lab.processes.read(program)
    assert record, program
    found = []
    for pid in sorted(processes.group_pids(record), key=lambda pid: (pid != record.pid, pid)):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.append(resident(Path(f"/proc/{pid}/status").read_text()))
    return found
