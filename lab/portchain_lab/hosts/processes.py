"""Processes of a lab: started in a namespace, recorded in a file, stopped by their identity.

A record holds the process id and the start time. The kernel reuses a process id, but not together
with the same start time, so a stale record never leads to killing a stranger.
"""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from portchain_lab.errors import DeadlineError, LabError
from portchain_lab.hosts import launcher_client, netns
from portchain_lab.waiting import wait_for

READY = "ready"
"""What the lab's own guest programs print once they work."""

PROBE_INTERVAL = 0.2
"""Seconds between two probes. Each costs processor time that the starting programs need."""

KILL_TIMEOUT = 10.0
"""Seconds that killed processes may take to disappear."""

STARTED = b"---- started: "
"""Begins a line in the log at each start: separates what the program writes from older output."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """How to start a long-running program.

    :param name: unique in the lab, such as ``neutron-api`` or ``agent@h1``.
    :param stop_wait: seconds between SIGTERM and SIGKILL; 0 kills at once.
    :param launcher: socket of the launcher (``launcher.py``) that forks the program, a Python
        script, to save the time that imports take. While none runs, it is started as any other.
    :param enters_itself: it is started in the machine's own namespace, and enters ``namespace`` by
        itself before it does anything else but open sockets.
    :param own_launcher: socket at which it gets a launcher for the programs that it starts itself.
    """

    name: str
    namespace: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    stop_wait: float = 5.0
    launcher: Path | None = None
    enters_itself: bool = False
    own_launcher: Path | None = None


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A process that was started.

    :param start_time: clock ticks since the kernel booted.
    """

    name: str
    namespace: str
    pid: int
    start_time: int


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the lab: how to start it and how to check that it works.

    :param ready: asks once, without waiting, whether the program works.
    :param deadline: seconds it may take to become ready.
    """

    process: ProcessSpec
    ready: Callable[[], bool]
    deadline: float = 240.0


def is_ready(program: Program, record: ProcessRecord) -> bool:
    """Return whether a program that was started works.

    :raises LabError: it has ended; the message names its log.
    """
    if not alive(record):
        spec = program.process
        msg = f"{spec.name} ended unexpectedly; its log says why: {spec.log}"
        raise LabError(msg)
    return program.ready()


def wait_ready(program: Program, record: ProcessRecord) -> None:
    """Wait until a program that was started works.

    :raises LabError: it ended.
    :raises DeadlineError: it takes longer than its deadline.
    """
    what = f"{program.process.name} to become ready (log: {program.process.log})"
    wait_for(partial(is_ready, program, record), program.deadline, what, PROBE_INTERVAL)


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name, in parentheses, may itself contain blanks and parentheses.
    fields = stat.rpartition(")")[2].split()
    # A zombie leader with live threads still holds files and ports.
    gone = fields[0] in "ZX" and int(fields[17]) <= 1
    return None if gone else int(fields[19])


def alive(record: ProcessRecord) -> bool:
    """Return whether exactly this process still runs."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(record.pid, os.WNOHANG)
    return start_time(record.pid) == record.start_time


class ProcessRegistry:
    """The records of one lab's processes, each in a file of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, name: str) -> ProcessRecord | None:
        """The record of a program; None if it was never started."""
        try:
            return ProcessRecord(**json.loads(self._path(name).read_text()))
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def all(self) -> list[ProcessRecord]:
        """Every record, by name."""
        names = sorted(path.stem for path in self._directory.glob("*.json"))
        return [record for name in names if (record := self.read(name))]

    def write(self, record: ProcessRecord) -> None:
        """Write a record atomically."""
        self._directory.mkdir(parents=True, exist_ok=True)
        draft = self._path(record.name).with_suffix(".new")
        draft.write_text(json.dumps(asdict(record)))
        draft.rename(self._path(record.name))

    def remove(self, name: str) -> None:
        """Remove the record of a program, if there is one."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.json"


def start(spec: ProcessSpec, registry: ProcessRegistry) -> ProcessRecord:
    """Start a program and record it.

    :raises LabError: it runs already, or it ended at once.
    """
    known = registry.read(spec.name)
    if known and alive(known):
        msg = f"{spec.name} runs already (process {known.pid})"
        raise LabError(msg)
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    with spec.log.open("ab") as log:
        log.write(STARTED + spec.name.encode() + b"\n")
        log.flush()
        pid = _launch(spec, log.fileno()) or _execute(spec, log.fileno())
    born = start_time(pid)
    if born is None:
        raise LabError(f"{spec.name} ended at once; its log says why: {spec.log}")
    record = ProcessRecord(spec.name, spec.namespace, pid, born)
    registry.write(record)
    return record


def _launch(spec: ProcessSpec, log: int) -> int | None:
    """Let the launcher start a program.

    :param log: file descriptor of the program's log.
    :returns: its process id; None if there is no launcher.
    """
    if spec.launcher is None:
        return None
    connection = launcher_client.request(
        str(spec.launcher),
        log,
        argv=spec.argv,
        env={**os.environ, **spec.env},
        namespace=spec.namespace,
        session=True,
        launcher=str(spec.own_launcher) if spec.own_launcher else None,
    )
    if connection is None:
        return None
    with connection:
        return launcher_client.receive(connection)


def _execute(spec: ProcessSpec, log: int) -> int:
    """Execute a program in a new process, and return its process id."""
    process = subprocess.Popen(
        spec.argv if spec.enters_itself else netns.command(spec.namespace, spec.argv),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **spec.env},
        # uWSGI would import Python packages from the caller's current directory.
        cwd="/",
        # A process group of its own: it outlives this process and can be killed as a whole.
        start_new_session=True,
    )
    # The process is meant to outlive this object: silence subprocess's warning about that.
    process.returncode = 0
    return process.pid


def log_since_start(log: Path) -> str:
    """What a program wrote into its log since its last start."""
    return log.read_bytes().rpartition(STARTED)[2].decode(errors="replace")


def group_pids(record: ProcessRecord) -> list[int]:
    """Process ids of a program's process group in its namespace, even after its leader died."""
    members = []
    for pid in netns.pids(record.namespace):
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(pid) == record.pid:
                members.append(pid)
    return members


def send_signal(pids: Iterable[int], number: int) -> None:
    """Send a signal to processes; those that are gone are skipped."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def stop(record: ProcessRecord, registry: ProcessRegistry, grace_period: float = 5.0) -> None:
    """Stop a program: SIGTERM to its leader, then SIGKILL to what is left of its group.

    :param grace_period: seconds between the two; 0 sends SIGKILL at once.
    """
    if grace_period > 0 and alive(record):
        send_signal([record.pid], signal.SIGTERM)
        with contextlib.suppress(DeadlineError):
            wait_for(lambda: not alive(record), grace_period, "", interval=0.02)
    rest = [member for member in map(_identify, group_pids(record)) if member]
    send_signal((member.pid for member in rest), signal.SIGKILL)
    wait_for(
        lambda: not any(map(alive, rest)), KILL_TIMEOUT, f"{record.name} to die", interval=0.02
    )
    registry.remove(record.name)


def _identify(pid: int) -> ProcessRecord | None:
    born = start_time(pid)
    return None if born is None else ProcessRecord("", "", pid, born)


def kill_all(namespaces: Sequence[str]) -> None:
    """Kill every process in these namespaces, recorded or not, and wait until they are gone.

    :raises LabError: the calling process itself is in one of them.
    """
    own = os.getpid()
    found = {pid for name in namespaces for pid in netns.pids(name)}
    if own in found:
        msg = "this command would kill itself: leave the lab's shell first, then run it again"
        raise LabError(msg)
    records = [record for record in map(_identify, found) if record]
    send_signal((record.pid for record in records), signal.SIGKILL)
    wait_for(
        lambda: not any(map(alive, records)),
        KILL_TIMEOUT,
        "killed processes to disappear",
        interval=0.02,
    )
