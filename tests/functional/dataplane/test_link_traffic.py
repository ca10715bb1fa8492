"""What stays on the link, and frames that only look as if they did."""

import random
from dataclasses import replace

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NS,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6Unknown,
    IPv6,
    IPv6ExtHdrHopByHop,
    PadN,
)
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether

from portchain.dataplane.compile import compile_bypass_guard
from portchain.dataplane.diff import diff
from portchain.dataplane.host_switch import Firewall
from tests import full
from tests.functional.dataplane.fabric import DST_MAC, VM_MAC, Fabric
from tests.functional.vswitch import DATAPATH
from tests.plans import chain, classifier, source, target

SEEDS = range(full.in_full(range(40), range(4))[-1] + 1)
VM, DST, SUBNET_BROADCAST = "10.0.0.10", "10.0.0.20", "10.0.0.255"
GROUPS = ("ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01", "03:00:00:00:00:07")
ANY = classifier(
    protocol=None, source_ports=None, destination_ports=None, source_prefixes=(),
    destination_prefixes=(),
)  # fmt: skip
ANY_IPV6 = replace(ANY, ethertype="IPv6")
FIREWALLS = pytest.mark.parametrize("firewall", list(Firewall))


def build(vswitch, *classifiers, firewall=Firewall.OPENVSWITCH, guarded=False):
    fabric = Fabric(vswitch, firewall)
    fabric.plug("h1", "vm", "dst", "a-in", "a-out")
    sources = tuple(
        replace(source("vm", "h1", VM, number=number), broadcasts=(SUBNET_BROADCAST,))
        for number in range(len(classifiers))
    )
    plan = chain([target("a", "h1")], classifiers=classifiers, sources=sources)
    if guarded:
        for batch in diff(compile_bypass_guard(plan, fabric.local("h1")).flows, []):
            fabric.hosts["h1"].apply(batch)
    else:
        fabric.program(plan)
    # The bridge learns where the destination is, so that it floods nothing.
    vswitch.send("dst", Ether(src=DST_MAC, dst=VM_MAC, type=0x88B6) / b"here")
    return fabric


def datagram(number, dst=DST, sport=5000, dport=6000):
    payload = number.to_bytes(4, "big")
    if ":" in dst:
        return IPv6(src="2001:db8::10", dst=dst) / UDP(sport=sport, dport=dport) / payload
    return IP(src=VM, dst=dst) / UDP(sport=sport, dport=dport) / payload


def at_function(vswitch, count):
    return vswitch.received("a-in", count, lambda frame: IP in frame or IPv6 in frame)


def accepted(frame):
    """Tell whether Linux gives a frame's datagram to its own sockets.

    It removes priority tags, and accepts datagrams to an address of its own in any frame.
    """
    layer = frame
    while isinstance(layer.payload, Dot1Q | Dot1AD):
        layer = layer.payload
        if layer.vlan:
            return False
    return layer.payload.dst in (DST, "2001:db8::20")


def random_frame(number, draw):
    destination = draw.choice([DST, "2001:db8::20"])
    frame = Ether(src=VM_MAC, dst=draw.choice([DST_MAC, *GROUPS]))
    for _ in range(draw.choice([0, 0, 1, 2, 2, 3])):
        frame /= draw.choice([Dot1Q, Dot1AD])(vlan=draw.choice([0, 0, 0, 5]))
    return frame / datagram(number, destination)


@pytest.mark.parametrize("seed", SEEDS)
@FIREWALLS
def test_no_frame_that_its_destination_accepts_goes_around(vswitch, firewall, seed):
    build(vswitch, ANY, ANY_IPV6, firewall=firewall)
    draw = random.Random(seed)
    sent = [random_frame(number, draw) for number in range(60)]
    vswitch.send("vm", *sent)
    around = [bytes(frame)[-4:] for frame in vswitch.received("dst", 0)]
    for number, frame in enumerate(sent):
        if accepted(frame):
            assert number.to_bytes(4, "big") not in around, frame.summary()


@pytest.mark.parametrize("group", GROUPS)
@FIREWALLS
def test_unicast_packet_to_a_broadcast_or_multicast_address_is_dropped(vswitch, firewall, group):
    build(vswitch, ANY, firewall=firewall)
    vswitch.send("vm", Ether(src=VM_MAC, dst=group) / datagram(1))
    vswitch.send("vm", Ether(src=VM_MAC, dst=group) / datagram(2, dst="224.0.0.251"))
    arrived = vswitch.received("dst", 1, lambda frame: UDP in frame)
    assert [bytes(frame)[-4:] for frame in arrived] == [b"\0\0\0\2"]
    assert [f for f in vswitch.received("a-in", 0) if UDP in f and f.load == b"\0\0\0\1"] == []


@pytest.mark.parametrize("address", [SUBNET_BROADCAST, "255.255.255.255", "239.1.2.3"])
def test_broadcast_and_multicast_stay_on_the_link(vswitch, address):
    build(vswitch, ANY)
    sent = Ether(src=VM_MAC, dst="ff:ff:ff:ff:ff:ff") / datagram(7, dst=address)
    vswitch.send("vm", sent)
    assert [bytes(f) for f in vswitch.received("dst", 1, lambda f: UDP in f)] == [bytes(sent)]


@pytest.mark.parametrize("tags", [(0x8100, 0x8100), (0x88A8, 0x8100), (0x8100, 0x88A8)])
@FIREWALLS
def test_frame_with_two_priority_tags_is_dropped(vswitch, firewall, tags):
    build(vswitch, classifier(protocol=17, source_ports=None, destination_ports=None),
          firewall=firewall)  # fmt: skip
    one, other = ({0x8100: Dot1Q, 0x88A8: Dot1AD}[tag](vlan=0) for tag in tags)
    vswitch.send("vm", Ether(src=VM_MAC, dst=DST_MAC) / one / other / datagram(1))
    vswitch.send("vm", Ether(src=VM_MAC, dst=DST_MAC, type=0x88B5) / b"after")
    arrived = vswitch.received("dst", 1)
    assert [frame.type for frame in arrived] == [0x88B5]


@pytest.mark.parametrize("ports", [None, (6000, 6000)])
@FIREWALLS
def test_packet_without_a_payload_length_does_not_bypass_the_chain(vswitch, firewall, ports):
    """Linux accepts it. Open vSwitch in user space reads nothing behind its hop-by-hop options."""
    udp = replace(ANY_IPV6, protocol=17, destination_ports=ports)
    build(vswitch, udp, firewall=firewall)
    ether, inside = Ether(src=VM_MAC, dst=DST_MAC), datagram(1, "2001:db8::20")
    options = IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))]) / inside.payload
    to_dst = IPv6(src="2001:db8::10", dst="2001:db8::20")
    vswitch.send("vm", ether / to_dst.copy() / options)
    assert len(vswitch.received("a-in", 1, lambda frame: IPv6 in frame)) == 1
    to_dst.plen = 0
    vswitch.send("vm", ether / to_dst / options, Ether(src=VM_MAC, dst=DST_MAC, type=0x88B5))
    assert [frame.type for frame in vswitch.received("dst", 1)] == [0x88B5]
    is_read = DATAPATH != "userspace"
    assert len(vswitch.received("a-in", 1 + is_read, lambda frame: IPv6 in frame)) == 1 + is_read


def test_frame_with_one_priority_tag_enters_the_chain(vswitch):
    build(vswitch, ANY)
    vswitch.send("vm", Ether(src=VM_MAC, dst=DST_MAC) / Dot1Q(vlan=0) / datagram(1))
    assert len(vswitch.received("a-in", 1, lambda frame: UDP in frame)) == 1
    assert vswitch.received("dst", 0) == []


@pytest.mark.parametrize("guarded", [False, True])
def test_unicast_dhcp_stays_on_the_link(vswitch, guarded):
    build(vswitch, ANY, ANY_IPV6, guarded=guarded)
    ether = Ether(src=VM_MAC, dst=DST_MAC)
    renewal = BOOTP(ciaddr=VM) / DHCP(options=[("message-type", "request"), "end"])
    stay = [
        ether / IP(src=VM, dst=DST) / UDP(sport=68, dport=67) / renewal,
        ether / datagram(1, sport=67, dport=68),
        ether / datagram(2, "2001:db8::20", 546, 547),
        ether / datagram(3, "2001:db8::20", 547, 546),
    ]
    enter = [
        ether / datagram(4, sport=67, dport=67),
        ether / datagram(5, sport=5000, dport=67),
        ether / datagram(6, "2001:db8::20", 68, 67),
        ether / datagram(7, sport=546, dport=547),
    ]
    vswitch.send("vm", *stay, *enter)
    assert [bytes(f) for f in vswitch.received("dst", 4)] == list(map(bytes, stay))
    assert len(at_function(vswitch, 0 if guarded else 4)) == (0 if guarded else 4)


def solicitation(hop_limit=255, extra=b"", code=0, option=True):
    message = ICMPv6ND_NS(tgt="2001:db8::20", code=code)
    if option:
        message /= ICMPv6NDOptSrcLLAddr(lladdr=VM_MAC)
    packet = IPv6(src="2001:db8::10", dst="2001:db8::20", hlim=hop_limit) / message
    return Ether(src=VM_MAC, dst=DST_MAC) / packet / extra


def short(length):
    message = ICMPv6Unknown(type=135, code=0, msgbody=bytes(length - 4))
    return (
        Ether(src=VM_MAC, dst=DST_MAC)
        / IPv6(src="2001:db8::10", dst="2001:db8::20", hlim=255)
        / message
    )


@pytest.mark.parametrize("protocol", [None, 58])
def test_only_valid_neighbour_discovery_stays_on_the_link(vswitch, protocol):
    """RFC 4861, section 7.1.1; and what carries more than its options carries something else."""
    build(vswitch, replace(ANY_IPV6, protocol=protocol))
    valid = [solicitation(), solicitation(option=False), solicitation(extra=bytes(8))]
    invalid = [
        solicitation(hop_limit=254),
        solicitation(hop_limit=64),
        solicitation(code=1),
        short(8),
        short(23),
        solicitation(extra=bytes(9)),
        solicitation(extra=bytes(1000)),
    ]
    vswitch.send("vm", *valid, *invalid)
    assert [bytes(f) for f in vswitch.received("dst", 3)] == list(map(bytes, valid))
    assert len(at_function(vswitch, len(invalid))) == len(invalid)
