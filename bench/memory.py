"""Resident memory of the lab's programs."""

import contextlib
import re
from pathlib import Path

from portchain_lab.hosts import processes
from portchain_lab.lab import Lab

KIB_PER_MIB = 1024


def resident(status: str) -> float:
    """Resident memory in MiB, from the text of /proc/PID/status; 0 if it has no such line."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / KIB_PER_MIB if found else 0.0


def measure(lab: Lab) -> dict[str, list[float]]:
    """Resident memory in MiB, by type of program.

    :returns: the values of each API worker, of the RPC server (all processes together), and of
        each host's agent (without its privileged helpers).
    """
    _, *workers = _processes(lab, "neutron-api")
    agents = [_processes(lab, f"agent@{host}") for host in lab.hosts]
    return {
        "API worker": workers,
        "RPC server": [sum(_processes(lab, "neutron-rpc-server"))],
        "agent": [sizes[0] for sizes in agents],
    }


def _processes(lab: Lab, program: str) -> list[float]:
    """Resident memory of each process of a program in MiB, the parent process first."""
    record = lab.processes.read(program)
    assert record, program
    found = []
    for pid in sorted(processes.group_pids(record), key=lambda pid: (pid != record.pid, pid)):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.append(resident(Path(f"/proc/{pid}/status").read_text()))
    return found
