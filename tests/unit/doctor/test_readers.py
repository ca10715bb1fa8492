"""What is read changes nothing, and never waits without an end."""

import sys

import pytest

from portchain.doctor import cli
from portchain.doctor.readers import bridges
from portchain.doctor.readers.mtu import read_mtu


def test_commands_that_change_a_bridge_are_refused() -> None:
    bridge = bridges.LocalBridge(None, "br-int", 5)
    for command in ("add-flows", "del-flows", "mod-port", "mod-flows"):
        with pytest.raises(ValueError, match="might change"):
            bridge.ofctl(command, "-")


def test_a_command_that_does_not_end_is_killed() -> None:
    with pytest.raises(RuntimeError, match="has not answered within 1 s"):
        bridges.run([sys.executable, "-c", "import time; time.sleep(600)"], 1)


def test_a_command_that_fails_says_why() -> None:
    program = "import sys; sys.exit('first line\\nbr-int is not a bridge')"
    with pytest.raises(RuntimeError, match=r"^br-int is not a bridge$"):
        bridges.run([sys.executable, "-c", program], 30)
    with pytest.raises(RuntimeError, match="No such file"):
        bridges.run(["/nowhere/ovs-ofctl"], 30)


def test_the_mtu_of_an_interface_is_read() -> None:
    assert read_mtu("lo") > 1000
    assert read_mtu("") == read_mtu("no-such-interface") == read_mtu("nowhere") == 0


def test_only_root_can_run_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli.os, "geteuid", lambda: 1000)
    assert cli.run([]) == 2
    assert "only root" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--timeout", "0"], ["-f", "yaml"], ["--agent", "linux"]])
def test_wrong_options_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.run(arguments)
    assert "usage: portchain-doctor" in capsys.readouterr().err


def test_help_says_what_exit_statuses_mean(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.run(["--help"])
    assert "Exit status: 0 if nothing is wrong" in " ".join(capsys.readouterr().out.split())
