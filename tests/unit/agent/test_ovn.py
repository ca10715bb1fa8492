"""The host's part on OVN: what it does with the events of its switch."""

from types import SimpleNamespace
from typing import Any

import pytest
from neutron.agent.ovn.extensions import extension_manager
from neutron.conf import common
from neutron.conf.agent.ovn.ovn_neutron_agent import config as ovn_agent_config
from oslo_config import cfg

from portchain.agent import ovn
from portchain.agent.ovn import OvnHost, PortChainOvnExtension, host_name
from portchain.dataplane.datapath import MPLS, Feature


class Worker:
    """Notes what it is asked to do."""

    def __init__(self, host: str, switch: Any) -> None:
        self.asked: list[Any] = []
        self.lacks = switch.lacks
        self.synchronised = SimpleNamespace(is_set=lambda: self.is_synchronised)
        self.is_synchronised = False

    def start(self) -> None:
        self.asked.append("start")

    def run_soon(self, task: Any) -> None:
        self.asked.append(task.__name__)

    def request_reconcile(self) -> None:
        self.asked.append("reconcile")

    def port_changed(self, port_id: str) -> None:
        self.asked.append(port_id)

    def receive_update(self, _: object) -> None: ...

    def receive_health(self, *_: object) -> None: ...

    def state(self, _: bool) -> None: ...

    def counts_of(self, _: object) -> dict[object, object]:
        return {}


class Query:
    """An answer of the database."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def execute(self, *, check_error: bool) -> object:
        assert check_error
        return self._answer


class Database:
    """A switch's database that knows the name of its host."""

    external_ids: dict[str, str] = {}  # noqa: RUF012
    has_bridge = True

    def __init__(self, remote: Any, _timeout: float, changed: Any) -> None:
        self.changed = changed
        assert remote() == cfg.CONF.ovs.ovsdb_connection

    def connect(self) -> Any:
        self.changed("a-port-of-the-first-replica")
        row = {"external_ids": self.external_ids}
        return SimpleNamespace(
            db_list=lambda *_, **__: Query([row]),
            db_get=lambda *_: Query("netdev"),
            br_exists=lambda _: Query(self.has_bridge),
        )


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How the host watches its flows."""
    found: list[str] = []
    common.register_core_common_config_opts()
    ovn_agent_config.register_opts()
    monkeypatch.setattr(ovn, "SwitchDatabase", Database)
    monkeypatch.setattr(ovn, "HostWorker", Worker)
    monkeypatch.setattr(ovn, "FlowMonitor", lambda *_: found.append("monitor"))
    monkeypatch.setattr(ovn, "FlowPoll", lambda *_: found.append("poll"))
    monkeypatch.setattr(ovn, "read_lacking", lambda *_: frozenset({MPLS}))
    monkeypatch.setattr(ovn.n_rpc, "init", lambda _: None)
    server = SimpleNamespace(start=lambda: None, stop=lambda: None)
    monkeypatch.setattr(ovn.n_rpc, "get_server", lambda *_: server)
    monkeypatch.setattr(Database, "external_ids", {"hostname": "compute7"})
    return found


@pytest.fixture
def host(watched: list[str]) -> OvnHost:
    started = OvnHost()
    started.start()
    return started


def worker_of(host: OvnHost) -> Worker:
    found: Any = host._worker
    found.asked.clear()
    return found  # type: ignore[no-any-return]


def test_ports_are_connected_before_plans_arrive(host: OvnHost) -> None:
    worker: Any = host._worker
    assert worker.asked == ["restore_wires", "start"]


def test_what_the_datapath_lacks_is_known_before_the_server_is_asked(host: OvnHost) -> None:
    """The server is told by the first question which packets the host can read."""
    worker: Any = host._worker
    assert worker.lacks == {MPLS}


def test_the_host_starts_before_ovn_controller(
    watched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database, "has_bridge", False)
    host = OvnHost()
    host.start()
    assert host._switch.lacks == frozenset()
    monkeypatch.setattr(Database, "has_bridge", True)
    assert lacks_after_restart(host) == {MPLS}


def test_the_host_starts_before_open_vswitch(
    watched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would ask for packets that its datapath cannot read, until it starts again."""
    answers = [None, None, frozenset({MPLS})]
    monkeypatch.setattr(ovn, "read_lacking", lambda *_: answers.pop(0))
    host = OvnHost()
    host.start()
    assert lacks_after_restart(host) == frozenset()
    assert lacks_after_restart(host) == {MPLS}


def test_the_datapath_is_asked_again_after_a_restart_of_the_switch(
    host: OvnHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been upgraded. Until it answers, what is known is not forgotten."""
    asked: list[Any] = []
    answers = [None, frozenset()]

    def read(*arguments: Any) -> Any:
        asked.append(arguments[-1])
        return answers.pop(0)

    monkeypatch.setattr(ovn, "read_lacking", read)
    assert lacks_after_restart(host) == {MPLS}
    assert lacks_after_restart(host) == frozenset()
    assert asked == [{MPLS}, {MPLS}], "what is known, which is not logged again"


def lacks_after_restart(host: OvnHost) -> frozenset[Feature]:
    """Report that the switch may have been restarted, and do what the worker is to do first."""
    worker = worker_of(host)
    host._switch_connected()
    host._flows_changed()
    assert worker.asked == ["_read_datapath", "restore_wires"]
    host._read_datapath()
    return host._switch.lacks


def test_flows_that_have_gone_are_restored(host: OvnHost) -> None:
    worker = worker_of(host)
    host._flows_changed()
    assert worker.asked == ["restore_wires"], "plans are not known yet: nothing may be deleted"
    worker.is_synchronised = True
    host._flows_changed()
    assert worker.asked == ["restore_wires", "reconcile"]


def test_rows_that_change_are_looked_at(host: OvnHost) -> None:
    worker = worker_of(host)
    host._row_changed("a-port")
    host._row_changed("")
    assert worker.asked == ["a-port", "reconcile"]


@pytest.mark.parametrize(("user", "expected"), [(0, "monitor"), (1000, "poll")])
def test_only_root_can_have_changes_reported(
    watched: list[str], monkeypatch: pytest.MonkeyPatch, user: int, expected: str
) -> None:
    monkeypatch.setattr(ovn.os, "geteuid", lambda: user)
    OvnHost().start()
    assert watched == [expected]


def test_the_host_has_the_name_of_its_chassis(
    host: OvnHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ML2/OVN binds ports to the chassis' name, which may differ from the agent's option."""
    assert host_name(host._database.connect()) == "compute7"
    monkeypatch.setattr(Database, "external_ids", {})
    assert host_name(host._database.connect()) == cfg.CONF.host


def test_neutrons_agent_accepts_the_extension(watched: list[str]) -> None:
    extension = PortChainOvnExtension()
    assert isinstance(extension, extension_manager.OVNAgentExtension)
    assert extension.name
    for what in ("ovs_idl", "nb_idl", "sb_idl"):
        assert not list(getattr(extension, f"{what}_events"))
    extension.start()
    assert extension.is_started
