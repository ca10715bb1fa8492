"""What the reconciler hears of a switch that refuses."""

from unittest import mock

import pytest
from neutron_lib.exceptions import ProcessExecutionError

from portchain.agent import neutron_bridge


def test_what_the_switch_says_is_told_without_what_it_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def execute(argv: list[str], process_input: str, **_: object) -> str:
        said = "OFPT_ERROR (OF1.4) (xid=0x2):\nOFPBAC_BAD_TYPE"
        text = f"Exit code: 1; Cmd: {argv}; Stdin: {process_input}; Stdout: ; Stderr: {said}"
        raise ProcessExecutionError(text, returncode=1)

    monkeypatch.setattr(neutron_bridge.agent_utils, "execute", execute)
    made = neutron_bridge.NeutronBridge(mock.Mock(br_name="br-int"))
    with pytest.raises(RuntimeError) as caught:
        made.ofctl("add-flows", "--bundle", "-", stdin="add ip,actions=drop\n")
    assert str(caught.value) == "OFPT_ERROR (OF1.4) (xid=0x2): OFPBAC_BAD_TYPE"
