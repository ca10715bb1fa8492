"""Traces say of a packet what really happens to it: both are compared for random packets.

The switch traces itself, as on hosts with an agent; or a copy of it does, as for a controller.

The hosts of the world share one ovs-vswitchd, and the links between them are patch ports. A trace
of one host ends where the packet enters a bridge of another one, as it does at a tunnel.
"""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from portchain.controller.switch_copy import SwitchCopy, read_bridge
from portchain.core.function_kinds import L2, L3
from portchain.core.model import FunctionKind
from portchain.dataplane.flow import Bridge
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.tracing.host_view import HostView
from portchain.dataplane.tracing.journey import Function, Journey, Outcome, follow
from portchain.dataplane.tracing.packet import Packet
from portchain.dataplane.tracing.steps import Decision, HostTrace, Start
from portchain.host.tracer import HostTracer, Tracing
from portchain.ovsdb.switch_database import SwitchDatabase
from tests.full import in_full
from tests.functional.dataplane.test_random import (
    ADDRESSES,
    DESTINATION,
    GROUPS,
    PAIRS,
    SOURCES,
    UserActions,
)
from tests.functional.dataplane.world import TCP, UDP, Header, World
from tests.functional.vswitch import DEADLINE, VswitchBridge, running_vswitch
from tests.plans import HOSTS, TUNNEL_IPS, ident, mac

PACKETS = 90
"""In each of the situations below; there are more than 500 in all."""
(PACKETS_IN_COPIES,) = in_full([90], [10])
SITUATIONS = 6
Probe = tuple[str, Header, str]


@pytest.fixture(scope="module", params=list(Firewall))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with running_vswitch() as vswitch:
        yield World(vswitch, [*SOURCES, DESTINATION], PAIRS, request.param)


@pytest.fixture
def actions(world: World) -> UserActions:
    class Actions(UserActions):
        pass

    Actions.world = world
    return Actions()


class RemoteBridge(VswitchBridge):
    """A bridge that a controller programs."""

    def appctl(self, command: str, *args: str) -> str:
        raise AssertionError("a controller cannot ask the switch")


@contextmanager
def copies(world: World) -> Iterator[dict[str, Tracing]]:
    """Copy the switch of each host, and run the copies until the context ends."""
    switches = SwitchDatabase(
        lambda: f"unix:{world.vswitch.folder}/db.sock", DEADLINE, lambda port_id: None
    )
    found: dict[str, Tracing] = {}
    with ExitStack() as stack:
        stack.callback(switches.close)
        for host in HOSTS:
            names = (f"{host}-int", f"{host}-tun")
            bridges = [RemoteBridge(world.vswitch, name, switches.connect()) for name in names]
            copy = SwitchCopy(Path(stack.enter_context(TemporaryDirectory(prefix="copy-"))))
            stack.callback(copy.stop)
            copy.start()
            copy.add(map(read_bridge, bridges))
            found[host] = copy
        yield found


def follow_in(world: World, probe: Probe, copied: Mapping[str, Tracing]) -> Journey:
    """Trace a probe, as the server does.

    :param copied: hosts whose switch does not trace itself -> what does.
    """
    port, header, receiver = probe
    packet = Packet(
        *(mac(port), mac(receiver), "IPv4", header.source, header.destination),
        *(header.protocol, header.source_port, header.destination_port),
        is_established=header.protocol == TCP,  # probes have no SYN
    )

    def ask(host: str, start: Start, packet: Packet) -> HostTrace:
        switch = TracedHost(world, host)
        view = switch.view(world.agents[host].reconciler.plans)
        return HostTracer(copied.get(host, switch)).trace(view, start, packet)

    return follow(ident(port), packet, WorldTopology(world), ask)


@dataclass(frozen=True)
class TracedHost:
    """A host of a world; implements ``host.tracer.Tracing``."""

    world: World
    name: str

    def view(self, plans: Sequence[ChainPlan]) -> HostView:
        bridges = {f"{self.name}-int": Bridge.INT, f"{self.name}-tun": Bridge.TUN}
        return HostView(self.world.hosts[self.name].read_ports(), bridges, plans)

    def appctl(self, command: str, *args: str) -> str:
        return self.world.vswitch.appctl(command, *args)

    def dump_table(self, bridge: str, table: int) -> str:
        role = Bridge.INT if bridge.endswith("-int") else Bridge.TUN
        return self.world.hosts[self.name].ofctl(role, "dump-flows", "--no-stats", f"table={table}")


class WorldTopology:
    """Where things are in a world; implements ``journey.Topology``."""

    def __init__(self, world: World) -> None:
        self._ports = {ident(port): port for port in world.ports}
        self._world = world

    def host_of(self, port_id: str) -> str:
        return self._world.homes.get(self._ports.get(port_id, ""), "")

    def host_at(self, address: str) -> str:
        return next(host for host, known in TUNNEL_IPS.items() if known == address)

    def tunnel_address(self, host: str) -> str:
        return TUNNEL_IPS.get(host, "")

    def mac_of(self, port_id: str) -> str:
        return mac(self._ports[port_id])

    def port_with(self, address: str) -> str:
        return next((ident(p) for p in self._world.ports if mac(p) == address), "")

    def function(self, pair_id: str) -> Function | None:
        pair = next(pair for pair in PAIRS if ident(pair) == pair_id)
        ends = ident(f"{pair}-in"), ident(f"{pair}-out")
        traits = L2 if GROUPS[PAIRS[pair]] is FunctionKind.L2 else L3
        return Function(traits, dict(zip(ends, reversed(ends), strict=True)))


def trail_of(journey: Journey) -> tuple[str, ...]:
    """Return the ids of the ports that a traced packet visits."""
    return tuple(step.port_id for _, step in journey.steps if step.decision is Decision.DELIVERED)


def random_probes(draw: random.Random, count: int) -> list[Probe]:
    """Return requests and replies, in chains and outside of them."""
    probes: list[Probe] = []
    for _ in range(count):
        source, protocol, port = draw.choice((("vm1", TCP, 100), ("vm2", UDP, 103)))
        if draw.random() < 0.4:
            source, protocol = draw.choice(SOURCES), draw.choice((TCP, UDP))
            port = draw.choice((99, 100, 101, 107, 108))
        header = Header(
            *(ADDRESSES[source], ADDRESSES[DESTINATION], protocol),
            *(draw.randrange(1024, 65536), port),
        )
        probes.append((source, header, DESTINATION))
        if draw.random() < 0.5:
            probes[-1] = (DESTINATION, header.reply, source)
    return probes


def check_traces(actions: UserActions, draw: random.Random, *, in_copies: bool) -> Counter[str]:
    """Compare traces with where packets go; return how many packets had each outcome."""
    world, seen = actions.world, Counter[str]()
    probes = random_probes(draw, PACKETS_IN_COPIES if in_copies else PACKETS)
    with copies(world) if in_copies else nullcontext({}) as copied:
        journeys = [follow_in(world, probe, copied) for probe in probes]
    for start in range(0, len(probes), 50):
        trails = world.send(probes[start : start + 50])
        for probe, journey, trail in zip(probes[start:], journeys[start:], trails, strict=False):
            expected = tuple(map(ident, trail))
            assert trail_of(journey) == expected, (probe, trail, journey)
            end = Outcome.DELIVERED if trail[-1:] == (probe[2],) else Outcome.DROPPED
            assert journey.outcome is end, (probe, trail, journey)
            decisions = {step.decision for _, step in journey.steps}
            chained = len(trail) > 1 or Decision.CLASSIFIED in decisions
            assert (Decision.NOT_CLASSIFIED in decisions) is not chained, journey
            seen["dropped" if end is Outcome.DROPPED else "chained" if chained else "plain"] += 1
    return seen


@pytest.mark.parametrize("in_copies", [False, True])
def test_traces_agree_with_where_packets_go(actions: UserActions, in_copies: bool) -> None:
    seen, draw = Counter[str](), random.Random(20)
    check = partial(check_traces, actions, draw, in_copies=in_copies)
    actions.create_chain("vm1", TCP, (100, 100), ["A", "B"], symmetric=True, lost_on="")
    actions.create_chain("vm2", UDP, (100, 107), ["B", "C"], symmetric=True, lost_on="")
    seen += check()
    for pair, weight in (("a2", 1), ("a3", 3), ("b2", 1), ("c2", 1)):
        actions.change_group(pair, weight, "")
    seen += check()
    actions.move("b1", HOSTS[0])
    actions.move(DESTINATION, HOSTS[0])  # where a source is: packets come back there
    seen += check()
    actions.change_release(HOSTS[1], "")  # whole frames in MPLS
    seen += check()
    for pair in ("a1", "a2", "a3"):
        actions.unplug(pair)
    seen += check()
    for pair in ("c1", "c2"):
        actions.change_group(pair, None, "")
    seen += check()
    packets = seen.total() / SITUATIONS
    assert min(seen[kind] for kind in ("chained", "plain", "dropped")) > packets / 4, seen
    assert packets == (PACKETS_IN_COPIES if in_copies else PACKETS)
