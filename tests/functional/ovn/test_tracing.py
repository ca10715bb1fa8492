"""Traces on hosts of OVN say of a packet what really happens to it: random packets decide."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from portchain_lab.observe import packet_paths
from portchain_lab.observe.capture import Capture
from portchain_lab.waiting import wait_for

from portchain.core.protocols import ICMP, TCP, UDP
from portchain.dataplane.interposing import BR_CHAIN
from portchain.dataplane.pipeline import TABLES
from portchain.dataplane.plan import ChainPlan, Hop
from portchain.dataplane.tracing.journey import Function, Journey, Outcome, follow
from portchain.dataplane.tracing.packet import Packet
from portchain.dataplane.tracing.steps import Decision, HostTrace, Start
from portchain.host.live.frame import build
from portchain.host.tracer import HostTracer
from tests.full import in_full
from tests.functional.ovn.cloud import DEADLINE, NETWORK, PORT, Cloud, running_cloud
from tests.plans import ident

(PACKETS,) = in_full([65], [10])
"""In each of the situations below, on each kind of network; there are more than 500 in all."""
SITUATIONS = 4
REFUSED_AT_SOURCE, REFUSED_AT_END, OTHER = 9005, 9006, 9001
FOREIGN = "10.0.0.99"  # an address that no port may use
ENDS = {"a": "h1", "b": "h1", "d": "h2", "e": "h1"}
BEHIND_ROUTER, ROUTER_MAC = "z", "fa:16:3e:ff:00:01"


@pytest.fixture(scope="module", params=["geneve", "vlan"])
def cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    with running_cloud() as one:
        if request.param == "vlan":
            add_physical_network(one)
        for number, (name, host) in enumerate(ENDS.items(), 10):
            one.add(name, host, (name, f"10.0.0.{number}"))
        one.add_function("f", "h1", 20)
        one.add_function("g", "h2", 30)
        one.add_function("i", "h2", 40)
        # Between two ports of a network that floods, a function that bridges is a loop.
        one.add_function("k", "h1", 50, "l3" if request.param == "vlan" else "l2")
        add_router(one)
        add_security_groups(one)
        one.settle()
        yield one


def add_physical_network(cloud: Cloud) -> None:
    """Have OVN send the network's packets between hosts with a tag, and in no tunnel."""
    mapping = "external_ids:ovn-bridge-mappings=physnet1:br-phy"
    for host in cloud.agents:
        cloud.lab.vsctl(host, "set", "open_vswitch", ".", mapping)
    cloud.nb(
        *("lsp-add", NETWORK, "provnet-1", "", "7"),
        *("--", "lsp-set-type", "provnet-1", "localnet"),
        *("--", "lsp-set-addresses", "provnet-1", "unknown"),
        *("--", "lsp-set-options", "provnet-1", "network_name=physnet1"),
    )


def add_router(cloud: Cloud) -> None:
    """Add a router to another network, and a machine there."""
    cloud.nb("ls-add", "far")
    cloud.nb("lr-add", "router")
    sides = ((NETWORK, ROUTER_MAC, "10.0.0.1/24"), ("far", "fa:16:3e:ff:00:02", "10.1.0.1/24"))
    for network, address, prefix in sides:
        port, own = f"{network}-to-router", f"router-to-{network}"
        cloud.nb("lrp-add", "router", own, address, prefix)
        cloud.nb("lsp-add", network, port, "--", "lsp-set-type", port, "router")
        cloud.nb("lsp-set-addresses", port, "router")
        cloud.nb("lsp-set-options", port, f"router-port={own}")
    cloud.add(BEHIND_ROUTER, "h2", (BEHIND_ROUTER, "10.1.0.9"), network="far")


def add_security_groups(cloud: Cloud) -> None:
    """Add rules with connection tracking, as ML2/OVN writes them for security groups."""
    cloud.nb("pg-add", "sg", *map(ident, ENDS))
    for direction, port, refused in (
        ("from-lport", "inport", REFUSED_AT_SOURCE),
        ("to-lport", "outport", REFUSED_AT_END),
    ):
        allowed = f"{port} == @sg && ip4 && udp.dst != {refused}"
        cloud.nb("acl-add", "sg", direction, "1002", allowed, "allow-related")
        allowed = f"{port} == @sg && (tcp || icmp)"
        cloud.nb("acl-add", "sg", direction, "1002", allowed, "allow-related")
        cloud.nb("acl-add", "sg", direction, "1001", f"{port} == @sg && ip", "drop")


class Places:
    """Where things are in a cloud; implements ``journey.Topology``."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        machines = cloud.machines.values()
        self._nics = {nic.port_id: (machine, nic) for machine in machines for nic in machine.nics}

    def host_of(self, port_id: str) -> str:
        return self._nics[port_id][0].host

    def host_at(self, address: str) -> str:
        return next(host for host in self._cloud.agents if self.tunnel_address(host) == address)

    def tunnel_address(self, host: str) -> str:
        return self._cloud.lab.layout.tunnel_ip(host)

    def mac_of(self, port_id: str) -> str:
        return self._nics[port_id][1].mac_address

    def port_with(self, mac: str) -> str:
        found = (port for port, (_, nic) in self._nics.items() if nic.mac_address == mac)
        return next(found, "")

    def function(self, pair_id: str) -> Function:
        names = {ident(name): name for name in self._cloud.machines}
        target = self._cloud.target(names[pair_id])
        one, other = target.ingress_port, target.egress_port
        return Function(target.function, {one: other, other: one})


def follow_in(cloud: Cloud, sender: str, packet: Packet) -> Journey:
    """Trace a packet, as the server does."""

    def ask(host: str, start: Start, at_host: Packet) -> HostTrace:
        agent = cloud.agents[host]
        view = agent.switch.view(agent.reconciler.plans)
        return HostTracer(agent.switch).trace(view, start, at_host)

    return follow(ident(sender), packet, Places(cloud), ask)


def trail_of(journey: Journey) -> tuple[str, ...]:
    """Return the ids of the ports that a traced packet passes, without the one that sends it."""
    passed = (Decision.DELIVERED, Decision.RETURNED)
    return tuple(step.port_id for _, step in journey.steps if step.decision in passed)


Sent = tuple[str, str, Packet]
"""The names of sender and receiver, and the packet."""


def random_packets(draw: random.Random, cloud: Cloud) -> list[Sent]:
    """Return packets. Each has a source port of its own."""
    found: list[Sent] = []
    for source_port in draw.sample(range(20000, 60000), PACKETS):
        sender, receiver = draw.choice((("a", "d"), ("a", "d"), draw.sample(sorted(ENDS), 2)))
        if draw.random() < 0.1:
            receiver = BEHIND_ROUTER
        ends = [cloud.machines[name].nics[0] for name in (sender, receiver)]
        protocol = draw.choice((UDP, UDP, TCP))
        number = draw.choice((PORT, PORT, OTHER, REFUSED_AT_SOURCE, REFUSED_AT_END))
        packet = Packet(
            *(ends[0].mac_address, ends[1].mac_address, "IPv4", ends[0].ip, ends[1].ip),
            *(protocol, source_port, number),
        )
        if draw.random() < 0.1:
            packet = replace(packet, source=FOREIGN)
        if receiver == BEHIND_ROUTER:
            packet = replace(packet, eth_dst=ROUTER_MAC)
        found.append((sender, receiver, packet))
    return found


def send(cloud: Cloud, packets: Iterable[Sent]) -> dict[int, tuple[str, ...]]:
    """Send packets from the ports; return the source port of each that is seen -> its path."""
    vifs: dict[str, Any] = {}
    for agent in cloud.agents.values():
        vifs |= agent.switch.vifs()
    with Capture(cloud.machines.values()) as capture:
        for sender, _, packet in packets:
            vifs[ident(sender)].take_in(build(packet, bytes(16)))
        capture.wait_until_quiet()
        frames = capture.stop()
    seen = packet_paths.observations(frames, promiscuous=True)
    return {one.five_tuple.source_port: one.ports for one in packet_paths.traces(seen)}


def check(cloud: Cloud, draw: random.Random) -> Counter[str]:
    """Compare traces with where packets go; return how many packets had each outcome."""
    packets, seen = random_packets(draw, cloud), Counter[str]()
    journeys = [follow_in(cloud, sender, packet) for sender, _, packet in packets]
    paths = send(cloud, packets)
    for (sender, receiver, packet), journey in zip(packets, journeys, strict=True):
        path = tuple(map(ident, paths.get(packet.source_port, ())))
        assert trail_of(journey) == path, (sender, packet, path, journey)
        arrived = path[-1:] == (ident(receiver),)
        assert journey.outcome is (Outcome.DELIVERED if arrived else Outcome.DROPPED), journey
        decisions = {step.decision for _, step in journey.steps}
        is_chained = Decision.CLASSIFIED in decisions
        assert (Decision.NOT_CLASSIFIED in decisions) is not is_chained, journey
        seen["dropped" if not arrived else "chained" if is_chained else "plain"] += 1
    return seen


def realise(cloud: Cloud, plan: ChainPlan) -> None:
    """Realise a plan, and wait until packets pass it."""
    cloud.realise(plan)
    wait_until_passed(cloud)


def wait_until_passed(cloud: Cloud) -> None:
    """The first packets wait for addresses of tunnel ends and machines."""
    wait_for(lambda: not cloud.paths("a", "d")[0].lost, DEADLINE, "packets to pass the chain")


def with_pairs(cloud: Cloud, plan: ChainPlan, hop: int, *names: str) -> ChainPlan:
    """Return a plan with several pairs in one of its groups."""
    (path,) = plan.paths
    hops = list(path.hops)
    hops[hop] = Hop(hops[hop].group_id, tuple(map(cloud.target, names)))
    return replace(plan, paths=(replace(path, hops=tuple(hops)),))


def plans(cloud: Cloud) -> Iterator[ChainPlan]:
    """Yield plans: functions on both hosts, groups of two, a function that may bridge."""
    yield cloud.plan("a", "d", "f", "g")
    yield with_pairs(cloud, cloud.plan("a", "d", "f", "g"), 1, "g", "i")
    yield with_pairs(cloud, cloud.plan("a", "d", "k", "f"), 1, "f", "i")


def test_traces_agree_with_where_packets_go(cloud: Cloud) -> None:
    seen, draw = Counter[str](), random.Random(20)
    for plan in plans(cloud):
        realise(cloud, plan)
        seen += check(cloud, draw)
        cloud.withdraw()
    seen += check(cloud, draw)
    assert min(seen[kind] for kind in ("chained", "plain", "dropped")) > PACKETS / 2, seen
    assert seen.total() == SITUATIONS * PACKETS


def test_a_packet_is_followed_that_would_be_the_first_one(cloud: Cloud) -> None:
    """A packet has br-chain learn its destination before OVN's checks; a trace has no effects.

    A function that bridges keeps the destination.
    """
    realise(cloud, cloud.plan("a", "d", "k"))
    next_hops = f"table={TABLES['NEXT_HOPS'].number}"
    cloud.lab.ofctl("h1", "del-flows", BR_CHAIN, next_hops)
    source, end = (cloud.machines[name].nics[0] for name in ("a", "d"))
    packet = Packet(
        *(source.mac_address, end.mac_address, "IPv4", source.ip, end.ip, UDP, 30000, PORT)
    )
    journey = follow_in(cloud, "a", packet)
    assert next_hops not in cloud.lab.ofctl("h1", "dump-flows", BR_CHAIN, next_hops)
    wait_until_passed(cloud)  # entries of the datapath from before learn nothing at once
    assert next_hops in cloud.lab.ofctl("h1", "dump-flows", BR_CHAIN, next_hops)
    paths = send(cloud, [("a", "d", packet)])
    cloud.withdraw()
    assert trail_of(journey) == tuple(map(ident, paths[30000]))
    assert journey.outcome is Outcome.DELIVERED


def test_what_ovn_answers_is_said_to_be_answered(cloud: Cloud) -> None:
    """A ping of the router comes back as the answer, without having left OVN's flows."""
    source = cloud.machines["b"].nics[0]
    ping = Packet(source.mac_address, ROUTER_MAC, "IPv4", source.ip, "10.0.0.1", ICMP, 8, 0)
    journey = follow_in(cloud, "b", ping)
    last = journey.steps[-1][1]
    assert (last.decision, last.port_id) == (Decision.DELIVERED, ident("b"))
    assert "OVN answers it" in last.reason
    nobody = follow_in(cloud, "b", replace(ping, destination="10.1.0.77"))
    assert nobody.outcome is Outcome.DROPPED
    assert "no way to its destination" in nobody.steps[-1][1].reason
