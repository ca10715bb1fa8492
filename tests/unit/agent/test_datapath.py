"""What the agent says of the host's datapath."""

from typing import Any

import pytest

from portchain.agent import datapath
from portchain.dataplane.datapath import FRAMES

ANSWER = "Masked set action: Yes\nMPLS Label add: No\nClone action: Yes\nMax MPLS depth: 3\n"


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> list[Any]:
    asked: list[Any] = []

    def execute(argv: list[str], **options: object) -> str:
        asked.append((argv, options))
        return text

    monkeypatch.setattr(datapath.agent_utils, "execute", execute)
    return asked


def test_a_host_that_lacks_something_is_named_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = answer(monkeypatch, ANSWER)
    assert datapath.read_lacking("h1", "br-int") == {FRAMES}
    ((argv, options),) = asked
    assert argv[0] == "ovs-appctl"
    assert argv[2:] == ["dpif/show-dp-features", "br-int"]
    assert options["run_as_root"]
    assert options["privsep_exec"]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "host h1: the datapath lacks MPLS Label add (every packet" in record.getMessage()


def test_a_host_that_lacks_nothing_is_named_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answer(monkeypatch, ANSWER.replace("No", "Yes"))
    with caplog.at_level("INFO"):
        assert datapath.read_lacking("h1", "br-int") == frozenset()
    assert "The datapath of host h1 has all features" in caplog.text


def test_chains_work_if_open_vswitch_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def execute(*_: object, **__: object) -> str:
        raise OSError("no such program")

    monkeypatch.setattr(datapath.agent_utils, "execute", execute)
    assert datapath.read_lacking("h1", "br-int") == frozenset()
    assert "Could not ask" in caplog.text
