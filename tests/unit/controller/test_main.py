"""``portchain-controller`` up to its connection to the message broker."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from portchain.controller import main
from tests import programs


def test_help_lists_the_options() -> None:
    done = programs.run("portchain-controller", "--help")
    assert done.returncode == 0
    assert "--config-file" in done.stdout


def test_without_hosts_it_names_the_missing_option(tmp_path: Path) -> None:
    config = tmp_path / "controller.conf"
    config.write_text("[DEFAULT]\ntransport_url = fake:\n")
    done = programs.run("portchain-controller", f"--config-file={config}")
    assert done.returncode == 1
    assert "openflow_hosts" in done.stderr
    assert "ovn_hosts" in done.stderr


def test_options_that_libraries_read_later_are_registered() -> None:
    """A missing option would be noticed only when a server does not answer."""
    code = (
        "from portchain.controller import main; from oslo_config import cfg; "
        "main.read_configuration([]); "
        "print(cfg.CONF.rpc_response_max_timeout, cfg.CONF.OVS.ovsdb_timeout, "
        "cfg.CONF.SECURITYGROUP.firewall_driver, cfg.CONF.port_chain.sync_interval)"
    )
    argv = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("limits", "allowed", "complains"),
    [
        ((1024, 524288), 5056, False),
        ((1024, resource.RLIM_INFINITY), 5056, False),
        ((1024, 2048), 2048, True),
        ((8192, 8192), None, False),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None, False),
    ],
)
def test_many_hosts_take_many_open_files(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    limits: tuple[int, int],
    allowed: int | None,
    complains: bool,
) -> None:
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(main.resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(main.resource, "setrlimit", lambda _, new: found.append(new))
    main.allow_descriptors(200)
    assert found == ([] if allowed is None else [(allowed, limits[1])])
    assert ("200 hosts take 5056 open files" in caplog.text) is complains
