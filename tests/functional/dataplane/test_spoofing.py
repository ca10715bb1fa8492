"""What functions return is accepted only with addresses that the chain's sources may send from.

A switch with Neutron's port security at the function's port gets frames with random addresses. An
oracle says which of them may reach the destination, and with which source.
"""

import random
from dataclasses import replace

import pytest
from scapy.contrib.mpls import MPLS
from scapy.contrib.nsh import NSH
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_RA,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptUnknown,
    IPv6,
)
from scapy.layers.l2 import Ether

from portchain.core.model import (
    AddressPair,
    ChainSnapshot,
    FlowClassifier,
    FunctionKind,
    Port,
    PortChain,
    PortPair,
    PortPairGroup,
    PortRole,
)
from portchain.dataplane.flow import Bridge, Flow
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.pipeline import TABLES
from portchain.dataplane.plan import Hop
from portchain.dataplane.planning.planner import plan_chain
from tests import full
from tests.functional.dataplane.fabric import DST_MAC, VM_MAC, Fabric
from tests.plans import TUNNEL_IPS, chain, classifier, ident, mac, source, target

SEEDS = full.in_full(range(40), range(1))
RETURNED = TABLES["RETURNED"].number
FIREWALLS = pytest.mark.parametrize("firewall", list(Firewall))
VM, SECOND, PAIR, OWN = "10.0.0.10", "10.0.0.11", "10.0.9.0/24", "10.0.0.30"
MAY_SEND = (VM, SECOND, "10.0.9.7")
VICTIMS = ("10.0.0.1", "10.0.0.20", "10.0.8.255", "192.0.2.1")
VICTIM_MAC = "fa:16:3e:ff:ff:01"
ANY = classifier(
    protocol=None, source_ports=None, destination_ports=None, source_prefixes=(),
    destination_prefixes=(),
)  # fmt: skip


def build(vswitch, firewall, *hops, **how):
    fabric = Fabric(vswitch, firewall)
    fabric.plug("h1", "vm", "dst", "a-in", "a-out", "b-in", "b-out")
    sources = (f"{VM}/32", f"{SECOND}/32", PAIR)
    plan = chain(
        *(
            Hop(
                number,
                (replace(target(name, "h1", **how), return_macs=(mac(f"{name}-out"),)),),
                returned_sources=sources,
            )
            for number, name in enumerate(hops, 1)
        ),
        classifiers=(ANY,),
        sources=(source("vm", "h1", VM),),
    )
    for name in hops:
        secure(fabric, name)
    fabric.program(plan)
    vswitch.send("dst", Ether(src=DST_MAC, dst=VM_MAC, type=0x88B6) / b"here")
    return fabric


def secure(fabric, name):
    """Program what port security does at a function's port: its own addresses only."""
    ofport = fabric.local("h1").ports[ident(f"{name}-out")].ofport
    host, port = fabric.hosts["h1"], f"in_port={ofport}"
    allowed = f"dl_src={mac(f'{name}-out')},ip,nw_src={OWN}"
    for priority, match, action in ((200, f"{port},{allowed}", "NORMAL"), (199, port, "drop")):
        flow = f"table=0,priority={priority},{match},actions={action}"
        host.neutron_flows.append(flow)
        host.ofctl(Bridge.INT, "add-flow", flow)


def frame(number, address, frame_address, destination="10.0.0.20"):
    ethernet = Ether(src=frame_address, dst=DST_MAC)
    return ethernet / IP(src=address, dst=destination) / UDP(sport=9, dport=number) / b"x"


def random_frames(seed, own_mac):
    draw = random.Random(seed)
    macs = (own_mac, VICTIM_MAC, VM_MAC)
    return [
        frame(number, draw.choice((*MAY_SEND, *VICTIMS, OWN)), draw.choice(macs))
        for number in range(1, 41)
    ]


def numbers_at(vswitch, port, count=0):
    return [f[UDP].dport for f in vswitch.received(port, count, lambda each: UDP in each)]


def learnt_at(vswitch, address):
    """Return the ports at which the bridge has learnt a MAC address."""
    table = vswitch.run("ovs-appctl", "fdb/show", "h1-int")
    return {line.split()[0] for line in table.splitlines() if address in line}


@FIREWALLS
@pytest.mark.parametrize("seed", SEEDS)
def test_a_routing_function_returns_what_the_sources_may_send(vswitch, firewall, seed):
    build(vswitch, firewall, "a")
    own = mac("a-out")
    frames = random_frames(seed, own)
    vswitch.send("a-out", *frames, frame(99, VM, own))
    expected = [
        each[UDP].dport for each in frames if each.src == own and each[IP].src in (*MAY_SEND, OWN)
    ]
    assert numbers_at(vswitch, "dst", len(expected) + 1) == [*expected, 99]
    assert not learnt_at(vswitch, VICTIM_MAC) | learnt_at(vswitch, VM_MAC)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_next_function_gets_what_the_sources_may_send(vswitch, seed):
    build(vswitch, Firewall.OPENVSWITCH, "a", "b")
    own = mac("a-out")
    frames = random_frames(seed, own)
    vswitch.send("a-out", *frames, frame(99, VM, own))
    chained = [each[UDP].dport for each in frames if each.src == own and each[IP].src in MAY_SEND]
    assert numbers_at(vswitch, "b-in", len(chained) + 1) == [*chained, 99]
    apart = [each[UDP].dport for each in frames if each.src == own and each[IP].src == OWN]
    assert numbers_at(vswitch, "dst", len(apart)) == apart


@pytest.mark.parametrize("seed", SEEDS)
def test_a_bridging_function_returns_frames_of_the_sources(vswitch, seed):
    build(vswitch, Firewall.OPENVSWITCH, "a", bridges=True)
    frames = random_frames(seed, mac("a-out"))
    vswitch.send("a-out", *frames, frame(99, VM, VM_MAC))
    expected = [
        each[UDP].dport for each in frames if each.src == VM_MAC and each[IP].src in MAY_SEND
    ]
    assert numbers_at(vswitch, "dst", len(expected) + 1) == [*expected, 99]
    assert not learnt_at(vswitch, VICTIM_MAC) | learnt_at(vswitch, mac("a-out"))


def test_a_function_without_port_security_returns_any_frame(vswitch):
    """Its port may send from any address, too, and so may sources without port security."""
    fabric = Fabric(vswitch)
    fabric.plug("h1", "vm", "dst", "a-in", "a-out")
    hop = Hop(1, (target("a", "h1"),), returned_sources=("0.0.0.0/0", "::/0"))
    fabric.program(chain(hop, classifiers=(ANY,)))
    vswitch.send("dst", Ether(src=DST_MAC, dst=VM_MAC, type=0x88B6) / b"here")
    vswitch.send("a-out", frame(1, "192.0.2.1", mac("a-out")), frame(2, VM, VICTIM_MAC))
    assert numbers_at(vswitch, "dst", 2) == [1, 2]


def graph_of(*chains):
    """Return snapshots of chains in a row. Their functions are ``a``, ``b`` and so on.

    The first chain takes all that ``vm`` sends. Port security is as in `build`.

    :param chains: the kinds of the functions of each chain: the arguments of a `PortPair`.
    """
    names = iter("abc")
    pairs = tuple(AddressPair(prefix, VM_MAC) for prefix in (f"{SECOND}/32", PAIR))
    vm = Port(
        ident("vm"), "net", "alice", VM_MAC, (VM,), "h1", plugged=True, address_pairs=pairs
    )  # fmt: skip
    ports, made = {vm.id: vm}, []
    for number, kinds in enumerate(chains, 1):
        groups = []
        for kind, name in zip(kinds, names, strict=False):
            ends = [ident(f"{name}-{side}") for side in ("in", "out")]
            pair = PortPair(name, "alice", *ends, **kind)
            groups.append(PortPairGroup(name, "alice", ord(name), (pair,)))
            ports |= {
                ident(port): Port(
                    ident(port), "net", "alice", mac(port), (OWN,), "h1", plugged=True
                )
                for port in (f"{name}-in", f"{name}-out")
            }
        classifier = FlowClassifier(f"fc{number}", "alice")
        made.append(PortChain(f"pc{number}", "alice", number, tuple(groups), (classifier,)))
    return [
        ChainSnapshot(
            one,
            ports,
            {one.flow_classifiers[0].id: () if number else (vm.id,)},
            predecessors=tuple(made[:number][-1:]),
            successors=tuple(made[number + 1 :][:1]),
            earlier=tuple(made[:number][:-1]),
            senders=(vm.id,) if number else (),
        )
        for number, one in enumerate(made)
    ]


ROUTE, BRIDGE = {"kind": FunctionKind.L3}, {"kind": FunctionKind.L2}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("chains", "name", "senders", "next_port"),
    [
        # A bridging function returns frames of the last function that routes, or of the source.
        ([[BRIDGE, ROUTE]], "a", ["vm"], "b-in"),
        ([[ROUTE, BRIDGE, ROUTE]], "b", ["a-out"], "c-in"),
        ([[BRIDGE, BRIDGE]], "a", ["vm"], "b-in"),
        ([[BRIDGE], [ROUTE]], "a", ["vm"], "b-in"),
        ([[BRIDGE], [BRIDGE, ROUTE]], "b", ["vm"], "c-in"),
        # In a following chain, nobody knows which functions its packets have passed.
        ([[ROUTE], [BRIDGE], [ROUTE]], "b", ["a-out", "vm"], "c-in"),
        ([[ROUTE], [ROUTE], [BRIDGE]], "c", ["b-out"], "dst"),
        ([[ROUTE], [ROUTE], [ROUTE]], "b", ["b-out"], "c-in"),
        ([[ROUTE], [ROUTE], [ROUTE]], "c", ["c-out"], "dst"),
    ],
)
def test_functions_of_all_kinds_return_what_the_sources_may_send(
    vswitch, chains, name, senders, next_port, seed
):
    fabric = Fabric(vswitch)
    fabric.plug("h1", "vm", "dst", *(f"{each}-{side}" for each in "abc" for side in ("in", "out")))
    secure(fabric, name)
    fabric.program(*(plan_chain(one, TUNNEL_IPS).plan for one in graph_of(*chains)))
    vswitch.send("dst", Ether(src=DST_MAC, dst=VM_MAC, type=0x88B6) / b"here")
    macs = list(map(mac, senders))
    frames = random_frames(seed, macs[0])
    vswitch.send(f"{name}-out", *frames, frame(99, VM, macs[0]))
    # What a routing function sends of its own gets to the destination, past the chains.
    routes = senders == [f"{name}-out"]
    may_send = (*MAY_SEND, OWN) if routes and next_port == "dst" else MAY_SEND
    expected = [f[UDP].dport for f in frames if f.src in macs and f[IP].src in may_send]
    assert numbers_at(vswitch, next_port, len(expected) + 1) == [*expected, 99]
    assert not learnt_at(vswitch, VICTIM_MAC) | learnt_at(vswitch, VM_MAC)


@pytest.mark.parametrize("seed", SEEDS)
def test_functions_that_understand_nsh_return_frames_of_the_sources(vswitch, seed):
    fabric = Fabric(vswitch)
    fabric.plug("h1", "vm", *(f"{each}-{side}" for each in "ab" for side in ("in", "out")))
    (snapshot,) = graph_of([{"correlation": "nsh"}, ROUTE])
    fabric.program(plan_chain(snapshot, TUNNEL_IPS).plan)
    vswitch.send("vm", frame(98, VM, VM_MAC))
    (at_function,) = vswitch.received("a-in", 1, lambda each: NSH in each)
    answer = Ether(src=mac("a-out"), dst=at_function.src, type=at_function.type)
    frames = random_frames(seed, mac("a-out"))
    for inside in (*frames, frame(99, VM, VM_MAC)):
        header = at_function[NSH].copy()
        header.si -= 1
        header.remove_payload()
        vswitch.send("a-out", answer / header / inside)
    # It may translate to the addresses of its own port.
    may_send = (*MAY_SEND, OWN)
    expected = [f[UDP].dport for f in frames if f.src == VM_MAC and f[IP].src in may_send]
    assert numbers_at(vswitch, "b-in", len(expected) + 1) == [*expected, 99]


@pytest.mark.parametrize(
    ("kind", "pair"),
    [
        ("l2", {"kind": FunctionKind.L2}),
        ("mpls", {"correlation": "mpls"}),
        ("nsh", {"correlation": "nsh"}),
    ],
)
def test_functions_elsewhere_return_nothing_of_others_to_the_network(vswitch, kind, pair):
    """A member may give machines on a network of their own any address, or all."""
    fabric = Fabric(vswitch)
    fabric.plug("h1", "vm", "dst", "mine", "a-in", "a-out")
    where = {"network_subnets": ("10.44.0.0/24",), "port_security": False}
    ports = {
        ident("vm"): Port(
            ident("vm"), "net", "alice", VM_MAC, (VM,), "h1", plugged=True,
            network_subnets=("10.0.0.0/24",),
        ),
        **{
            ident(name): Port(
                ident(name), "mine", "alice", mac(name), (VICTIMS[1],), "h1", plugged=True, **where
            )
            for name in ("mine", "a-in", "a-out")
        },
    }  # fmt: skip
    group = PortPairGroup("a", "alice", 1, (PortPair("a", "alice", *[*ports][2:], **pair),))
    one = PortChain("pc", "alice", 1, (group,), (FlowClassifier("fc", "alice"),))
    snapshot = ChainSnapshot(one, ports, {"fc": (ident("vm"), ident("mine"))})
    fabric.program(plan_chain(snapshot, TUNNEL_IPS).plan)
    vswitch.send("dst", Ether(src=DST_MAC, dst=VM_MAC, type=0x88B6) / b"here")
    sent = [frame(number, address, VM_MAC) for number, address in enumerate((*VICTIMS, VM))]
    vswitch.send("a-out", *(within(kind, each.payload, VM_MAC) for each in sent))
    arrived = vswitch.received("dst", 1, lambda f: UDP in f)
    sources = {each[IP].src for each in arrived}
    assert VM in sources
    assert not any(address.startswith("10.0.0.") for address in sources - {VM})


@pytest.mark.parametrize("other", ["mpls", "nsh"])
@pytest.mark.parametrize("last", [True, False])
def test_functions_of_two_kinds_at_one_port_are_checked_apart(vswitch, other, last):
    """What one of them may send behind a header, the other one may not send without."""
    fabric = Fabric(vswitch)
    fabric.plug("h1", "vm", "dst", "a-in", "a-out", "b-in", "b-out", "c-in")
    secure(fabric, "a")
    plain = replace(target("a", "h1"), return_macs=(mac("a-out"),))
    aware = target("c", "h1", encapsulation=other)
    aware = replace(aware, egress_port=plain.egress_port, egress_mac=plain.egress_mac)
    behind = () if last else ([target("b", "h1")],)
    plans = []
    for number, (name, function, sources) in enumerate(
        (("pc1", plain, (f"{VM}/32",)), ("pc2", aware, (PAIR,))), 1
    ):
        hop = Hop(number, (function,), returned_sources=sources)
        one = replace(ANY, protocol=17, destination_ports=(number, number))
        plans.append(chain(hop, *behind, name=name, path_id=number, classifiers=(one,)))
    fabric.program(*plans)
    vswitch.send("dst", Ether(src=DST_MAC, dst=VM_MAC, type=0x88B6) / b"here")
    in_pair = "10.0.9.7"
    allowed = [frame(1, VM, mac("a-out"))]
    refused = [frame(1, VM, VICTIM_MAC), frame(1, in_pair, mac("a-out"))]
    refused += [frame(1, in_pair, VICTIM_MAC), frame(2, in_pair, mac("a-out"))]
    vswitch.send("a-out", *refused, *allowed)
    (found,) = vswitch.received("dst" if last else "b-in", 1, lambda each: UDP in each)
    assert (found[IP].src, found.src) == (VM, mac("a-out"))
    assert not learnt_at(vswitch, VICTIM_MAC)


@pytest.mark.parametrize("role", [PortRole.END, PortRole.ROUTER])
def test_a_function_on_the_network_of_others_sends_for_nobody_behind_a_router(vswitch, role):
    """On a network of their own, members choose addresses, and make ports that say any."""
    fabric = Fabric(vswitch)
    fabric.plug("h1", "vm", "dst", "a-in", "a-out")
    secure(fabric, "a")
    vm = Port(
        ident("vm"), "mine", "alice", VM_MAC, ("10.44.0.10",), "h1", plugged=True, role=role,
        network_project_id="alice", network_subnets=("10.44.0.0/24",), port_security=False,
    )  # fmt: skip
    shared = {"network_project_id": "bob", "network_subnets": ("10.0.0.0/24",)}
    ends = [
        Port(ident(name), "net", "alice", mac(name), (OWN,), "h1", plugged=True, **shared)
        for name in ("a-in", "a-out")
    ]
    group = PortPairGroup("a", "alice", 1, (PortPair("a", "alice", *(one.id for one in ends)),))
    one = PortChain("pc", "alice", 1, (group,), (FlowClassifier("fc", "alice"),))
    ports = {each.id: each for each in (vm, *ends)}
    snapshot = ChainSnapshot(one, ports, {"fc": (vm.id,)})
    fabric.program(plan_chain(snapshot, TUNNEL_IPS).plan)
    vswitch.send("dst", Ether(src=DST_MAC, dst=VM_MAC, type=0x88B6) / b"here")
    frames = [
        frame(number, address, mac("a-out"))
        for number, address in enumerate((*VICTIMS, "10.99.0.5", "10.44.0.10", OWN), 1)
    ]
    vswitch.send("a-out", *frames)
    assert numbers_at(vswitch, "dst", 1) == [len(frames)]


VM6, VICTIM6 = "2001:db8::10", "2001:db8::1"
KINDS = {
    "l3": ({}, "a-out"),
    "l2": ({"bridges": True}, "vm"),
    "mpls": ({"encapsulation": "mpls"}, "vm"),
    "nsh": ({"encapsulation": "nsh"}, "vm"),
}


def forbidden_messages():
    """Yield messages that Neutron lets no machine send, with a number each.

    Hosts ignore options that they do not know, whatever the message's length.
    """
    options = ICMPv6NDOptDstLLAddr(lladdr=mac("a-out"))
    for units in (0, 3, 30):
        padding = ICMPv6NDOptUnknown(type=200, data=b"x" * (units * 8 - 2)) if units else b""
        for message in (ICMPv6ND_NA(tgt=VICTIM6, R=0, O=1), ICMPv6ND_RA()):
            yield IPv6(src=VM6, dst="2001:db8::20", hlim=255) / message / options / padding
    yield IPv6(src=VM6, dst="2001:db8::20") / UDP(sport=547, dport=546) / b"x"
    yield IP(src=VM, dst="10.0.0.20") / UDP(sport=67, dport=68) / b"x"


def within(kind, inside, frame_address):
    """Return a packet as a function of a kind returns it, in the frame that it sends."""
    ethernet = Ether(src=frame_address, dst=DST_MAC)
    whole = ethernet / inside
    if kind == "mpls":
        label = 0x10001 | (0x40000 if IPv6 in inside else 0)
        ethernet.type = 0x8847
        return ethernet / MPLS(label=label, s=1, ttl=254) / inside
    if kind == "nsh":
        header = NSH(mdtype=1, length=6, nextproto=3, spi=0x10001, si=254, ttl=63)
        return Ether(src=mac("a-out"), dst=mac("a-in"), type=0x894F) / header / whole
    return whole


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hops", [("a",), ("a", "b")])
def test_functions_are_no_routers_servers_or_neighbours(vswitch, kind, hops):
    """Neutron drops such messages of machines; through a function nobody gets them either."""
    how, sender = KINDS[kind]
    fabric = Fabric(vswitch)
    fabric.plug("h1", "vm", "dst", "a-in", "a-out", "b-in", "b-out")
    secure(fabric, "a")
    plan = chain(
        *(
            Hop(
                number,
                (replace(target(name, "h1", **how), return_macs=(mac(f"{name}-out"),)),),
                returned_sources=(f"{VM}/32", f"{VM6}/128"),
            )
            for number, name in enumerate(hops, 1)
        ),
        classifiers=(ANY, replace(ANY, ethertype="IPv6")),
        sources=(source("vm", "h1", VM), replace(source("vm", "h1", VM6), classifier=1)),
    )
    fabric.program(plan)
    vswitch.send("dst", Ether(src=DST_MAC, dst=VM_MAC, type=0x88B6) / b"here")
    own = mac(sender)
    after = within(kind, IP(src=VM, dst="10.0.0.20") / UDP(sport=9, dport=99) / b"x", own)
    vswitch.send("a-out", *(within(kind, one, own) for one in forbidden_messages()), after)
    last = "dst" if len(hops) == 1 else "b-in"
    for port in ("dst", "b-in"):
        frames = vswitch.received(port, int(port == last), lambda f: f.type != 0x88B6)
        assert [f for f in frames if b"\0\x63" not in bytes(f)] == [], port


def test_a_translation_makes_no_server_of_a_function(vswitch):
    fabric = Fabric(vswitch)
    fabric.plug("h1", "vm", "dst", "a-in", "a-out")
    secure(fabric, "a")
    sent = replace(ANY, protocol=17, source_ports=(1000, 2000))
    hop = Hop(
        1,
        (replace(target("a", "h1"), return_macs=(mac("a-out"),)),),
        headers=(replace(sent, source_ports=(67, 67), destination_ports=(68, 69)),),
        returned_sources=(f"{VM}/32",),
    )
    fabric.program(chain(hop, classifiers=(sent,), sources=(source("vm", "h1", VM),)))
    vswitch.send("dst", Ether(src=DST_MAC, dst=VM_MAC, type=0x88B6) / b"here")
    frames = (frame(number, VM, mac("a-out")) for number in (68, 69))
    for each in frames:
        each[UDP].sport = 67
        vswitch.send("a-out", each)
    assert numbers_at(vswitch, "dst", 1) == [69]


def test_chains_that_end_at_one_function_do_not_conflict(vswitch):
    fabric = Fabric(vswitch)
    fabric.plug("h1", "vm", "vm2", "dst", "a-in", "a-out")
    fabric.program(
        *(
            chain(
                Hop(1, (target("a", "h1"),), returned_sources=(f"{address}/32",)),
                name=name, path_id=number, classifiers=(ANY,), sources=(source(vm, "h1", address),),
            )
            for number, (name, vm, address) in enumerate(
                (("pc1", "vm", VM), ("pc2", "vm2", SECOND)), 1
            )
        )
    )  # fmt: skip
    vswitch.send("dst", Ether(src=DST_MAC, dst=VM_MAC, type=0x88B6) / b"here")
    vswitch.send("a-out", *(frame(n, a, mac("a-out")) for n, a in enumerate((VM, SECOND), 1)))
    assert numbers_at(vswitch, "dst", 2) == [1, 2]


def test_flows_read_back_as_written(vswitch):
    fabric = build(vswitch, Firewall.OPENVSWITCH, "a", "b")
    plans = chain(
        Hop(
            1,
            (replace(target("a", "h1"), return_macs=(mac("a-out"), VICTIM_MAC)),),
            returned_sources=(PAIR, "2001:db8::10/128", "fe80::/64", "::/0"),
        ),
        Hop(
            2,
            (target("b", "h1", bridges=True),),
            returned_sources=(PAIR, "::/0"),
            returned_macs=(mac("a-out"), VICTIM_MAC),
        ),
        [target("c", "h2")],
        classifiers=(ANY, replace(ANY, ethertype="IPv6")),
    )
    fabric.program(plans)
    there, wanted = (
        {entry for entry in entries if isinstance(entry, Flow) and entry.key.table == RETURNED}
        for entries in (fabric.hosts["h1"].dump_entries(), fabric.desired("h1", plans))
    )
    assert there == wanted != set()
