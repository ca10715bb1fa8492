"""The demo: as a person runs it, interrupted and run again, and on every driver."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab
from portchain_lab.layout import Layout
from portchain_lab.waiting import wait_for

from tests.lab.labs import NAME, Labs

OPTIONS: dict[str, dict[str, Any]] = {"ovn": {"network_type": "geneve"}, "openflow": {}}
COMMAND = str(Path(sys.executable).parent / "portchain-lab")


def start(layout: Layout, output: Path) -> "subprocess.Popen[bytes]":
    """Run the demo's command for a lab with this layout's name and driver."""
    with output.open("wb") as file:
        return subprocess.Popen(
            [COMMAND, "demo", "--name", layout.name, "--driver", layout.driver],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "200"},
        )


def kill_after(lab: Lab, output: Path, words: str) -> None:
    """Start the demo and kill it as soon as it has printed these words."""
    process = start(lab.layout, output)
    try:
        wait_for(lambda: words in output.read_text(), 240, f"the demo to say {words!r}")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def leftovers(lab: Lab) -> list[str]:
    """The lab's namespaces, and processes that have to do with it wherever they run."""
    directory = str(lab.layout.directory)
    found = netns.with_prefix(lab.layout.prefix)
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if directory in entry.read_text():
                found.append(entry.read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def assert_paths(said: str) -> None:
    assert "100 of 100 connections answered" in said
    for pair in ("p1 → p2", "p3 → p4"):
        assert f"source → {pair} → p5 → p6 → destination" in said


@pytest.mark.timeout(900)
def test_the_demo_survives_being_killed_and_leaves_nothing_behind(
    labs: Labs, tmp_path: Path
) -> None:
    """The first run finds a lab that is up, the second one a workflow that was interrupted."""
    lab, output = labs.get(), tmp_path / "output"
    try:
        kill_after(lab, output, "nova boot")  # the workflow is half done
        kill_after(lab, output, "rabbitmq")  # the lab is half up
        finished = start(lab.layout, output)
        assert finished.wait(timeout=400) == 0, output.read_text()
        assert_paths(output.read_text())
        subprocess.run([COMMAND, "down", "--name", lab.layout.name], check=True)
        assert leftovers(lab) == []
        assert not lab.layout.directory.exists()
    finally:
        labs.stop()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("driver", ["ovn", "openflow"])
def test_the_demo_runs_on_every_driver(labs: Labs, tmp_path: Path, driver: str) -> None:
    layout, output = Layout(NAME, driver=driver, **OPTIONS[driver]), tmp_path / "output"
    labs.stop(unless=layout)  # the demo uses such a lab if one is up
    try:
        finished = start(layout, output)
        assert finished.wait(timeout=400) == 0, output.read_text()
        assert_paths(output.read_text())
    finally:
        subprocess.run([COMMAND, "down", "--name", NAME], check=True)
        labs.stop()
