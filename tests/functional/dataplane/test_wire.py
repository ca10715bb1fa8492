"""Chain frames on provider networks, between hosts without tunnels: real switches and a learning switch between them."""

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
from tests.functional.dataplane.test_switch import DST_MAC, VM_MAC, handed_back, tcp
from tests.functional.vswitch import Host
from tests.plans import chain, ident, mac, source, target

VLANS = pytest.mark.parametrize("vlan", [None, 100], ids=["flat", "vlan"])
BROADCAST = "ff:ff:ff:ff:ff:ff"
LABEL = 0x10001


class Wire:
    """h1 and h2 on one provider network; a ``tap`` on the physical switch sees and sends what a stranger there can."""

    def __init__(self, vswitch, vlan):
        self.vswitch, self.vlan = vswitch, vlan
        self.segment = Segment("phy", vlan)
        self.hosts = {name: Host(vswitch, name) for name in ("h1", "h2")}
        self.ports = {
            "h1": ("vm", "dst", "a-in", "a-out"),
            "h2": ("b-in", "b-out", "bystander"),
        }
        vswitch.run("ovs-vsctl", "add-br", "wire", "--", "set", "bridge", "wire", "datapath_type=dummy")  # fmt: skip
        vswitch.add_port("wire", "tap", 9, "trunks=[]")
        self.physical = {}
        for number, (name, host) in enumerate(self.hosts.items(), 1):
            self.physical[name] = {"phy": host.add_physical_bridge("phy", vlan, 1)}
            vswitch.add_patch(f"{name}-phy", f"{name}-up", 7, f"wire-{name}")
            vswitch.add_patch("wire", f"wire-{name}", number, f"{name}-up")
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
            for batch in diff(self.desired(name, *plans), self.hosts[name].dump_entries()):
                self.hosts[name].apply(batch)

    def speak(self, *names):
        """The machines have spoken: every switch knows where they are."""
        for name in names:
            self.vswitch.send(name, Ether(src=mac(name), dst=BROADCAST) / ARP(psrc="10.0.0.99"))

    def on_the_wire(self, count=0):
        return self.vswitch.received("tap", count, lambda frame: mpls_of(frame) is not None)

    def learnt(self, bridge, address):
        table = self.vswitch.run("ovs-appctl", "fdb/show", bridge)
        return {line.split()[0] for line in table.splitlines() if address in line}

    def outer(self, eth_src, eth_dst, payload, label=LABEL):
        """A chain frame, as somebody on the wire could make it."""
        head = Ether(src=eth_src, dst=eth_dst)
        if self.vlan is not None:
            head /= Dot1Q(vlan=self.vlan, type=0x8847)
        else:
            head.type = 0x8847
        return head / (label << 12 | 0x1FF).to_bytes(4, "big") / bytes(payload)


def mpls_of(frame):
    """What follows the Ethernet header of an MPLS frame."""
    raw = bytes(frame)
    at = 16 if raw[12:14] == b"\x81\x00" else 12
    return raw[at + 2 :] if raw[at : at + 2] == b"\x88\x47" else None


@pytest.fixture
def wire(vswitch, vlan):
    return Wire(vswitch, vlan)


@VLANS
def test_rules_read_back_as_they_were_written(wire):
    plan = wire.chain([wire.target("b", "h2", bridges=True)], [wire.target("a", "h1")])
    other = wire.chain([wire.target("b", "h2", bridges=True)], name="pc2", path_id=2)
    for plans in ([plan], [other]):
        wire.program(*plans)
        for name, host in wire.hosts.items():
            assert diff(wire.desired(name, *plans), host.dump_entries()) == []
    wire.program()
    assert [host.dump_entries() for host in wire.hosts.values()] == [[], []]


@VLANS
def test_a_packet_visits_every_hop_in_order_across_hosts(wire, vswitch, vlan):
    wire.program(wire.chain([wire.target("b", "h2")], [wire.target("a", "h1")]))
    vswitch.send("vm", tcp())
    (at_b,) = vswitch.received("b-in", 1)
    expected = tcp()
    expected.dst = mac("b-in")
    assert bytes(at_b) == bytes(expected)
    vswitch.send("b-out", handed_back(at_b, "b"))
    (at_a,) = vswitch.received("a-in", 1)
    assert at_a.ttl == tcp().ttl - 1
    assert vswitch.received("dst", 0) == []
    # No switch knew the functions yet, so the wire's flooded, and the stranger saw the frames as they are.
    there, back = wire.on_the_wire(2)
    assert (there.src, there.dst) == (provider_mac(ident("pc1"), "h1"), mac("b-in"))
    assert (back.src, back.dst) == (provider_mac(ident("pc1"), "h2"), mac("a-in"))
    assert (there[Dot1Q].vlan if vlan else there.type) == (vlan or 0x8847)
    assert mpls_of(there)[4:] == bytes(tcp())
    assert vswitch.received("bystander", 0) == []


@VLANS
def test_switches_learn_what_is_true(wire, vswitch):
    wire.program(wire.chain([wire.target("b", "h2")], [wire.target("a", "h1")]))
    wire.speak("vm", "dst", "a-in", "a-out", "b-in", "b-out")
    vswitch.received("bystander", 6)
    vswitch.send("vm", tcp())
    at_b = vswitch.received("b-in", 6)[-1]
    vswitch.send("b-out", handed_back(at_b, "b"))
    at_a = vswitch.received("a-in", 6)[-1]
    vswitch.send("a-out", handed_back(at_a, "a"))
    assert [f.ttl for f in vswitch.received("dst", 1, lambda f: IP in f)] == [tcp().ttl - 2]
    assert wire.on_the_wire() == [], "every switch knew where the frames had to go"
    assert wire.learnt("wire", provider_mac(ident("pc1"), "h1")) == {"1"}
    assert wire.learnt("wire", provider_mac(ident("pc1"), "h2")) == {"2"}
    places = {"wire": {"1"}, "h1-phy": {"1"}, "h2-phy": {"7"}, "h1-int": {"11"}, "h2-int": {"2"}}
    assert {bridge: wire.learnt(bridge, VM_MAC) for bridge in places} == places
    assert wire.learnt("h1-int", provider_mac(ident("pc1"), "h2")) == set()


@VLANS
def test_after_bridging_functions_a_frame_goes_on_from_its_source(wire, vswitch):
    wire.program(wire.chain([wire.target("b", "h2", bridges=True)]))
    wire.speak("vm", "dst", "b-in", "b-out")
    vswitch.received("b-in", 0)
    vswitch.send("vm", tcp())
    vswitch.received("b-in", 1)
    vswitch.send("b-out", tcp())
    arrived = vswitch.received("dst", 1, lambda f: IP in f)
    assert [bytes(f) for f in arrived] == [bytes(tcp())]
    places = {"wire": {"1"}, "h1-phy": {"1"}, "h2-phy": {"7"}, "h1-int": {"11"}, "h2-int": {"2"}}
    assert {bridge: wire.learnt(bridge, VM_MAC) for bridge in places} == places


@VLANS
@pytest.mark.parametrize("known", [False, True], ids=["to nobody", "to its host"])
def test_a_frame_that_nobody_waits_for_gets_to_no_port(wire, vswitch, known):
    """The host has not heard of the chain yet: to the function the frame would be rubbish with its address on it."""
    plan = wire.chain([wire.target("b", "h2")])
    wire.program(plan, hosts=["h1"])
    other = wire.chain([wire.target("b", "h2")], name="pc2", path_id=2)
    wire.program(other, hosts=["h2"])
    if known:
        wire.speak("b-in")
    vswitch.send("vm", tcp(), tcp(sport=24, eth_dst=mac("bystander")))
    vswitch.received("bystander", 1 + known)
    for port in ("b-in", "b-out", "bystander"):
        assert [f for f in vswitch.received(port, 0) if mpls_of(f) is not None] == []
        assert [f for f in vswitch.received(port, 0) if IP in f and f.sport == 23] == []


@VLANS
def test_a_stranger_on_the_wire_cannot_forge_a_chain_frame(wire, vswitch):
    wire.program(wire.chain([wire.target("b", "h2")], [wire.target("a", "h1")]))
    secret = provider_mac(ident("pc1"), "h1")
    others = (provider_mac(ident("pc2"), "h1"), provider_mac(ident("pc1"), "h2"))
    for source_mac in (VM_MAC, "0e:70:6f:72:74:63", *others):
        vswitch.send("tap", wire.outer(source_mac, mac("b-in"), tcp()))
    # In order: when this one is there, what was to come of the others has come.
    vswitch.send("tap", wire.outer(secret, mac("b-in"), tcp(sport=77)))
    assert [f.sport for f in vswitch.received("b-in", 1, lambda f: f.type == 0x0800)] == [77]


@VLANS
def test_a_virtual_machine_cannot_send_a_chain_frame_even_if_it_knows_how(wire, vswitch):
    wire.program(wire.chain([wire.target("b", "h2")]))
    wire.speak("b-in")
    for source_mac in (provider_mac(ident("pc1"), "h1"), provider_mac(ident("pc1"), "h2")):
        frame = Ether(src=source_mac, dst=mac("b-in"), type=0x8847) / b"\x10\x00\x11\xff" / tcp()
        vswitch.send("dst", frame)
        vswitch.send("bystander", frame)
    before = Ether(src=DST_MAC, dst=mac("b-in")) / IP(src="10.0.0.20", dst="10.0.0.30")
    vswitch.send("dst", before)
    received = vswitch.received("b-in", 1)
    assert [f for f in received if f.type == 0x0800 and f[IP].dst == "10.0.0.20"] == []


@VLANS
def test_mpls_of_machines_passes(wire, vswitch):
    """It is theirs, whatever its label: only source addresses like ours make a frame a chain frame."""
    wire.program(wire.chain([wire.target("b", "h2")]))
    own = Ether(src=DST_MAC, dst=mac("bystander"), type=0x8847) / b"\x10\x00\x11\xff" / b"theirs"
    vswitch.send("dst", own)
    assert [bytes(f)[:24] for f in vswitch.received("bystander", 1)] == [bytes(own)[:24]]


def test_hosts_with_a_tunnel_use_it_and_hosts_without_take_the_wire(vswitch):
    wire = Wire(vswitch, 100)
    plan = wire.chain([replace(wire.target("b", "h2"), tunnel_ip="192.0.2.2")])
    local = replace(wire.local("h1"), patch_to_tun=1, patch_to_int=1)
    for tunnels, bridge in (({}, Bridge.physical("phy")), ({"192.0.2.2": 2}, Bridge.TUN)):
        flows = compile_chain(plan, replace(local, tunnels=tunnels)).flows
        assert {f.key.bridge for f in flows} == {Bridge.INT, bridge}
