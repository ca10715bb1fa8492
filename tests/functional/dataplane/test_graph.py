"""Service graphs in a real Open vSwitch: packets that leave a chain are classified again."""

from dataclasses import replace

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from portchain.core.model import Encapsulation
from portchain.dataplane.plan import ChainPlan, GraphIngress
from tests.functional.dataplane.fabric import DST_MAC, Fabric, returned, tcp
from tests.functional.vswitch import Vswitch
from tests.plans import chain, classifier, mac, source, target

MANY = {"source_ports": None, "source_prefixes": ()}


def first(*last, **kind) -> ChainPlan:
    """Return a chain for ports 100 to 102 through ``a`` on h1, and then through ``last``."""
    plan = chain(
        [target("a", "h1", **kind)],
        *last,
        classifiers=(classifier(destination_ports=(100, 102), **MANY),),
    )
    return replace(plan, paths=(replace(plan.paths[0], branches=True),))


def follower(name: str, number: int, port: int, *hops, after: ChainPlan, **entry) -> ChainPlan:
    (path,) = after.paths
    senders = tuple(
        replace(source("x", last.host), port_id=last.egress_port, mac=last.egress_mac)
        for last in path.hops[-1].targets
    )
    ends = {"senders": senders, "origins": senders} | entry
    before = GraphIngress(path_id=after.path_id, hops=len(path.hops), **ends)
    plan = chain(
        *hops,
        name=name,
        path_id=number,
        sources=(),
        classifiers=(classifier(destination_ports=(port, port), **MANY),),
    )
    return replace(plan, paths=(replace(plan.paths[0], entries=(before,)),))


@pytest.fixture
def fabric(vswitch: Vswitch) -> Fabric:
    fabric = Fabric(vswitch)
    fabric.plug("h1", "vm", "dst", "a-in", "a-out", "d-in", "d-out")
    fabric.plug("h2", "b-in", "b-out", "c-in", "c-out")
    return fabric


def through(vswitch: Vswitch, port: str, name: str) -> None:
    """Let an l3 function return the one packet with this destination port that it has got."""
    (frame,) = vswitch.received(f"{name}-in", 1, lambda f: TCP in f and f.dport == port)
    vswitch.send(f"{name}-out", returned(frame, name))


def arrived(vswitch: Vswitch, port: str, *numbers: int) -> list[Packet]:
    """Return the frames from a port, as soon as all of these destination ports are among them."""
    frames: list[Packet] = []
    while not set(numbers) <= {frame.dport for frame in frames}:
        frames = vswitch.received(port, len(frames) + 1)
    return frames


@pytest.mark.parametrize("hosts", [("h1", "h1"), ("h1", "h2"), ("h2", "h1")])
def test_packets_are_classified_for_following_chains(vswitch, hosts):
    fabric = Fabric(vswitch)
    fabric.plug("h1", "vm", "dst-h1")
    fabric.plug("h2", "dst-h2")
    for name, host in zip("abc", (*hosts, "h2"), strict=True):
        fabric.plug(host, f"{name}-in", f"{name}-out")
    one = chain(
        [target("a", hosts[0])], classifiers=(classifier(destination_ports=(100, 102), **MANY),)
    )
    one = replace(one, paths=(replace(one.paths[0], branches=True),))
    two = follower("pc2", 2, 100, [target("b", hosts[1])], after=one)
    three = follower("pc3", 3, 101, [target("c", "h2")], after=one)
    fabric.program(one, two, three)
    for port in (100, 101, 102):
        vswitch.send("vm", tcp(dport=port))
        through(vswitch, port, "a")
    through(vswitch, 100, "b")
    through(vswitch, 101, "c")
    # Each continues from its last function; a packet of no following chain, from the first one.
    for port, host, name in ((102, hosts[0], "a"), (100, hosts[1], "b"), (101, "h2", "c")):
        (frame,) = [f for f in arrived(vswitch, f"dst-{host}", port) if f.dport == port]
        assert frame.src == mac(f"{name}-out")
    fabric.program()
    assert [host.dump_entries() for host in fabric.hosts.values()] == [[], []]


def test_following_chain_without_pair_drops_its_packets(fabric, vswitch):
    one = first()
    fabric.program(one, follower("pc2", 2, 100, [], after=one))
    for port in (100, 101):
        vswitch.send("vm", tcp(dport=port))
        through(vswitch, port, "a")
    assert [f.dport for f in vswitch.received("dst", 1)] == [101]


def test_following_chain_gets_packets_of_preceding_chain_only(fabric, vswitch):
    one = first()
    fabric.program(one, follower("pc2", 2, 100, [target("b", "h2")], after=one))
    other = tcp(dport=100, dst="10.0.0.99")
    vswitch.send("vm", other)
    assert [bytes(f) for f in vswitch.received("dst", 1)] == [bytes(other)]
    assert vswitch.received("b-in", 0) == []


def test_packets_are_classified_after_removal_of_the_header(fabric, vswitch):
    one = first(encapsulation=Encapsulation.MPLS)
    fabric.program(one, follower("pc2", 2, 100, [target("b", "h2"), target("c", "h2")], after=one))
    vswitch.send("vm", tcp(dport=100))
    (frame,) = vswitch.received("a-in", 1)
    raw = bytearray(bytes(frame))
    raw[6:12], raw[0:6] = bytes.fromhex(mac("a-out").replace(":", "")), raw[6:12]
    raw[17] -= 1  # the label's TTL is the service index
    vswitch.send("a-out", Ether(bytes(raw)))
    chosen: list[Packet] = []
    while not chosen:
        chosen = [*vswitch.received("b-in", 0), *vswitch.received("c-in", 0)]
    assert [(f[IP].src, f.dport) for f in chosen] == [("10.0.0.10", 100)]


def test_frame_continues_from_routing_function_of_preceding_chain(fabric, vswitch):
    one = first()
    two = follower("pc2", 2, 100, [target("b", "h2", bridges=True)], after=one)
    fabric.program(one, two)
    vswitch.send("vm", tcp(dport=100))
    through(vswitch, 100, "a")
    (at_b,) = vswitch.received("b-in", 1)
    assert (at_b.src, at_b.dst) == (mac("a-out"), DST_MAC)
    vswitch.send("b-out", at_b)
    assert [bytes(f) for f in vswitch.received("dst", 1)] == [bytes(at_b)]
