"""The specification's workflow: run with a real client, checked packet by packet."""

import json
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

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
CHAINED, WIDE, OUTSIDE = 100, 200, 300
"""Destination ports: matched by FC1 of the specification, by the wider FC2, and by neither."""
CONNECTIONS = {CHAINED: 100, WIDE: 60, OUTSIDE: 20}
CHECK_FUNCTIONS = (
    "openstack sfc port pair group set PG1 --health-check icmp "
    "--health-check-parameters delay=0.2,max_retries_down=3"
)
INTRODUCTION = f"""
[bold]The workflow of the specification[/]

  source ──▶ PG1: vm1 or vm2 ──▶ PG2: vm3 ──▶ destination

The port chain PC1 steers TCP connections from source to destination through two groups of service
functions. Connections to port {CHAINED} (flow classifier FC1) and {WIDE} (FC2) must take this path,
connections to port {OUTSIDE} must go directly. Lines with $ are commands of a real client; the dim
line below each is what it returned."""
DIRECT: Path = ("source", "destination")
EXPECTED = {pair: ("source", *PAIRS[pair], *PAIRS["PP3"], "destination") for pair in GROUPS["PG1"]}

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
"""The attributes to print of what a client shows, by the names that either client uses."""


class Demo:
    """One run of the demo in a lab that is up.

    :param client: the client to run, one of ``DIALECTS``.
    """

    def __init__(self, lab: Lab, console: Console, client: str = "openstack") -> None:
        self._lab = lab
        self._dialect = DIALECTS[client]
        self._console = console
        self._network = lab.sdk("demo").network
        self._names: dict[str, str] = {}
        self._running_marker = lab.layout.directory / "demo-is-running"

    @property
    def was_interrupted(self) -> bool:
        """Whether an earlier run in this lab was killed; what it left behind is unknown."""
        return self._running_marker.exists()

    def run(self) -> bool:
        """Run the workflow and print it.

        :returns: whether every packet took the path that the specification gives it.
        """
        self._running_marker.touch()
        self._console.print(INTRODUCTION)
        with self._console.status("deleting what an earlier run created"):
            self._clean()
        with self._lab.client_launcher():
            source, destination = self._create_vms()
            self._create_chain(source, destination)
        frames = self._send_traffic(source, destination)
        connections = packet_paths.connections(packet_paths.observations(frames))
        found = packet_paths.select(connections, "tcp", source.ip, destination.ip)
        self._report(found)
        self._draw()
        wrong = [*faults(found), *self._fail_over(source, destination)] + [
            f"a frame that is neither IP nor ARP reached port {one.port}"
            for one in packet_paths.unexpected_frames(frames)
        ]
        self._running_marker.unlink()
        for fault in wrong:
            self._console.print(f"[red]✗ {escape(fault)}[/]")
        return not wrong

    def _clean(self) -> None:
        """Delete what an earlier run created."""
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
        """Create the network, its ports and five VMs; returns source and destination."""
        self._heading("1. Create a network, the ports p1 to p6, and a port for each end point")
        self._run_client("openstack network create net1")
        self._run_client(f"openstack subnet create --network net1 --subnet-range {CIDR} subnet1")
        self._run_clients(self._dialect.port(port) for port in PORTS)

        self._heading(
            "2. Boot three service VMs and two end points on different hosts (the lab acts as Nova)"
        )
        ids = {port.name: port.id for port in self._network.ports()}
        hosts = self._lab.hosts
        vms = [
            self._boot("source", hosts[0], ["source"], ids),
            self._boot("destination", hosts[-1], ["destination"], ids),
            self._boot("vm1", hosts[0], ["p1", "p2"], ids, kinds.L3),
            self._boot("vm2", hosts[1 % len(hosts)], ["p3", "p4"], ids, kinds.L3),
        ]
        vm3 = self._boot("vm3", hosts[-1], ["p5"], ids, kinds.L3)
        self._console.print("  nova interface-attach --port-id p6 vm3")
        vms.append(self._lab.vms.attach_port(vm3, ids["p6"], wait=False))
        with self._console.status("waiting until the agents have wired every port"):
            self._lab.vms.wait_active(vms)
        self._console.print("  [green]✓[/] Neutron reports every port ACTIVE")
        return vms[0], vms[1]

    def _boot(
        self, name: str, host: str, ports: list[str], ids: dict[str, str], kind: str = kinds.PLAIN
    ) -> VirtualMachine:
        nics = " ".join(f"--nic port-id={port}" for port in ports)
        self._console.print(f"  nova boot {nics} {name}   [dim]on host {host}[/]")
        return self._lab.vms.create(
            name, host, [ids[port] for port in ports], kind=kind, wait=False
        )

    def _create_chain(self, source: VirtualMachine, destination: VirtualMachine) -> None:
        """Create classifiers, pairs, groups and chain; wait until the chain is ACTIVE."""
        dialect = self._dialect
        ends = (f"{source.ip}/32", f"{destination.ip}/32")
        self._heading(
            "3. Create flow classifiers: the specification's FC1, and FC2 for any source port"
        )
        self._run_clients(
            [
                dialect.classifier("FC1", Match(*ends, f"{CHAINED}:{CHAINED}", "23:23")),
                dialect.classifier("FC2", Match(*ends, f"{WIDE}:{WIDE}")),
            ]
        )
        self._heading("4. Create port pairs, port pair groups and the port chain")
        self._run_clients(dialect.pair(pair, *ports) for pair, ports in PAIRS.items())
        self._run_clients(dialect.group(group, pairs) for group, pairs in GROUPS.items())
        self._run_client(dialect.chain("PC1", list(GROUPS), ["FC1", "FC2"]))
        with self._console.status("waiting until every host has programmed its flows"):
            wait_for(self._is_active, ACTIVE_DEADLINE, "PC1 to become ACTIVE")
        self._console.print("  [green]✓[/] PC1 is ACTIVE: every host has programmed its flows")

    def _is_active(self) -> bool:
        """Return whether PC1 is ACTIVE. Reads the API's JSON: the SDK lacks the attribute."""
        chain = self._network.get("/sfc/port_chains?name=PC1").json()["port_chains"][0]
        if chain["status"] == "ERROR":
            msg = f"PC1 went to ERROR: {chain['status_reason']}"
            raise LabError(msg)
        return bool(chain["status"] == "ACTIVE")

    def _send_traffic(
        self, source: VirtualMachine, destination: VirtualMachine
    ) -> list[capture.CapturedFrame]:
        """Open TCP connections while capturing at every port of every VM."""
        self._heading("5. Send TCP connections from source to destination, capturing at every port")
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
            answered = sum(attempt.ok for attempt in tried)
            origin = "always 23" if port == CHAINED else "chosen by the kernel"
            self._console.print(
                f"  to port {port}: {answered} of {len(tried)} connections answered "
                f"[dim](source port {origin})[/]"
            )
        return captured.frames

    def _report(self, found: Sequence[Connection]) -> None:
        """Print the paths and how connections were distributed over the pairs of PG1."""
        self._heading("6. The paths that the packets took")
        table = Table("to port", "connections", "packets", "path (the ports in order)", box=None)
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
        self._console.print(
            f"  Connections of FC2 were distributed over the pairs of PG1: {shares}."
        )
        self._console.print(
            "  Connections of FC1 share one 5-tuple, so one pair of PG1 gets all of them. "
            "Replies return directly, because PC1 is not symmetric."
        )

    def _draw(self) -> None:
        """Print the chain as its owner sees it."""
        self._heading("7. The chain with what it has counted")
        command = "openstack sfc port chain draw PC1"
        with self._lab.client_launcher():
            drawing = self._lab.run_client(*command.split())
        self._console.print(f"  [cyan]$ {command}[/]")
        self._console.print(drawing.rstrip(), markup=False, highlight=False)

    def _fail_over(self, source: VirtualMachine, destination: VirtualMachine) -> list[str]:
        """Have a function hang, and send connections when it is out of the path.

        :returns: what went wrong.
        """
        self._heading("8. A function hangs")
        with self._lab.client_launcher():
            self._lab.run_client(*shlex.split(CHECK_FUNCTIONS))
        self._console.print(f"  [cyan]$ {CHECK_FUNCTIONS}[/]")
        for pair in GROUPS["PG1"]:
            self._wait_for_pair(pair, "ONLINE")
        vm = self._lab.vms.get("vm1")
        with self._lab.vms.hung(vm):
            began = time.monotonic()
            self._wait_for_pair("PP1", "ERROR")
            took = time.monotonic() - began
            self._console.print(
                f"  [green]✓[/] {took:.1f} s after vm1 stopped forwarding, PP1 is ERROR, and PP2 "
                "gets its packets"
            )
            wait_for(self._is_active, ACTIVE_DEADLINE, "PC1 to become ACTIVE")
            with traffic.TcpEchoServer(destination, WIDE):
                tried = traffic.tcp_connections(source, destination, WIDE, CONNECTIONS[WIDE], 0)
        answered = sum(attempt.ok for attempt in tried)
        self._console.print(f"  {answered} of {len(tried)} new connections answered")
        self._wait_for_pair("PP1", "ONLINE")
        self._console.print("  [green]✓[/] vm1 forwards again, and PP1 is ONLINE")
        lost = len(tried) - answered
        return [f"{lost} connections failed while vm1 hung"] if lost else []

    def _wait_for_pair(self, name: str, status: str) -> None:
        def has_status() -> bool:
            answer = self._network.get(f"/sfc/port_pairs?name={name}&fields=operating_status")
            (pair,) = answer.json()["port_pairs"]
            return bool(pair["operating_status"] == status)

        with self._console.status(f"waiting until {name} is {status}"):
            wait_for(has_status, ACTIVE_DEADLINE, f"{name} to be {status}", interval=0.05)

    def _heading(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/]")

    def _run_clients(self, commands: Iterable[str]) -> None:
        """Run independent client commands, two at a time; print them in order."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            pending = [(line, pool.submit(self._execute, line)) for line in commands]
            for line, answer in pending:
                with self._console.status(f"$ {escape(line)}"):
                    shown = answer.result()
                self._print_command(line, shown)

    def _run_client(self, command: str) -> None:
        self._run_clients([command])

    def _execute(self, command: str) -> dict[str, Any]:
        answer = json.loads(self._lab.run_client(*shlex.split(command), "-f", "json"))
        return {key.lower().replace(" ", "_"): value for key, value in answer.items()}

    def _print_command(self, command: str, answer: dict[str, Any]) -> None:
        self._names[answer["id"]] = answer["name"]
        facts = [
            f"{key}={shorten(answer[key], self._names)}"
            for key in SHOWN
            if answer.get(key) not in (None, "")
        ]
        self._console.print(f"  [cyan]$ {escape(command)}[/]")
        self._console.print(f"    [dim]{escape('  '.join(facts))}[/]")


def shorten(value: Any, names: Mapping[str, str]) -> str:
    """A value that a client shows, on one line, with names instead of ids."""
    if isinstance(value, list):
        return ",".join(shorten(item, names) for item in value)
    if isinstance(value, dict):
        pairs = [f"{key}:{shorten(item, names)}" for key, item in value.items()]
        return str(value.get("ip_address") or ",".join(pairs))
    return names.get(value, str(value))


def paths_to(found: Iterable[Connection], port: int) -> list[tuple[Path, int, int]]:
    """The paths of client packets to a destination port.

    :returns: for each path, the number of connections and of packets that took it.
    """
    connections: Counter[Path] = Counter()
    packets: Counter[Path] = Counter()
    for connection in found:
        if connection.five_tuple.destination_port == port:
            connections.update(connection.paths.keys())
            packets.update(connection.paths)
    return [(path, number, packets[path]) for path, number in connections.most_common()]


def faults(found: Sequence[Connection]) -> list[str]:
    """What the captures show that contradicts the specification; empty if all is well."""
    wrong = []
    for port, count in CONNECTIONS.items():
        to_port = [one for one in found if one.five_tuple.destination_port == port]
        if len(to_port) != count:
            wrong.append(f"port {port}: {len(to_port)} connections captured instead of {count}")
        allowed = {DIRECT} if port == OUTSIDE else set(EXPECTED.values())
        wrong += [
            f"{one.five_tuple}: {packets} packets went {' → '.join(path)}"
            for one in to_port
            for path, packets in one.paths.items()
            if path not in allowed
        ]
        wrong += [
            f"{one.five_tuple}: its packets took {len(one.paths)} paths"
            for one in to_port
            if not one.path
        ]
        wrong += [
            f"{one.five_tuple}: replies went {' → '.join(path)}"
            for one in to_port
            for path in one.replies
            if path != DIRECT[::-1]
        ]
    wide = {one.path for one in found if one.five_tuple.destination_port == WIDE}
    wrong += [
        f"{pair} got none of FC2's connections"
        for pair, path in EXPECTED.items()
        if path not in wide
    ]
    return wrong
