"""The lab without chains: an OpenStack network that works."""

from collections.abc import Iterator

import pytest
from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab
from portchain_lab.observe import packet_paths, traffic
from portchain_lab.waiting import wait_for

from tests.lab.captures import Captures


@pytest.fixture(scope="module")
def vms(lab: Lab) -> Iterator[dict[str, VirtualMachine]]:
    """Two end points on different hosts and a routing function on a third."""
    network = lab.sdk("demo").network
    net = network.create_network(name="plain", port_security_enabled=False)
    network.create_subnet(network_id=net.id, ip_version=4, cidr="10.20.0.0/24")
    ports = {
        name: network.create_port(network_id=net.id, name=name) for name in ("a", "b", "in", "out")
    }
    made = {
        "a": lab.vms.create("a", "h1", [ports["a"].id], wait=False),
        "b": lab.vms.create("b", "h2", [ports["b"].id], wait=False),
        "f": lab.vms.create("f", "h3", [ports["in"].id, ports["out"].id], kind="l3", wait=False),
    }
    lab.vms.wait_active(made.values())
    yield made
    lab.vms.delete_all()
    for port in ports.values():
        network.delete_port(port)
    network.delete_network(net)


def test_end_points_reach_each_other_directly(
    lab: Lab, vms: dict[str, VirtualMachine], captures: Captures
) -> None:
    a, b = vms["a"], vms["b"]
    assert lab.vms.ping(a, b.ip)
    with captures(*vms.values()) as capture, traffic.TcpEchoServer(b, 100):
        attempts = traffic.tcp_connections(a, b, 100, count=100, source_port=23)
        capture.wait_until_quiet()
    assert [attempt.error for attempt in attempts] == [""] * 100
    found = packet_paths.connections(packet_paths.observations(capture.frames))
    tcp = packet_paths.select(found, protocol="tcp", destination_port=100)
    assert len(tcp) == 100
    assert {connection.path for connection in tcp} == {("a", "b")}
    assert {path for connection in tcp for path in connection.replies} == {("b", "a")}


def test_a_routing_function_passes_packets_from_one_nic_to_the_other(
    lab: Lab, vms: dict[str, VirtualMachine], captures: Captures
) -> None:
    a, b, function = vms["a"], vms["b"], vms["f"]
    netns.ip(f"route add {b.ip}/32 via {function.ip} dev eth0", namespace=a.namespace)
    try:
        with captures(a, b, function) as capture, traffic.TcpEchoServer(b, 200):
            attempts = traffic.tcp_connections(a, b, 200, count=5)
            capture.wait_until_quiet()
    finally:
        netns.ip(f"route del {b.ip}/32", namespace=a.namespace)
    assert all(attempt.ok for attempt in attempts), attempts
    found = packet_paths.connections(packet_paths.observations(capture.frames))
    tcp = packet_paths.select(found, protocol="tcp", destination_port=200)
    assert {connection.path for connection in tcp} == {("a", "in", "out", "b")}


def test_a_stream_loses_nothing(lab: Lab, vms: dict[str, VirtualMachine]) -> None:
    a, b = vms["a"], vms["b"]
    stream = traffic.UdpStream(a, b, 5000, rate=500)
    with stream:
        wait_for(lambda: stream.result.sent >= 500, 10, "500 datagrams sent")
    assert stream.result.lost == []
    assert stream.result.duplicates == 0


def test_a_vm_migrates_and_gets_another_interface(lab: Lab, vms: dict[str, VirtualMachine]) -> None:
    network = lab.sdk("demo").network
    a, b = vms["a"], vms["b"]
    net_id = b.nics[0].network_id
    port = network.create_port(network_id=net_id, name="late")
    try:
        vm = lab.vms.migrate(b, "h3")
        assert lab.vms.ping(a, vm.ip)
        vm = lab.vms.attach_port(vm, port.id)
        assert lab.vms.ping(a, vm.nic("late").ip)
        vm = lab.vms.detach_port(vm, "late")
        assert network.get_port(port).device_id == ""
        vms["b"] = lab.vms.migrate(vm, "h2")
        assert lab.vms.ping(a, vm.ip)
    finally:
        network.delete_port(port)


def test_a_switch_database_restarts(lab: Lab, vms: dict[str, VirtualMachine]) -> None:
    """test_failures restarts the other programs, with a chain in place."""
    lab.kill("ovsdb-server", "h2")
    assert not {name: runs for name, _, runs in lab.status()}["ovsdb-server@h2"]
    lab.start("ovsdb-server@h2")
    wait_for(lambda: lab.vms.ping(vms["a"], vms["b"].ip, deadline=2), 60, "ping across hosts")
    _new_port_works(lab, vms)


def _new_port_works(lab: Lab, vms: dict[str, VirtualMachine]) -> None:
    """Assert that servers and agent bring a new port to ACTIVE, and that packets pass."""
    network = lab.sdk("demo").network
    port = network.create_port(network_id=vms["b"].nics[0].network_id, name="new")
    vm = lab.vms.create("new", "h2", [port.id])
    try:
        assert lab.vms.ping(vms["a"], vm.ip)
    finally:
        lab.vms.delete(vm)
        network.delete_port(port)


def test_each_agent_has_asked_its_switch_what_the_datapath_can_do(lab: Lab) -> None:
    for host in lab.hosts:
        log = lab.layout.log_file(f"agent@{host}").read_text()
        assert f"The datapath of host {host} has all features that port chains use" in log
