"""The order in which a lab's programs start."""

import threading
from pathlib import Path
from typing import Any

import pytest
from portchain_lab import programs, startup
from portchain_lab.errors import LabError
from portchain_lab.hosts.processes import ProcessRegistry
from portchain_lab.layout import Layout, Software

SOFTWARE = Software("/opt/x/bin", ("port_chain",), ("port_chain",))


class FakeLab:
    """Records which programs were ready when each program was started."""

    def __init__(self, layout: Layout, directory: Path) -> None:
        self.layout = layout
        self.ready_before: dict[str, set[str]] = {}
        self._ready: set[str] = set()
        self._lock = threading.Lock()
        self._starter = startup._Starter(
            layout, ProcessRegistry(directory), self.start, lambda line: None
        )

    def start(self, name: str) -> None:
        with self._lock:
            self.ready_before[name] = set(self._ready)
        if name == "broken":
            raise LabError("it ended")
        with self._lock:
            self._ready.add(name)

    def start_all(self) -> None:
        self._starter.start_programs()


@pytest.fixture(autouse=True)
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written: databases are only pretended to be there."""

    def nothing(*_: Any) -> None:
        return None

    monkeypatch.setattr(startup.database, "install", nothing)
    monkeypatch.setattr(startup.switch, "create_database", nothing)
    monkeypatch.setattr(startup.ovn, "create_databases", nothing)
    monkeypatch.setattr(startup.ovn, "wait_for_chassis", nothing)
    monkeypatch.setattr(startup.preparation, "prepare", nothing)
    monkeypatch.setattr(startup.preparation, "finish", nothing)


@pytest.mark.parametrize("hosts", [1, 3, 50])
@pytest.mark.parametrize("driver", ["ovs", "ovn", "openflow", "ovs,ovn"])
def test_each_program_starts_once_and_after_those_it_needs(
    tmp_path: Path, driver: str, hosts: int
) -> None:
    network = "geneve" if "ovn" in driver else "vxlan"
    layout = Layout("a", hosts=hosts, driver=driver, network_type=network, software=SOFTWARE)
    lab = FakeLab(layout, tmp_path)
    lab.start_all()
    before = lab.ready_before
    assert sorted(before) == sorted(programs.names(layout))

    for name in ("neutron-rpc-server", "neutron-periodic"):
        assert {"mariadb", "rabbitmq", "neutron-launcher"} <= before[name]
    for name in ("keystone", "neutron-api"):
        assert "mariadb" in before[name]
    assert "epmd" in before["rabbitmq"]
    central_ovn = {"ovn-nb", "ovn-sb", "ovn-northd"} if layout.has_ovn else set()
    assert central_ovn <= before["neutron-api"]
    for host in layout.host_names:
        needed = {f"ovsdb-server@{host}", f"ovs-vswitchd@{host}", "rabbitmq", *central_ovn}
        if layout.driver_of(host) == "ovn":
            needed.add(f"ovn-controller@{host}")
        assert needed <= before[f"agent@{host}"]


@pytest.mark.parametrize("hosts", [1, 3, 50])
def test_hosts_of_nova_start_after_its_servers(tmp_path: Path, hosts: int) -> None:
    layout = Layout("a", hosts=hosts, nova=True, software=SOFTWARE)
    lab = FakeLab(layout, tmp_path)
    lab.start_all()
    before = lab.ready_before
    assert sorted(before) == sorted(programs.names(layout))
    for name in ("nova-api", "nova-conductor", "nova-scheduler"):
        assert {"keystone", "rabbitmq", "placement-api"} <= before[name]
    assert {"keystone", "mariadb"} <= before["glance-api"]
    for host in layout.host_names:
        servers = {"nova-api", "nova-conductor", "nova-scheduler"}
        assert servers <= before[f"libvirtd@{host}"]
        assert {f"libvirtd@{host}", f"ovs-vswitchd@{host}"} <= before[f"nova-compute@{host}"]


def test_programs_that_need_a_failed_one_are_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = FakeLab(Layout("a", hosts=1, software=SOFTWARE), tmp_path)
    start = lab.start

    def fail_for_the_broker(name: str) -> None:
        start("broken" if name == "rabbitmq" else name)

    monkeypatch.setattr(lab._starter, "_start", fail_for_the_broker)
    with pytest.raises(LabError, match="it ended"):
        lab.start_all()
    assert "keystone" in lab.ready_before
    assert not {"neutron-rpc-server", "agent@h1"} & set(lab.ready_before)
