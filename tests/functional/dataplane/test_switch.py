"""Compiled flows in a real Open vSwitch: they read back as written, and packets follow them."""

import random
import time
from collections import Counter
from dataclasses import replace

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Ether

from portchain.core.function_kinds import L2
from portchain.dataplane.compile import compile_bypass_guard, compile_chain
from portchain.dataplane.diff import diff
from portchain.dataplane.flow import COOKIE, Bridge
from portchain.dataplane.host_switch import Firewall
from tests.full import FULL, in_full
from tests.functional.dataplane.fabric import DST_MAC, VM_MAC, Fabric, returned, tcp
from tests.functional.vswitch import DEADLINE
from tests.plans import chain, classifier, mac, single, source, target


@pytest.fixture
def fabric(vswitch):
    fabric = Fabric(vswitch)
    fabric.plug("h1", "vm", "dst", "a-in", "a-out")
    fabric.plug("h2", "b-in", "b-out", "c-in", "c-out")
    return fabric


VARIANTS = {
    "spec": {},
    "ranges": {"classifiers": (classifier(source_ports=(1000, 3333), destination_ports=(0, 99)),)},
    "any": {
        "classifiers": (
            classifier(
                protocol=None, source_ports=None, destination_ports=None, source_prefixes=()
            ),
        )
    },
    "icmp": {"classifiers": (classifier(protocol=1, source_ports=None, destination_ports=None),)},
    "icmp code": {
        "classifiers": (classifier(protocol=1, source_ports=(3, 3), destination_ports=(4, 4)),)
    },
    "gre": {"classifiers": (classifier(protocol=47, source_ports=None, destination_ports=None),)},
    "zero": {"classifiers": (classifier(protocol=0, source_ports=None, destination_ports=None),)},
    "sctp": {"classifiers": (classifier(protocol=132),)},
    "udp": {
        "classifiers": (classifier(protocol=17, source_prefixes=("10.0.0.0/24", "10.1.0.0/16")),)
    },
    "ipv6": {
        "classifiers": (
            classifier(
                ethertype="IPv6",
                source_prefixes=("2001:db8::/64",),
                destination_prefixes=("2001:db8::20/128",),
            ),
        )
    },
    "icmp6": {
        "classifiers": (
            classifier(
                ethertype="IPv6",
                protocol=58,
                source_ports=None,
                destination_ports=None,
                source_prefixes=(),
                destination_prefixes=(),
            ),
        )
    },
    "known source": {
        "classifiers": (classifier(source_prefixes=("10.0.0.0/24",), source_port_known=True),)
    },
}


@pytest.mark.parametrize("firewall", list(Firewall))
def test_flows_read_back_as_written(vswitch, firewall):
    fabric = Fabric(vswitch, firewall)
    fabric.plug("h1", "vm", "dst", "a-in", "a-out")
    fabric.plug("h2", "b-in", "b-out", "c-in", "c-out")
    hops = [target("a", "h1")], [target("b", "h2"), target("c", "h2", weight=3)]
    bridging = [[replace(t, function=L2) for t in hop] for hop in hops]
    for variant, changes in VARIANTS.items():
        datagrams = {"classifiers": (classifier(protocol=17, source_ports=(24, 24)),)}
        plans = [
            chain(*hops, **changes),
            chain(*reversed(hops), name="pc2", path_id=0xFFFF, **datagrams),
            chain(
                *bridging, name="pc3", path_id=3, classifiers=(classifier(source_ports=(25, 25)),)
            ),
        ]
        fabric.program(*plans)
        for name, host in fabric.hosts.items():
            assert diff(fabric.desired(name, *plans), host.dump_entries()) == [], (
                f"{variant} on {name}"
            )
    fabric.program()
    assert [host.dump_entries() for host in fabric.hosts.values()] == [[], []]


def test_packet_visits_all_hops_in_order_across_hosts(fabric, vswitch):
    fabric.program(chain([target("b", "h2")], [target("a", "h1")], [target("c", "h2")]))
    sent = tcp()
    vswitch.send("vm", sent)
    (at_b,) = vswitch.received("b-in", 1)
    expected = sent.copy()
    expected.dst = mac("b-in")
    assert bytes(at_b) == bytes(expected), (
        "only the destination address changes, and no chain header is left"
    )
    vswitch.send("b-out", returned(at_b, "b"))
    (at_a,) = vswitch.received("a-in", 1)
    vswitch.send("a-out", returned(at_a, "a"))
    (at_c,) = vswitch.received("c-in", 1)
    assert at_c.ttl == sent.ttl - 2
    assert vswitch.received("dst", 0) == []


def test_packet_reaches_its_destination_once_after_last_hop(fabric, vswitch):
    fabric.program(chain([target("a", "h1")]))
    # The bridge learns the destination's port from this frame.
    vswitch.send("dst", Ether(src=DST_MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="10.0.0.20"))
    vswitch.send("vm", tcp())
    (at_a,) = vswitch.received("a-in", 2)[1:]  # the first frame is the ARP request
    vswitch.send("a-out", returned(at_a, "a"))
    (at_dst,) = vswitch.received("dst", 1)
    assert bytes(at_dst[IP].payload) == bytes(tcp()[IP].payload)


@pytest.mark.parametrize(
    "frame",
    [
        tcp(sport=24),
        tcp(dport=101),
        tcp(src="10.0.0.11"),
        tcp(dst="10.0.0.21"),
        Ether(src=VM_MAC, dst=DST_MAC)
        / IP(src="10.0.0.10", dst="10.0.0.20")
        / UDP(sport=23, dport=100),
        Ether(src=VM_MAC, dst=DST_MAC) / IP(src="10.0.0.10", dst="10.0.0.20") / ICMP(),
        Ether(src=VM_MAC, dst=DST_MAC)
        / IPv6(src="2001:db8::1", dst="2001:db8::2")
        / TCP(sport=23, dport=100),
        Ether(src=VM_MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="10.0.0.10", pdst="10.0.0.20"),
    ],
    ids=lambda frame: frame.summary(),
)
def test_other_traffic_bypasses_the_chain(fabric, vswitch, frame):
    fabric.program(chain([target("b", "h2")]))
    vswitch.send("vm", frame)
    (at_dst,) = vswitch.received("dst", 1)
    assert bytes(at_dst) == bytes(frame)
    assert vswitch.received("b-in", 0) == []


def test_icmp_type_is_classified(fabric, vswitch):
    pings = classifier(protocol=1, source_ports=(8, 8), destination_ports=None)
    fabric.program(chain([target("b", "h2")], classifiers=(pings,)))
    frames = [
        Ether(src=VM_MAC, dst=DST_MAC) / IP(src="10.0.0.10", dst="10.0.0.20") / ICMP(type=number)
        for number in ("echo-request", "echo-reply", "dest-unreach")
    ]
    vswitch.send("vm", *frames)
    assert [frame[ICMP].type for frame in vswitch.received("dst", 2)] == [0, 3]
    assert [frame[ICMP].type for frame in vswitch.received("b-in", 1)] == [8]


@pytest.mark.parametrize("bridges", [False, True], ids=["l3", "l2"])
def test_ipv6_packets_cross_hosts_unchanged(fabric, vswitch, bridges):
    ipv6 = classifier(
        ethertype="IPv6",
        source_ports=None,
        source_prefixes=("2001:db8::/64",),
        destination_prefixes=(),
    )
    fabric.program(
        chain([target("b", "h2", bridges=bridges)], [target("a", "h1")], classifiers=(ipv6,))
    )
    sent = (
        Ether(src=VM_MAC, dst=DST_MAC)
        / IPv6(src="2001:db8::1", dst="2001:db8:1::2")
        / TCP(dport=100)
    )
    vswitch.send("vm", sent)
    (at_b,) = vswitch.received("b-in", 1)
    expected = sent.copy()
    expected.dst = DST_MAC if bridges else mac("b-in")
    assert bytes(at_b) == bytes(expected)
    vswitch.send("b-out", at_b)
    (at_a,) = vswitch.received("a-in", 1)
    assert bytes(at_a[IPv6]) == bytes(sent[IPv6])
    vswitch.send("vm", tcp())
    assert [frame.type for frame in vswitch.received("dst", 1)] == [0x0800], (
        "IPv4 is not classified"
    )


def neighbour_message(eth_src, eth_dst):
    solicited = IPv6(src="2001:db8::10", dst="2001:db8::20", hlim=255)
    return Ether(src=eth_src, dst=eth_dst) / solicited / ICMPv6ND_NS(tgt="2001:db8::20")


@pytest.mark.parametrize("protocol", [None, 58])
@pytest.mark.parametrize("guarded", [False, True])
def test_unicast_neighbour_discovery_bypasses_the_chain(fabric, vswitch, protocol, guarded):
    everything = classifier(
        ethertype="IPv6", protocol=protocol, source_ports=None, destination_ports=None,
        source_prefixes=(), destination_prefixes=(),
    )  # fmt: skip
    plan = chain([target("a", "h1")], [target("c", "h2")], classifiers=(everything,))
    if guarded:
        for batch in diff(compile_bypass_guard(plan, fabric.local("h1")).flows, []):
            fabric.hosts["h1"].apply(batch)
    else:
        fabric.program(plan)
    for port, address in (("vm", VM_MAC), ("a-out", mac("a-out"))):
        message = neighbour_message(address, DST_MAC)
        ping = Ether(src=address, dst=DST_MAC) / IPv6(src="2001:db8::10", dst="2001:db8::20")
        ping /= ICMPv6EchoRequest()
        vswitch.send(port, message, ping)
        arrived = [bytes(frame) for frame in vswitch.received("dst", 1)]
        assert arrived.count(bytes(message)) == 1
        if port == "vm" or not guarded:
            assert bytes(ping) not in arrived


def test_flows_are_balanced_over_pairs_and_stay(fabric, vswitch):
    plan = chain(
        [target("a", "h1"), target("b", "h2")], classifiers=(classifier(source_ports=None),)
    )
    fabric.program(plan)
    frames = [tcp(sport=port) for port in range(2000, 2064)]
    vswitch.send("vm", *frames, *frames)
    arrived = {name: Counter(f.sport for f in vswitch.received(f"{name}-in", 2)) for name in "ab"}
    # The switch handles frames in order: after 128 frames, none is in flight any more.
    assert sum(map(sum, (c.values() for c in arrived.values()))) == 128
    assert set(arrived["a"]).isdisjoint(arrived["b"])
    assert set((arrived["a"] + arrived["b"]).values()) == {2}
    assert min(len(arrived["a"]), len(arrived["b"])) >= 16


def test_chains_with_same_header_and_different_sources_share_a_function(fabric, vswitch):
    fabric.plug("h1", "vm2")
    header = (classifier(source_prefixes=("10.0.0.0/24",), source_port_known=True),)
    one = chain([target("a", "h1")], [target("b", "h2")], classifiers=header)
    two = chain(
        [target("a", "h1")], [target("c", "h2")], name="pc2", path_id=2, classifiers=header,
        sources=(source("vm2", "h1", "10.0.0.11"),),
    )  # fmt: skip
    fabric.program(one, two)
    for address in ("10.0.0.10", "10.0.0.11", "10.0.0.99"):
        vswitch.send("a-out", returned(tcp(src=address), "a"))
    vswitch.send("a-out", tcp(dport=101))
    vswitch.received("dst", 1)  # in order: the other frames have arrived
    assert [f[IP].src for f in vswitch.received("b-in", 1)] == ["10.0.0.10"]
    assert [f[IP].src for f in vswitch.received("c-in", 1)] == ["10.0.0.11"]
    assert [f.dport for f in vswitch.received("dst", 1)] == [101], (
        "a packet of no known source is dropped"
    )


def test_chain_without_pair_drops_its_traffic(fabric, vswitch):
    fabric.program(chain([]))
    vswitch.send("vm", tcp(), tcp(sport=24))
    (passed,) = vswitch.received("dst", 1)
    assert passed.sport == 24


def test_bypass_guard_drops_traffic_of_unsupported_chain(fabric, vswitch):
    host, plan = fabric.hosts["h1"], chain([target("a", "h1")])
    host.put(compile_bypass_guard(plan, fabric.local("h1")).flows)
    vswitch.send("vm", tcp(), tcp(dport=101))
    (at_dst,) = vswitch.received("dst", 1)
    assert at_dst.dport == 101, "in order, so the first one has been dropped"
    assert vswitch.received("a-in", 1) == [at_dst], "flooded, not steered"


def test_host_without_the_chain_drops_its_frames(fabric, vswitch):
    plan = chain([target("b", "h2")])
    h2 = fabric.hosts["h2"]
    fabric.program(plan)
    stale = compile_chain(plan, fabric.local("h2")).flows
    for batch in diff([], stale):  # the frame guard stays
        h2.apply(batch)
    vswitch.send("vm", tcp(), tcp(sport=24))
    vswitch.received("dst", 1)
    for port in ("b-in", "b-out", "c-in", "c-out"):
        assert vswitch.received(port, 0) == []


def test_damage_is_repaired_and_foreign_flows_stay(fabric):
    plan = chain([target("a", "h1"), target("b", "h2")])
    fabric.program(plan)
    h1 = fabric.hosts["h1"]
    whole = set(h1.dump_entries())
    foreign = "cookie=0x7,table=150,priority=77,reg8=0x9,actions=drop"
    h1.ofctl(Bridge.INT, "add-flow", foreign)
    owned = f"cookie={COOKIE:#x}/-1"
    h1.ofctl(Bridge.INT, "del-flows", f"{owned},table=151")
    h1.ofctl(Bridge.INT, "mod-flows", f"{owned},table=150,actions=drop")
    h1.ofctl(Bridge.INT, "add-flow", f"cookie={COOKIE:#x},table=99,actions=drop")
    assert set(h1.dump_entries()) != whole
    fabric.program(plan)
    assert set(h1.dump_entries()) == whole
    assert "reg8=0x9" in h1.ofctl(Bridge.INT, "dump-flows", "table=150")
    fabric.program()
    assert h1.dump_entries() == []
    assert h1.flow_counts() == {Bridge.INT: len(h1.neutron_flows) + 1, Bridge.TUN: 0}


def test_host_does_not_classify_sources_of_other_hosts(fabric):
    plan = chain([target("b", "h2")], sources=(source("vm", "h1"),))
    compiled = compile_chain(plan, fabric.local("h2"))
    assert not [f for f in compiled.flows if f.key.table in (60, 73, 94)]


# Functions with one port.


def both_ways(*hops, **changes):
    """Return a symmetric chain through these hops; its destination is on h1 as well."""
    forward = chain(*hops, **changes)
    (path,) = forward.paths
    reply = replace(
        path,
        classifiers=tuple(
            replace(
                c,
                source_ports=c.destination_ports,
                destination_ports=c.source_ports,
                source_prefixes=c.destination_prefixes,
                destination_prefixes=c.source_prefixes,
            )
            for c in path.classifiers
        ),
        sources=(source("dst", "h1", "10.0.0.20"),),
        hops=path.hops[::-1],
        reverse=True,
    )
    return replace(forward, paths=(path, reply))


def test_function_with_single_port_serves_both_directions(fabric, vswitch):
    fabric.program(both_ways([single(target("b", "h2"))], [single(target("a", "h1"))]))
    there = tcp()
    back = tcp(
        sport=100, dport=23, src="10.0.0.20", dst="10.0.0.10", eth_src=DST_MAC, eth_dst=VM_MAC
    )
    for sent, start, order in ((there, "vm", "ba"), (back, "dst", "ab")):
        vswitch.send(start, sent)
        for name in order:
            arrived = vswitch.received(f"{name}-in", 1)[-1]
            assert arrived[TCP].dport == sent[TCP].dport
            answer = arrived.copy()
            answer.src, answer.dst = mac(f"{name}-in"), sent.dst
            vswitch.send(f"{name}-in", answer)
    # No port has sent anything yet, so the packet after the last function is flooded on its host.
    assert [f[TCP].dport for f in vswitch.received("dst", 1)] == [100]
    assert [f[TCP].dport for f in vswitch.received("c-in", 1)] == [23]


# Functions that bridge.


def l2_chain(*hops):
    return chain(*[[target(name, host, bridges=True) for name, host in hop] for hop in hops])


def test_bridging_function_gets_the_unmodified_frame(fabric, vswitch):
    fabric.program(l2_chain([("b", "h2")], [("a", "h1")]))
    vswitch.send("vm", tcp())
    (at_b,) = vswitch.received("b-in", 1)
    assert bytes(at_b) == bytes(tcp())
    vswitch.send("b-out", at_b)
    (at_a,) = vswitch.received("a-in", 1)
    assert bytes(at_a) == bytes(tcp())


@pytest.mark.parametrize("last", ["a", "b"])
def test_frame_continues_from_its_source_after_bridging_functions(fabric, vswitch, last):
    where = {"a": "h1", "b": "h2"}
    first = "ab".replace(last, "")
    fabric.program(l2_chain([(first, where[first])], [(last, where[last])]))
    for name, port in ((VM_MAC, "vm"), (DST_MAC, "dst")):
        vswitch.send(port, Ether(src=name, dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="10.0.0.1"))
    before = len(vswitch.received("dst", 1))
    vswitch.send("vm", tcp())
    at_first = vswitch.received(f"{first}-in", 1)[-1]
    vswitch.send(f"{first}-out", tcp())
    vswitch.received(f"{last}-in", 1)
    vswitch.send(f"{last}-out", tcp())
    arrived = vswitch.received("dst", before + 1)[before:]
    assert [bytes(frame) for frame in arrived] == [bytes(tcp())]
    assert bytes(at_first)[:12] != b""
    # No switch has learnt the source's address on a function's port.
    learnt = vswitch.run("ovs-appctl", "fdb/show", "h1-int") + vswitch.run(
        "ovs-appctl", "fdb/show", "h2-int"
    )
    places = {line.split()[0] for line in learnt.splitlines() if VM_MAC in line}
    assert places <= {"11", "1"}, "the source's own port on h1, the port to br-tun on h2"


def test_other_traffic_of_bridging_function_does_not_loop(fabric, vswitch):
    fabric.program(l2_chain([("a", "h1")]))
    broadcast = Ether(src=VM_MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="10.0.0.10", pdst="10.0.0.20")
    for port, address in (("a-out", VM_MAC), ("a-in", VM_MAC), ("a-out", mac("a-out"))):
        broadcast.src = address
        vswitch.send(port, broadcast)
    vswitch.send("vm", tcp(sport=24))
    assert [frame[TCP].sport for frame in vswitch.received("dst", 1)] == [24]


def test_flooded_frames_do_not_reach_bridging_function(fabric, vswitch):
    fabric.plug("h1", "d-in", "d-out")
    other = {"classifiers": (classifier(source_ports=(99, 99)),)}
    fabric.program(
        l2_chain([("a", "h1")]), chain([target("d", "h1")], name="pc2", path_id=2, **other)
    )
    unknown, broadcast = tcp(sport=24), tcp(sport=24, eth_dst="ff:ff:ff:ff:ff:ff")
    vswitch.send("vm", unknown, broadcast)
    for flooded_port in ("dst", "d-in"):
        assert len(vswitch.received(flooded_port, 2)) == 2
    vswitch.send("vm", tcp())
    assert [f[TCP].sport for f in vswitch.received("a-in", 1)] == [23], "the chain's frame alone"
    assert vswitch.received("a-out", 0) == []
    vswitch.send("a-out", tcp())
    assert [f[TCP].sport for f in vswitch.received("dst", 3)] == [24, 24, 23]
    assert len(vswitch.received("a-in", 1)) == 1, "not again after the chain"


def test_no_frame_meets_a_bridging_function_twice(fabric, vswitch):
    """Not even if a switch believes that the destination is behind the function."""
    fabric.plug("h1", "e-in", "e-out")
    here = Ether(src=DST_MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="10.0.0.20")
    # Before there is a chain, the function passes on what the destination broadcasts.
    vswitch.send("e-in", here)
    plans = [chain([target(name, "h1", bridges=True) for name in "e"])]
    fabric.program(*plans)
    vswitch.send("e-in", here)
    for number in range(3):
        vswitch.send("vm", tcp())
        at_function = vswitch.received("e-in", number + 1, lambda frame: frame.type == 0x0800)
        assert len(at_function) == number + 1
        vswitch.send("e-out", at_function[-1])
    at_dst = vswitch.received("dst", 3, lambda frame: frame.type == 0x0800)
    assert len(at_dst) == 3, "flooded, but not to the function"
    assert len(vswitch.received("e-in", 3, lambda frame: frame.type == 0x0800)) == 3
    fabric.program()
    protected = vswitch.run("ovs-vsctl", "--bare", "--columns=protected", "list", "port")
    assert set(protected.split()) == {"false"}


@pytest.mark.parametrize("seed", range(10 if FULL else 1))
def test_no_frame_meets_a_function_twice_whatever_switches_have_learned(fabric, vswitch, seed):
    """Random chains; before each, functions send what makes switches believe them to be others."""
    chosen, names = random.Random(seed), ["a", "d", "e", "f"]
    fabric.plug("h1", *(f"{name}-{side}" for name in names[1:] for side in ("in", "out")))
    ports = {f"{name}-in": f"{name}-out" for name in names}
    for number in in_full(range(12), range(6)):
        for port in chosen.sample([*ports, *ports.values(), "dst", "vm"], 4):
            address = chosen.choice([DST_MAC, VM_MAC, mac("a-out"), mac("d-in")])
            vswitch.send(port, Ether(src=address, dst="ff:ff:ff:ff:ff:ff", type=0x88B5) / b"here")
        path = chosen.sample(names, chosen.randint(1, 4))
        bridging = {name for name in path if chosen.random() < 0.7}
        fabric.program(chain(*([target(n, "h1", bridges=n in bridging)] for n in path)))
        before = {port: len(vswitch.received(port, 0)) for port in ports}
        vswitch.send("vm", tcp())
        visits: Counter[str] = Counter()
        idle_rounds, deadline = 0, time.monotonic() + DEADLINE
        while idle_rounds < 3 or (visits.total() < len(path) and time.monotonic() < deadline):
            idle_rounds += 1
            for ingress, egress in ports.items():
                new = vswitch.received(ingress, 0)[before[ingress] :]
                before[ingress] += len(new)
                name = ingress.partition("-")[0]
                for frame in new:
                    if name in bridging or frame.dst == mac(ingress):
                        visits[name] += 1
                        idle_rounds = 0
                        vswitch.send(egress, frame if name in bridging else returned(frame, name))
            assert visits.total() <= len(path), (seed, number, path, bridging, visits)
        assert visits == Counter(path), (seed, number, path, bridging, visits)
        fabric.program()


VIRTUAL_MAC = "00:00:5e:00:01:2a"


@pytest.mark.parametrize("home", ["h1", "h2"])
def test_frame_may_have_a_further_address_of_its_source(fabric, vswitch, home):
    """The virtual MAC address of VRRP, from an allowed address pair."""
    name = {"h1": "a", "h2": "b"}[home]
    vrrp = replace(source("vm", "h1"), further_macs=(VIRTUAL_MAC,))
    plan = chain([target(name, home, bridges=True)], sources=(vrrp,))
    fabric.program(plan)
    for host in ("h1", "h2"):
        assert diff(fabric.desired(host, plan), fabric.hosts[host].dump_entries()) == []
    for number, address in enumerate((VIRTUAL_MAC, VM_MAC), 1):
        sent = tcp(eth_src=address)
        vswitch.send("vm", sent)
        at_function = vswitch.received(f"{name}-in", number)
        vswitch.send(f"{name}-out", at_function[-1])
        assert bytes(vswitch.received("dst", number)[-1]) == bytes(sent)
    table = vswitch.appctl("fdb/show", "h1-int")
    assert {line.split()[0] for line in table.splitlines() if VIRTUAL_MAC in line} == {"11"}


def test_frame_from_an_address_of_several_sources_arrives(fabric, vswitch):
    """No switch believes that the shared address is at the source which has not sent the frame."""
    fabric.plug("h1", "vm2")
    both = tuple(replace(source(n, "h1"), further_macs=(VIRTUAL_MAC,)) for n in ("vm", "vm2"))
    fabric.program(chain([target("b", "h2", bridges=True)], sources=both))
    for number, port in enumerate(("vm", "vm2"), 1):
        vswitch.send(port, tcp(eth_src=VIRTUAL_MAC))
        at_function = vswitch.received("b-in", number)
        vswitch.send("b-out", at_function[-1])
        at_dst = vswitch.received("dst", number)[-1]
        assert at_dst.src in (VM_MAC, mac("vm2"))
        assert bytes(at_dst.payload) == bytes(tcp().payload)
    assert VIRTUAL_MAC not in vswitch.appctl("fdb/show", "h1-int")


def test_source_without_port_security_may_send_from_any_address(fabric, vswitch):
    anything = replace(source("vm", "h1"), sends_from_any_mac=True)
    fabric.program(chain([target("b", "h2", bridges=True)], sources=(anything,)))
    vswitch.send("vm", tcp(eth_src="02:00:00:00:00:77"))
    (at_function,) = vswitch.received("b-in", 1)
    assert at_function.src == "02:00:00:00:00:77"
    vswitch.send("b-out", at_function)
    (at_dst,) = vswitch.received("dst", 1)
    assert at_dst.src == VM_MAC
    assert bytes(at_dst.payload) == bytes(tcp().payload)


def test_bridging_function_cannot_send_from_other_addresses(fabric, vswitch):
    fabric.program(chain([target("a", "h1", bridges=True)]))
    vswitch.send("a-out", tcp(eth_src="02:00:00:00:00:77"), tcp())
    assert [frame.src for frame in vswitch.received("dst", 1)] == [VM_MAC]


def test_flooding_is_restored_after_the_last_chain(fabric, vswitch):
    h1, plans = fabric.hosts["h1"], [l2_chain([("a", "h1")]), l2_chain([("b", "h2")])]
    fabric.program(plans[0])
    kept = h1.no_flood()
    assert [port.ofport for port in kept] == [13, 14]
    fabric.program(plans[1])
    assert h1.no_flood() == []
    vswitch.send("vm", tcp(sport=24))
    assert len(vswitch.received("a-in", 1)) == 1


def test_frame_continues_from_last_routing_function(fabric, vswitch):
    fabric.program(chain([target("a", "h1")], [target("b", "h2", bridges=True)]))
    vswitch.send("vm", tcp())
    (at_a,) = vswitch.received("a-in", 1)
    routed = returned(at_a, "a")
    vswitch.send("a-out", routed)
    (at_b,) = vswitch.received("b-in", 1)
    assert bytes(at_b) == bytes(routed)
    vswitch.send("b-out", at_b)
    assert [bytes(frame) for frame in vswitch.received("dst", 1)] == [bytes(routed)]
    assert "14" in {
        line.split()[0]
        for line in vswitch.run("ovs-appctl", "fdb/show", "h1-int").splitlines()
        if mac("a-out") in line
    }
