"""What the agent says of the host's datapath."""

import os
from pathlib import Path
from typing import Any

import pytest

from portchain.agent import datapath
from portchain.dataplane.datapath import FRAMES, SEGMENTATION

ANSWER = "Masked set action: Yes\nMPLS Label add: No\nClone action: Yes\nMax MPLS depth: 3\n"


def answer(
    monkeypatch: pytest.MonkeyPatch, text: str, version: str = "ovs-vswitchd (Open vSwitch) 3.3.0\n"
) -> list[Any]:
    asked: list[Any] = []

    def execute(argv: list[str], **options: object) -> str:
        asked.append((argv, options))
        return version if argv[-1] == "version" else text

    monkeypatch.setattr(datapath.agent_utils, "execute", execute)
    return asked


def test_a_host_that_lacks_something_is_named_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = answer(monkeypatch, ANSWER)
    assert datapath.read_lacking("h1", "br-int", "netdev") == {FRAMES}
    for argv, options in asked:
        assert argv[0] == "ovs-appctl"
        assert options["run_as_root"]
        assert options["privsep_exec"]
    assert [argv[2:] for argv, _ in asked] == [["dpif/show-dp-features", "br-int"], ["version"]]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "host h1: the datapath lacks MPLS Label add (every packet" in record.getMessage()


def test_a_host_that_lacks_nothing_is_named_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answer(monkeypatch, ANSWER.replace("No", "Yes"))
    with caplog.at_level("INFO"):
        assert datapath.read_lacking("h1", "br-int", "netdev") == frozenset()
    assert "The datapath of host h1 has all features" in caplog.text


def test_nobody_knows_what_the_datapath_lacks_if_open_vswitch_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def execute(*_: object, **__: object) -> str:
        raise OSError("no such program")

    monkeypatch.setattr(datapath.agent_utils, "execute", execute)
    assert datapath.read_lacking("h1", "br-int", "netdev") is None
    assert "Could not ask" in caplog.text


@pytest.mark.parametrize(
    ("kind", "loaded", "built_in", "lacks"),
    [
        ("system", "", "", {SEGMENTATION}),
        ("system", "", "kernel/net/mpls/mpls_router.ko", {SEGMENTATION}),
        ("system", "mpls_gso", "", set()),
        ("system", "", "kernel/net/mpls/mpls_gso.ko", set()),
        ("netdev", "", "", set()),
    ],
)
def test_the_kernel_needs_a_module_to_divide_large_packets(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: str,
    loaded: str,
    built_in: str,
    lacks: set[object],
) -> None:
    answer(monkeypatch, ANSWER.replace("No", "Yes"))
    sys_module, modules = tmp_path / "sys", tmp_path / "lib"
    (sys_module / loaded).mkdir(parents=True)
    release = modules / os.uname().release
    release.mkdir(parents=True)
    if built_in:
        (release / "modules.builtin").write_text(f"{built_in}\n")
    monkeypatch.setattr(datapath, "_LOADED_MODULES", sys_module)
    monkeypatch.setattr(datapath, "_MODULES", modules)
    assert datapath.read_lacking("h1", "br-int", kind) == lacks


@pytest.mark.parametrize(("kind", "warns"), [("netdev", True), ("system", False)])
def test_a_release_that_keeps_old_entries_is_named_in_the_log_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str, warns: bool
) -> None:
    answer(monkeypatch, ANSWER, "ovs-vswitchd (Open vSwitch) 3.1.0\n")
    known = datapath.read_lacking("h1", "br-int", kind)
    assert datapath.read_lacking("h1", "br-int", kind, known) == known
    text = "WARNING ovs-vswitchd (Open vSwitch) 3.1.0 of host h1 can go on"
    told = [f"{one.levelname} {one.getMessage()}" for one in caplog.records]
    assert sum(one.startswith(text) for one in told) == warns
