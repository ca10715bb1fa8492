"""Taps in a real Open vSwitch: they get copies on any host, and a missing tap stops no traffic."""

from dataclasses import replace

import pytest
from scapy.contrib.mpls import MPLS
from scapy.contrib.nsh import NSH
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP, Ether

from portchain.dataplane.diff import diff
from portchain.dataplane.host_switch import Firewall
from tests.functional.dataplane.fabric import DST_MAC, VM_MAC, Fabric, returned, tcp
from tests.plans import chain, classifier, mac, tap, target


@pytest.fixture(params=list(Firewall))
def fabric(vswitch, request):
    fabric = Fabric(vswitch, request.param)
    fabric.plug("h1", "vm", "dst", "a-in", "a-out", "s-in", "s-out")
    fabric.plug("h2", "b-in", "b-out", "t-in", "t-out", "dst2")
    return fabric


def announce_ends(vswitch):
    """Send a frame from all ends, so that switches learn them and flood nothing."""
    for port, address in (
        ("vm", VM_MAC),
        ("dst", DST_MAC),
        ("dst2", DST_MAC),
        ("a-out", mac("a-out")),
    ):
        vswitch.send(port, Ether(src=address, dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="192.0.2.1"))


def packets(vswitch, port, count=0):
    """Return the TCP packets from a port; waits for ``count`` of them."""
    frames = vswitch.received(port, 0)
    while sum(TCP in frame for frame in frames) < count:
        frames = vswitch.received(port, len(frames) + 1)
    return [frame for frame in frames if TCP in frame]


TAPS = [("s", "h1"), ("t", "h2")]


@pytest.mark.parametrize(("name", "host"), TAPS)
def test_tap_before_function(fabric, vswitch, name, host):
    fabric.program(chain(tap(target(name, host)), [target("a", "h1")]))
    announce_ends(vswitch)
    vswitch.send("vm", tcp())
    (at_a,) = packets(vswitch, "a-in", 1)
    (copy,) = packets(vswitch, f"{name}-in", 1)
    assert copy.dst == mac(f"{name}-in")
    assert bytes(copy)[6:] == bytes(tcp())[6:] == bytes(at_a)[6:]
    vswitch.send("a-out", returned(at_a, "a"))
    (at_dst,) = packets(vswitch, "dst", 1)
    assert at_dst.ttl == tcp().ttl - 1
    for port in ("a-in", f"{name}-in"):
        assert len(packets(vswitch, port)) == 1
    assert packets(vswitch, f"{name}-out") == []


@pytest.mark.parametrize(("name", "host"), TAPS)
@pytest.mark.parametrize("bridges", [False, True], ids=["l3", "l2"])
def test_tap_after_last_function(fabric, vswitch, name, host, bridges):
    fabric.program(chain([target("a", "h1", bridges=bridges)], tap(target(name, host))))
    announce_ends(vswitch)
    vswitch.send("vm", tcp())
    (at_a,) = packets(vswitch, "a-in", 1)
    assert packets(vswitch, f"{name}-in") == [], "the function has not returned it yet"
    back = at_a if bridges else returned(at_a, "a")
    vswitch.send("a-out", back)
    (at_dst,) = packets(vswitch, "dst", 1)
    assert bytes(at_dst) == bytes(back)
    (copy,) = packets(vswitch, f"{name}-in", 1)
    assert bytes(copy)[6:] == bytes(back)[6:]


@pytest.mark.parametrize(("name", "host"), TAPS)
def test_chain_with_only_a_tap(fabric, vswitch, name, host):
    fabric.program(chain(tap(target(name, host))))
    announce_ends(vswitch)
    vswitch.send("vm", tcp(), tcp(sport=24))
    assert [f[TCP].sport for f in packets(vswitch, "dst", 2)] == [23, 24]
    assert bytes(packets(vswitch, "dst")[0]) == bytes(tcp())
    assert [f[TCP].sport for f in packets(vswitch, f"{name}-in", 1)] == [23]


def test_tap_without_pair_stops_no_traffic(fabric, vswitch):
    away = replace(tap(target("s", "h1")), targets=())
    drained = tap(target("t", "h2", weight=0))
    fabric.program(chain(away, [target("a", "h1")], drained))
    announce_ends(vswitch)
    vswitch.send("vm", tcp())
    (at_a,) = packets(vswitch, "a-in", 1)
    vswitch.send("a-out", returned(at_a, "a"))
    assert len(packets(vswitch, "dst", 1)) == 1
    assert packets(vswitch, "t-in") == []


def test_unplugged_tap_stops_no_traffic(fabric, vswitch):
    fabric.program(chain(tap(target("nobody", "h1")), [target("a", "h1")]))
    vswitch.send("vm", tcp())
    assert len(packets(vswitch, "a-in", 1)) == 1


@pytest.mark.parametrize(("encapsulation", "header"), [("mpls", MPLS), ("nsh", NSH)])
def test_sfc_aware_tap_gets_its_header(fabric, vswitch, encapsulation, header):
    aware = target("t", "h2", encapsulation=encapsulation)
    fabric.program(chain(tap(aware), [target("a", "h1")]))
    vswitch.send("vm", tcp())
    (copy,) = packets(vswitch, "t-in", 1)
    assert header in copy
    (at_a,) = packets(vswitch, "a-in", 1)
    assert header not in at_a
    assert bytes(at_a[IP]) == bytes(tcp()[IP])


def test_traffic_sent_by_tap_is_not_in_the_chain(fabric, vswitch):
    fabric.program(chain(tap(target("s", "h1")), [target("a", "h1")]))
    announce_ends(vswitch)
    vswitch.send("s-out", tcp(eth_src=mac("s-out")))
    assert bytes(packets(vswitch, "dst", 1)[0]) == bytes(tcp(eth_src=mac("s-out")))
    assert packets(vswitch, "a-in") == []


def test_flows_read_back_as_written(fabric):
    taps = (tap(target("s", "h1")), tap(target("t", "h2", encapsulation="nsh")))
    plans = [
        chain(taps[0], [target("a", "h1", bridges=True)], taps[1]),
        chain(taps[1], name="pc2", path_id=2, classifiers=(classifier(source_ports=(24, 24)),)),
        chain(
            [target("b", "h2")],
            taps[0],
            name="pc3",
            path_id=3,
            classifiers=(classifier(source_ports=(25, 25)),),
        ),
    ]
    fabric.program(*plans)
    for name, host in fabric.hosts.items():
        assert diff(fabric.desired(name, *plans), host.dump_entries()) == []
