"""Functions that change headers, in a real Open vSwitch: the mapping identifies their packets."""

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP, Ether

from portchain.dataplane.diff import diff
from portchain.dataplane.plan import Hop
from tests.functional.dataplane.fabric import DST_MAC, VM_MAC, Fabric, returned, tcp
from tests.plans import chain, classifier, mac, target

CHANGED = classifier(source_prefixes=("10.0.0.99/32",), source_ports=(4096, 8191))


@pytest.fixture
def fabric(vswitch):
    fabric = Fabric(vswitch)
    fabric.plug("h1", "vm", "dst", "a-in", "a-out")
    fabric.plug("h2", "b-in", "b-out", "c-in", "c-out")
    for port, address in (("vm", VM_MAC), ("dst", DST_MAC), ("a-out", mac("a-out"))):
        vswitch.send(port, Ether(src=address, dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="192.0.2.1"))
    return fabric


def translated(frame, name):
    """Return the frame that a routing function sends after address translation."""
    frame = returned(frame, name)
    frame[IP].src, frame[TCP].sport = "10.0.0.99", 5000
    del frame[TCP].chksum
    return frame


def packets(vswitch, port, count=0):
    frames = vswitch.received(port, 0)
    while sum(TCP in frame for frame in frames) < count:
        frames = vswitch.received(port, len(frames) + 1)
    return [frame for frame in frames if TCP in frame]


def mapping(name, host, bridges=False):
    return Hop(1, (target(name, host, bridges=bridges),), headers=(CHANGED,))


@pytest.mark.parametrize("bridges", [False, True], ids=["l3", "l2"])
def test_changed_packets_visit_the_next_hops(fabric, vswitch, bridges):
    fabric.program(chain(mapping("a", "h1", bridges), [target("b", "h2")], [target("c", "h2")]))
    vswitch.send("vm", tcp())
    (at_a,) = packets(vswitch, "a-in", 1)
    vswitch.send("a-out", translated(at_a, "a"))
    (at_b,) = packets(vswitch, "b-in", 1)
    assert (at_b[IP].src, at_b[TCP].sport) == ("10.0.0.99", 5000)
    vswitch.send("b-out", returned(at_b, "b"))
    (at_c,) = packets(vswitch, "c-in", 1)
    assert (at_c[IP].src, at_c[TCP].sport) == ("10.0.0.99", 5000)


def test_unchanged_packets_do_not_bypass_the_next_hop(fabric, vswitch):
    fabric.program(chain(mapping("a", "h1"), [target("b", "h2")]))
    vswitch.send("vm", tcp())
    (at_a,) = packets(vswitch, "a-in", 1)
    own = tcp(sport=24, src="10.0.0.98", eth_src=mac("a-out"))
    # In order: once its own packet has arrived, the other has been dropped.
    vswitch.send("a-out", returned(at_a, "a"), own)
    assert [bytes(frame) for frame in packets(vswitch, "dst", 1)] == [bytes(own)]
    vswitch.send("a-out", translated(at_a, "a"))
    assert [frame[TCP].sport for frame in packets(vswitch, "b-in", 1)] == [5000]


def test_flows_read_back_as_written(fabric):
    plans = [chain(mapping("a", "h1"), mapping("b", "h2", bridges=True), [target("c", "h2")])]
    fabric.program(*plans)
    for name, host in fabric.hosts.items():
        assert diff(fabric.desired(name, *plans), host.dump_entries()) == []
