"""The lab without chains: an OpenStack network that works."""

from collections.abc import Iterator

import pytest
from portchain_lab.guests.machines import Machine
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab
from portchain_lab.observe import packet_paths, traffic
from portchain_lab.waiting import wait_for

from tests.lab.conftest import Captures


@pytest.fixture(scope="module")
def machines(lab: Lab) -> Iterator[dict[str, Machine]]:
    """Two end points on different hosts and a routing function on a third."""
    network = lab.sdk("demo").network
    net = network.create_network(name="plain", port_security_enabled=False)
    network.create_subnet(network_id=net.id, ip_version=4, cidr="10.20.0.0/24")
    ports = {
        name: network.create_port(network_id=net.id, name=name) for name in ("a", "b", "in", "out")
    }
    made = {
        "a": lab.vms.boot("a", "h1", [ports["a"].id], wait=False),
        "b": lab.vms.boot("b", "h2", [ports["b"].id], wait=False),
        "f": lab.vms.boot("f", "h3", [ports["in"].id, ports["out"].id], kind="l3", wait=False),
    }
    lab.vms.wait_active(made.values())
    yield made
    lab.vms.delete_all()
    for port in ports.values():
        network.delete_port(port)
    network.delete_network(net)


def test_end_points_reach_each_other_directly(
    lab: Lab, machines: dict[str, Machine], captures: Captures
) -> None:
    a, b = machines["a"], machines["b"]
    assert lab.vms.ping(a, b.ip)
    with captures(*machines.values()) as capture, traffic.TcpServer(b, 100):
        attempts = traffic.tcp_connections(a, b, 100, count=100, source_port=23)
    assert [attempt.error for attempt in attempts] == [""] * 100
    found = packet_paths.connections(packet_paths.sightings(capture.seen))
    tcp = packet_paths.select(found, protocol="tcp", destination_port=100)
    assert len(tcp) == 100
    assert {connection.path for connection in tcp} == {("a", "b")}
    assert {path for connection in tcp for path in connection.replies} == {("b", "a")}


def test_a_routing_function_passes_packets_from_one_nic_to_the_other(
    lab: Lab, machines: dict[str, Machine], captures: Captures
) -> None:
    a, b, function = machines["a"], machines["b"], machines["f"]
    netns.ip(f"route add {b.ip}/32 via {function.ip} dev eth0", namespace=a.namespace)
    try:
        with captures(a, b, function) as capture, traffic.TcpServer(b, 200):
            attempts = traffic.tcp_connections(a, b, 200, count=5)
    finally:
        netns.ip(f"route del {b.ip}/32", namespace=a.namespace)
    assert all(attempt.ok for attempt in attempts), attempts
    found = packet_paths.connections(packet_paths.sightings(capture.seen))
    tcp = packet_paths.select(found, protocol="tcp", destination_port=200)
    assert {connection.path for connection in tcp} == {("a", "in", "out", "b")}


def test_a_stream_loses_nothing(lab: Lab, machines: dict[str, Machine]) -> None:
    a, b = machines["a"], machines["b"]
    stream = traffic.UdpStream(a, b, 5000, rate=500)
    with stream:
        wait_for(lambda: stream.result.sent >= 500, 10, "500 datagrams sent")
    assert stream.result.lost == []
    assert stream.result.duplicates == 0


def test_a_machine_moves_and_gets_another_interface(lab: Lab, machines: dict[str, Machine]) -> None:
    network = lab.sdk("demo").network
    a, b = machines["a"], machines["b"]
    net_id = b.nics[0].network_id
    port = network.create_port(network_id=net_id, name="late")
    try:
        machine = lab.vms.move(b, "h3")
        assert lab.vms.ping(a, machine.ip)
        machine = lab.vms.attach(machine, port.id)
        assert lab.vms.ping(a, machine.nic("late").ip)
        machine = lab.vms.detach(machine, "late")
        assert network.get_port(port).device_id == ""
        machines["b"] = lab.vms.move(machine, "h2")
        assert lab.vms.ping(a, machine.ip)
    finally:
        network.delete_port(port)


def test_a_switch_database_restarts(lab: Lab, machines: dict[str, Machine]) -> None:
    """The other programs' turns come in test_failures, with a chain in place."""
    lab.kill("ovsdb-server", "h2")
    assert not {name: runs for name, _, runs in lab.status()}["ovsdb-server@h2"]
    lab.start("ovsdb-server@h2")
    wait_for(
        lambda: lab.vms.ping(machines["a"], machines["b"].ip, deadline=2), 60, "ping across hosts"
    )
    _new_port_works(lab, machines)


def _new_port_works(lab: Lab, machines: dict[str, Machine]) -> None:
    """Servers and agent together bring a port to ACTIVE, and packets pass."""
    network = lab.sdk("demo").network
    port = network.create_port(network_id=machines["b"].nics[0].network_id, name="new")
    machine = lab.vms.boot("new", "h2", [port.id])
    try:
        assert lab.vms.ping(machines["a"], machine.ip)
    finally:
        lab.vms.delete(machine)
        network.delete_port(port)
