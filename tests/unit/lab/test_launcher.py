"""Programs that a launcher forks behave like those that are executed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from portchain_lab.hosts import launcher, launcher_client
from portchain_lab.hosts.processes import start_time
from portchain_lab.waiting import wait_for

DESCRIBES_ITSELF = """
import gc, json, os, signal, sys, threading
print(json.dumps({
    "argv": sys.argv, "name": __name__, "file": __file__, "colour": os.environ.get("COLOUR"),
    "home": os.environ.get("HOME"), "cwd": os.getcwd(), "session": os.getsid(0) == os.getpid(),
    "input": sys.stdin.read(), "command": open("/proc/self/cmdline").read().rstrip("\\0"),
    "descriptors": sorted(os.listdir("/proc/self/fd"), key=int)[:-1],
    "threads": threading.active_count(), "path": sys.path[0],
    "child_signal": signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL,
    "knows_decimal": "decimal" in sys.modules,
}))
sys.exit(int(sys.argv[1]))
"""
WAITS = "import signal; print('waiting', flush=True); signal.pause()"


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Path]:
    """The socket of a launcher that has imported ``decimal``, and lacks another module."""
    path = tmp_path / "launcher.sock"
    argv = (sys.executable, "-P", launcher.__file__, str(path), "decimal", "there_is_none")
    process = subprocess.Popen(argv)
    wait_for(path.is_socket, 10, "the launcher")
    yield path
    process.kill()
    process.wait()


def _script(directory: Path, text: str) -> str:
    path = directory / "program.py"
    path.write_text(text)
    return str(path)


def _run(serving: Path, directory: Path, **program: Any) -> tuple[str, int | None]:
    """Run a program to its end; what it wrote, and its exit status."""
    output = directory / "output"
    with output.open("w") as file:
        connection = launcher_client.request(str(serving), file.fileno(), **program)
        assert connection is not None
        with connection:
            pid = launcher_client.receive(connection)
            assert pid is not None
            status = launcher_client.receive(connection)
    wait_for(lambda: start_time(pid) is None, 5, "the process to be gone")
    return output.read_text(), status


def test_a_program_gets_what_a_new_interpreter_would_give_it(serving: Path, tmp_path: Path) -> None:
    script = _script(tmp_path, DESCRIBES_ITSELF)
    env = {"COLOUR": "blue"}
    output, status = _run(serving, tmp_path, argv=[script, "3"], env=env, session=True)
    assert status == 3
    seen = json.loads(output)
    assert seen.pop("path") != str(Path(launcher.__file__).parent)
    assert seen.pop("command") == f"{sys.executable} {script} 3"
    assert seen == {
        "argv": [script, "3"],
        "name": "__main__",
        "file": script,
        "colour": "blue",
        "home": None,
        "cwd": "/",
        "session": True,
        "input": "",
        "descriptors": ["0", "1", "2"],
        "threads": 1,
        "child_signal": True,
        "knows_decimal": True,
    }


def test_exit_statuses_are_those_of_an_interpreter(serving: Path, tmp_path: Path) -> None:
    for text, expected in (
        ("pass", 0),
        ("import sys; sys.exit('a message')", 1),
        ("raise ValueError('a fault')", 1),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import os, sys; os.fork() or sys.exit(5); os.wait()", 0),
    ):
        argv = [_script(tmp_path, text)]
        output, status = _run(serving, tmp_path, argv=argv, env={})
        assert status == expected, text
        assert ("a message" in output, "a fault" in output) == ("a m" in text, "a f" in text)


def test_the_command_line_client_ends_as_the_program_does(serving: Path, tmp_path: Path) -> None:
    script = _script(tmp_path, "import os, sys; print(os.getcwd(), file=sys.stderr); sys.exit(4)")
    client = (sys.executable, "-I", "-S", launcher_client.__file__)
    for socket in (serving, tmp_path / "nobody"):
        argv = (*client, str(socket), sys.executable, script)
        if socket == serving:
            argv = (*client, str(socket), script)
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.strip()) == (4, str(tmp_path)), socket


def test_a_programs_own_launcher_shares_its_session_and_dies_with_it(
    serving: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.sock"
    script = _script(tmp_path, WAITS)
    with (tmp_path / "log").open("w") as log:
        program = {"argv": [script], "env": {}, "session": True, "launcher": str(own)}
        first = launcher_client.request(str(serving), log.fileno(), **program)
        assert first is not None
        leader = launcher_client.receive(first)
        assert leader is not None
        wait_for(own.is_socket, 5, "the program's own launcher")
        second = launcher_client.request(str(own), log.fileno(), argv=[script], env={})
        assert second is not None
        child = launcher_client.receive(second)
        assert child is not None
    assert os.getsid(child) == os.getpgid(child) == leader
    helper = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(leader, signal.SIGKILL)
    wait_for(lambda: start_time(helper) is None, 5, "the program's own launcher to die")
    os.kill(child, signal.SIGKILL)
    assert launcher_client.receive(first) == -signal.SIGKILL
    for connection in (first, second):
        connection.close()


def test_without_a_launcher_nothing_is_started(tmp_path: Path) -> None:
    assert launcher_client.request(str(tmp_path / "nobody"), 1, argv=["x"], env={}) is None
