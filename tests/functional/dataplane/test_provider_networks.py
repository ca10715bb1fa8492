"""Chain frames on a provider network: two hosts and a learning switch between them."""

from dataclasses import replace

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import ARP, Dot1Q, Ether

from portchain.dataplane.compile import compile_chain, compile_frame_guard
from portchain.dataplane.diff import diff
from portchain.dataplane.flow import Bridge
from portchain.dataplane.flow_builder import provider_mac
from portchain.dataplane.host_switch import Firewall, LocalPort, LocalSwitch
from portchain.dataplane.plan import Segment
from tests.functional.dataplane.fabric import DST_MAC, VM_MAC, returned, tcp
from tests.functional.vswitch import Host
from tests.plans import chain, ident, mac, source, target

VLANS = pytest.mark.parametrize("vlan", [None, 100], ids=["flat", "vlan"])
BROADCAST = "ff:ff:ff:ff:ff:ff"
LABEL = 0x10001


class ProviderNetwork:
    """h1 and h2 on one provider network.

    ``tap`` is a port of the physical switch: it sees and sends what any other device there could.
    """

    def __init__(self, vswitch, vlan):
        self.vswitch, self.vlan = vswitch, vlan
        self.segment = Segment("phy", vlan)
        self.hosts = {name: Host(vswitch, name) for name in ("h1", "h2")}
        self.ports = {
            "h1": ("vm", "dst", "a-in", "a-out"),
            "h2": ("b-in", "b-out", "bystander"),
        }
        datapath = f"datapath_type={vswitch.datapath_type}"
        vswitch.run("ovs-vsctl", "add-br", "outside", "--", "set", "bridge", "outside", datapath)
        vswitch.add_port("outside", "tap", 9, "trunks=[]")
        self.physical = {}
        for number, (name, host) in enumerate(self.hosts.items(), 1):
            self.physical[name] = {"phy": host.add_physical_bridge("phy", vlan, 1)}
            with vswitch.at_once():
                vswitch.add_link(f"{name}-phy", f"{name}-up", 7, f"outside-{name}")
                vswitch.add_link("outside", f"outside-{name}", number, f"{name}-up")
                for ofport, port in enumerate(self.ports[name], 11):
                    vswitch.add_port(f"{name}-int", port, ofport)

    def target(self, name, host, bridges=False):
        placed = target(name, host, bridges=bridges)
        return replace(
            placed, tunnel_ip="", ingress_segment=self.segment, egress_segment=self.segment
        )

    def chain(self, *hops, **changes):
        placed = replace(source("vm", "h1", "10.0.0.10"), tunnel_ip="", segment=self.segment)
        return chain(*hops, sources=(placed,), **changes)

    def local(self, host):
        ports = {ident(p): LocalPort(n, 1) for n, p in enumerate(self.ports[host], 11)}
        return LocalSwitch(host, Firewall.OPENVSWITCH, ports, physical=self.physical[host])

    def desired(self, host, *plans):
        compiled = [compile_chain(plan, self.local(host)) for plan in plans]
        assert [c.missing for c in compiled] == [()] * len(plans)
        guard = compile_frame_guard(self.local(host)) if plans else set()
        return {entry for each in compiled for entry in each.entries} | guard

    def program(self, *plans, hosts=("h1", "h2")):
        for name in hosts:
            self.hosts[name].put(self.desired(name, *plans))

    def announce(self, *names):
        """Send a broadcast from each port, so that every switch learns its address."""
        for name in names:
            self.vswitch.send(name, Ether(src=mac(name), dst=BROADCAST) / ARP(psrc="10.0.0.99"))

    def frames_at_tap(self, count=0):
        return self.vswitch.received("tap", count, lambda frame: mpls_of(frame) is not None)

    def learnt(self, bridge, address):
        table = self.vswitch.run("ovs-appctl", "fdb/show", bridge)
        return {line.split()[0] for line in table.splitlines() if address in line}

    def outer(self, eth_src, eth_dst, payload, label=LABEL):
        """Return a chain frame as another device on the network could forge it."""
        head = Ether(src=eth_src, dst=eth_dst)
        if self.vlan is not None:
            head /= Dot1Q(vlan=self.vlan, type=0x8847)
        else:
            head.type = 0x8847
        return head / (label << 12 | 0x1FF).to_bytes(4, "big") / bytes(payload)


def mpls_of(frame):
    """Return what follows the Ethernet header of an MPLS frame; None for other frames."""
    raw = bytes(frame)
    at = 16 if raw[12:14] == b"\x81\x00" else 12
    return raw[at + 2 :] if raw[at : at + 2] == b"\x88\x47" else None


@pytest.fixture
def network(vswitch, vlan):
    return ProviderNetwork(vswitch, vlan)


@VLANS
def test_flows_read_back_as_written(network):
    plan = network.chain([network.target("b", "h2", bridges=True)], [network.target("a", "h1")])
    other = network.chain([network.target("b", "h2", bridges=True)], name="pc2", path_id=2)
    for plans in ([plan], [other]):
        network.program(*plans)
        for name, host in network.hosts.items():
            assert diff(network.desired(name, *plans), host.dump_entries()) == []
    network.program()
    assert [host.dump_entries() for host in network.hosts.values()] == [[], []]


@VLANS
def test_packet_visits_all_hops_in_order_across_hosts(network, vswitch, vlan):
    network.program(network.chain([network.target("b", "h2")], [network.target("a", "h1")]))
    vswitch.send("vm", tcp())
    (at_b,) = vswitch.received("b-in", 1)
    expected = tcp()
    expected.dst = mac("b-in")
    assert bytes(at_b) == bytes(expected)
    vswitch.send("b-out", returned(at_b, "b"))
    (at_a,) = vswitch.received("a-in", 1)
    assert at_a.ttl == tcp().ttl - 1
    assert vswitch.received("dst", 0) == []
    # No switch had learnt the functions' addresses: the physical switch flooded the frames.
    there, back = network.frames_at_tap(2)
    assert (there.src, there.dst) == (provider_mac(ident("pc1"), "h1"), mac("b-in"))
    assert (back.src, back.dst) == (provider_mac(ident("pc1"), "h2"), mac("a-in"))
    assert (there[Dot1Q].vlan if vlan else there.type) == (vlan or 0x8847)
    assert mpls_of(there)[4:] == bytes(tcp())
    assert vswitch.received("bystander", 0) == []


@VLANS
def test_switches_learn_the_right_ports(network, vswitch):
    network.program(network.chain([network.target("b", "h2")], [network.target("a", "h1")]))
    network.announce("vm", "dst", "a-in", "a-out", "b-in", "b-out")
    vswitch.received("bystander", 6)
    vswitch.send("vm", tcp())
    at_b = vswitch.received("b-in", 6)[-1]
    vswitch.send("b-out", returned(at_b, "b"))
    at_a = vswitch.received("a-in", 6)[-1]
    vswitch.send("a-out", returned(at_a, "a"))
    assert [f.ttl for f in vswitch.received("dst", 1, lambda f: IP in f)] == [tcp().ttl - 2]
    assert network.frames_at_tap() == [], "no frame was flooded"
    assert network.learnt("outside", provider_mac(ident("pc1"), "h1")) == {"1"}
    assert network.learnt("outside", provider_mac(ident("pc1"), "h2")) == {"2"}
    places = {"outside": {"1"}, "h1-phy": {"1"}, "h2-phy": {"7"}, "h1-int": {"11"}, "h2-int": {"2"}}
    assert {bridge: network.learnt(bridge, VM_MAC) for bridge in places} == places
    assert network.learnt("h1-int", provider_mac(ident("pc1"), "h2")) == set()


@VLANS
def test_frame_continues_from_its_source_after_bridging_function(network, vswitch):
    network.program(network.chain([network.target("b", "h2", bridges=True)]))
    network.announce("vm", "dst", "b-in", "b-out")
    vswitch.received("b-in", 0)
    vswitch.send("vm", tcp())
    vswitch.received("b-in", 1)
    vswitch.send("b-out", tcp())
    arrived = vswitch.received("dst", 1, lambda f: IP in f)
    assert [bytes(f) for f in arrived] == [bytes(tcp())]
    places = {"outside": {"1"}, "h1-phy": {"1"}, "h2-phy": {"7"}, "h1-int": {"11"}, "h2-int": {"2"}}
    assert {bridge: network.learnt(bridge, VM_MAC) for bridge in places} == places


@VLANS
@pytest.mark.parametrize("known", [False, True], ids=["unknown destination", "learnt destination"])
def test_unexpected_chain_frame_reaches_no_port(network, vswitch, known):
    """The host does not have the chain yet; the frame is addressed to a port on it all the same."""
    plan = network.chain([network.target("b", "h2")])
    network.program(plan, hosts=["h1"])
    other = network.chain([network.target("b", "h2")], name="pc2", path_id=2)
    network.program(other, hosts=["h2"])
    if known:
        network.announce("b-in")
    vswitch.send("vm", tcp(), tcp(sport=24, eth_dst=mac("bystander")))
    vswitch.received("bystander", 1 + known)
    for port in ("b-in", "b-out", "bystander"):
        assert [f for f in vswitch.received(port, 0) if mpls_of(f) is not None] == []
        assert [f for f in vswitch.received(port, 0) if IP in f and f.sport == 23] == []


@VLANS
def test_other_device_cannot_forge_a_chain_frame(network, vswitch):
    network.program(network.chain([network.target("b", "h2")], [network.target("a", "h1")]))
    secret = provider_mac(ident("pc1"), "h1")
    others = (provider_mac(ident("pc2"), "h1"), provider_mac(ident("pc1"), "h2"))
    for source_mac in (VM_MAC, "0e:70:6f:72:74:63", *others):
        vswitch.send("tap", network.outer(source_mac, mac("b-in"), tcp()))
    # In order: once this one has arrived, the others have been dropped.
    vswitch.send("tap", network.outer(secret, mac("b-in"), tcp(sport=77)))
    assert [f.sport for f in vswitch.received("b-in", 1, lambda f: f.type == 0x0800)] == [77]


@VLANS
def test_vm_cannot_send_a_chain_frame_even_with_the_right_address(network, vswitch):
    network.program(network.chain([network.target("b", "h2")]))
    network.announce("b-in")
    for source_mac in (provider_mac(ident("pc1"), "h1"), provider_mac(ident("pc1"), "h2")):
        frame = Ether(src=source_mac, dst=mac("b-in"), type=0x8847) / b"\x10\x00\x11\xff" / tcp()
        vswitch.send("dst", frame)
        vswitch.send("bystander", frame)
    before = Ether(src=DST_MAC, dst=mac("b-in")) / IP(src="10.0.0.20", dst="10.0.0.30")
    vswitch.send("dst", before)
    received = vswitch.received("b-in", 1)
    assert [f for f in received if f.type == 0x0800 and f[IP].dst == "10.0.0.20"] == []


@VLANS
def test_mpls_of_vms_passes(network, vswitch):
    """A frame is a chain frame by its source address only, not by its label."""
    network.program(network.chain([network.target("b", "h2")]))
    own = Ether(src=DST_MAC, dst=mac("bystander"), type=0x8847) / b"\x10\x00\x11\xff" / b"theirs"
    vswitch.send("dst", own)
    assert [bytes(f)[:24] for f in vswitch.received("bystander", 1)] == [bytes(own)[:24]]


def test_hosts_without_tunnel_use_the_provider_network(vswitch):
    network = ProviderNetwork(vswitch, 100)
    plan = network.chain([replace(network.target("b", "h2"), tunnel_ip="192.0.2.2")])
    local = replace(network.local("h1"), patch_to_tun=1, patch_to_int=1)
    # One flow of br-tun, not the chain's, takes packets of all chains into tunnels.
    for tunnels, others in (({}, {Bridge.physical("phy")}), ({"192.0.2.2": 2}, set())):
        flows = compile_chain(plan, replace(local, tunnels=tunnels)).flows
        assert {f.key.bridge for f in flows} == {Bridge.INT, *others}
