"""Errors of ovs-ofctl, as Neutron's agent reports them."""

from unittest import mock

import pytest
from neutron_lib.exceptions import ProcessExecutionError

from portchain.agent import neutron_bridge


def test_an_error_of_ovs_ofctl_is_raised_without_its_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def execute(argv: list[str], process_input: str, **_: object) -> str:
        error = "OFPT_ERROR (OF1.4) (xid=0x2):\nOFPBAC_BAD_TYPE"
        text = f"Exit code: 1; Cmd: {argv}; Stdin: {process_input}; Stdout: ; Stderr: {error}"
        raise ProcessExecutionError(text, returncode=1)

    monkeypatch.setattr(neutron_bridge.agent_utils, "execute", execute)
    made = neutron_bridge.NeutronBridge(mock.Mock(br_name="br-int"))
    with pytest.raises(RuntimeError) as caught:
        made.ofctl("add-flows", "--bundle", "-", stdin="add ip,actions=drop\n")
    assert str(caught.value) == "OFPT_ERROR (OF1.4) (xid=0x2): OFPBAC_BAD_TYPE"
