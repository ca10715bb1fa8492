"""What functions return is accepted only with addresses that the chain's sources may send from.

A switch with Neutron's port security at the function's port gets frames with random addresses. An
oracle says which of them may reach the destination, and with which source.
"""

import random
from dataclasses import replace

import pytest
from scapy.layers.inet import IP, UDP
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


def graph_of(*kinds):
    """Return snapshots of chains in a row, of one function each: ``a``, ``b`` and so on.

    The first chain takes all that ``vm`` sends. Port security is as in `build`.
    """
    names = "abc"[: len(kinds)]
    pairs = tuple(AddressPair(prefix, VM_MAC) for prefix in (f"{SECOND}/32", PAIR))
    ports = {
        ident(name): Port(
            ident(name), "net", "alice", mac(name), (address,), "h1", plugged=True,
            address_pairs=pairs if name == "vm" else (),
        )
        for name, address in (
            ("vm", VM), *((f"{name}-{side}", OWN) for name in names for side in ("in", "out")),
        )
    }  # fmt: skip
    chains = []
    for number, (name, kind) in enumerate(zip(names, kinds, strict=True), 1):
        ends = (ident(f"{name}-in"), ident(f"{name}-out"))
        pair = PortPair(name, "alice", *ends, kind=kind)
        group = PortPairGroup(name, "alice", number, (pair,))
        classifier = FlowClassifier(name, "alice")
        chains.append(PortChain(f"chain-{name}", "alice", number, (group,), (classifier,)))
    return [
        ChainSnapshot(
            one,
            ports,
            {one.flow_classifiers[0].id: () if number else (ident("vm"),)},
            predecessors=tuple(chains[:number][-1:]),
            successors=tuple(chains[number + 1 :][:1]),
            earlier=tuple(chains[:number][:-1]),
            senders=(ident("vm"),) if number else (),
        )
        for number, one in enumerate(chains)
    ]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("name", "kinds", "next_port"),
    [
        ("b", (FunctionKind.L3, FunctionKind.L3, FunctionKind.L3), "c-in"),
        ("c", (FunctionKind.L3, FunctionKind.L3, FunctionKind.L3), "dst"),
        ("c", (FunctionKind.L3, FunctionKind.L3, FunctionKind.L2), "dst"),
    ],
    ids=["routes", "routes at the end", "bridges at the end"],
)
def test_functions_of_following_chains_return_what_the_first_chains_sources_may_send(
    vswitch, name, kinds, next_port, seed
):
    fabric = Fabric(vswitch)
    fabric.plug("h1", "vm", "dst", *(f"{each}-{side}" for each in "abc" for side in ("in", "out")))
    secure(fabric, name)
    fabric.program(*(plan_chain(one, TUNNEL_IPS).plan for one in graph_of(*kinds)))
    vswitch.send("dst", Ether(src=DST_MAC, dst=VM_MAC, type=0x88B6) / b"here")
    routes = kinds["abc".index(name)] is FunctionKind.L3
    # A bridging function returns frames of the last function that routes.
    sender = mac(f"{name}-out") if routes else mac(f"{'abc'['abc'.index(name) - 1]}-out")
    frames = random_frames(seed, sender)
    vswitch.send(f"{name}-out", *frames, frame(99, VM, sender))
    # What a routing function sends of its own gets to the destination, past the chains.
    may_send = (*MAY_SEND, OWN) if routes and next_port == "dst" else MAY_SEND
    expected = [f[UDP].dport for f in frames if f.src == sender and f[IP].src in may_send]
    assert numbers_at(vswitch, next_port, len(expected) + 1) == [*expected, 99]
    assert not learnt_at(vswitch, VICTIM_MAC) | learnt_at(vswitch, VM_MAC)


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
        classifiers=(ANY, replace(ANY, ethertype="IPv6")),
    )
    fabric.program(plans)
    there, wanted = (
        {entry for entry in entries if isinstance(entry, Flow) and entry.key.table == RETURNED}
        for entries in (fabric.hosts["h1"].dump_entries(), fabric.desired("h1", plans))
    )
    assert there == wanted != set()
