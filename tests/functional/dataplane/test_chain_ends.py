"""Chains whose ends are routers, virtual addresses and machines that forward packets.

The oracle says which packets belong to a chain from the request alone.
"""

import random
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from portchain.core.model import (
    AddressPair,
    ChainSnapshot,
    FlowClassifier,
    Port,
    PortChain,
    PortPair,
    PortPairGroup,
    PortRole,
)
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.planning.planner import plan_chain
from tests import full
from tests.functional.dataplane.fabric import Fabric
from tests.plans import TUNNEL_IPS, ident, mac

ROUNDS = full.in_full(range(400), range(24))
VM, VIP, OUTSIDE = "10.0.0.10", "10.0.0.100", "203.0.113.5"
VIRTUAL_MAC = "00:00:5e:00:01:07"
ADDRESSES = {"vm": VM, "one": "10.0.0.21", "two": "10.0.0.22", "gw": "10.0.0.1"}
GROUPS = ("a", "b")
FIREWALLS = pytest.mark.parametrize("firewall", list(Firewall))


def port(name, **changes):
    address = ADDRESSES.get(name, f"10.0.0.{50 + len(name) + ord(name[0])}")
    made = Port(
        ident(name), ident("net"), ident("project"), mac(name), (address,), "h1", plugged=True,
        name=name, subnets=("10.0.0.0/24",),
    )  # fmt: skip
    return replace(made, **changes)


PAIR = {"address_pairs": (AddressPair(f"{VIP}/32", mac("one")),)}
# How a named end can have more addresses than its own.
KINDS = {
    "plain": {},
    "virtual address": PAIR,
    "virtual router": {"address_pairs": (AddressPair(f"{VIP}/32", VIRTUAL_MAC),)},
    "any address allowed": {"address_pairs": (AddressPair("0.0.0.0/0", mac("one")),)},
    "no port security": {"port_security": False},
    "router": {"role": PortRole.ROUTER},
}
PREFIXES = (None, "10.0.0.0/24", f"{VIP}/32", "203.0.113.0/24", "10.0.0.21/32", "0.0.0.0/0")


@dataclass(frozen=True)
class Chain:
    """A chain of the group ``name``, as a user requests it."""

    name: str
    classifier: FlowClassifier
    sources: tuple[str, ...] = ("vm",)
    replies: tuple[str, ...] = ()

    def plan(self, ports, number):
        group = self.name
        pair = PortPair(
            ident(group), ident("project"), ident(f"{group}-in"), ident(f"{group}-out"), group
        )
        fc = replace(self.classifier, id=ident(f"fc-{group}"))
        chain = PortChain(
            ident(f"pc-{group}"), ident("project"), number,
            (PortPairGroup(ident(f"pg-{group}"), ident("project"), number, (pair,)),), (fc,),
            symmetric=bool(self.replies),
        )  # fmt: skip
        snapshot = ChainSnapshot(
            chain,
            {one.id: one for one in ports.values()},
            {fc.id: tuple(map(ident, self.sources))},
            {fc.id: tuple(map(ident, self.replies))},
        )
        return replace(plan_chain(snapshot, TUNNEL_IPS).plan, packet_hosts=tuple(TUNNEL_IPS))


def classifier(**changes):
    return FlowClassifier("", ident("project"), protocol=17, **changes)


class Place:
    def __init__(self, vswitch, firewall=Firewall.OPENVSWITCH):
        self.vswitch, self.fabric = vswitch, Fabric(vswitch, firewall)
        self.ports = {name: port(name) for name in (*ADDRESSES, "a-in", "a-out", "b-in", "b-out")}
        self.fabric.plug("h1", *self.ports)
        self.number = 0

    def program(self, *chains):
        plans = [chain.plan(self.ports, number) for number, chain in enumerate(chains, 1)]
        self.fabric.program(*plans)

    def at_functions(self, packets, sender="vm"):
        """Send packets; return for each the groups whose functions get it.

        :param packets: source address, destination address, name of the port or MAC address that
            the frame is for, source port, destination port.
        """
        self.vswitch.appctl("revalidator/purge")
        first = self.number
        for source, destination, to, sport, dport in packets:
            self.number += 1
            frame = Ether(src=mac(sender), dst=mac(to) if to in self.ports else to)
            frame /= IP(src=source, dst=destination) / UDP(sport=sport, dport=dport)
            self.vswitch.send(sender, frame / self.number.to_bytes(4, "big"))
        found = []
        at = {
            group: [
                int.from_bytes(bytes(frame)[-4:], "big")
                for frame in self.vswitch.received(
                    f"{group}-in", 0, lambda f, group=group: f.dst == mac(f"{group}-in")
                )
            ]
            for group in GROUPS
        }
        for number in range(first + 1, self.number + 1):
            found.append([group for group in GROUPS for _ in range(at[group].count(number))])
        return found


def rank(port, prefix, destination, to):
    """Say how surely a packet is for a port: 0 is the best; None if it is not."""
    address = ip_address(destination)
    if prefix is not None and address not in ip_network(prefix):
        return None
    pairs = [ip_network(pair.prefix) for pair in port.address_pairs]
    within = ip_network(prefix or "0.0.0.0/0")
    has_none = not any(ip_address(ip) in within for ip in port.fixed_ips) and not any(
        one.overlaps(within) for one in pairs
    )
    forwards = port.forwards or any(not one.prefixlen for one in pairs) or (prefix and has_none)
    if destination in port.fixed_ips:
        return 0
    allowed = [one for one in pairs if address in one and (one.prefixlen or prefix)]
    if to in (port.mac_address, *(pair.mac_address for pair in port.address_pairs)):
        return 1 if forwards or allowed else None
    return 2 if allowed else None


@FIREWALLS
def test_prefix_and_port_hold_for_every_kind_of_port(vswitch, firewall):
    """Two chains of one source; each classifier names a prefix, a port, or both."""
    place, draw = Place(vswitch, firewall), random.Random(f"{firewall} 7")
    frames = [
        (VM, destination, to, 5000, 6000)
        for destination in ("10.0.0.21", "10.0.0.22", "10.0.0.1", VIP, OUTSIDE, "198.51.100.9")
        for to in (mac("one"), mac("two"), mac("gw"), VIRTUAL_MAC)
    ]
    for _ in ROUNDS[:: 1 if firewall is Firewall.OPENVSWITCH else 4]:
        kind = draw.choice(list(KINDS))
        place.ports["one"] = port("one", **KINDS[kind])
        place.ports["gw"] = port("gw", role=PortRole.ROUTER)
        prefixes = {"a": draw.choice(PREFIXES), "b": draw.choice(PREFIXES)}
        named = {"a": "one", "b": draw.choice(["two", "gw"])}
        place.program(
            *(
                Chain(
                    group,
                    classifier(
                        logical_source_port=ident("vm"),
                        logical_destination_port=ident(named[group]),
                        destination_prefix=prefixes[group],
                    ),
                )
                for group in GROUPS
            )
        )
        for frame, got in zip(frames, place.at_functions(frames), strict=True):
            ranks = {g: rank(place.ports[named[g]], prefixes[g], *frame[1:3]) for g in GROUPS}
            best = [g for g in GROUPS if ranks[g] is not None]
            expected = sorted(best, key=lambda g: ranks[g])[:1]
            assert got == expected, (kind, prefixes, named, frame)


def test_packets_to_a_prefix_behind_a_named_router(vswitch):
    place = Place(vswitch)
    place.ports["gw"] = port("gw", role=PortRole.ROUTER)
    named = classifier(
        logical_source_port=ident("vm"),
        logical_destination_port=ident("gw"),
        destination_prefix="203.0.113.0/24",
    )
    place.program(Chain("a", named))
    frames = [(VM, OUTSIDE, "gw", 1, 2), (VM, "10.0.0.1", "gw", 1, 2), (VM, OUTSIDE, "two", 1, 2)]
    assert place.at_functions(frames) == [["a"], [], []]


def test_chains_through_a_router_and_to_a_neighbour_share_a_function(vswitch):
    """Behind the function only addresses tell the packets of the chains apart."""
    place = Place(vswitch)
    place.ports["gw"] = port("gw", role=PortRole.ROUTER)
    source = {"logical_source_port": ident("vm")}
    plans = []
    for number, (end, second) in enumerate((("gw", "b"), ("two", "one")), 1):
        chain = Chain("a", classifier(**source, logical_destination_port=ident(end)))
        plan = chain.plan(place.ports, number)
        (path,) = plan.paths
        if second == "b":
            (other,) = Chain("b", chain.classifier).plan(place.ports, 9).paths
            path = replace(path, hops=(*path.hops, *other.hops))
        plans.append(replace(plan, id=ident(f"pc{number}"), paths=(path,)))
    place.fabric.program(*plans)
    for destination, expected in ((OUTSIDE, ["b"]), ("10.0.0.22", [])):
        frames = [(VM, destination, "gw" if destination == OUTSIDE else "two", 1, 2)]
        assert place.at_functions(frames) == [["a"]]
        assert place.at_functions(frames, sender="a-out") == [expected]


@FIREWALLS
def test_replies_from_behind_a_router_and_from_a_virtual_address(vswitch, firewall):
    place = Place(vswitch, firewall)
    place.ports["gw"] = port("gw", role=PortRole.ROUTER)
    place.ports["one"] = port("one", **PAIR)
    # Its packets reach the source through the router, and were classified where it sent them.
    far = replace(port("far"), network_id=ident("other net"), fixed_ips=("10.9.0.9",))
    place.ports["far"] = far
    open_ended = classifier(logical_source_port=ident("vm"))
    place.program(Chain("a", open_ended, replies=("gw", "one", "two", "far")))
    del place.ports["far"]
    out = place.at_functions([(VM, OUTSIDE, "gw", 1, 2), (VM, VIP, "one", 1, 2)])
    assert out == [["a"], ["a"]]
    assert received_at_egress(place, [(OUTSIDE, VM, "vm", 2, 1)], "gw") == 1
    assert received_at_egress(place, [("10.9.0.9", VM, "vm", 2, 1)], "gw") == 0
    assert received_at_egress(place, [(VIP, VM, "vm", 2, 1)], "one") == 1
    assert received_at_egress(place, [(OUTSIDE, "10.0.0.22", "two", 2, 1)], "gw") == 0


def received_at_egress(place, frames, sender):
    """Send replies; return how many of them the function gets: at its egress port."""

    def count():
        return len(place.vswitch.received("a-out", 0, lambda f: f.dst == mac("a-out")))

    before = count()
    place.at_functions(frames, sender=sender)
    return count() - before


def test_replies_to_a_virtual_address_of_the_source(vswitch):
    place = Place(vswitch)
    place.ports["one"] = port("one", **PAIR)
    named = classifier(logical_source_port=ident("one"), source_prefix=f"{VIP}/32")
    place.program(Chain("a", named, sources=("one",), replies=("two",)))
    assert place.at_functions([(VIP, "10.0.0.22", "two", 1, 2)], sender="one") == [["a"]]
    assert received_at_egress(place, [("10.0.0.22", VIP, "one", 2, 1)], "two") == 1
    assert received_at_egress(place, [("10.0.0.22", "10.0.0.21", "one", 2, 1)], "two") == 0


def test_replies_to_what_is_behind_a_router(vswitch):
    """Inbound: the router's port is the source, and replies are for it by its MAC address."""
    place = Place(vswitch)
    place.ports["gw"] = port("gw", role=PortRole.ROUTER)
    named = classifier(logical_source_port=ident("gw"), source_prefix="203.0.113.0/24")
    place.program(Chain("a", named, sources=("gw",), replies=("two",)))
    assert place.at_functions([(OUTSIDE, "10.0.0.22", "two", 1, 2)], sender="gw") == [["a"]]
    assert received_at_egress(place, [("10.0.0.22", OUTSIDE, "gw", 2, 1)], "two") == 1
    assert received_at_egress(place, [("10.0.0.22", OUTSIDE, "one", 2, 1)], "two") == 0
    assert received_at_egress(place, [("10.0.0.22", "198.51.100.9", "gw", 2, 1)], "two") == 0


@FIREWALLS
def test_a_function_is_the_source_of_another_chain_with_the_same_header(vswitch, firewall):
    """What the function sends of its own enters its chain, what it returns stays in the other."""
    place = Place(vswitch, firewall)
    own = place.ports["a-out"].fixed_ips[0]
    for first in ({}, {"source_prefix": "10.0.0.0/24"}):
        chains = [
            Chain("a", classifier(logical_source_port=ident("vm"), **first)),
            Chain("b", classifier(logical_source_port=ident("a-out")), sources=("a-out",)),
        ]
        for in_order in (chains, chains[::-1]):
            place.program(*in_order)
            frames = [(VM, "10.0.0.22", "two", 1, 2)]
            assert place.at_functions(frames) == [["a"]]
            assert place.at_functions(frames, sender="a-out") == [[]]
            assert place.at_functions([(own, *frames[0][1:])], sender="a-out") == [["b"]]
