"""The lab's Horizon: where it is installed, and how it is configured."""

import importlib.util
from pathlib import Path

import pytest
from portchain_lab import cli, commands, layout, programs
from portchain_lab.cloud import horizon
from portchain_lab.errors import LabError
from portchain_lab.layout import KEYSTONE_URL, Layout, Software
from portchain_lab.machine import live

SOFTWARE = Software("/x", ("port_chain",), ("port_chain",))


def assigned(text: str) -> dict[str, object]:
    """What the settings assign; what they import stays out."""
    _imports, _blank, rest = text.partition("\n\n")
    _path, _newline, plain = rest.partition("\n")
    found: dict[str, object] = {}
    exec(plain, found)
    return found


@pytest.mark.parametrize("dashboard", [False, True])
def test_horizon_is_one_of_the_programs_if_it_is_asked_for(dashboard: bool) -> None:
    lab = Layout("a", software=SOFTWARE, dashboard=dashboard)
    assert ("horizon" in programs.names(lab)) == dashboard


def test_horizon_uses_the_labs_keystone_and_answers_this_machine_only() -> None:
    found = assigned(horizon.settings(Path("/panel"), Path("/static"), "secret"))
    assert found["OPENSTACK_KEYSTONE_URL"] == KEYSTONE_URL
    assert found["ALLOWED_HOSTS"] == ["127.0.0.1", "localhost"]
    assert (found["STATIC_ROOT"], found["SECRET_KEY"]) == ("/static", "secret")
    assert found["LOGIN_REDIRECT_URL"] == "/project/port_chains/"
    assert "DEBUG" not in found


def test_other_versions_are_installed_into_another_environment(tmp_path: Path) -> None:
    places = set()
    for version in ("27.0.0", "27.0.1"):
        (tmp_path / "constraints.txt").write_text(f"horizon=={version}\n")
        places.add(horizon.Source(tmp_path).environment)
    assert len(places) == 2
    assert {place.parent for place in places} == {layout.CACHE / horizon.NAME}


def test_the_panel_is_found_beside_its_constraints() -> None:
    source = horizon.Source.find()
    assert "horizon==27." in source.constraints.read_text()
    assert list((source.folder / "portchain_dashboard" / "enabled").glob("_71*.py"))


def test_who_has_no_source_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(LabError, match="pip install --no-deps"):
        horizon.Source.find()


def test_no_horizon_in_a_virtual_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "kernel_has_openvswitch", lambda: False)
    arguments = cli.parser().parse_args(["up", "--datapath", "kernel", "--dashboard"])
    with pytest.raises(LabError, match="no browser reaches a lab in a virtual machine"):
        commands.run(arguments, [])
