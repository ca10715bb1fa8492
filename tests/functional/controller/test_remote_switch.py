"""A real switch and its database, reached over TCP as a controller reaches them."""

import queue
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from neutron.conf.agent import securitygroups_rpc
from neutron.conf.plugins.ml2.drivers import ovs_conf
from oslo_config import cfg

from portchain import conf
from portchain.controller.database import SwitchDatabase
from portchain.controller.endpoint import Endpoint, configure_tls
from portchain.controller.options import register_controller_opts
from portchain.controller.switch import RemoteSwitch
from portchain.dataplane.diff import Batch
from portchain.dataplane.flow import COOKIE, Bridge, Flow, FlowKey
from portchain.dataplane.pipeline import FLOW_LIMITS
from portchain.ovsdb.connection import OvsdbUnreachableError
from tests.functional.vswitch import DEADLINE, Vswitch, running_vswitch

ADDRESS, VM = "127.0.0.1", "7f2c0f4e-0000-4000-8000-000000000001"
NAMES = {Bridge.INT: "br-int", Bridge.TUN: "br-tun", Bridge.physical("physnet1"): "br-ex"}
RULE = Flow(FlowKey(Bridge.INT, 152, 10, frozenset({"reg8=0x10001"})), "output:5")


class Remote:
    """A host with br-int and br-tun, and a controller's view of it."""

    def __init__(self, vswitch: Vswitch, keys: tuple[str, ...] = ()) -> None:
        self.vswitch = vswitch
        base = free_ports(4)
        self.endpoint = Endpoint(ADDRESS, base, base + 1, timeout=5, tls_options=keys)
        self.changes: queue.Queue[str] = queue.Queue()
        self.touched: queue.Queue[bool] = queue.Queue()
        for name in ("br-int", "br-tun"):
            vswitch.add_bridge(name)
        vswitch.add_patch("br-int", "patch-tun", 1, "patch-int")
        vswitch.add_patch("br-tun", "patch-int", 2, "patch-tun")
        vswitch.add_port("br-int", "tap1", 5, "tag=7")
        vswitch.run("ovs-vsctl", "set", "interface", "tap1", f"external_ids:iface-id={VM}")
        self.serve()
        self.switch = self.open()

    def serve(self) -> None:
        """Have the database listen."""
        self._control("add-remote")

    def hide(self) -> None:
        """Have it listen no longer, and end the connections."""
        self._control("remove-remote")

    def _control(self, what: str) -> None:
        pid = (self.vswitch.folder / "ovsdb-server.pid").read_text().strip()
        control = f"{self.vswitch.folder}/ovsdb-server.{pid}.ctl"
        kind = "pssl" if self.endpoint.tls_options else "ptcp"
        remote = f"{kind}:{self.endpoint.database_port}:{ADDRESS}"
        self.vswitch.run("ovs-appctl", "-t", control, f"ovsdb-server/{what}", remote)

    def open(self) -> RemoteSwitch:
        database = SwitchDatabase(self.endpoint, self.changes.put)
        return RemoteSwitch("h1", self.endpoint, database, NAMES, lambda: self.touched.put(True))

    def ofctl(self, command: str, *arguments: str) -> str:
        return self.vswitch.run("ovs-ofctl", "-OOpenFlow14", command, "br-int", *arguments)

    def settle(self) -> None:
        """Wait until nothing is told any more."""
        for news in (self.changes, self.touched):
            drain(news)


def free_ports(count: int) -> int:
    """The first of some ports in a row that nobody listens at."""
    while True:
        base = random.randrange(20000, 30000)
        try:
            for port in range(base, base + count):
                with socket.socket() as one:
                    one.bind((ADDRESS, port))
        except OSError:
            continue
        return base


def drain(news: "queue.Queue[Any]") -> list[Any]:
    found = []
    while True:
        try:
            found.append(news.get(timeout=0.5))
        except queue.Empty:
            return found


@pytest.fixture(scope="module", autouse=True)
def options() -> None:
    ovs_conf.register_ovs_agent_opts()
    securitygroups_rpc.register_securitygroups_opts()
    register_controller_opts(cfg.CONF)


@pytest.fixture
def remote() -> Iterator[Remote]:
    with running_vswitch() as vswitch:
        made = Remote(vswitch)
        yield made
        made.switch.close()


def test_what_is_plugged_in_is_seen_from_afar(remote: Remote) -> None:
    local = remote.switch.read_ports()
    assert local.host == "h1"
    assert (local.ports[VM].ofport, local.ports[VM].vlan) == (5, 7)
    assert (local.patch_to_tun, local.patch_to_int) == (1, 2)
    assert local.physical == {}, "there is no bridge br-ex"


def test_rules_are_written_and_read_and_only_ours(remote: Remote) -> None:
    remote.ofctl("add-flow", "cookie=0x77,table=152,reg8=1,actions=drop")
    remote.switch.read_ports()
    remote.switch.apply(Batch(Bridge.INT, put=(RULE,)))
    remote.switch.limit_tables(FLOW_LIMITS)
    assert remote.switch.dump_entries() == [RULE]
    remote.switch.apply(Batch(Bridge.INT, remove=(RULE.key,)))
    assert remote.switch.dump_entries() == []
    assert "cookie=0x77" in remote.ofctl("dump-flows")


def test_a_refused_bundle_raises_and_changes_nothing(remote: Remote) -> None:
    remote.switch.read_ports()
    wrong = Flow(FlowKey(Bridge.INT, 152, 10, frozenset({"reg8=0x10002"})), "output:nowhere")
    with pytest.raises(RuntimeError, match="nowhere"):
        remote.switch.apply(Batch(Bridge.INT, put=(RULE, wrong)))
    assert remote.switch.dump_entries() == []


def test_a_rule_of_ours_that_somebody_deletes_or_alters_is_told(remote: Remote) -> None:
    remote.switch.read_ports()
    remote.switch.apply(Batch(Bridge.INT, put=(RULE,)))
    remote.ofctl("add-flow", "cookie=0x77,table=152,reg8=1,actions=drop")
    remote.settle()
    remote.ofctl("del-flows", "cookie=0x77/-1")
    assert drain(remote.touched) == [], "somebody else's"
    remote.ofctl("mod-flows", f"table=152,cookie={COOKIE:#x}/-1,actions=drop")
    assert remote.touched.get(timeout=DEADLINE)
    remote.settle()
    remote.ofctl("del-flows", "table=152")
    assert remote.touched.get(timeout=DEADLINE)


def test_what_is_added_tells_nothing(remote: Remote) -> None:
    remote.switch.read_ports()
    remote.settle()
    remote.switch.apply(Batch(Bridge.INT, put=(RULE,)))
    assert drain(remote.touched) == []


def test_a_switch_that_restarts_is_told(remote: Remote) -> None:
    remote.switch.read_ports()
    remote.switch.apply(Batch(Bridge.INT, put=(RULE,)))
    remote.settle()
    remote.vswitch.stop_switch()
    remote.vswitch.start_switch()
    assert remote.touched.get(timeout=DEADLINE)
    remote.switch.read_ports()
    assert remote.switch.dump_entries() == []


def test_a_bridge_that_forgets_the_controller_is_reached_again(remote: Remote) -> None:
    remote.switch.read_ports()
    remote.settle()
    remote.vswitch.run("ovs-vsctl", "set-controller", "br-int", "tcp:127.0.0.1:6633")
    assert remote.changes.get(timeout=DEADLINE) == ""
    remote.switch.read_ports()
    assert remote.switch.dump_entries() == []
    own = remote.vswitch.run("ovs-vsctl", "get-controller", "br-int").split()
    assert own == [remote.endpoint.listener(0), "tcp:127.0.0.1:6633"]


def test_changes_of_a_port_name_the_port(remote: Remote) -> None:
    remote.switch.read_ports()
    remote.settle()
    remote.vswitch.run("ovs-vsctl", "set", "port", "tap1", "other_config:tag=8")
    assert remote.changes.get(timeout=DEADLINE) == VM
    assert remote.switch.read_ports().ports[VM].vlan == 8
    remote.settle()
    remote.vswitch.run("ovs-vsctl", "del-port", "tap1")
    assert VM in drain(remote.changes)
    assert remote.switch.read_ports().ports == {}
    remote.vswitch.add_port("br-int", "tap1", 6, "tag=7")
    remote.settle()
    remote.vswitch.run("ovs-vsctl", "set", "interface", "tap1", f"external_ids:iface-id={VM}")
    assert remote.changes.get(timeout=DEADLINE) == VM
    assert remote.switch.read_ports().ports[VM].ofport == 6


def test_a_database_that_is_away_raises_and_is_found_again(remote: Remote) -> None:
    remote.switch.read_ports()
    remote.hide()
    with pytest.raises(OvsdbUnreachableError):
        until(lambda: remote.switch.read_ports() is None)
    never = remote.open()
    with pytest.raises(OvsdbUnreachableError):
        never.read_ports()
    remote.serve()
    until(lambda: answers(remote.switch))


def test_by_ssl(tmp_path: Path) -> None:
    """One certificate for all: who has its key may talk."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    with running_vswitch() as vswitch:
        vswitch.run(
            *[
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "1",
                "-subj",
                "/CN=test",
            ],
            *("-keyout", str(key), "-out", str(certificate)),
        )
        vswitch.run("ovs-vsctl", "set-ssl", str(key), str(certificate), str(certificate))
        for name, file in (
            ("private_key", key),
            ("certificate", certificate),
            ("ca_cert", certificate),
        ):
            cfg.CONF.set_override(f"openflow_{name}", str(file), conf.GROUP)
        remote = Remote(vswitch, configure_tls())
        try:
            # The database's server reads which keys it has a little later.
            until(lambda: answers(remote.switch))
            remote.switch.apply(Batch(Bridge.INT, put=(RULE,)))
            assert remote.switch.dump_entries() == [RULE]
            assert "pssl" in vswitch.run("ovs-vsctl", "get-controller", "br-int")
            remote.settle()
            remote.ofctl("del-flows", "table=152")
            assert remote.touched.get(timeout=DEADLINE)
        finally:
            remote.switch.close()
            for name in ("private_key", "certificate", "ca_cert"):
                cfg.CONF.clear_override(f"openflow_{name}", conf.GROUP)


def answers(switch: RemoteSwitch) -> bool:
    try:
        return bool(switch.read_ports().ports)
    except OvsdbUnreachableError:
        return False


def until(true: Any) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)
