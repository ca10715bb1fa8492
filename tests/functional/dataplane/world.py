"""A small cloud in one ovs-vswitchd: three hosts with reconcilers, end points, and functions.

Real packets cross it. The reconcilers program it from plans as in production.
"""

import json
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from portchain.core.model import HostReport
from portchain.core.plan_records import HostChanges
from portchain.dataplane.flow import Bridge, Flow
from portchain.dataplane.host_switch import Firewall, HostNeeds, LocalPort, LocalSwitch
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.planning.planner import Planned
from portchain.dataplane.planning.visibility import HostViews
from portchain.dataplane.transition import TransitionTimeouts
from portchain.db.sent_plans import changes_for_hosts
from portchain.drivers.hosts.updates import Outgoing, two_phase_chains, updates_by_host
from portchain.host.counter_store import CounterStore
from portchain.host.flow_counters import FlowCounters
from portchain.host.reconciler import Reconciler
from portchain.rpc import contract
from tests.ambiguous_flows import ambiguous
from tests.functional.kernel_vswitch import KernelVswitch
from tests.functional.vswitch import DEADLINE, Host, Vswitch
from tests.plans import HOSTS, TUNNEL_IPS, ident, mac

FIRST_OFPORT = 11
SINK, SINK_OFPORT, MARKER_TYPE = "sink", 10, 0x88B5
RECEIVE_QUEUE = 100  # a dummy port queues at most this many frames
_ETHERNET, _IP, _PORTS, _NUMBER = (
    struct.Struct("!6s6sH"),
    20,
    struct.Struct("!HH"),
    struct.Struct("!Q"),
)
TCP, UDP = 6, 17
TIMEOUTS = TransitionTimeouts(switch=5, drain=1)


@dataclass(frozen=True, slots=True)
class Header:
    """The header fields of a probe, as a classifier sees them.

    :param opens: whether it is the first packet of a connection of TCP.
    """

    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int
    opens: bool = False

    @property
    def reply(self) -> "Header":
        """The header of replies."""
        return Header(
            self.destination, self.source, self.protocol, self.destination_port, self.source_port
        )

    def packet(self, number: int, sender: str, receiver: str) -> bytes:
        """Return a frame between two ports with a number as its payload."""
        transport = _PORTS.pack(self.source_port, self.destination_port)
        if self.protocol == TCP:
            transport += struct.pack(
                "!IIBBHHH", 1, 1, 5 << 4, 0x02 if self.opens else 0x10, 1024, 0, 0
            )
        else:
            transport += struct.pack("!HH", 8 + _NUMBER.size, 0)
        payload = transport + _NUMBER.pack(number)
        ends = socket.inet_aton(self.source) + socket.inet_aton(self.destination)
        ip = struct.pack("!BBHHHBBH", 0x45, 0, _IP + len(payload), 1, 0, 64, self.protocol, 0)
        frame = _ETHERNET.pack(_raw(receiver), _raw(sender), 0x0800)
        return frame + ip + ends + payload


@dataclass
class Agent:
    """A host's reconciler, its latest reports, and the counts that outlive it."""

    host: "WorldHost"
    clock: Callable[[], float]
    reports: dict[str, HostReport] = field(default_factory=dict)
    counts: CounterStore = field(default_factory=lambda: CounterStore(":memory:"))

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        counters = FlowCounters(self.host, self.counts, fresh_seconds=0)
        self.reconciler = Reconciler(
            self.host, self.host.name, self._keep, TIMEOUTS, self.clock, counters=counters
        )

    def _keep(self, reports: list[HostReport]) -> None:
        self.reports.update((report.chain_id, report) for report in reports)


class WorldHost(Host):
    """A host that has all ports of the world; some of them are plugged in."""

    def __init__(
        self, vswitch: Vswitch, name: str, ports: Mapping[str, int], firewall: Firewall
    ) -> None:
        super().__init__(vswitch, name)
        self._ofports, self._firewall = ports, firewall
        self._peers = {peer: number for number, peer in enumerate(HOSTS, 2) if peer != name}
        self.plugged: set[str] = set()
        vswitch.add_port(f"{name}-int", f"{name}.{SINK}", SINK_OFPORT)
        marked = f"table=0,priority=400,dl_type={MARKER_TYPE:#x},actions=output:{SINK_OFPORT}"
        self.neutron_flows.append(marked)
        self.ofctl(Bridge.INT, "add-flow", marked)
        self._normal = {Bridge.INT: 0, Bridge.TUN: 0}

    def neutron_flow_counts(self) -> dict[Bridge, int]:
        """Return how many flows are Neutron's, for each bridge."""
        return dict(self._normal)

    def provide(self, needs: HostNeeds) -> None:
        """Provide nothing: these hosts have all that chains need."""

    def read_ports(self) -> LocalSwitch:
        ports = {ident(name): LocalPort(self._ofports[name], 1) for name in self.plugged}
        tunnels = {TUNNEL_IPS[peer]: number for peer, number in self._peers.items()}
        return LocalSwitch(self.name, self._firewall, ports, 1, 1, tunnels)

    def switch_normally(self, homes: Mapping[str, str]) -> None:
        """Program Neutron's part: forward every frame to its destination, without flooding.

        Neutron's firewall tracks the connections of what a port receives.

        :param homes: port -> its host.
        """
        integration, tunnels = [], []
        for name, home in homes.items():
            to = f"dl_dst={mac(name)},actions=output"
            local = home == self.name
            integration.append(f"table=94,priority=2,{to}:{self._ofports[name] if local else 1}")
            if local and self._firewall is Firewall.OPENVSWITCH:
                tracked = f"dl_dst={mac(name)},actions=ct(table=82,zone=1)"
                integration += [f"table=94,priority=3,{ip},{tracked}" for ip in ("ip", "ipv6")]
                integration.append(f"table=82,priority=2,{to}:{self._ofports[name]}")
            if not local:
                tunnels.append(f"table=0,priority=1,in_port=1,{to}:{self._peers[home]}")
        tunnels += [
            f"table=0,priority=1,in_port={number},actions=output:1"
            for number in self._peers.values()
        ]
        self._normal = {
            Bridge.INT: len(self.neutron_flows) + len(integration),
            Bridge.TUN: len(tunnels),
        }
        for bridge, tables, flows in (
            (Bridge.INT, (82, 94), integration),
            (Bridge.TUN, (0,), tunnels),
        ):
            removed = [f"delete cookie=0/-1,table={table}" for table in tables]
            if bridge is Bridge.INT:
                flows.append("table=94,priority=1,actions=drop")
            lines = "\n".join([*removed, *(f"add {flow}" for flow in flows)])
            self.ofctl(bridge, "add-flows", "--bundle", "-", stdin=lines + "\n")


class World:
    """The hosts, the links between them, and where ports are plugged in.

    :param ends: names of the ports of end points.
    :param pairs: names of functions; their ports are ``<name>-in`` and ``<name>-out``.
    """

    def __init__(
        self, vswitch: Vswitch, ends: Iterable[str], pairs: Iterable[str], firewall: Firewall
    ) -> None:
        self.vswitch = vswitch
        self.functions = {f"{p}-in": f"{p}-out" for p in pairs}
        self.functions |= {there: here for here, there in self.functions.items()}
        self.ports = [*ends, *sorted(self.functions)]
        ofports = {name: number for number, name in enumerate(self.ports, FIRST_OFPORT)}
        self.hosts = {name: WorldHost(vswitch, name, ofports, firewall) for name in HOSTS}
        for one in HOSTS:
            with vswitch.at_once():
                for number, other in enumerate(HOSTS, 2):
                    if one != other:
                        vswitch.add_link(f"{one}-tun", f"{one}-{other}", number, f"{other}-{one}")
                for name, ofport in ofports.items():
                    vswitch.add_port(f"{one}-int", f"{one}.{name}", ofport)
        self._number = 0
        self.reset()

    def reset(self) -> None:
        """Start over: agents without chains, hosts without plugged ports."""
        self.homes: dict[str, str] = {}
        self.bridging: set[str] = set()
        self.plans: dict[str, ChainPlan] = {}
        self.sent: dict[str, dict[str, dict[str, Any]]] = {}  # chain -> host -> what is recorded
        for host in self.hosts.values():
            host.plugged.clear()
        self.now = 0.0
        self.agents = {name: Agent(host, lambda: self.now) for name, host in self.hosts.items()}
        for agent in self.agents.values():
            agent.reconciler.synchronise(contract.PlanUpdate())

    # Changes.

    def plug(self, host: str, *names: str) -> None:
        """Move ports to a host; an empty name unplugs them."""
        self.place(dict.fromkeys(names, host))

    def place(self, places: Mapping[str, str]) -> None:
        """Move each port to a host; an empty name unplugs it."""
        for name, host in places.items():
            for other in self.hosts.values():
                other.plugged.discard(name)
            self.homes[name] = host
            if host:
                self.hosts[host].plugged.add(name)
        homes = {name: home for name, home in self.homes.items() if home}
        for one in self.hosts.values():
            one.switch_normally(homes)
        for agent in self.agents.values():
            agent.reconciler.ports_changed(map(ident, places))

    def notify(self, planned: Iterable[Planned], lost_on: str = "") -> None:
        """Send plans to the hosts as the driver does.

        :param lost_on: a host that does not get its message.
        """
        outgoing = [Outgoing(item) for item in planned]
        changes = {one.plan.id: self._record(one) for one in outgoing}
        versions = dict.fromkeys(self.agents, contract.MINOR_VERSION)
        for host, update in sorted(updates_by_host(outgoing, changes, versions).items()):
            if host != lost_on:
                self._send(host, update)

    def _record(self, one: Outgoing) -> HostChanges:
        """Record what hosts are sent of a plan, as the database does."""
        plan = one.plan
        rows = self.sent.setdefault(plan.id, {})
        changes = changes_for_hosts(one.record, rows)
        for host in changes.removed:
            del rows[host]
        for host in changes.notify:
            part = one.record.parts[host]
            revision = {"wanted_revision": plan.revision, "part_revision": plan.revision}
            rows[host] = {"part": part, **revision}
        self.plans[plan.id] = plan
        return changes

    def _send(self, host: str, update: contract.PlanUpdate) -> None:
        reconciler = self.agents[host].reconciler
        reconciler.update(_over_the_bus(update, reconciler.plans_of))

    def notify_deleted(self, chain_id: str, lost_on: str = "") -> None:
        """Notify the hosts that a chain has been deleted."""
        plan = self.plans.pop(chain_id)
        del self.sent[chain_id]
        removed = contract.PlanUpdate(removed=((chain_id, 2**62),))
        for host in sorted(plan.hosts - {lost_on}):
            self._send(host, removed)

    def synchronise(self, host: str) -> bool:
        """Synchronise as an agent does on startup and periodically.

        :returns: whether the host had to change any flow.
        """
        known = self.agents[host].reconciler.known_revisions
        expected = {
            plan.id: replace(
                HostViews(plan).plan_for(host),
                revision=self.sent[plan.id][host]["wanted_revision"],
            )
            for plan in self.plans.values()
            if host in plan.hosts
        }
        news = tuple(p for p in expected.values() if known.get(p.id) != p.revision)
        removed = tuple((an_id, 2**62) for an_id in known if an_id not in expected)
        prepare = two_phase_chains([self.plans[plan.id] for plan in news])
        update = contract.PlanUpdate(news, removed, prepare, parts_sent={})
        return self.agents[host].reconciler.synchronise(_over_the_bus(update))

    def finish_transitions(self) -> None:
        """Finish all transitions: notify prepared hosts to switch, and let drain times pass."""
        for chain_id, rows in self.sent.items():
            wanted = {host: row["wanted_revision"] for host, row in rows.items()}
            reports = {host: self.agents[host].reports.get(chain_id) for host in wanted}
            if all(report and report.revision == wanted[host] for host, report in reports.items()):
                for host, report in reports.items():
                    if report and report.prepared:
                        switch = contract.PlanUpdate(switch=((chain_id, wanted[host]),))
                        self._send(host, switch)
        for agent in self.agents.values():
            while (seconds := agent.reconciler.seconds_until_due) is not None:
                self._check_flows()
                self.now += seconds
                agent.reconciler.advance_transitions()

    def _check_flows(self) -> None:
        """Check that no switch has to choose between flows, while packets of before drain, too."""
        for name, agent in self.agents.items():
            entries = agent.reconciler._arbiter.ledger.entries
            found = next(ambiguous(flow for flow in entries if isinstance(flow, Flow)), None)
            assert found is None, (name, *map(str, found))

    # Packets.

    def send(self, probes: Iterable[tuple[str, Header, str]]) -> list[tuple[str, ...]]:
        """Send probes, let functions forward them, and return the ports that each probe visited.

        :param probes: sending port, header, and the port that the frame is addressed to.
        """
        # The datapath caches decisions of deleted flows for a moment.
        self.vswitch.appctl("revalidator/purge")
        self._drain()
        trails: dict[int, list[str]] = {}
        frames: defaultdict[str, list[bytes]] = defaultdict(list)
        receivers: dict[int, str] = {}
        for port, header, receiver in probes:
            self._number += 1
            trails[self._number], receivers[self._number] = [], receiver
            frames[port].append(header.packet(self._number, mac(port), mac(receiver)))
        while frames:
            self._feed(frames)
            frames.clear()
            for port, frame in self._drain():
                (number,) = _NUMBER.unpack_from(frame, len(frame) - _NUMBER.size)
                if number not in trails:
                    continue
                trails[number].append(port)
                assert len(trails[number]) < 20, f"a loop: {trails[number]}"
                if port != receivers[number] and (other := self.functions.get(port)):
                    frames[other].append(self._forwarded(frame, other, receivers[number]))
        return [tuple(trail) for trail in trails.values()]

    def _feed(self, frames: Mapping[str, list[bytes]]) -> None:
        """Feed frames into ports; returns when the switch has handled a marker after the last."""
        if isinstance(self.vswitch, KernelVswitch):
            ports = {f"{self.homes[port]}.{port}": some for port, some in frames.items()}
            self.vswitch.send_in_any_order(ports)
            return
        waiting: defaultdict[str, set[int]] = defaultdict(set)
        for port, some in frames.items():
            self._number += 1
            marker = _ETHERNET.pack(_raw(mac(SINK)), _raw(mac(port)), MARKER_TYPE)
            marked = [*some, marker + _NUMBER.pack(self._number)]
            assert len(marked) < RECEIVE_QUEUE
            home = self.homes[port]
            waiting[home].add(self._number)
            hexadecimal = (frame.hex() for frame in marked)
            self.vswitch.appctl("netdev-dummy/receive", f"{home}.{port}", *hexadecimal)
        deadline = time.monotonic() + DEADLINE
        while any(waiting.values()):
            assert time.monotonic() < deadline, f"still in flight: {waiting}"
            for home, numbers in waiting.items():
                for frame in self.vswitch.new_frames(f"{home}.{SINK}"):
                    numbers.discard(_NUMBER.unpack_from(frame, len(frame) - _NUMBER.size)[0])
        # Frames in the batch of the marker may be written after it. The switch answers after that.
        self.vswitch.appctl("version")

    def _forwarded(self, frame: bytes, port: str, receiver: str) -> bytes:
        if port.partition("-")[0] in self.bridging:
            return frame
        ttl = frame[22] - 1
        return _raw(mac(receiver)) + _raw(mac(port)) + frame[12:22] + bytes([ttl]) + frame[23:]

    def _drain(self) -> list[tuple[str, bytes]]:
        """Return the frames that left ports since the last call."""
        homes = [(name, home) for name, home in self.homes.items() if home]
        return [
            (name, frame)
            for name, home in homes
            for frame in self.vswitch.new_frames(f"{home}.{name}")
        ]


def _over_the_bus(
    update: contract.PlanUpdate,
    plans_of: Callable[[str], Iterable[ChainPlan]] = lambda _: (),
) -> contract.PlanUpdate:
    message = json.loads(json.dumps(contract.encode_update(update)))
    received = contract.decode_update(message, plans_of)
    assert received.unreadable == ()
    return received


def _raw(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))
