"""Port ranges as conjunctions, in a real switch: each packet goes where its header says."""

import random

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from portchain.dataplane.diff import diff
from portchain.dataplane.host_switch import Firewall
from tests.functional.dataplane.fabric import DST_MAC, Fabric
from tests.plans import chain, classifier, mac, source, target

WIDE = (1, 65534)
SEED = 15


def wide(**changes):
    fields = {"source_ports": WIDE, "destination_ports": WIDE, "source_prefixes": ()}
    return classifier(**{**fields, **changes})


def sources(*names):
    return tuple(source(name, "h1", f"10.0.0.{name[2:]}") for name in names)


@pytest.fixture(params=list(Firewall))
def fabric(vswitch, request):
    fabric = Fabric(vswitch, request.param)
    fabric.plug("h1", "vm1", "vm2", "vm3", "dst", "a-in", "a-out", "b-in", "b-out")
    return fabric


def frame(name, source_port, destination_port):
    return (
        Ether(src=mac(name), dst=DST_MAC)
        / IP(src=f"10.0.0.{name[2:]}", dst="10.0.0.20")
        / TCP(sport=source_port, dport=destination_port)
    )


def test_packets_follow_the_chain_of_their_ranges(fabric, vswitch):
    """Two chains with the same ranges and other sources, and one whose range is beside theirs."""
    plans = [
        chain([target("a", "h1")], classifiers=(wide(),), sources=sources("vm1", "vm2")),
        chain([target("b", "h1")], name="pc2", path_id=2, sources=sources("vm3"),
              classifiers=(wide(destination_ports=(1000, 2999)),)),
        chain([target("b", "h1")], name="pc3", path_id=3, sources=sources("vm3"),
              classifiers=(wide(destination_ports=(3001, 65534)),)),
    ]  # fmt: skip
    fabric.program(*plans)
    assert diff(fabric.desired("h1", *plans), fabric.hosts["h1"].dump_entries()) == []
    vswitch.send("dst", Ether(src=DST_MAC, dst=mac("vm1")))  # from now on, nothing is flooded
    rng = random.Random(SEED)
    edges = [0, 1, 2, 999, 1000, 2999, 3000, 3001, 65533, 65534, 65535]
    expected = {"a-in": set(), "b-in": set(), "dst": set()}
    for _ in range(60):
        name = rng.choice(["vm1", "vm2", "vm3"])
        ports = [rng.choice([*edges, rng.randrange(65536)]) for _ in range(2)]
        sent, received = (name, *ports), "dst"
        if 1 <= ports[0] <= 65534:
            if name != "vm3" and 1 <= ports[1] <= 65534:
                received = "a-in"
            elif name == "vm3" and 1000 <= ports[1] <= 65534 and ports[1] != 3000:
                received = "b-in"
        expected[received].add(sent)
        vswitch.send(name, frame(*sent))
    for port, packets in expected.items():
        arrived = {
            (f"vm{at[IP].src.rpartition('.')[2]}", at[TCP].sport, at[TCP].dport)
            for at in vswitch.received(port, len(packets), lambda one: TCP in one)
        }
        assert arrived == packets, port
    fabric.program()
    assert fabric.hosts["h1"].dump_entries() == []


def test_returned_packets_are_recognised_by_range_and_address(fabric, vswitch):
    """Two chains with the same ranges share a function; their sources' addresses differ."""
    known = {"source_port_known": True, "source_prefixes": ("10.0.0.0/24",)}
    shared = [target("a", "h1")]
    fabric.program(
        chain(shared, classifiers=(wide(**known),), sources=sources("vm1", "vm2")),
        chain(shared, [target("b", "h1")], name="pc2", path_id=2, sources=sources("vm3"),
              classifiers=(wide(**known),)),
    )  # fmt: skip
    vswitch.send("dst", Ether(src=DST_MAC, dst=mac("vm1")))
    for name in ("vm1", "vm2", "vm3", "vm9"):
        returned = frame(name, 1, 65534)
        returned.src = mac("a-out")
        vswitch.send("a-out", returned)
    to_b = vswitch.received("b-in", 1, lambda one: TCP in one)
    assert [at[IP].src for at in to_b] == ["10.0.0.3"]
    to_dst = vswitch.received("dst", 2, lambda one: TCP in one)
    assert [at[IP].src for at in to_dst] == ["10.0.0.1", "10.0.0.2"], (
        "the chain of 10.0.0.9 is unknown, and its packets are dropped"
    )
