"""SFC-aware functions in a real Open vSwitch: the packets they get, and those they return."""

from dataclasses import replace

import pytest
from scapy.contrib.mpls import MPLS
from scapy.contrib.nsh import NSH
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from portchain.dataplane.compile.context import UnsupportedPlanError
from portchain.dataplane.diff import diff
from portchain.dataplane.host_switch import Firewall
from tests.functional.dataplane.fabric import DST_MAC, VM_MAC, Fabric, returned, tcp
from tests.plans import chain, classifier, mac, single, source, target

MPLS_TYPE, NSH_TYPE = 0x8847, 0x894F
FORWARDER_MAC = "0e:70:6f:72:74:63"
IPV6 = classifier(
    ethertype="IPv6", source_prefixes=("2001:db8::/64",), destination_prefixes=("2001:db8::/64",)
)

BOTH_FAMILIES = {
    "classifiers": (classifier(), IPV6),
    "sources": (source("vm", "h1"), source("vm", "h1", number=1)),
}


@pytest.fixture
def fabric(vswitch):
    fabric = Fabric(vswitch)
    fabric.plug("h1", "vm", "dst", "a-in", "a-out")
    # The link between the hosts carries chain frames only, so h2 needs a destination of its own.
    fabric.plug("h2", "b-in", "b-out", "c-in", "c-out", "dst2")
    return fabric


def aware(name, host, encapsulation):
    return target(name, host, encapsulation=encapsulation)


def tcp6():
    return (
        Ether(src=VM_MAC, dst=DST_MAC)
        / IPv6(src="2001:db8::1", dst="2001:db8::2")
        / TCP(sport=23, dport=100)
        / "payload"
    )


def announce_destination(vswitch):
    """Send a frame from the destination, so that switches learn its port."""
    for port in ("dst", "dst2"):
        vswitch.send(port, Ether(src=DST_MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="10.0.0.20"))


def received(vswitch, port, ethertype, count=1):
    """Wait for frames of an ethertype, and ignore others such as flooded ones."""
    return vswitch.received(port, count, lambda f: f.type == ethertype)


def mpls_answer(frame, name, **changes):
    """Return the answer of an MPLS-aware function: to the sender, service index decremented."""
    label = frame[MPLS].copy()
    label.ttl -= 1
    for field, value in changes.items():
        setattr(label, field, value)
    return Ether(src=mac(f"{name}-out"), dst=frame.src, type=MPLS_TYPE) / label


def nsh_answer(frame, name, **changes):
    header = frame[NSH].copy()
    header.si -= 1
    for field, value in changes.items():
        setattr(header, field, value)
    return Ether(src=mac(f"{name}-out"), dst=frame.src, type=NSH_TYPE) / header


ANSWERS = {"mpls": mpls_answer, "nsh": nsh_answer}
TYPES = {"mpls": MPLS_TYPE, "nsh": NSH_TYPE}


@pytest.mark.parametrize("firewall", list(Firewall))
@pytest.mark.parametrize("encapsulation", ["mpls", "nsh"])
def test_flows_read_back_as_written(vswitch, firewall, encapsulation):
    fabric = Fabric(vswitch, firewall)
    fabric.plug("h1", "vm", "a-in", "a-out")
    fabric.plug("h2", "b-in", "b-out", "c-in", "c-out")
    plan = chain(
        [aware("a", "h1", encapsulation)],
        [aware("b", "h2", encapsulation), aware("c", "h2", encapsulation)],
        **BOTH_FAMILIES,
    )
    fabric.program(plan)
    for name, host in fabric.hosts.items():
        assert diff(fabric.desired(name, plan), host.dump_entries()) == [], name


@pytest.mark.parametrize("host", ["h1", "h2"])
def test_mpls_aware_function_gets_the_packet_behind_its_label(fabric, vswitch, host):
    name = {"h1": "a", "h2": "b"}[host]
    fabric.program(chain([aware(name, host, "mpls")], path_id=0x1234, **BOTH_FAMILIES))
    vswitch.send("vm", tcp(), tcp6())
    four, six = received(vswitch, f"{name}-in", MPLS_TYPE, 2)
    for frame, label, inside in ((four, 0x11234, tcp()), (six, 0x51234, tcp6())):
        assert (frame.dst, frame.src) == (mac(f"{name}-in"), DST_MAC)
        header = frame[MPLS]
        assert (header.label, header.cos, header.s, header.ttl) == (label, 0, 1, 255)
        assert bytes(header.payload) == bytes(inside.payload)


@pytest.mark.parametrize("host", ["h1", "h2"])
def test_nsh_aware_function_gets_the_frame_behind_its_header(fabric, vswitch, host):
    name = {"h1": "a", "h2": "b"}[host]
    fabric.program(chain([aware(name, host, "nsh")], path_id=0x1234))
    vswitch.send("vm", tcp())
    (frame,) = received(vswitch, f"{name}-in", NSH_TYPE)
    assert (frame.dst, frame.src) == (mac(f"{name}-in"), FORWARDER_MAC)
    header = frame[NSH]
    assert (header.spi, header.si, header.ttl) == (0x11234, 255, 63)
    assert (header.mdtype, header.length, header.nextproto) == (1, 6, 3)
    assert (header.ver, header.oam, header.context_header) == (0, 0, bytes(16))
    assert bytes(header.payload) == bytes(tcp())


@pytest.mark.parametrize("encapsulation", ["mpls", "nsh"])
@pytest.mark.parametrize("where", [("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")])
def test_packets_visit_consecutive_sfc_aware_functions(fabric, vswitch, where, encapsulation):
    hosts = {"a": "h1", "b": "h2", "c": "h2"}
    fabric.program(chain(*[[aware(name, hosts[name], encapsulation)] for name in where]))
    announce_destination(vswitch)
    vswitch.send("vm", tcp())
    for index, name in enumerate(where):
        (frame,) = received(vswitch, f"{name}-in", TYPES[encapsulation])
        header = frame[{"mpls": MPLS, "nsh": NSH}[encapsulation]]
        assert (header.ttl if encapsulation == "mpls" else header.si) == 255 - index
        assert encapsulation == "mpls" or header.ttl == 63 - index
        vswitch.send(f"{name}-out", ANSWERS[encapsulation](frame, name))
    ends_at_h2 = encapsulation == "mpls" and hosts[where[-1]] == "h2"
    (at_dst,) = received(vswitch, "dst2" if ends_at_h2 else "dst", 0x0800)
    assert bytes(at_dst[IP]) == bytes(tcp()[IP]), "no header left, TTL of the packet unchanged"
    assert at_dst.dst == DST_MAC
    assert at_dst.src == (mac(f"{where[-1]}-out") if encapsulation == "mpls" else VM_MAC)


@pytest.mark.parametrize("encapsulation", ["mpls", "nsh"])
def test_sfc_aware_function_between_unaware_ones(fabric, vswitch, encapsulation):
    fabric.program(
        chain([target("a", "h1")], [aware("b", "h2", encapsulation)], [target("c", "h2")])
    )
    announce_destination(vswitch)
    vswitch.send("vm", tcp())
    at_a = received(vswitch, "a-in", 0x0800)[-1]
    vswitch.send("a-out", returned(at_a, "a"))
    (at_b,) = received(vswitch, "b-in", TYPES[encapsulation])
    vswitch.send("b-out", ANSWERS[encapsulation](at_b, "b"))
    (at_c,) = received(vswitch, "c-in", 0x0800)
    assert at_c.dst == mac("c-in")
    assert at_c.type == 0x0800
    vswitch.send("c-out", returned(at_c, "c"))
    (at_dst,) = received(vswitch, "dst2", 0x0800)
    assert at_dst[TCP].dport == 100
    assert at_dst[IP].ttl == tcp()[IP].ttl - 2


@pytest.mark.parametrize("encapsulation", ["mpls", "nsh"])
def test_sfc_aware_function_may_change_the_packet(fabric, vswitch, encapsulation):
    fabric.program(chain([aware("b", "h2", encapsulation)], [target("a", "h1")]))
    vswitch.send("vm", tcp())
    (frame,) = received(vswitch, "b-in", TYPES[encapsulation])
    other = Ether(src=VM_MAC, dst=DST_MAC) / IP(src="192.0.2.1", dst="192.0.2.2") / UDP(dport=7)
    answer = ANSWERS[encapsulation](frame, "b")
    layer = answer[{"mpls": MPLS, "nsh": NSH}[encapsulation]]
    layer.remove_payload()
    layer.add_payload(other[IP] if encapsulation == "mpls" else other)
    vswitch.send("b-out", answer)
    (at_a,) = received(vswitch, "a-in", 0x0800)
    assert bytes(at_a[IP]) == bytes(other[IP])
    assert at_a.dst == mac("a-in")


@pytest.mark.parametrize("encapsulation", ["mpls", "nsh"])
@pytest.mark.parametrize("host", ["h1", "h2"])
def test_sfc_aware_function_may_have_a_single_port(fabric, vswitch, host, encapsulation):
    name = {"h1": "a", "h2": "b"}[host]
    fabric.program(chain([single(aware(name, host, encapsulation))], [target("c", "h2")]))
    vswitch.send("vm", tcp())
    (frame,) = received(vswitch, f"{name}-in", TYPES[encapsulation])
    vswitch.send(f"{name}-in", ANSWERS[encapsulation](frame, name))
    (at_c,) = received(vswitch, "c-in", 0x0800)
    assert bytes(at_c[IP]) == bytes(tcp()[IP])
    assert len(received(vswitch, f"{name}-in", TYPES[encapsulation])) == 1


WRONG = {
    "mpls": [
        {"ttl": 255},
        {"ttl": 253},
        {"ttl": 0},
        {"label": 0x10002},
        {"label": 0x20001},
        {"label": 0x50001},
        {"s": 0},
    ],
    "nsh": [
        {"si": 255},
        {"si": 253},
        {"si": 0},
        {"spi": 0x10002},
        {"spi": 0x20001},
        {"ttl": 0},
        {"nextproto": 1},
        {"mdtype": 2},
    ],
}


@pytest.mark.parametrize("encapsulation", ["mpls", "nsh"])
def test_wrong_headers_are_dropped(fabric, vswitch, encapsulation):
    one = chain([aware("a", "h1", encapsulation)], [target("b", "h2")])
    # A chain without the function, for whose flows a wrong label could be meant.
    other = chain(
        [aware("c", "h2", encapsulation)],
        name="pc2",
        path_id=2,
        classifiers=(classifier(source_ports=(24, 24)),),
    )
    fabric.program(one, other)
    announce_destination(vswitch)
    vswitch.send("vm", tcp())
    (frame,) = received(vswitch, "a-in", TYPES[encapsulation])
    # In order: once the right one has arrived, the wrong ones have been dropped.
    for number, wrong in enumerate([*WRONG[encapsulation], {}]):
        answer = ANSWERS[encapsulation](frame, "a", **wrong)
        answer[IP].id = number
        vswitch.send("a-out", answer)
    arrived = [f[IP].id for f in received(vswitch, "b-in", 0x0800)]
    assert arrived == [len(WRONG[encapsulation])]
    for port in ("dst", "dst2", "vm", "c-in", "c-out", "b-out"):
        assert not [f for f in vswitch.received(port, 0) if ARP not in f], port
    assert len(received(vswitch, "a-in", TYPES[encapsulation])) == 1


@pytest.mark.parametrize("encapsulation", ["mpls", "nsh"])
def test_other_ports_cannot_inject_packets(fabric, vswitch, encapsulation):
    fabric.program(chain([aware("a", "h1", encapsulation)], [target("b", "h2")]))
    announce_destination(vswitch)
    vswitch.send("vm", tcp())
    (frame,) = received(vswitch, "a-in", TYPES[encapsulation])
    for port in ("vm", "dst", "a-in"):
        vswitch.send(port, ANSWERS[encapsulation](frame, "a"))
    vswitch.send("a-out", ANSWERS[encapsulation](frame, "a"))
    assert len(received(vswitch, "b-in", 0x0800)) == 1


TAGS = {"none": (), "priority": (0,), "two": (0, 0)}


@pytest.mark.parametrize("tags", TAGS.values(), ids=TAGS)
@pytest.mark.parametrize("firewall", [Firewall.OPENVSWITCH, Firewall.ELSEWHERE])
@pytest.mark.parametrize("encapsulation", ["mpls", "nsh"])
def test_functions_get_headers_from_the_chain_only(vswitch, encapsulation, firewall, tags):
    """What a function returns with a chain's header counts as a packet of the chain's sources.

    Another machine on the network of its ingress port could have written header and packet.
    """
    fabric = Fabric(vswitch, firewall)
    fabric.plug("h1", "vm", "dst", "other", "a-in", "a-out")
    fabric.program(chain([aware("a", "h1", encapsulation)], **BOTH_FAMILIES))
    vswitch.send("a-in", Ether(src=mac("a-in"), dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="10.0.0.30"))
    vswitch.send("vm", tcp(), tcp6())
    ethertype = MPLS_TYPE if encapsulation == "mpls" else NSH_TYPE
    real = received(vswitch, "a-in", ethertype, 2)
    for to in (mac("a-in"), "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"):
        for frame in real if to == mac("a-in") or len(tags) < 2 else ():
            forged = Ether(src=mac("other"), dst=to)
            for tag in tags:
                forged /= Dot1Q(vlan=tag)
            forged.lastlayer().type = ethertype
            vswitch.send("other", forged / frame.payload)
    own = Ether(src=mac("other"), dst=mac("a-in"), type=0x88B5) / b"own traffic"
    vswitch.send("other", own)
    vswitch.received("a-in", 1, lambda frame: bytes(frame) == bytes(own))
    found = [frame for frame in vswitch.received("a-in", 0) if frame.src == mac("other")]
    assert list(map(bytes, found)) == [bytes(own)]


@pytest.mark.parametrize("encapsulation", ["mpls", "nsh"])
def test_packets_without_header_are_not_in_the_chain(fabric, vswitch, encapsulation):
    fabric.program(chain([aware("a", "h1", encapsulation)], [target("b", "h2")]))
    announce_destination(vswitch)
    vswitch.send("a-out", tcp(eth_src=mac("a-out")))
    (at_dst,) = received(vswitch, "dst", 0x0800)
    assert bytes(at_dst) == bytes(tcp(eth_src=mac("a-out")))
    assert not [f for f in vswitch.received("b-in", 0) if TCP in f]


@pytest.mark.parametrize("encapsulation", ["mpls", "nsh"])
def test_flows_are_balanced_over_sfc_aware_pairs(fabric, vswitch, encapsulation):
    pairs = [aware("b", "h2", encapsulation), aware("c", "h2", encapsulation)]
    fabric.program(
        chain(
            [aware("a", "h1", encapsulation)], pairs, classifiers=(classifier(source_ports=None),)
        )
    )
    vswitch.send("vm", *[tcp(sport=port) for port in range(2000, 2032)])
    frames = received(vswitch, "a-in", TYPES[encapsulation], 32)
    vswitch.send("a-out", *[ANSWERS[encapsulation](frame, "a") for frame in frames])
    found = {}
    for name in "bc":
        found[name] = {f[TCP].sport for f in received(vswitch, f"{name}-in", TYPES[encapsulation])}
    assert len(found["b"] | found["c"]) == 32
    assert not found["b"] & found["c"]
    assert min(map(len, found.values())) >= 8


def test_sfc_aware_function_serves_several_chains(fabric, vswitch):
    plans = [
        chain(
            [aware("b", "h2", "mpls")],
            [target(last, where)],
            name=f"pc{number}",
            path_id=number,
            classifiers=(classifier(source_ports=(22 + number, 22 + number)),),
        )
        for number, last, where in ((1, "a", "h1"), (2, "c", "h2"))
    ]
    fabric.program(*plans)
    vswitch.send("vm", tcp(sport=23), tcp(sport=24))
    frames = received(vswitch, "b-in", MPLS_TYPE, 2)
    for frame in frames:
        answer = mpls_answer(frame, "b")
        answer[MPLS].remove_payload()
        answer = answer / (
            IP(src="192.0.2.1", dst="192.0.2.2") / Raw(bytes([frame[MPLS].label & 3]))
        )
        vswitch.send("b-out", answer)
    for name, number in (("a", 1), ("c", 2)):
        (frame,) = received(vswitch, f"{name}-in", 0x0800)
        assert bytes(frame[IP].payload)[:1] == bytes([number])


@pytest.mark.parametrize(
    "wrong", [target("b", "h2", bridges=True, encapsulation="mpls"), aware("b", "h2", "srv6")]
)
def test_unsupported_kind_of_function_is_an_error(fabric, wrong):
    with pytest.raises(UnsupportedPlanError):
        fabric.desired("h2", chain([wrong]))


@pytest.mark.parametrize("firewall", list(Firewall))
@pytest.mark.parametrize("host", ["h1", "h2"])
def test_mpls_aware_function_can_have_a_network_of_its_own(vswitch, host, firewall):
    """The destination is on the network of the source, not on that of the function."""
    fabric = Fabric(vswitch, firewall)
    fabric.plug("h1", "vm", "vm2", "dst")
    fabric.plug(host, "m-in", "m-out", vlan=2)
    vswitch.send("dst", Ether(src=DST_MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="10.0.0.20"))
    named = classifier(source_prefixes=())
    sources = (source("vm", "h1", "10.0.0.10"), source("vm2", "h1", "10.0.0.11"))
    own = replace(aware("m", host, "mpls"), off_network=True)
    fabric.program(chain([own], classifiers=(named,), sources=sources))
    for number, (port, address) in enumerate(
        (("vm", "10.0.0.10"), ("vm2", "10.0.0.11"), ("vm", "10.0.0.12")), 1
    ):
        sent = tcp(src=address, eth_src=mac(port))
        vswitch.send(port, sent)
        at_function = received(vswitch, "m-in", MPLS_TYPE, number)[-1]
        vswitch.send("m-out", mpls_answer(at_function, "m"))
        at_dst = received(vswitch, "dst", 0x0800, number)
        assert len(at_dst) == number
        assert bytes(at_dst[-1].payload) == bytes(sent.payload)
        home = mac("vm2") if address == "10.0.0.11" else None
        assert at_dst[-1].src == home or (
            home is None and at_dst[-1].src in (mac("vm"), mac("vm2"))
        )
    learned = vswitch.appctl("fdb/show", "h1-int")
    assert mac("m-out") not in learned


def test_functions_behind_an_mpls_aware_function_on_its_own_network(fabric, vswitch):
    """A bridging function keeps the address that the switch has given the packet."""
    fabric.plug("h2", "m-in", "m-out", vlan=2)
    announce_destination(vswitch)
    own = replace(aware("m", "h2", "mpls"), off_network=True)
    bridging = target("a", "h1", bridges=True)
    fabric.program(chain([own], [bridging], **{"sources": (source("vm", "h1", "10.0.0.10"),)}))
    vswitch.send("vm", tcp())
    (at_m,) = received(vswitch, "m-in", MPLS_TYPE)
    vswitch.send("m-out", mpls_answer(at_m, "m"))
    (at_a,) = received(vswitch, "a-in", 0x0800)
    vswitch.send("a-out", at_a)
    (at_dst,) = received(vswitch, "dst", 0x0800)
    assert at_dst.src == VM_MAC
    assert bytes(at_dst.payload) == bytes(tcp().payload)
