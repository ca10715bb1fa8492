"""Commands that run in a lab's virtual machine behave as if they ran here."""

import os
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from portchain_lab import cli, commands, waiting
from portchain_lab.errors import DeadlineError, LabError
from portchain_lab.hosts import kernel_package
from portchain_lab.machine import boot, image, live, server

RUN = """
import socket, sys
from portchain_lab.machine import client
sys.exit(client.run(socket.create_connection(("127.0.0.1", int(sys.argv[1]))), sys.argv[2:]))
"""


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server that runs commands."""
    with server._Server(("127.0.0.1", 0), server._Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running.server_address[1]
        running.shutdown()
        thread.join()


def run(port: int, *argv: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """Run a command by way of the server, in a process that has no terminal."""
    command = [sys.executable, "-c", RUN, str(port), *argv]
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=60)


def test_output_errors_and_status_are_those_of_the_command(port: int) -> None:
    done = run(port, "sh", "-c", "echo said; echo complained >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == (b"said\n", b"complained\n", 7)


def test_a_command_reads_the_input_to_its_end(port: int) -> None:
    text = os.urandom(300_000)
    assert run(port, "cat", given=text).stdout == text


def test_a_command_that_reads_nothing_ends(port: int) -> None:
    assert run(port, "true", given=b"x" * 300_000).returncode == 0


def test_a_command_has_a_terminal_if_its_user_has_one(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        frames = server.Frames(connection)
        wanted = '{"argv": ["stty", "size"], "terminal": [40, 132], "environment": {}}'
        frames.send(server.COMMAND, wanted.encode())
        said = []
        while (frame := frames.receive()) is not None:
            said.append(frame)
    assert said == [(server.OUTPUT, b"40 132\r\n"), (server.EXIT, b"0")]


def test_a_command_ends_with_its_client(port: int, tmp_path: Path) -> None:
    connection = socket.create_connection(("127.0.0.1", port))
    frames = server.Frames(connection)
    file = tmp_path / "ended"
    script = f"trap 'touch {file}; exit' TERM; echo; while :; do sleep 0.05; done"
    wanted = f'{{"argv": ["bash", "-c", "{script}"], "terminal": null, "environment": {{}}}}'
    frames.send(server.COMMAND, wanted.encode())
    assert frames.receive() == (server.OUTPUT, b"\n")
    connection.shutdown(socket.SHUT_RDWR)
    waiting.wait_for(file.exists, 30, "the command to end")
    connection.close()


def test_the_machine_gets_source_and_command_but_no_earlier_results(tmp_path: Path) -> None:
    for name in (
        *("code.py", "docs/page.md", "tests/docs/test_page.py", "evidence/log"),
        *(".venv/bin/python", ".venv-2026.1/bin/python"),
    ):
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("content")
    place, archive = tmp_path / "source", tmp_path / "archive.tar"
    argv = ("echo", "two words")
    boot.pack(archive, argv, folder=place, copied=[place], environment={"A": "b c"})
    assert archive.stat().st_size % boot.ALIGNMENT == 0, "a drive consists of whole blocks"
    with tarfile.open(archive) as file:
        names = {name for name in file.getnames() if file.getmember(name).isfile()}
        command = file.extractfile("command")
        assert command is not None
        script = command.read().decode()
    inside = str(place).lstrip("/")
    assert names == {
        f"{inside}/code.py", f"{inside}/tests/docs/test_page.py", "command", "source"
    }  # fmt: skip
    assert "export A='b c'\n" in script
    assert script.endswith(f"cd {place}\necho 'two words'\n")


def test_files_that_disappear_while_they_are_packed_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "source"
    place.mkdir()
    for name in ("stays", "goes"):
        (place / name).touch()
    wanted = boot._wanted

    def remove_one(folder: Path, member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        (place / "goes").unlink(missing_ok=True)
        return wanted(folder, member)

    monkeypatch.setattr(boot, "_wanted", remove_one)
    boot.pack(tmp_path / "archive.tar", ["true"], folder=place, copied=[place], environment={})
    with tarfile.open(tmp_path / "archive.tar") as file:
        assert {Path(name).name for name in file.getnames()} >= {"stays", "command"}
        assert "goes" not in {Path(name).name for name in file.getnames()}


def test_the_root_file_system_has_the_programs_that_every_debian_has() -> None:
    files = image.files_of(image.closure(["python3"]))
    assert {"usr/bin/sh", "usr/bin/bash", "usr/bin/sed", "usr/bin/which"} <= files


def test_only_images_of_existing_environments_and_the_kernel_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "CACHE", tmp_path)
    used_by = {
        "kept": tmp_path,
        "unused": tmp_path / "gone",
        "killed": None,
        kernel_package.LINUX: None,
    }
    for name, environment in used_by.items():
        (tmp_path / name).mkdir()
        if environment:
            (tmp_path / name / "environment").write_text(str(environment))
    (tmp_path / "lock").touch()
    image.remove_what_nobody_uses()
    assert {path.name for path in tmp_path.iterdir()} == {"kept", kernel_package.LINUX, "lock"}


def results(folder: Path, status: str) -> Path:
    """Write what the machine's first process writes at the end, into a drive that is larger."""
    inside = folder / "inside"
    for name in ("test-results", "evidence"):
        (inside / name).mkdir(parents=True)
    (inside / "test-results" / "one.xml").write_text("report")
    (folder / "status").write_text(status)
    archive = folder / "results.tar"
    boot.reserve(archive)
    words = ("-C", folder, "status", "-C", inside, "test-results", "evidence")
    written = subprocess.run(("tar", "-c", *words), stdout=subprocess.PIPE, check=True).stdout
    with archive.open("r+b") as file:
        file.write(written)
    return archive


def test_results_come_back_with_the_status(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    assert boot.unpack(results(tmp_path, "3\n"), home) == 3
    assert (home / "test-results" / "one.xml").read_text() == "report"


def test_a_machine_that_ended_early_is_an_error(tmp_path: Path) -> None:
    boot.reserve(tmp_path / "results.tar")
    with pytest.raises(LabError, match="ended before the command did"):
        boot.unpack(tmp_path / "results.tar", tmp_path)


def test_patience_multiplies_every_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PATIENCE", 3.0)
    with pytest.raises(DeadlineError, match=r"timed out after 0\.03 s"):
        waiting.wait_for(lambda: False, 0.01, "nothing", interval=0.001)


@pytest.mark.parametrize(
    ("command", "own_module", "runs", "where"),
    [
        ("up --datapath kernel", False, False, "new machine"),
        ("up --datapath kernel", False, True, "new machine"),
        ("demo --datapath kernel", False, True, "machine"),
        ("demo --datapath kernel", True, False, "here"),
        ("demo", False, True, "here"),
        ("up", False, True, "here"),
        ("down", False, True, "here"),
        ("exec h1 -- ip addr", False, True, "machine"),
        ("exec h1 -- ip addr", False, False, "here"),
        ("logs -f agent@h1", False, True, "machine"),
    ],
)
def test_a_command_runs_where_its_lab_is(
    monkeypatch: pytest.MonkeyPatch, command: str, own_module: bool, runs: bool, where: str
) -> None:
    happened = []
    argv = command.split()
    arguments = cli.parser().parse_args(argv)
    monkeypatch.setattr(live, "kernel_has_openvswitch", lambda: own_module)
    monkeypatch.setattr(live, "exists", lambda name: runs)
    monkeypatch.setattr(live, "start", lambda name, report: happened.append("new"))
    monkeypatch.setattr(live, "run", lambda name, argv: happened.append("machine") or 3)
    here = {argv[0]: lambda arguments: happened.append("here")}
    monkeypatch.setattr(commands, "COMMANDS", here)
    assert commands.run(arguments, argv) == (0 if where == "here" else 3)
    assert " ".join(happened) == where
