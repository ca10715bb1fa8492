"""The demo with the kernel's datapath, as a person runs it: most likely in a virtual machine."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from portchain_lab.lab import Lab
from portchain_lab.layout import Layout

from tests.lab.test_demo import assert_paths, leftovers

COMMAND = str(Path(sys.executable).parent / "portchain-lab")
NAME = os.environ.get("PORTCHAIN_TEST_LAB", "test") + "vm"


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run ``portchain-lab`` for the lab; what it prints appears at once as well."""
    command, *rest = arguments
    with subprocess.Popen(
        [COMMAND, command, "--name", NAME, *rest],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    ) as process:
        said = []
        assert process.stdout
        for line in process.stdout:
            said.append(line)
            print(line, end="", flush=True)
    return subprocess.CompletedProcess(process.args, process.returncode, "".join(said))


@pytest.fixture
def nothing_stays() -> Iterator[None]:
    yield
    assert run("down").returncode == 0
    assert leftovers(Lab(Layout(NAME))) == []


@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("nothing_stays")
def test_the_demo_runs_with_the_kernels_datapath() -> None:
    done = run("demo", "--datapath", "kernel")
    assert done.returncode == 0, done.stdout
    assert_paths(done.stdout)
    for host in ("h1", "h2", "h3"):
        shown = run("exec", host, "--", "ovs-dpctl", "show").stdout
        assert shown.startswith("system@ovs-system:"), shown
        assert "vxlan_sys" in shown
    assert run("exec", "vm1", "--", "sh", "-c", "exit 3").returncode == 3
    assert "agent@h1" in run("status").stdout
    assert "Agent initialized successfully" in run("logs", "agent@h1").stdout
