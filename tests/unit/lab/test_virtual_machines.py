"""A port that an agent has left out, without a cloud."""

from types import SimpleNamespace
from typing import Any

import pytest
from portchain_lab.errors import DeadlineError
from portchain_lab.guests import virtual_machines
from portchain_lab.guests.vif import Nic
from portchain_lab.guests.virtual_machines import VirtualMachine, VirtualMachines

NIC = Nic("eth0", "port", "p1", "net", "fa:16:3e:00:00:01", (), "", 1500)
VM = VirtualMachine("sf1", "id", "h1", "namespace", "l3", (NIC,))


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What has been plugged again."""
    again: list[str] = []
    monkeypatch.setattr(virtual_machines, "LEFT_OUT_AFTER", 0.01)
    monkeypatch.setattr(virtual_machines.vif, "unplug", lambda *_: None)
    monkeypatch.setattr(virtual_machines.vif, "plug", lambda *args: again.append(args[-1].label))
    return again


def machines(tmp_path: Any, plugged: list[str], recovers: bool) -> VirtualMachines:
    """Machines whose port is DOWN until it was plugged again, or for ever."""
    down = SimpleNamespace(status="DOWN", binding_host_id="h1", binding_vif_type="ovs")
    lab: Any = SimpleNamespace(directory=tmp_path, log_file=lambda name: tmp_path / name)
    (tmp_path / "agent@h1").write_text("about port\nabout another\n")
    made = VirtualMachines(
        lab, lambda: SimpleNamespace(network=SimpleNamespace(get_port=lambda _: down))
    )  # type: ignore[arg-type]
    made._inactive = lambda ports: [] if recovers and plugged else sorted(ports)  # type: ignore[method-assign]
    made._configure = lambda vm: None  # type: ignore[method-assign]
    return made


def test_an_interface_that_stays_down_is_plugged_again(tmp_path: Any, plugged: list[str]) -> None:
    with pytest.warns(UserWarning, match="p1 of sf1: DOWN, bound to h1") as warned:
        machines(tmp_path, plugged, recovers=True).wait_active([VM])
    assert plugged == ["p1"]
    assert "about port" in str(warned[0].message)
    assert "another" not in str(warned[0].message)


def test_a_port_that_stays_down_is_an_error(tmp_path: Any, plugged: list[str]) -> None:
    with pytest.warns(UserWarning), pytest.raises(DeadlineError, match="about port"):
        machines(tmp_path, plugged, recovers=False).wait_active([VM], deadline=0.05)
    assert plugged == ["p1"]
