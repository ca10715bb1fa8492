"""Processes of a lab: started in a namespace, written down, stopped by their identity.

A process id alone can belong to somebody else tomorrow; the id and the start time together cannot.
"""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from portchain_lab.errors import DeadlineError, LabError
from portchain_lab.hosts import netns
from portchain_lab.waiting import wait_for

READY = "ready"
"""What programs of ours print when they have begun to work."""

KILL_WAIT = 10.0
# Begins a line in the log at each start: what a program says now can be told from what it said
# before.
STARTED = b"---- started: "


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """How to start a long-running program.

    :param name: unique in the lab, such as ``neutron-api`` or ``agent@h1``.
    :param stop_wait: seconds between SIGTERM and SIGKILL; 0 kills at once.
    """

    name: str
    namespace: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    stop_wait: float = 5.0


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A process that was started.

    :param start_time: clock ticks since the machine's boot.
    """

    name: str
    namespace: str
    pid: int
    start_time: int


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name, in parentheses, may hold blanks and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    # While other threads are still on their way out, so are the files and ports they share.
    gone = fields[0] in "ZX" and int(fields[17]) <= 1
    return None if gone else int(fields[19])


def alive(record: ProcessRecord) -> bool:
    """Whether this very process still runs."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(record.pid, os.WNOHANG)
    return start_time(record.pid) == record.start_time


class ProcessRegistry:
    """The processes of one lab, each in a file of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, name: str) -> ProcessRecord | None:
        """The record of a spec, None if it was never started."""
        try:
            return ProcessRecord(**json.loads(self._path(name).read_text()))
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def all(self) -> list[ProcessRecord]:
        """Every record, by name."""
        names = sorted(path.stem for path in self._directory.glob("*.json"))
        return [record for name in names if (record := self.read(name))]

    def write(self, record: ProcessRecord) -> None:
        """Keep a record; a reader sees all of it or nothing."""
        self._directory.mkdir(parents=True, exist_ok=True)
        draft = self._path(record.name).with_suffix(".new")
        draft.write_text(json.dumps(asdict(record)))
        draft.rename(self._path(record.name))

    def remove(self, name: str) -> None:
        """Forget a spec."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.json"


def start(spec: ProcessSpec, registry: ProcessRegistry) -> ProcessRecord:
    """Start a service and write it down.

    :raises LabError: if it runs already.
    """
    known = registry.read(spec.name)
    if known and alive(known):
        msg = f"{spec.name} runs already (process {known.pid})"
        raise LabError(msg)
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    with spec.log.open("ab") as log:
        log.write(STARTED + spec.name.encode() + b"\n")
        log.flush()
        process = subprocess.Popen(
            netns.command(spec.namespace, spec.argv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **spec.env},
            # Not the caller's folder: uWSGI would look for Python packages in it.
            cwd="/",
            # A group of its own, which outlives this program and can be told from others.
            start_new_session=True,
        )
    born = start_time(process.pid)
    # It ends on its own account, below or later: nobody waits for this object.
    process.returncode = 0
    if born is None:
        raise LabError(f"{spec.name} ended at once: see {spec.log}")
    record = ProcessRecord(spec.name, spec.namespace, process.pid, born)
    registry.write(record)
    return record


def log_since_start(log: Path) -> str:
    """What a program wrote into its log since it was started last."""
    return log.read_bytes().rpartition(STARTED)[2].decode(errors="replace")


def group_pids(record: ProcessRecord) -> list[int]:
    """The service's processes: its group within its namespace, the leader dead or alive."""
    members = []
    for pid in netns.pids(record.namespace):
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(pid) == record.pid:
                members.append(pid)
    return members


def send_signal(pids: Iterable[int], number: int) -> None:
    """Send a signal to processes, of which some may be gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def stop(record: ProcessRecord, registry: ProcessRegistry, grace_period: float = 5.0) -> None:
    """End a spec: SIGTERM to its leader, after ``grace_period`` seconds SIGKILL to all of it (0:
    SIGKILL at once).
    """
    if grace_period > 0 and alive(record):
        send_signal([record.pid], signal.SIGTERM)
        with contextlib.suppress(DeadlineError):
            wait_for(lambda: not alive(record), grace_period, "", interval=0.02)
    rest = [member for member in map(_identify, group_pids(record)) if member]
    send_signal((member.pid for member in rest), signal.SIGKILL)
    wait_for(lambda: not any(map(alive, rest)), KILL_WAIT, f"{record.name} to die", interval=0.02)
    registry.remove(record.name)


def _identify(pid: int) -> ProcessRecord | None:
    born = start_time(pid)
    return None if born is None else ProcessRecord("", "", pid, born)


def kill_all(namespaces: Sequence[str]) -> None:
    """Kill every process in these namespaces, recorded or not, and wait until they are gone."""
    own = os.getpid()
    found = {pid for name in namespaces for pid in netns.pids(name)}
    if own in found:
        msg = "run this from outside of the lab it is to remove (leave the lab's shell first)"
        raise LabError(msg)
    records = [record for record in map(_identify, found) if record]
    send_signal((record.pid for record in records), signal.SIGKILL)
    wait_for(lambda: not any(map(alive, records)), KILL_WAIT, "processes to die", interval=0.02)
