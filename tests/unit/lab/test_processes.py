"""Process records, the registry, logs and waiting."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from portchain_lab import waiting
from portchain_lab.errors import DeadlineError
from portchain_lab.hosts.processes import (
    ProcessRecord,
    ProcessRegistry,
    alive,
    log_since_start,
    start_time,
)
from portchain_lab.waiting import wait_for


def test_a_record_matches_only_the_process_that_it_describes() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=-1)
    born = start_time(process.pid)
    assert born is not None
    record = ProcessRecord("x", "", process.pid, born)
    assert alive(record)
    assert not alive(ProcessRecord("x", "", process.pid, born + 1))

    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not alive(record), 5, "the process to be gone")
    process.returncode = 0  # it was reaped by alive()
    assert start_time(process.pid) is None


def test_the_registry_keeps_records_and_ignores_broken_files(tmp_path: Path) -> None:
    registry = ProcessRegistry(tmp_path / "processes")
    record = ProcessRecord("agent@h1", "pc-x-h1", 42, 4711)
    registry.write(record)
    (tmp_path / "processes" / "broken.json").write_text("{")

    assert registry.all() == [record]
    registry.remove("agent@h1")
    registry.remove("agent@h1")
    assert registry.all() == []


def test_only_output_since_the_last_start_counts(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("---- started: a\nready\n---- started: a\nstarting\n")
    assert "ready" not in log_since_start(log)
    assert "starting" in log_since_start(log)


@pytest.mark.parametrize(("takes", "pause"), [(0.0, 0.1), (0.2, 0.6), (7.0, 1.0)])
def test_a_predicate_that_takes_long_is_called_less_often(
    takes: float, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, pauses = SimpleNamespace(now=0.0), []

    def ready() -> bool:
        clock.now += takes
        return bool(pauses)

    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(waiting, "_pause", SimpleNamespace(wait=pauses.append))
    wait_for(ready, 60, "a state")
    assert pauses == [pytest.approx(pause)]


def test_waiting_ends_at_the_deadline_and_names_the_state() -> None:
    with pytest.raises(DeadlineError, match="pigs to fly"):
        wait_for(lambda: False, 0.05, "pigs to fly", interval=0.01)
