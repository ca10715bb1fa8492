"""The specification's workflow, through a real client, down to the packets."""

import json
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from portchain.drivers import manager
from portchain.drivers.base import Capabilities
from portchain_lab.client_dialects import DIALECTS, Match
from portchain_lab.errors import LabError
from portchain_lab.guests import kinds
from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.lab import Lab
from portchain_lab.observe import capture, packet_paths, traffic
from portchain_lab.observe.packet_paths import Connection, Path
from portchain_lab.waiting import wait_for

CIDR = "10.1.0.0/24"
PORTS = ("source", "destination", "p1", "p2", "p3", "p4", "p5", "p6")
PAIRS = {"PP1": ("p1", "p2"), "PP2": ("p3", "p4"), "PP3": ("p5", "p6")}
GROUPS = {"PG1": ("PP1", "PP2"), "PG2": ("PP3",)}
ACTIVE_DEADLINE = 240.0
# Destination ports: the specification's, one of a wider classifier, one outside of both.
CHAINED, WIDE, OUTSIDE = 100, 200, 300
CONNECTIONS = {CHAINED: 100, WIDE: 60, OUTSIDE: 20}
DIRECT: Path = ("source", "destination")
EXPECTED = {pair: ("source", *PAIRS[pair], *PAIRS["PP3"], "destination") for pair in GROUPS["PG1"]}

# What is worth showing of what the clients answer, in the words of either.
SHOWN = (
    "name",
    "mtu",
    "cidr",
    "fixed_ips",
    "mac_address",
    "protocol",
    "source_ip",
    "source_ip_prefix",
    "source_port_range_min",
    "destination_ip",
    "destination_ip_prefix",
    "destination_port_range_min",
    "ingress_logical_port",
    "egress_logical_port",
    "ingress",
    "egress",
    "port_pair",
    "port_pairs",
    "port_pair_groups",
    "flow_classifiers",
    "chain_parameters",
    "status",
)


@dataclass(frozen=True, slots=True)
class WorkflowOptions:
    """How a driver can carry the workflow, by what it says of itself.

    :param kind: of the functions. ``both_ways``: whether replies come back through them.
    """

    kind: str = kinds.L3
    both_ways: bool = False

    @classmethod
    def of(cls, capabilities: Capabilities) -> "WorkflowOptions":
        """As the specification has it, as far as the driver can do that."""
        kind = kinds.L3 if kinds.L3 in capabilities.function_kinds else kinds.L2
        return cls(kind, both_ways=not capabilities.asymmetric)

    @property
    def of_pairs(self) -> tuple[str, ...]:
        """Options of the command that creates a pair."""
        return () if self.kind == kinds.L3 else (f"--function-kind {self.kind}",)

    @property
    def of_chains(self) -> tuple[str, ...]:
        """Options of the command that creates a chain."""
        return ("--chain-parameters symmetric=true",) if self.both_ways else ()


class Demo:
    """One run of the demo in a lab that is up.

    :param client: whose commands are run, one of ``DIALECTS``.
    """

    def __init__(self, lab: Lab, console: Console, client: str = "openstack") -> None:
        self._lab = lab
        self._words = DIALECTS[client]
        self._console = console
        self._network = lab.sdk("demo").network
        (driver,) = manager.load(lab.layout.drivers[:1]).values()
        self._manner = WorkflowOptions.of(driver.capabilities)
        self._names: dict[str, str] = {}
        self._unfinished = lab.layout.directory / "demo-runs"

    @property
    def was_interrupted(self) -> bool:
        """Whether an earlier run did not come to its end: nobody knows what it left."""
        return self._unfinished.exists()

    def run(self) -> bool:
        """Run all of it.

        :returns: whether every packet went where the specification sends it.
        """
        self._unfinished.touch()
        self._clean()
        source, destination = self._create_vms()
        self._chain(source, destination)
        seen = self._traffic(source, destination)
        # Functions that bridge get nothing but frames to others.
        bridged = self._manner.kind == kinds.L2
        connections = packet_paths.connections(packet_paths.observations(seen, promiscuous=bridged))
        found = packet_paths.select(connections, "tcp", source.ip, destination.ip)
        self._report(found)
        wrong = faults(found, self._manner.both_ways) + [
            f"port {one.port}: a frame with a header that no machine should see"
            for one in packet_paths.unexpected_frames(seen)
        ]
        self._unfinished.unlink()
        for fault in wrong:
            self._console.print(f"[red]✗ {escape(fault)}[/]")
        return not wrong

    # Steps.

    def _clean(self) -> None:
        """Remove what an earlier run made."""
        network = self._network
        removed: list[tuple[Callable[[], Iterable[Any]], Callable[[Any], Any]]] = [
            (network.sfc_port_chains, network.delete_sfc_port_chain),
            (network.sfc_port_pair_groups, network.delete_sfc_port_pair_group),
            (network.sfc_port_pairs, network.delete_sfc_port_pair),
            (network.sfc_flow_classifiers, network.delete_sfc_flow_classifier),
        ]
        for present, delete in removed:
            for item in list(present()):
                delete(item)
        self._lab.vms.delete_all()
        for port in list(network.ports()):
            network.delete_port(port)
        for net in list(network.networks()):
            network.delete_network(net)

    def _create_vms(self) -> tuple[VirtualMachine, VirtualMachine]:
        """The network, its ports, and five virtual machines on all hosts."""
        self._say("1. A network, the ports p1 to p6, and two ports for the end points")
        self._client("openstack network create net1")
        self._client(f"openstack subnet create --network net1 --subnet-range {CIDR} subnet1")
        self._clients(self._words.port(port) for port in PORTS)

        self._say(
            "2. Three service VMs and two end points, on different hosts (the lab plays Nova)"
        )
        ids = {port.name: port.id for port in self._network.ports()}
        hosts = self._lab.hosts
        made = [
            self._boot("source", hosts[0], ["source"], ids),
            self._boot("destination", hosts[-1], ["destination"], ids),
            self._boot("vm1", hosts[0], ["p1", "p2"], ids, self._manner.kind),
            self._boot("vm2", hosts[1 % len(hosts)], ["p3", "p4"], ids, self._manner.kind),
        ]
        late = self._boot("vm3", hosts[-1], ["p5"], ids, self._manner.kind)
        self._console.print("  nova interface-attach --port-id p6 vm3")
        made.append(self._lab.vms.attach_port(late, ids["p6"], wait=False))
        self._lab.vms.wait_active(made)
        self._console.print("  [green]✓[/] every port is ACTIVE")
        return made[0], made[1]

    def _boot(
        self, name: str, host: str, ports: list[str], ids: dict[str, str], kind: str = kinds.PLAIN
    ) -> VirtualMachine:
        nics = " ".join(f"--nic port-id={port}" for port in ports)
        self._console.print(f"  nova boot {nics} {name}   [dim]on host {host}[/]")
        return self._lab.vms.create(
            name, host, [ids[port] for port in ports], kind=kind, wait=False
        )

    def _chain(self, source: VirtualMachine, destination: VirtualMachine) -> None:
        """Classifiers, pairs, groups, chain; until every host has confirmed."""
        words = self._words
        ends = (f"{source.ip}/32", f"{destination.ip}/32")
        self._say("3. Flow classifiers: the specification's FC1, and FC2 for any source port")
        self._clients(
            [
                words.classifier("FC1", Match(*ends, f"{CHAINED}:{CHAINED}", "23:23")),
                words.classifier("FC2", Match(*ends, f"{WIDE}:{WIDE}")),
            ]
        )
        self._say("4. Port pairs, port pair groups, port chain")
        manner = self._manner
        self._clients(words.pair(pair, *ports, manner.of_pairs) for pair, ports in PAIRS.items())
        self._clients(words.group(group, pairs) for group, pairs in GROUPS.items())
        self._client(words.chain("PC1", list(GROUPS), ["FC1", "FC2"], manner.of_chains))
        wait_for(self._active, ACTIVE_DEADLINE, "PC1 ACTIVE")
        self._console.print("  [green]✓[/] PC1 is ACTIVE: every host has confirmed its flows")

    def _active(self) -> bool:
        """Whether PC1 is ACTIVE; read as JSON, since the client does not know the attribute."""
        chain = self._network.get("/sfc/port_chains?name=PC1").json()["port_chains"][0]
        if chain["status"] == "ERROR":
            msg = f"PC1 is in ERROR: {chain['status_reason']}"
            raise LabError(msg)
        return bool(chain["status"] == "ACTIVE")

    def _traffic(
        self, source: VirtualMachine, destination: VirtualMachine
    ) -> list[capture.CapturedFrame]:
        """TCP connections with a capture at every port of every VM."""
        self._say("5. TCP connections from source to destination, captured at every port")
        vms = self._lab.vms.all()
        servers = [traffic.TcpEchoServer(destination, port) for port in CONNECTIONS]
        with capture.Capture(vms) as captured, servers[0], servers[1], servers[2]:
            attempts = {
                port: traffic.tcp_connections(
                    source, destination, port, count, 23 if port == CHAINED else 0
                )
                for port, count in CONNECTIONS.items()
            }
        for port, tried in attempts.items():
            worked = sum(attempt.ok for attempt in tried)
            origin = "23 every time" if port == CHAINED else "chosen by the kernel"
            self._console.print(
                f"  to port {port}: {worked} of {len(tried)} connections answered "
                f"[dim](source port {origin})[/]"
            )
        return captured.frames

    # What came of it.

    def _report(self, found: Sequence[Connection]) -> None:
        """Print the paths and how the connections were balanced."""
        self._say("6. The paths that the packets really took")
        table = Table("to port", "connections", "packets", "path, port by port", box=None)
        for port in CONNECTIONS:
            for path, connections, packets in paths_to(found, port):
                table.add_row(str(port), str(connections), str(packets), " → ".join(path))
        self._console.print(table)
        balance = Counter(
            pair
            for connection in found
            for pair, path in EXPECTED.items()
            if connection.five_tuple.destination_port == WIDE and connection.path == path
        )
        shares = ", ".join(f"{pair} {balance[pair]}" for pair in GROUPS["PG1"])
        self._console.print(f"  FC2's connections were balanced over PG1: {shares}")
        answers = (
            "come back by the same functions: PC1 is symmetric."
            if self._manner.both_ways
            else "go direct: PC1 is not symmetric."
        )
        self._console.print(
            "  FC1's are one and the same 5-tuple, so one pair of PG1 has them all; "
            f"answers {answers}"
        )

    # Output and input.

    def _say(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/]")

    def _clients(self, commands: Iterable[str]) -> None:
        """Run commands that do not need each other, two at a time; show them in order."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            pending = [(line, pool.submit(self._ask, line)) for line in commands]
            for line, answer in pending:
                self._show(line, answer.result())

    def _client(self, command: str) -> None:
        self._clients([command])

    def _ask(self, command: str) -> dict[str, Any]:
        answer = json.loads(self._lab.run_client(*shlex.split(command), "-f", "json"))
        return {key.lower().replace(" ", "_"): value for key, value in answer.items()}

    def _show(self, command: str, answer: dict[str, Any]) -> None:
        self._names[answer["id"]] = answer["name"]
        facts = [
            f"{key}={shorten(answer[key], self._names)}"
            for key in SHOWN
            if answer.get(key) not in (None, "")
        ]
        self._console.print(f"  [cyan]$ {escape(command)}[/]")
        self._console.print(f"    [dim]{escape('  '.join(facts))}[/]")


def shorten(value: Any, names: Mapping[str, str]) -> str:
    """A value of the client's answer on one line, with names instead of ids."""
    if isinstance(value, list):
        return ",".join(shorten(item, names) for item in value)
    if isinstance(value, dict):
        pairs = [f"{key}:{shorten(item, names)}" for key, item in value.items()]
        return str(value.get("ip_address") or ",".join(pairs))
    return names.get(value, str(value))


def paths_to(found: Iterable[Connection], port: int) -> list[tuple[Path, int, int]]:
    """The client packets' paths to a destination port, each with its connections and packets."""
    connections: Counter[Path] = Counter()
    packets: Counter[Path] = Counter()
    for connection in found:
        if connection.five_tuple.destination_port == port:
            connections.update(connection.paths.keys())
            packets.update(connection.paths)
    return [(path, number, packets[path]) for path, number in connections.most_common()]


def faults(found: Sequence[Connection], both_ways: bool = False) -> list[str]:
    """What the captures show that the specification does not want; empty if all is well.

    :param both_ways: replies have to come back the way their requests went.
    """
    wrong = []
    for port, count in CONNECTIONS.items():
        mine = [one for one in found if one.five_tuple.destination_port == port]
        if len(mine) != count:
            wrong.append(f"port {port}: {len(mine)} connections seen instead of {count}")
        allowed = {DIRECT} if port == OUTSIDE else set(EXPECTED.values())
        wrong += [
            f"{one.five_tuple}: {packets} packets went {' → '.join(path)}"
            for one in mine
            for path, packets in one.paths.items()
            if path not in allowed
        ]
        wrong += [
            f"{one.five_tuple}: its packets took {len(one.paths)} paths"
            for one in mine
            if not one.path
        ]
        wrong += [
            f"{one.five_tuple}: answers went {' → '.join(path)}"
            for one in mine
            for path in one.replies
            if path != tuple(reversed((one.path or ()) if both_ways else DIRECT))
        ]
    wide = {one.path for one in found if one.five_tuple.destination_port == WIDE}
    wrong += [
        f"{pair} got none of FC2's connections"
        for pair, path in EXPECTED.items()
        if path not in wide
    ]
    return wrong
