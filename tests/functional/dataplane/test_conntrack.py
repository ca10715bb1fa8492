"""Chains behind conntrack, as the openvswitch firewall uses it: it also reassembles fragments."""

import pytest
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from portchain.dataplane.flow import Bridge
from tests.functional.dataplane.fabric import DST_MAC, VM_MAC, Fabric
from tests.functional.vswitch import DATAPATH
from tests.plans import chain, classifier, target

BIG, FRAGMENT = 3000, 1400
VM_OFPORT = 11  # the first port of a host
ENDS = {4: ("10.0.0.10", "10.0.0.20"), 6: ("2001:db8::10", "2001:db8::20")}
# What Neutron's tables 60 to 73 do with packets of a port whose security groups allow everything.
TRACK = "set_field:1->reg6,ct(table=72,zone=NXM_NX_REG6[0..15])"
FIREWALL = (
    f"table=60,priority=100,in_port={VM_OFPORT},ip,actions={TRACK}",
    f"table=60,priority=100,in_port={VM_OFPORT},ipv6,actions={TRACK}",
    "table=72,priority=1,ct_state=+trk,actions=goto_table:73",
)


def frame(version, transport, size):
    source, destination = ENDS[version]
    packet = IP(src=source, dst=destination) if version == 4 else IPv6(src=source, dst=destination)
    return Ether(src=VM_MAC, dst=DST_MAC) / packet / transport / Raw(b"x" * size)


def pieces(version):
    """Return the frames of a datagram that is longer than a frame."""
    source, destination = ENDS[version]
    inside = UDP(sport=23, dport=100) / Raw(b"x" * BIG)
    if version == 4:
        parts = fragment(IP(src=source, dst=destination, id=7) / inside, FRAGMENT)
    else:
        head = IPv6(src=source, dst=destination) / IPv6ExtHdrFragment(id=7)
        parts = fragment6(head / inside, FRAGMENT)
    return [Ether(src=VM_MAC, dst=DST_MAC) / part for part in parts]


def start(vswitch, version, protocol, host, bridges):
    fabric = Fabric(vswitch)
    fabric.plug("h1", "vm", "dst")
    fabric.plug(host, "a-in", "a-out")
    for switch in fabric.hosts.values():
        switch.add_flows(Bridge.INT, FIREWALL)
    family, bits = {4: ("IPv4", 32), 6: ("IPv6", 128)}[version]
    named = classifier(
        ethertype=family, protocol=protocol, source_ports=None, destination_ports=(100, 100),
        source_prefixes=(), destination_prefixes=(f"{ENDS[version][1]}/{bits}",),
    )  # fmt: skip
    fabric.program(chain([target("a", host, bridges=bridges)], classifiers=(named,)))
    # Bridges learn where the destination is, so that they flood nothing.
    vswitch.send("dst", Ether(src=DST_MAC, dst="ff:ff:ff:ff:ff:ff", type=0x88B5) / b"here")


@pytest.mark.parametrize("bridges", [False, True], ids=["l3", "l2"])
@pytest.mark.parametrize("host", ["h1", "h2"])
@pytest.mark.parametrize("version", [4, 6])
def test_packets_of_a_tracked_connection_visit_the_function(vswitch, version, host, bridges):
    start(vswitch, version, 6, host, bridges)
    for number in range(1, 4):
        sent = frame(version, TCP(sport=23, dport=100, flags="S"), 10)
        vswitch.send("vm", sent)
        at_function = vswitch.received("a-in", number, lambda each: TCP in each)[-1]
        assert bytes(at_function[TCP]) == bytes(sent[TCP])
        vswitch.send("a-out", at_function)
        if bridges:
            at_dst = vswitch.received("dst", number, lambda each: TCP in each)[-1]
            assert bytes(at_dst) == bytes(sent)
    other = frame(version, TCP(sport=23, dport=99, flags="S"), 10)
    vswitch.send("vm", other)
    assert bytes(other) in map(bytes, vswitch.received("dst", 1, lambda each: TCP in each))


@pytest.mark.parametrize("host", ["h1", "h2"])
@pytest.mark.parametrize("version", [4, 6])
def test_no_fragment_of_a_tracked_datagram_bypasses_the_function(vswitch, version, host):
    """The kernel gives the whole datagram to the flows, and fragments it again at the port.

    It can do so behind labels, too (docs/decisions/0061).
    """
    start(vswitch, version, 17, host, bridges=False)
    sent = pieces(version)
    vswitch.send("vm", *sent)
    marker = Ether(src=VM_MAC, dst=DST_MAC, type=0x88B6) / b"in order"
    vswitch.send("vm", marker)
    arrived = vswitch.received("dst", 1, lambda each: each.type == 0x88B6)
    assert [bytes(each) for each in arrived] == [bytes(marker)]
    kinds = (0x0800, 0x86DD)
    assert [each for each in vswitch.received("dst", 0) if each.type in kinds] == []
    at_function = [each for each in vswitch.received("a-in", 0) if each.type in kinds]
    assert len(at_function) == (0 if DATAPATH == "userspace" else len(sent))
