"""A real switch and its database over TCP and SSL, as the controller connects to them."""

import queue
import random
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from neutron.conf.agent import securitygroups_rpc
from neutron.conf.plugins.ml2.drivers import ovs_conf
from oslo_config import cfg

from portchain import conf
from portchain.controller.endpoint import Endpoint, configure_tls
from portchain.controller.options import register_controller_opts
from portchain.controller.switch import RemoteSwitch
from portchain.dataplane import answer_meters
from portchain.dataplane.counting import MOST_SELECTIONS
from portchain.dataplane.diff import Batch
from portchain.dataplane.flow import COOKIE, Bridge, Flow, FlowKey, NoFlood
from portchain.dataplane.pipeline import FLOW_LIMITS, REG_PROJECT
from portchain.host.bridge import UnreachableSwitchError
from portchain.host.flow_monitor import FlowMonitor
from portchain.host.open_vswitch import OpenVSwitch
from portchain.ovsdb.connection import OvsdbUnreachableError
from portchain.ovsdb.switch_database import SwitchDatabase
from tests.functional.vswitch import DEADLINE, Vswitch, running_vswitch

ADDRESS, VM = "127.0.0.1", "7f2c0f4e-0000-4000-8000-000000000001"
NAMES = {Bridge.INT: "br-int", Bridge.TUN: "br-tun", Bridge.physical("physnet1"): "br-ex"}
FLOW = Flow(FlowKey(Bridge.INT, 152, 10, frozenset({"reg8=0x10001"})), "output:5")


class Remote:
    """A host with br-int and br-tun, and the controller's connection to it."""

    def __init__(self, vswitch: Vswitch, keys: tuple[str, ...] = ()) -> None:
        self.vswitch = vswitch
        base = free_ports(4)
        self.endpoint = Endpoint(ADDRESS, base, base + 1, timeout=5, tls_options=keys)
        self.row_changes: queue.Queue[str] = queue.Queue()
        self.flow_changes: queue.Queue[bool] = queue.Queue()
        with vswitch.at_once():
            for name in ("br-int", "br-tun"):
                vswitch.add_bridge(name)
            vswitch.add_patch("br-int", "patch-tun", 1, "patch-int")
            vswitch.add_patch("br-tun", "patch-int", 2, "patch-tun")
            vswitch.add_port("br-int", "tap1", 5, "tag=7")
        vswitch.run("ovs-vsctl", "set", "interface", "tap1", f"external_ids:iface-id={VM}")
        self.start_listening()
        self.switch = self.open()

    def start_listening(self) -> None:
        """Have the database listen on its TCP port.

        The server answers the command before it listens.
        """
        self._control("add-remote")
        wait_until(self._listens)

    def _listens(self) -> bool:
        place = (self.endpoint.address, self.endpoint.database_port)
        with socket.socket() as probe:
            return probe.connect_ex(place) == 0

    def stop_listening(self) -> None:
        """Have the database stop listening and close its connections."""
        self._control("remove-remote")

    def _control(self, what: str) -> None:
        pid = (self.vswitch.folder / "ovsdb-server.pid").read_text().strip()
        control = f"{self.vswitch.folder}/ovsdb-server.{pid}.ctl"
        kind = "pssl" if self.endpoint.tls_options else "ptcp"
        remote = f"{kind}:{self.endpoint.database_port}:{ADDRESS}"
        self.vswitch.run("ovs-appctl", "-t", control, f"ovsdb-server/{what}", remote)

    def open(self) -> RemoteSwitch:
        database = SwitchDatabase(
            lambda: self.endpoint.database, self.endpoint.timeout, self.row_changes.put
        )
        return RemoteSwitch(
            "h1", self.endpoint, database, NAMES, lambda: self.flow_changes.put(True)
        )

    def ofctl(self, command: str, *arguments: str) -> str:
        return self.vswitch.run(
            "ovs-ofctl", "--no-names", "-OOpenFlow14", command, "br-int", *arguments
        )

    def wait_until_quiet(self) -> None:
        """Wait until no change is reported any more."""
        for reports in (self.row_changes, self.flow_changes):
            collect(reports)


def free_ports(count: int) -> int:
    """The first of some consecutive TCP ports that nobody listens at."""
    while True:
        base = random.randrange(20000, 30000)
        try:
            for port in range(base, base + count):
                with socket.socket() as one:
                    one.bind((ADDRESS, port))
        except OSError:
            continue
        return base


def collect(reports: "queue.Queue[Any]") -> list[Any]:
    found = []
    while True:
        try:
            found.append(reports.get(timeout=0.5))
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


def test_ports_are_read_over_the_network(remote: Remote) -> None:
    local = remote.switch.read_ports()
    assert local.host == "h1"
    assert (local.ports[VM].ofport, local.ports[VM].vlan) == (5, 7)
    assert (local.patch_to_tun, local.patch_to_int) == (1, 2)
    assert local.physical == {}, "there is no bridge br-ex"


def test_a_packet_enters_at_the_port_that_is_to_send_it(remote: Remote) -> None:
    """As in live traces, on a host with an agent; a controller cannot do it."""
    with pytest.raises(UnreachableSwitchError):
        remote.switch.vifs()
    remote.switch.read_ports()
    vifs = OpenVSwitch.vifs(remote.switch)
    assert {port: (vif.name, vif.type, vif.ofport) for port, vif in vifs.items()} == {
        VM: ("tap1", "dummy", 5)
    }
    assert not vifs[VM].has_device
    remote.ofctl("add-flow", "in_port=5,dl_type=0x88b6,actions=in_port")
    frame = bytes(12) + b"\x88\xb6" + bytes(50)
    vifs[VM].take_in(frame)
    remote.vswitch.received("tap1", 1, lambda one: bytes(one) == frame)
    remote.vswitch.stop_switch()
    with pytest.raises(RuntimeError):
        vifs[VM].take_in(frame)


def test_only_flows_with_our_cookie_are_read_and_deleted(remote: Remote) -> None:
    remote.ofctl("add-flow", "cookie=0x77,table=152,reg8=1,actions=drop")
    remote.switch.read_ports()
    remote.switch.apply(Batch(Bridge.INT, put=(FLOW,)))
    remote.switch.limit_tables(FLOW_LIMITS)
    assert list(remote.switch.dump_entries()) == [FLOW]
    remote.switch.apply(Batch(Bridge.INT, remove=(FLOW.key,)))
    assert list(remote.switch.dump_entries()) == []
    assert "cookie=0x77" in remote.ofctl("dump-flows")


def test_meters_come_with_the_flows_that_need_them_and_go_with_ports(remote: Remote) -> None:
    local = remote.switch.read_ports()
    needed, of_gone_port = local.largest_meter - 5, local.largest_meter - 6
    gone = f"meter={of_gone_port},{answer_meters.CONFIGURATION}"
    for number in ("1", "of-gone-port"):
        text = "meter=1,kbps,bands=type=drop,rate=100" if number == "1" else gone
        remote.vswitch.run("ovs-ofctl", "-OOpenFlow14", "add-meter", "br-int", text)
    flow = replace(FLOW, actions=f"meter:{needed},{FLOW.actions}")
    for _ in range(2):
        remote.switch.apply(Batch(Bridge.INT, put=(flow,)))
        assert list(remote.switch.dump_entries()) == [flow]
    found = remote.vswitch.run("ovs-ofctl", "-OOpenFlow14", "dump-meters", "br-int")
    assert set(re.findall(r"meter=(\d+)", found)) == {"1", str(needed)}


@pytest.mark.parametrize("others", [0, MOST_SELECTIONS])
def test_learned_flows_are_counted_for_each_pair(remote: Remote, others: int) -> None:
    remote.switch.read_ports()
    for position, pair, header in ((0x10001, 7, 1), (0x1110001, 7, 2), (0x10001, 8, 1)):
        match = f"table=155,reg8={position:#x},reg9={pair},tcp,tp_src={header}"
        remote.ofctl("add-flow", f"cookie={position << 32 | pair:#x},{match},actions=drop")
    remote.ofctl("add-flow", f"cookie={0x10002 << 32 | 7:#x},table=155,reg8=0x10002,actions=drop")
    found = remote.switch.count_learned([0x10001, *range(0x20000, 0x20000 + others)])
    assert {place: n for place, n in found.items() if place[0] == 0x10001} == {
        (0x10001, 7): 2,
        (0x10001, 8): 1,
    }


def test_limits_of_an_earlier_release_are_brought_up_to_date(remote: Remote) -> None:
    remote.switch.read_ports()
    remote.switch.limit_tables(FLOW_LIMITS)
    database, groups = remote.switch._bridges[Bridge.INT].database, ["NXM_NX_REG8[]"]
    (row,) = database.db_list("Flow_Table", columns=["_uuid", "groups"]).execute(check_error=True)
    assert row["groups"] == [f"NXM_NX_{REG_PROJECT.upper()}[]"]
    database.db_set("Flow_Table", row["_uuid"], ("groups", groups)).execute(check_error=True)
    remote.switch.limit_tables(FLOW_LIMITS)
    (after,) = database.db_list("Flow_Table", columns=["_uuid", "groups"]).execute(check_error=True)
    assert after == row
    remote.switch.limit_tables({})
    assert database.db_get("Bridge", "br-int", "flow_tables").execute(check_error=True) == {}


def test_switch_sends_nothing_normally_to_bridging_functions(remote: Remote) -> None:
    port = remote.switch.read_ports().ports[VM]
    setting = NoFlood(port.ofport, port.record)

    def columns() -> list[str]:
        names = ("--bare", "--columns=protected", "list", "port", "tap1")
        marks = ("get", "interface", "tap1", "external_ids")
        run = remote.vswitch.run
        return [run("ovs-vsctl", *names).strip(), run("ovs-vsctl", *marks).strip()]

    before = columns()
    here = f"{'ff' * 6}0200000000aa88b5"
    remote.ofctl("add-flow", "table=0,priority=0,actions=NORMAL")
    remote.vswitch.appctl("netdev-dummy/receive", "tap1", here.ljust(120, "0"))
    wait_until(lambda: "02:00:00:00:00:aa" in remote.vswitch.appctl("fdb/show", "br-int"))
    remote.switch.apply(Batch(Bridge.INT, suppress_flooding=(setting,)))
    assert list(remote.switch.dump_entries()) == [], (
        "addresses behind the port are not forgotten yet"
    )
    remote.switch.apply(Batch(Bridge.INT, suppress_flooding=(setting,)))
    remote.switch.apply(Batch(Bridge.INT, forget_addresses=(setting,)))
    assert list(remote.switch.dump_entries()) == [setting]
    assert "02:00:00:00:00:aa" not in remote.vswitch.appctl("fdb/show", "br-int")
    assert columns()[0] == "false", "nothing could be sent between two functions otherwise"
    remote.switch.apply(Batch(Bridge.INT, forget_addresses=(setting,)))
    remote.switch.apply(Batch(Bridge.INT, restore_flooding=(setting,)))
    assert list(remote.switch.dump_entries()) == []
    assert columns() == before


def test_a_refused_bundle_raises_and_changes_nothing(remote: Remote) -> None:
    remote.switch.read_ports()
    wrong = Flow(FlowKey(Bridge.INT, 152, 10, frozenset({"reg8=0x10002"})), "output:nowhere")
    with pytest.raises(RuntimeError, match="nowhere"):
        remote.switch.apply(Batch(Bridge.INT, put=(FLOW, wrong)))
    assert list(remote.switch.dump_entries()) == []


def test_a_flow_of_ours_that_others_delete_or_modify_is_reported(remote: Remote) -> None:
    remote.switch.read_ports()
    remote.switch.apply(Batch(Bridge.INT, put=(FLOW,)))
    remote.ofctl("add-flow", "cookie=0x77,table=152,reg8=1,actions=drop")
    remote.wait_until_quiet()
    remote.ofctl("del-flows", "cookie=0x77/-1")
    assert collect(remote.flow_changes) == [], "a flow of somebody else"
    remote.ofctl("mod-flows", f"table=152,cookie={COOKIE:#x}/-1,actions=drop")
    assert remote.flow_changes.get(timeout=DEADLINE)
    remote.wait_until_quiet()
    remote.ofctl("del-flows", "table=152")
    assert remote.flow_changes.get(timeout=DEADLINE)


def test_added_flows_are_not_reported(remote: Remote) -> None:
    remote.switch.read_ports()
    remote.wait_until_quiet()
    remote.switch.apply(Batch(Bridge.INT, put=(FLOW,)))
    assert collect(remote.flow_changes) == []


def test_a_restart_of_the_switch_is_reported(remote: Remote) -> None:
    remote.switch.read_ports()
    remote.switch.apply(Batch(Bridge.INT, put=(FLOW,)))
    remote.wait_until_quiet()
    remote.vswitch.stop_switch()
    remote.vswitch.start_switch()
    assert remote.flow_changes.get(timeout=DEADLINE)
    remote.switch.read_ports()
    assert list(remote.switch.dump_entries()) == []


def test_only_a_new_connection_can_mean_a_restart(remote: Remote) -> None:
    remote.switch.read_ports()
    remote.switch.apply(Batch(Bridge.INT, put=(FLOW,)))
    changes: queue.Queue[str] = queue.Queue()
    monitor = FlowMonitor(
        remote.endpoint.bridge(0),
        lambda: changes.put("changed"),
        lambda: changes.put("connected"),
    )
    assert [changes.get(timeout=DEADLINE) for _ in range(2)] == ["connected", "changed"]
    remote.ofctl("del-flows")
    assert changes.get(timeout=DEADLINE) == "changed"
    assert "connected" not in collect(changes)
    remote.vswitch.stop_switch()
    remote.vswitch.start_switch()
    remote.switch.read_ports()
    assert changes.get(timeout=DEADLINE) == "connected"
    monitor.stop()


def test_a_bridge_that_stopped_listening_is_made_to_listen_again(remote: Remote) -> None:
    remote.switch.read_ports()
    remote.wait_until_quiet()
    remote.vswitch.run("ovs-vsctl", "set-controller", "br-int", "tcp:127.0.0.1:6633")
    assert remote.row_changes.get(timeout=DEADLINE) == ""
    remote.switch.read_ports()
    assert list(remote.switch.dump_entries()) == []
    own = remote.vswitch.run("ovs-vsctl", "get-controller", "br-int").split()
    assert own == [remote.endpoint.listener(0), "tcp:127.0.0.1:6633"]


def test_changes_of_a_port_are_reported_with_its_id(remote: Remote) -> None:
    remote.switch.read_ports()
    remote.wait_until_quiet()
    remote.vswitch.run("ovs-vsctl", "set", "port", "tap1", "other_config:tag=8")
    assert remote.row_changes.get(timeout=DEADLINE) == VM
    assert remote.switch.read_ports().ports[VM].vlan == 8
    remote.wait_until_quiet()
    remote.vswitch.run("ovs-vsctl", "del-port", "tap1")
    assert VM in collect(remote.row_changes)
    assert remote.switch.read_ports().ports == {}
    remote.vswitch.add_port("br-int", "tap1", 6, "tag=7")
    remote.wait_until_quiet()
    remote.vswitch.run("ovs-vsctl", "set", "interface", "tap1", f"external_ids:iface-id={VM}")
    assert remote.row_changes.get(timeout=DEADLINE) == VM
    assert remote.switch.read_ports().ports[VM].ofport == 6


def test_a_database_that_is_down_raises_until_it_is_back(remote: Remote) -> None:
    remote.switch.read_ports()
    remote.stop_listening()
    with pytest.raises(OvsdbUnreachableError):
        wait_until(lambda: remote.switch.read_ports() is None)
    never = remote.open()
    with pytest.raises(OvsdbUnreachableError):
        never.read_ports()
    remote.start_listening()
    wait_until(lambda: answers(remote.switch))


def test_connections_over_ssl(tmp_path: Path) -> None:
    """One self-signed certificate is used on both sides."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    with running_vswitch() as vswitch:
        vswitch.run(
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=test", "-keyout", str(key), "-out", str(certificate)),
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
            # ovsdb-server reads the names of its files a little later.
            wait_until(lambda: answers(remote.switch))
            remote.switch.apply(Batch(Bridge.INT, put=(FLOW,)))
            assert list(remote.switch.dump_entries()) == [FLOW]
            assert "pssl" in vswitch.run("ovs-vsctl", "get-controller", "br-int")
            remote.wait_until_quiet()
            remote.ofctl("del-flows", "table=152")
            assert remote.flow_changes.get(timeout=DEADLINE)
        finally:
            remote.switch.close()
            for name in ("private_key", "certificate", "ca_cert"):
                cfg.CONF.clear_override(f"openflow_{name}", conf.GROUP)


def answers(switch: RemoteSwitch) -> bool:
    try:
        return bool(switch.read_ports().ports)
    except OvsdbUnreachableError:
        return False


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
