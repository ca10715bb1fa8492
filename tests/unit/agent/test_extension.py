"""The agent extension with Neutron's own agent extension API and cookies."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from neutron.conf import common
from neutron.conf.agent import securitygroups_rpc
from neutron.conf.plugins.ml2.drivers import ovs_conf
from neutron.plugins.ml2.drivers.openvswitch.agent import ovs_agent_extension_api as agent_api
from neutron.plugins.ml2.drivers.openvswitch.agent.openflow.br_cookie import OVSBridgeCookieMixin
from neutron_lib.callbacks import events, registry, resources

from portchain.agent import extension
from portchain.dataplane.datapath import FRAMES, Feature
from portchain.dataplane.flow import COOKIE
from portchain.host import worker
from portchain.rpc import contract

PORT = {"port_id": "a-port"}


class _Bridge:
    """The base class that Neutron's mixin for cookies needs."""

    br_name = "br-int"

    def __init__(self) -> None:
        self._default_cookie = 1

    def set_agent_uuid_stamp(self, value: int) -> None:
        self._default_cookie = value

    def use_at_least_protocol(self, _: str) -> None: ...

    def add_protocols(self, *_: str) -> None: ...

    def setup_default_table(self, **_: bool) -> str:
        return "set up"


@pytest.fixture(autouse=True)
def _no_other_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep out what the extensions of other tests have subscribed to."""
    monkeypatch.setattr(registry, "_CALLBACK_MANAGER", None)


def restart_switch() -> None:
    """Notify of a restarted switch, as Neutron's agent does."""
    registry.publish(resources.AGENT, events.OVS_RESTARTED, None, payload=None)


@pytest.fixture(autouse=True)
def features(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[Feature] | None]:
    """What the datapath lacks each time that the extension asks; then nothing."""
    answers: list[frozenset[Feature] | None] = []
    monkeypatch.setattr(
        extension, "read_lacking", lambda *_: answers.pop(0) if answers else frozenset()
    )
    return answers


class Bridge(OVSBridgeCookieMixin, _Bridge):  # type: ignore[misc]  # Neutron has no types
    """A bridge of Neutron's agent without a switch."""


class Server:
    """Answers a sync when the test allows it."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()

    def sync(self, *_: Any) -> contract.PlanUpdate:
        assert self.may_answer.wait(10)
        return contract.PlanUpdate()


class Reconciler:
    """Records the calls that it gets."""

    is_in_sync, has_incomplete_chains, seconds_until_due = True, False, None
    test_is_over = False

    def __init__(self, *_: Any) -> None:
        self.asked: list[str] = []
        self.plans_known = threading.Event()

    @property
    def known_revisions(self) -> dict[str, int]:
        """Read before each sync: the worker's endless thread rests here after its test."""
        if self.test_is_over:
            threading.Event().wait()
        return {}

    def ports_changed(self, _: list[str]) -> None:
        self.asked.append("ports")

    def reconcile(self) -> None:
        self.asked.append("reconcile")

    def synchronise(self, *_: object) -> bool:
        self.asked.append("synchronise")
        self.plans_known.set()
        return False


class Connection:
    def create_consumer(self, *_: Any, **__: Any) -> None: ...


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    common.register_core_common_config_opts()
    ovs_conf.register_ovs_agent_opts()
    securitygroups_rpc.register_securitygroups_opts()
    made, reconcilers = Server(), []

    def reconciler(*_: Any, **__: Any) -> Reconciler:
        reconcilers.append(Reconciler())
        return reconcilers[-1]

    monkeypatch.setattr(worker, "ServerClient", lambda: made)
    monkeypatch.setattr(worker, "HostClient", object)
    monkeypatch.setattr(worker, "Reconciler", reconciler)
    monkeypatch.setattr(worker.n_context, "get_admin_context_without_session", object)
    yield made
    for one in reconcilers:
        one.test_is_over = True
    made.may_answer.set()


def start(api: agent_api.OVSAgentExtensionAPI) -> tuple[Any, Reconciler]:
    made = extension.PortChainAgentExtension()
    made.consume_api(api)
    made.initialize(Connection(), "ovs")
    return made, made._reconciler  # type: ignore[return-value]


def test_the_first_port_waits_for_the_plans_of_the_host(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    made, reconciler = start(agent_api.OVSAgentExtensionAPI(Bridge(), None))
    threading.Timer(0.2, server.may_answer.set).start()
    made.handle_port(None, PORT)
    assert reconciler.asked == ["synchronise", "ports"]
    assert "wired without chains" not in caplog.text


def test_ports_are_wired_if_the_server_does_not_answer(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(extension, "_FIRST_SYNC_SECONDS", 0.1)
    made, reconciler = start(agent_api.OVSAgentExtensionAPI(Bridge(), None))
    made.handle_port(None, PORT)
    made.handle_port(None, PORT)
    assert reconciler.asked == ["ports", "ports"]
    assert caplog.text.count("wired without chains") == 1


def test_our_cookie_is_reserved_on_a_bridge_that_was_created_again(server: Server) -> None:
    bridges = {"physnet1": Bridge()}
    api = agent_api.OVSAgentExtensionAPI(
        Bridge(), None, bridges, bridge_mappings={"physnet1": "br-phy"}
    )
    made, reconciler = start(api)
    server.may_answer.set()
    assert COOKIE in bridges["physnet1"].reserved_cookies
    bridges["physnet1"] = Bridge()
    made.handle_port(None, PORT)
    assert COOKIE in bridges["physnet1"].reserved_cookies
    assert reconciler.asked == ["synchronise", "reconcile", "ports"]
    made.handle_port(None, PORT)
    assert reconciler.asked[3:] == ["ports"]


def test_flows_are_restored_before_neutron_installs_its_default_flows(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge, seen = Bridge(), []
    monkeypatch.setattr(
        bridge, "setup_default_table", lambda **given: seen.append((given, list(reconciler.asked)))
    )
    made, reconciler = start(agent_api.OVSAgentExtensionAPI(bridge, None))
    server.may_answer.set()
    assert made._worker.synchronised.wait(10)
    bridge.setup_default_table(enable_dhcpv6=True)
    assert seen == [({"enable_dhcpv6": True}, ["synchronise", "reconcile"])]


def test_chains_work_if_the_datapath_does_not_answer(
    server: Server, features: list[frozenset[Feature] | None]
) -> None:
    features.append(None)
    made, _ = start(agent_api.OVSAgentExtensionAPI(Bridge(), None))
    assert made._switch.lacks == frozenset()


def test_the_datapath_is_asked_again_after_a_restart_of_the_switch(
    server: Server, features: list[frozenset[Feature] | None]
) -> None:
    features += [frozenset({FRAMES}), frozenset({FRAMES}), frozenset()]
    made, reconciler = start(agent_api.OVSAgentExtensionAPI(Bridge(), None))
    queued: list[str] = []
    made._worker.request_reconcile = lambda: queued.append("reconcile")
    assert made._switch.lacks == {FRAMES}
    restart_switch()
    assert (made._switch.lacks, queued) == ({FRAMES}, [])
    restart_switch()
    assert (made._switch.lacks, queued) == (frozenset(), ["reconcile"])
    assert reconciler.asked.count("reconcile") == 2


def test_neutron_continues_if_flows_cannot_be_restored(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    bridge = Bridge()
    _, reconciler = start(agent_api.OVSAgentExtensionAPI(bridge, None))
    reconciler.reconcile = lambda: 1 / 0  # type: ignore[assignment, method-assign, return-value]
    assert bridge.setup_default_table() == "set up"
    assert "could not be restored" in caplog.text
