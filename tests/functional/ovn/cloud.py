"""A cloud of OVN without Neutron: real OVN, real switches, machines, and our host's part.

The rows that the server would write, and the plans that it would send, are written here.
"""

import logging
import os
import pathlib
import queue
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from portchain_lab import layout
from portchain_lab.cloud import ovn
from portchain_lab.guests import configuration, vif
from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.hosts import netns, switch, underlay
from portchain_lab.lab import Lab
from portchain_lab.observe import packet_paths
from portchain_lab.observe.capture import Capture
from portchain_lab.observe.traffic import StreamResult, UdpStream
from portchain_lab.waiting import wait_for

from portchain.core.function_kinds import L2, L3
from portchain.core.model import HostReport
from portchain.dataplane.flow import COOKIE
from portchain.dataplane.gates import gate_mac, gate_name, gated_ports
from portchain.dataplane.interposing import BR_CHAIN, HOLD_SECONDS
from portchain.dataplane.plan import ChainPlan, Classifier, Hop, Path, Source, Target
from portchain.dataplane.transition import TransitionTimeouts
from portchain.host.bridge import OPENFLOW, appctl_argv, ofctl_argv
from portchain.host.ovn_switch import OvnSwitch
from portchain.host.reconciler import Reconciler
from portchain.ovsdb.switch_database import SwitchDatabase
from portchain.rpc.contract import PlanUpdate
from tests.plans import ident, mac

LOG = logging.getLogger(__name__)

DEADLINE = 30
PRIVSEP = str(pathlib.Path(sys.executable).with_name("privsep-helper"))
NETWORK, GROUP = "network", "pc_gates"
PREFIX = 24
UDP = 17
PORT = 9000


class Bridge:
    """A ``BridgeConnection`` to a bridge of a host in a namespace."""

    def __init__(self, folder: str, database: Any, name: str) -> None:
        self._folder = folder
        self.database = database
        self.name = name

    def ofctl(
        self, command: str, *args: str, stdin: str | None = None, version: str = OPENFLOW
    ) -> str:
        argv = ofctl_argv(f"unix:{self._folder}/{self.name}.mgmt", command, args, version)
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout

    def appctl(self, command: str, *args: str) -> str:
        argv = ["env", f"OVS_RUNDIR={self._folder}", *appctl_argv(command, *args)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout


class Agent:
    """What runs on one host, without the message bus: a test sends the plans."""

    def __init__(self, lab: Lab, host: str) -> None:
        self.host = host
        folder = str(lab.layout.host_directory(host))
        self.events: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.reports: dict[str, HostReport] = {}
        self.now = 0.0
        self.database = SwitchDatabase(lambda: f"unix:{folder}/db.sock", 10, self.events.put)
        self.switch = OvnSwitch(
            host=host,
            database=self.database,
            connect=partial(Bridge, folder),
            call_later=lambda seconds: None,
            clock=lambda: self.now,
        )
        self.reconciler = Reconciler(
            self.switch, host, self._note, TransitionTimeouts(1, 0), lambda: self.now
        )
        self._ended = threading.Event()

    def _note(self, reports: list[HostReport]) -> None:
        self.reports |= {report.chain_id: report for report in reports}

    def set_plans(self, *plans: ChainPlan) -> None:
        """Send plans as the answer to a sync, and those that are not among them as removed."""
        known = self.reconciler.known_revisions
        removed = tuple((one, 2**60) for one in known if one not in {plan.id for plan in plans})
        self.reconciler.synchronise(PlanUpdate(chains=plans, removed=removed))

    def handle_events(self) -> None:
        """Do what the agent does when rows have changed."""
        ids = {self.events.get() for _ in range(self.events.qsize())}
        if "" in ids:
            self.reconciler.reconcile()
        self.reconciler.ports_changed(ids - {""})

    def wait_ready(self) -> None:
        """Handle events until the host lacks nothing for its chains."""

        def is_ready() -> bool:
            self.handle_events()
            return all(not (one.error or one.missing) for one in self.reports.values())

        wait_for(is_ready, DEADLINE, f"{self.host} to realise its chains: {self.reports}")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Handle events and compare flows, in a thread, until the context ends."""
        ended = threading.Event()

        def run() -> None:
            while not ended.wait(0.05):
                try:
                    self.handle_events()
                    self.reconciler.reconcile()
                except Exception:  # the switch is restarting
                    LOG.exception("Trying again")

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def close(self) -> None:
        self.switch.close()


class Cloud:
    """OVN on some hosts, and one network."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.machines: dict[str, VirtualMachine] = {}
        self.agents = {host: Agent(lab, host) for host in lab.hosts}

    def nb(self, *arguments: str) -> str:
        """Run ovn-nbctl."""
        return ovn.ctl(self.lab.layout, "nb", *arguments)

    def settle(self) -> None:
        """Wait until all hosts have what the Northbound database says."""
        self.nb("--wait=hv", "sync")

    # Machines.

    def add(
        self,
        name: str,
        host: str,
        *ports: tuple[str, str],
        kind: str = "plain",
        network: str = NETWORK,
    ) -> None:
        """Add a machine.

        :param ports: name and address of each port.
        :param network: name of the logical switch.
        """
        nics = [
            vif.Nic(
                *(f"eth{number}", ident(port), port, network, mac(port)),
                (f"{address}/{PREFIX}",),
                *("", 1500),
            )
            for number, (port, address) in enumerate(ports)
        ]
        space = self.lab.layout.namespace(layout.vm_part(name))
        netns.create([space])
        for nic in nics:
            owned = f"{nic.mac_address} {nic.ip}"
            add = ("lsp-add", network, nic.port_id, "--", "lsp-set-addresses", nic.port_id, owned)
            self.nb(*add, "--", "lsp-set-port-security", nic.port_id, owned)
        machine = VirtualMachine(name, str(uuid.uuid4()), host, space, kind, tuple(nics))
        self.machines[name] = machine
        for nic in nics:
            self.plug(name, nic)
        configuration.configure(space, nics, kind)

    def plug(self, name: str, nic: vif.Nic) -> None:
        machine = self.machines[name]
        vif.plug(self.lab.layout, machine.host, name, machine.id, nic)

    def unplug(self, name: str) -> None:
        """Unplug a machine's ports as os-vif does."""
        machine = self.machines[name]
        for nic in machine.nics:
            vif.unplug(self.lab.layout, machine.host, name, machine.id, nic)

    def restart_machine(self, name: str) -> None:
        """Plug in the ports of a machine that was unplugged."""
        machine = self.machines[name]
        for nic in machine.nics:
            self.plug(name, nic)
        configuration.configure(machine.namespace, machine.nics, machine.kind)

    def add_function(self, name: str, host: str, number: int, kind: str = "l3") -> None:
        """Add a function with the ports ``name-in`` and ``name-out``."""
        ports = [(f"{name}-in", f"10.0.0.{number}"), (f"{name}-out", f"10.0.0.{number + 1}")]
        self.add(name, host, *ports, kind=kind)

    # Chains.

    def source(self, name: str) -> Source:
        machine = self.machines[name]
        address = self.lab.layout.tunnel_ip(machine.host)
        (nic,) = machine.nics
        return Source(0, nic.port_id, machine.host, address, nic.mac_address, (nic.ip,))

    def target(self, name: str) -> Target:
        machine = self.machines[name]
        address = self.lab.layout.tunnel_ip(machine.host)
        ingress, egress = machine.nics
        traits = {"l3": L3, "l2": L2}[machine.kind]
        return Target(
            *(ident(name), machine.host, address, ingress.port_id, ingress.mac_address),
            *(egress.port_id, egress.mac_address, 1, traits),
        )

    def plan(self, source: str, destination: str, *hops: str, revision: int = 1) -> ChainPlan:
        """A chain for what one machine sends to another one: to the destination port ``PORT``."""
        ends = [self.machines[name].ip for name in (source, destination)]
        classifier = Classifier(
            "IPv4",
            UDP,
            None,
            (PORT, PORT),
            *((f"{address}/32",) for address in ends),
            id=ident("classifier"),
        )
        path = Path(
            (classifier,),
            (self.source(source),),
            tuple(Hop(number, (self.target(name),)) for number, name in enumerate(hops, 1)),
        )
        hosts = tuple(sorted(self.lab.hosts))
        return ChainPlan(
            ident("chain"), 1, revision, (path,), generation=revision, packet_hosts=hosts
        )

    def add_gates(self, plan: ChainPlan) -> None:
        """Write the rows of a chain: gates, and guards."""
        gates = sorted(gated_ports(plan))
        for port in gates:
            name = gate_name(port)
            self.nb("--may-exist", "lsp-add", NETWORK, name)
            self.nb("lsp-set-addresses", name, gate_mac(port))
        self.nb("pg-set-ports", GROUP, *map(gate_name, gates))
        self.nb("pg-set-ports", "pc_sources", *(one.port_id for one in plan.paths[0].sources))
        (classifier,) = plan.paths[0].classifiers
        match = (
            f"inport == @pc_sources && ip4.src == {classifier.source_prefixes[0]} && "
            f"ip4.dst == {classifier.destination_prefixes[0]} && udp.dst == {PORT}"
        )
        guard = ("--apply-after-lb", "--may-exist", "acl-add", "pc_sources", "from-lport")
        addresses = ", ".join(gate_mac(one.port_id) for one in plan.paths[0].sources)
        self.nb(*guard, "3000", f"{match} && eth.dst == {{{addresses}}}", "allow")
        self.nb(*guard, "2000", match, "drop")

    def realise(self, plan: ChainPlan) -> None:
        """Have all hosts realise a chain."""
        self.add_gates(plan)
        for agent in self.agents.values():
            agent.set_plans(plan)
        for agent in self.agents.values():
            agent.wait_ready()
        self.settle()

    def withdraw(self) -> None:
        """Delete the chain, and wait until its ports are given back."""
        for group in ("pc_sources",):
            self.nb("acl-del", group)
        for agent in self.agents.values():
            agent.set_plans()
            for _ in range(3):  # flows for packets in flight go, then the ports
                agent.now += HOLD_SECONDS
                agent.reconciler.advance_transitions()
                agent.reconciler.reconcile()
        gates = [name for name in self.logical_ports() if name.startswith("pc-gate-")]
        self.nb("clear", "Port_Group", GROUP, "ports")
        for name in gates:
            self.nb("lsp-del", name)
        self.settle()

    def logical_ports(self) -> list[str]:
        """The names of the network's logical ports."""
        return [line.split()[1].strip("()") for line in self.nb("lsp-list", NETWORK).splitlines()]

    def own_rows(self, host: str) -> list[str]:
        """The names of our ports on a host."""
        found = []
        for bridge in ("br-int", BR_CHAIN):
            names = self.lab.vsctl(host, "list-ports", bridge).split()
            found += [name for name in names if name.startswith("pc-")]
        return found

    def own_flows(self, host: str) -> list[str]:
        """Our flows on a host."""
        dump = self.lab.ofctl(host, "dump-flows", BR_CHAIN, f"cookie={COOKIE:#x}/-1")
        return [line for line in dump.splitlines() if " actions=" in line]

    def new_agent(self, host: str) -> Agent:
        """Replace a host's agent by one that knows nothing."""
        self.agents[host].close()
        self.agents[host] = Agent(self.lab, host)
        return self.agents[host]

    @contextmanager
    def running_program(self, host: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run ``portchain-ovn-agent`` on a host, with a message bus that has no server."""
        folder = self.lab.layout.host_directory(host)
        config, log = folder / "agent.conf", folder / "agent.log"
        config.write_text(
            "[DEFAULT]\n"
            "transport_url = fake:/\n"
            "use_stderr = true\n"
            f"state_path = {folder}\n"
            "[agent]\n"
            "root_helper = env\n"
            "[ovs]\n"
            f"ovsdb_connection = unix:{folder}/db.sock\n"
            "[privsep]\n"
            f"helper_command = {PRIVSEP} --config-file={config}\n"
        )
        code = "from portchain.agent.ovn_main import main; main()"
        argv = [sys.executable, "-W", "ignore", "-c", code, f"--config-file={config}"]
        environment = {**os.environ, "OVS_RUNDIR": str(folder)}
        with log.open("wb") as file:
            program = subprocess.Popen(argv, env=environment, stdout=file, stderr=file)
            try:
                yield program
            finally:
                program.kill()
                program.wait()

    # Packets.

    def stream(self, source: str, destination: str, port: int = PORT, rate: int = 200) -> UdpStream:
        return UdpStream(self.machines[source], self.machines[destination], port, rate=rate)

    def paths(
        self, source: str, destination: str, port: int = PORT
    ) -> tuple[StreamResult, set[tuple[str, ...]]]:
        """Send datagrams; return the result, and the paths that they took."""
        with Capture(self.machines.values()) as capture:
            with self.stream(source, destination, port) as stream:
                wait_for(lambda: stream.result.sent >= 40, DEADLINE, "datagrams to be sent")
                result = stream.stop()
            frames = capture.stop()
        return result, visits(frames, port)


def visits(frames: Iterable[Any], port: int = PORT) -> set[tuple[str, ...]]:
    """The paths of the datagrams to a port."""
    seen = packet_paths.observations(frames, promiscuous=True)
    return {
        trace.ports
        for trace in packet_paths.traces(seen)
        if trace.five_tuple.destination_port == port
    }


@contextmanager
def running_cloud(hosts: int = 2) -> Iterator[Cloud]:
    """Start OVN, and remove everything afterwards."""
    lab = Lab(
        layout.Layout(
            name=f"ovn{os.getpid() % 10**6}", driver="ovn", hosts=hosts, network_type="geneve"
        )
    )
    remove(lab)
    try:
        for folder in ("log", "ovn", *lab.hosts):
            (lab.layout.directory / folder).mkdir(parents=True)
        underlay.build(lab.layout)
        ovn.create_databases(lab.layout)
        for name in ("ovn-nb", "ovn-sb", "ovn-northd"):
            lab.start(name)
        for host in lab.hosts:
            switch.create_database(lab.layout, host)
            for name in ("ovsdb-server", "ovs-vswitchd", "ovn-controller"):
                lab.start(f"{name}@{host}")
        for host in lab.hosts:
            wait_for(
                lambda host=host: "br-int" in lab.vsctl(host, "list-br").split(),
                DEADLINE,
                f"br-int of {host}",
            )
        cloud = Cloud(lab)
        prepare(cloud)
        yield cloud
        for agent in cloud.agents.values():
            agent.close()
    finally:
        remove(lab)


def prepare(cloud: Cloud) -> None:
    """Write the rows that do not depend on a chain."""
    cloud.nb("ls-add", NETWORK)
    for group in (GROUP, "pc_sources"):
        cloud.nb("pg-add", group)
    for direction, port in (("from-lport", "inport"), ("to-lport", "outport")):
        match = f"{port} == @{GROUP}"
        cloud.nb("acl-add", GROUP, direction, "32000", match, "allow-stateless")


def remove(lab: Lab) -> None:
    lab.down()
    lab.layout.directory.with_suffix(".lock").unlink(missing_ok=True)
