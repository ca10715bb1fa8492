"""Fragmented packets in a real Open vSwitch: none bypasses a function, and no flow is divided."""

import itertools
import random
from dataclasses import replace

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from portchain.dataplane.host_switch import Firewall
from tests.full import FULL, in_full
from tests.functional.dataplane.fabric import DST_MAC, VM_MAC, Fabric
from tests.plans import after, chain, classifier, mac, source, target

SMALL, BIG = 100, 3000
FRAGMENT = 1400
A, B, C = target("a", "h1"), target("b", "h2"), target("c", "h2")
ENDS = {"IPv4": ("10.0.0.{}", "10.0.0.20"), "IPv6": ("2001:db8::{}", "2001:db8::20")}
PROTOCOLS = {"udp": 17, "tcp": 6, "icmp": 1, "icmp6": 58}


def fabric_with(vswitch, firewall=Firewall.OPENVSWITCH):
    fabric = Fabric(vswitch, firewall)
    fabric.plug("h1", "vm", "dst", "a-in", "a-out")
    fabric.plug("h2", "b-in", "b-out", "c-in", "c-out")
    # Bridges learn where the destination is, so that they flood nothing.
    vswitch.send("dst", Ether(src=DST_MAC, dst="ff:ff:ff:ff:ff:ff", type=0x88B5) / b"here")
    return fabric


@pytest.fixture
def fabric(vswitch):
    return fabric_with(vswitch)


class Datagrams:
    """Makes packets whose payloads and IP ids are unique, so that each frame can be found again."""

    def __init__(self):
        self.number = 0

    def frames(self, transport, size, family="IPv4", source=10, destination=None):
        """Return the frames of one packet: several if it is longer than a frame."""
        self.number += 1
        payload = Raw(self.number.to_bytes(4, "big") * (size // 4))
        src = ENDS[family][0].format(source)
        dst = destination or ENDS[family][1]
        if family == "IPv4":
            packet = IP(src=src, dst=dst, id=self.number) / transport / payload
            parts = fragment(packet, FRAGMENT) if size > FRAGMENT else [packet]
        else:
            head = IPv6(src=src, dst=dst)
            parts = [head / transport / payload]
            if size > FRAGMENT:
                whole = head / IPv6ExtHdrFragment(id=self.number) / transport / payload
                parts = fragment6(whole, FRAGMENT)
        return [bytes(Ether(src=VM_MAC, dst=DST_MAC) / part) for part in parts]


def places(vswitch, frames, port="vm"):
    """Send frames; return for each one the port that it left by, or None."""
    outs = ("a-in", "b-in", "c-in", "dst")
    before = {out: len(vswitch.received(out, 0)) for out in outs}
    marker = Ether(src=VM_MAC, dst=DST_MAC, type=0x88B5) / before["dst"].to_bytes(4, "big")
    vswitch.send(port, *frames)
    vswitch.send("vm", marker)
    vswitch.received("dst", 1, lambda frame: bytes(frame) == bytes(marker))
    found = {}
    for out in outs:
        for frame in vswitch.received(out, 0)[before[out] :]:
            found.setdefault(bytes(frame)[12:], []).append(out)
    # A frame without its MAC addresses: functions that route get others.
    seen = [found.get(frame[12:], []) for frame in frames]
    assert all(len(ports) < 2 for ports in seen), "nothing is delivered twice"
    return [ports[0] if ports else None for ports in seen]


def any_port(protocol="udp", family="IPv4", **changes):
    """A classifier by addresses and protocol, as the documentation recommends."""
    words = {"source_ports": None, "destination_ports": None, "source_prefixes": ()}
    prefix = ENDS[family][1] + ("/32" if family == "IPv4" else "/128")
    protocol = PROTOCOLS.get(protocol)
    return classifier(
        **{
            **words,
            "ethertype": family,
            "protocol": protocol,
            "destination_prefixes": (prefix,),
            **changes,
        }
    )


HIDDEN = [
    (any_port(destination_ports=(100, 100)), UDP(sport=23, dport=100), "IPv4"),
    (any_port(destination_ports=(0, 200)), UDP(sport=23, dport=100), "IPv4"),
    (any_port(source_ports=(23, 23)), UDP(sport=23, dport=100), "IPv4"),
    (any_port("tcp", destination_ports=(100, 100)), TCP(sport=23, dport=100), "IPv4"),
    (any_port("icmp", source_ports=(8, 8)), ICMP(type=8), "IPv4"),
    (any_port("udp", "IPv6", destination_ports=(100, 100)), UDP(sport=23, dport=100), "IPv6"),
    (any_port("udp", "IPv6"), UDP(sport=23, dport=100), "IPv6"),
    (any_port("icmp6", "IPv6", source_ports=(128, 128)), ICMPv6EchoRequest(), "IPv6"),
]
"""Classifiers that name what fragments hide, with a packet that each of them matches."""


@pytest.mark.parametrize(
    ("case", "firewall"),
    in_full(
        list(itertools.product(HIDDEN, Firewall)),
        list(zip(HIDDEN, itertools.cycle(Firewall), strict=False)),
    ),
    ids=lambda value: f"{value[2]}-{value[1].summary()}" if isinstance(value, tuple) else value,
)
def test_no_fragment_bypasses_a_chain_that_cannot_recognise_it(vswitch, case, firewall):
    named, sent, family = case
    fabric = fabric_with(vswitch, firewall)
    fabric.program(chain([A], classifiers=(named,)))
    make = Datagrams()
    assert places(vswitch, make.frames(sent, SMALL, family)) == ["a-in"]
    assert places(vswitch, make.frames(sent, BIG, family)) == [None, None, None]
    other = "10.0.0.99" if family == "IPv4" else "2001:db8::99"
    elsewhere = make.frames(sent, BIG, family, destination=other)
    assert places(vswitch, elsewhere) == ["dst"] * 3, "to an address that no classifier names"
    if family == "IPv4":
        unlike = UDP(sport=1, dport=2) if not isinstance(sent, UDP) else TCP(sport=1, dport=2)
        assert places(vswitch, make.frames(unlike, BIG)) == ["dst"] * 3, "of another protocol"


def test_classifier_that_recognises_fragments_takes_precedence(fabric, vswitch):
    by_port = any_port(destination_ports=(53, 53), destination_prefixes=("10.0.0.0/24",))
    by_address = any_port(source_prefixes=("10.0.0.10/32",))
    sources = (source(number=0), source(number=1))
    fabric.program(chain([A], classifiers=(by_port, by_address), sources=sources))
    make = Datagrams()
    frames = make.frames(UDP(sport=1, dport=100), BIG)
    assert places(vswitch, frames) == ["a-in"] * 3
    assert places(vswitch, make.frames(UDP(sport=1, dport=53), BIG, source=11)) == [None] * 3


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
@pytest.mark.parametrize("pairs", [(A, B), (A, B, C)], ids=len)
def test_datagrams_of_a_flow_visit_one_pair_whatever_their_size(fabric, vswitch, family, pairs):
    named = any_port(family=family) if family == "IPv4" else any_port(None, family)
    fabric.program(chain(list(pairs), classifiers=(named,)))
    make = Datagrams()
    used = set()
    for number in range(24):
        sent = UDP(sport=1000 + number, dport=100)
        source = 10 + number
        frames = [
            frame
            for size in (SMALL, BIG, SMALL)
            for frame in make.frames(sent, size, family, source)
        ]
        (place,) = set(places(vswitch, frames))
        used.add(place)
    assert used == {f"{name}-in" for name in "abc"[: len(pairs)]}


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
@pytest.mark.parametrize("first", [SMALL, BIG])
def test_datagrams_of_a_flow_stay_together_when_a_pair_is_added(fabric, vswitch, family, first):
    named = any_port(family=family) if family == "IPv4" else any_port(None, family)
    flows = [(UDP(sport=1000 + number, dport=100), 10 + number) for number in range(12)]
    make = Datagrams()

    def visits(size):
        return [
            set(places(vswitch, make.frames(sent, size, family, source))) for sent, source in flows
        ]

    for pairs in ([A], [A, B]):
        few, many = (chain(each, classifiers=(named,)) for each in (pairs, [A, B, C]))
        fabric.program()
        fabric.program(few)
        started = visits(first)
        fabric.program(after(many, few))
        assert visits(SMALL) == visits(BIG) == visits(SMALL) == started


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_fragments_of_connections_visit_no_other_pair(fabric, vswitch, family):
    named = any_port("tcp", family) if family == "IPv4" else any_port(None, family)
    fabric.program(chain([A, B], classifiers=(named,)))
    make = Datagrams()
    for number in range(12):
        sent = TCP(sport=1000 + number, dport=100, flags="A")
        (at_first,) = places(vswitch, make.frames(sent, SMALL, family))
        head, *later = places(vswitch, make.frames(sent, BIG, family))
        assert head is None
        assert "dst" not in later
        if family == "IPv4":
            assert later == [None, None]
        assert places(vswitch, make.frames(sent, SMALL, family)) == [at_first]


def test_pair_of_fragments_is_not_guessed_if_ports_select_it(fabric, vswitch):
    named = any_port()
    (path,) = chain([A, B], classifiers=(named,)).paths
    by_port = replace(path, hops=(replace(path.hops[0], lb_fields=("udp_src",)),))
    fabric.program(replace(chain([A, B]), paths=(by_port,)))
    make = Datagrams()
    sent = UDP(sport=1000, dport=100)
    assert places(vswitch, make.frames(sent, SMALL)) != [None]
    assert places(vswitch, make.frames(sent, BIG)) == [None] * 3


def test_function_that_splits_packets_cannot_make_them_bypass_the_next(fabric, vswitch):
    named = any_port(destination_ports=(100, 100))
    fabric.program(chain([A], [B], classifiers=(named,)))
    make = Datagrams()
    sent = UDP(sport=1, dport=100)
    from_a = [
        mac_bytes(DST_MAC) + mac_bytes(mac("a-out")) + frame[12:]
        for frame in make.frames(sent, BIG)
    ]
    assert places(vswitch, from_a, "a-out") == [None] * 3


def test_fragments_pass_taps(fabric, vswitch):
    """A tap that gets no copy of a fragment does not hold it back."""
    plan = chain([A], classifiers=(any_port(destination_ports=(100, 100)),))
    (path,) = plan.paths
    tapped = replace(path, hops=(replace(path.hops[0], tap=True),))
    fabric.program(replace(plan, paths=(tapped,)))
    frames = Datagrams().frames(UDP(sport=1, dport=100), BIG)
    assert places(vswitch, frames) == ["dst"] * 3


def mac_bytes(address):
    return bytes.fromhex(address.replace(":", ""))


SEEDS = range(40 if FULL else 4)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_chains_hold_no_fragment_that_is_not_theirs_and_divide_no_flow(vswitch, seed):
    chosen = random.Random(seed)
    fabric = fabric_with(vswitch, chosen.choice(list(Firewall)))
    family = chosen.choice(["IPv4", "IPv6"])
    protocol = chosen.choice(["udp", "tcp", None])
    ports = [None, (0, 65535), (0, 150), (100, 100), (1, 65535)]
    named = any_port(
        protocol,
        family,
        source_ports=chosen.choice(ports) if protocol else None,
        destination_ports=chosen.choice(ports) if protocol else None,
    )
    plan = chain(chosen.sample([A, B, C], chosen.randint(1, 3)), classifiers=(named,))
    (path,) = plan.paths
    lb_fields = chosen.choice(
        [(), (), ("ip_src",), ("udp_src",), ("ip_dst", "tcp_dst"), ("eth_src",)]
    )
    hop = replace(path.hops[0], lb_fields=lb_fields)
    fabric.program(replace(plan, paths=(replace(path, hops=(hop,)),)))
    make, at_pair = Datagrams(), {}
    ends = [ENDS[family][1], ENDS[family][1].replace("20", "99")]
    for _ in range(40):
        kind, layer = chosen.choice([("udp", UDP), ("tcp", TCP)])
        sport, dport = chosen.choice([0, 100, 200]), chosen.choice([0, 100, 200])
        source, destination = chosen.randint(10, 12), chosen.choice(ends)
        size = chosen.choice([SMALL, BIG])
        frames = make.frames(layer(sport=sport, dport=dport), size, family, source, destination)
        found = set(places(vswitch, frames))
        within = [
            limit is None or limit[0] <= port <= limit[1]
            for port, limit in ((sport, named.source_ports), (dport, named.destination_ports))
        ]
        belongs = destination == ends[0] and protocol in (None, kind) and all(within)
        described = (seed, named, lb_fields, kind, sport, dport, source, destination, size, found)
        if belongs:
            assert "dst" not in found, described
            visited = found - {None}
            if kind == "udp" or family == "IPv4":
                flow = (kind, sport, dport, source)
                assert len(visited | at_pair.get(flow, set())) <= 1, described
                at_pair.setdefault(flow, set()).update(visited)
            if size == SMALL:
                assert visited, described
        elif size == SMALL or destination == ends[1]:
            assert found == {"dst"}, described
        else:
            assert found <= {"dst", None}, described
