"""The lab as one object: up, down, and its programs by name."""

import fcntl
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import openstack.connection

from portchain_lab import layout
from portchain_lab.cloud import clients, configs, database, ovn, ovn_toolchain, services
from portchain_lab.cloud.clients import Report
from portchain_lab.cloud.services import Program
from portchain_lab.errors import LabError
from portchain_lab.guests import vif, virtual_machines
from portchain_lab.hosts import netns, processes, underlay
from portchain_lab.waiting import wait_for

CONTROLLER_SERVICES: dict[str, Callable[[layout.Layout], Program]] = {
    "mariadb": services.mariadb,
    "epmd": services.epmd,
    "rabbitmq": services.rabbitmq,
    "keystone": services.keystone,
    "neutron-api": services.neutron_api,
    "neutron-rpc-server": services.neutron_rpc_server,
    "neutron-periodic": services.neutron_periodic,
}
OVN_SERVICES: dict[str, Callable[[layout.Layout], Program]] = {
    **{f"ovn-{name}": partial(ovn.database_server, name=name) for name in ovn.DATABASES},
    "ovn-northd": ovn.northd,
    "neutron-ovn-maintenance": ovn.maintenance,
}
OPENFLOW_SERVICES: dict[str, Callable[[layout.Layout], Program]] = {
    "portchain-controller": services.chain_controller,
}
_NEIGHBOURS_KEPT = 3600
"""Seconds for which a switch remembers the MAC address of another: as long as it can."""
HostServices = dict[str, Callable[[layout.Layout, str], Program]]
_SWITCH: HostServices = {
    "ovsdb-server": services.ovsdb_server,
    "ovs-vswitchd": services.ovs_vswitchd,
}
HOST_SERVICES: dict[str, HostServices] = {
    "ovs": {**_SWITCH, "agent": services.agent},
    "ovn": {**_SWITCH, "ovn-controller": ovn.controller},
    "openflow": {**_SWITCH, "agent": services.agent},
}
"""By the driver that a host is for."""


def _silent(_: str) -> None:
    pass


class Lab:
    """A running lab, or one that is about to run.

    Make one with a ``Layout`` and call ``up``, or get one that runs with ``Lab.open``.
    """

    def __init__(self, lab: layout.Layout) -> None:
        self.layout = lab
        self.processes = processes.ProcessRegistry(lab.directory / "processes")
        self.vms = virtual_machines.VirtualMachines(lab, lambda: self.sdk("admin"))

    @classmethod
    def open(cls, name: str = "demo") -> "Lab":
        """The lab of this name that was brought up before, maybe by another process.

        :raises LabError: if there is none, or only half of one.
        """
        try:
            known = json.loads((layout.ROOT / name / "lab.json").read_text())
        except FileNotFoundError:
            msg = f"there is no lab {name!r}: portchain-lab up --name {name}"
            raise LabError(msg) from None
        known["software"] = layout.Software.from_json(known["software"])
        return cls(layout.Layout(**known))

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of the compute hosts."""
        return self.layout.host_names

    # Up and down.

    def up(self, report: Report = _silent) -> "Lab":
        """Bring the lab up; what is left of an earlier one of the same name is removed first.

        :param report: is told of each step.
        """
        with self._lock():
            self._remove()
            self._write_files()
            underlay.build(self.layout)
            report("network")
            self._start_all(report)
            self._write_layout()
        return self

    def _write_layout(self) -> None:
        (self.layout.directory / "lab.json").write_text(json.dumps(asdict(self.layout)))

    def down(self) -> None:
        """End the lab's processes, remove its namespaces and files; twice is as good as once."""
        with self._lock():
            self._remove()

    def is_up(self) -> bool:
        """Whether the lab is complete and each of its programs runs."""
        complete = (self.layout.directory / "lab.json").exists()
        return complete and all(running for _, _, running in self.status())

    def _remove(self) -> None:
        vif.disconnect(self.layout)
        processes.kill_all(netns.with_prefix(self.layout.prefix))
        underlay.destroy(self.layout)
        shutil.rmtree(self.layout.directory, ignore_errors=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        layout.ROOT.mkdir(parents=True, exist_ok=True)
        with (layout.ROOT / f"{self.layout.name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                msg = f"lab {self.layout.name!r} is being brought up or down by another process"
                raise LabError(msg) from None
            yield

    def _write_files(self) -> None:
        lab = self.layout
        lab.scratch.mkdir(parents=True, exist_ok=True)
        for directory in ("log", "rabbitmq", "neutron/lock", "ovn", *lab.host_names):
            (lab.directory / directory).mkdir(parents=True, exist_ok=True)
        files = {
            "rabbitmq/rabbitmq.conf": configs.rabbitmq(),
            "rabbitmq/enabled_plugins": "[].\n",
            "keystone.conf": configs.keystone(str(lab.directory)),
            "neutron.conf": configs.neutron(lab),
            "ml2_conf.ini": configs.ml2(lab),
            "policy.yaml": "{}\n",
            "controller.conf": configs.controller(lab),
            "clouds.yaml": configs.clouds(),
            "openrc-demo": configs.openrc("demo"),
            "openrc-admin": configs.openrc("admin"),
            **{f"{host}/agent.conf": configs.agent(lab, host) for host in lab.host_names},
        }
        for name, text in files.items():
            (lab.directory / name).write_text(text)
        # The cookie of the broker's runtime: only its owner may read it.
        cookie = lab.directory / "rabbitmq" / ".erlang.cookie"
        cookie.write_text(layout.PASSWORD)
        cookie.chmod(0o400)
        paste = lab.software.bin + "/../etc/neutron/api-paste.ini"
        shutil.copy(paste, lab.directory / "api-paste.ini")

    def _start_all(self, report: Report) -> None:
        began = time.monotonic()

        def said(name: str) -> None:
            report(f"{name} ({time.monotonic() - began:.1f} s)")

        def start(name: str) -> None:
            self.start(name)
            said(name)

        def broker() -> None:
            start("epmd")
            start("rabbitmq")

        def databases() -> None:
            database.install(self.layout, self.processes, report)
            start("mariadb")

        def switch(host: str) -> None:
            self._create_switch_database(host)
            start(f"ovsdb-server@{host}")
            start(f"ovs-vswitchd@{host}")

        def central() -> None:
            ovn.create_databases(self.layout)
            for name in ("ovn-nb", "ovn-sb", "ovn-northd"):
                start(name)

        with ThreadPoolExecutor(max_workers=8) as pool:
            first = [pool.submit(broker), pool.submit(databases)]
            first += [pool.submit(switch, host) for host in self.hosts]
            if self.layout.has_ovn:
                first.append(pool.submit(central))
            _finish(first)
            rest = [name for name in self.programs() if not self.processes.read(name)]
            _finish([pool.submit(start, name) for name in rest])
        network = self.sdk("admin").network
        wait_for(
            partial(self._agents_alive, network), 240, "every agent alive in Neutron", interval=0.3
        )
        said("agents known to Neutron")

    def _create_switch_database(self, host: str) -> None:
        path = str(self.layout.host_directory(host) / "conf.db")
        if self.layout.driver_of(host) == "ovn":
            ovn_toolchain.run("ovsdb-tool", "create", path, str(ovn_toolchain.SWITCH_SCHEMA))
        else:
            _output(["ovsdb-tool", "create", path, "/usr/share/openvswitch/vswitch.ovsschema"])

    def _agents_alive(self, network: Any) -> bool:
        agents = {agent.host for agent in network.agents() if agent.is_alive}
        return agents >= set(self.hosts)

    # Programs by name.

    def program(self, name: str) -> Program:
        """A program by its name: ``neutron-api``, or with the host: ``agent@h1``.

        :raises LabError: if there is no such program in this lab.
        """
        kind, _, host = name.partition("@")
        if not host and kind in self._central:
            return self._central[kind](self.layout)
        if host in self.hosts and kind in self._on(host):
            return self._on(host)[kind](self.layout, host)
        msg = f"no program {name!r}: one of {', '.join(self.programs())}"
        raise LabError(msg)

    def programs(self) -> list[str]:
        """Names of all of the lab's programs."""
        return [
            *self._central,
            *(f"{name}@{host}" for host in self.hosts for name in self._on(host)),
        ]

    @property
    def _central(self) -> dict[str, Callable[[layout.Layout], Program]]:
        return {
            **CONTROLLER_SERVICES,
            **(OVN_SERVICES if self.layout.has_ovn else {}),
            **(OPENFLOW_SERVICES if self.layout.openflow_hosts else {}),
        }

    def _on(self, host: str) -> HostServices:
        return HOST_SERVICES[self.layout.driver_of(host)]

    def start(self, name: str, wait: bool = True) -> None:
        """Start a program that does not run, and wait until it is ready.

        :raises DeadlineError: if it does not become ready.
        """
        program = self.program(name)
        record = processes.start(program.process, self.processes)

        kind, _, host = name.partition("@")
        if kind == "ovs-vswitchd":
            self._prepare_switch(host, partial(services.is_ready, program, record))
        elif wait:
            services.wait_ready(program, record)

    def _prepare_switch(self, host: str, ready: Callable[[], bool]) -> None:
        """Make the bridge to the underlay and its address, as a distribution's scripts do."""
        leg, bridge = underlay.UNDERLAY_LEG, underlay.UNDERLAY_BRIDGE
        is_chassis = self.layout.driver_of(host) == "ovn"
        self.vsctl(
            host,
            *f"--may-exist add-br {bridge} -- set bridge {bridge} datapath_type=netdev".split(),
            *f"-- --may-exist add-port {bridge} {leg}".split(),
            *f"-- set interface {bridge} mtu_request={layout.UNDERLAY_MTU}".split(),
            *f"-- set open_vswitch . external_ids:system-id={host}".split(),
            *(ovn.chassis_settings(self.layout, host) if is_chassis else ()),
            applied=True,
        )
        wait_for(
            lambda: ready() and underlay.has_tunnel_end(self.layout, host),
            30,
            f"ovs-vswitchd of {host} (see {self.layout.logs})",
        )
        underlay.configure_tunnel_end(self.layout, host)
        self._introduce(host)

    def _introduce(self, host: str) -> None:
        """Tell a switch and those that run already each other's MAC addresses.

        A switch of this kind drops the packet for which it has to ask for one (ovs-vswitchd(8), tnl/neigh).
        """
        self.appctl(host, "tnl/neigh/aging", str(_NEIGHBOURS_KEPT))
        macs = {one: underlay.tunnel_mac(self.layout, one) for one in self.hosts}
        others = [one for one, mac in macs.items() if mac and one != host]
        for here, there in [(host, one) for one in others] + [(one, host) for one in others]:
            address = self.layout.tunnel_ip(there)
            self.appctl(here, "tnl/neigh/set", underlay.UNDERLAY_BRIDGE, address, macs[there])

    def kill(self, program: str, host: str = "") -> None:
        """End a program with SIGKILL, all of its processes at once; ``start`` it afterwards."""
        self._stop(_full_name(program, host), grace_period=0)

    def stop(self, program: str, host: str = "") -> None:
        """End a program as a service manager does: SIGTERM first."""
        name = _full_name(program, host)
        self._stop(name, self.program(name).process.stop_wait)

    def restart(self, program: str, host: str = "", wait: bool = True) -> None:
        """Stop and start a program.

        :param wait: until it is ready.
        """
        self.stop(program, host)
        self.start(_full_name(program, host), wait)

    def power_off(self, host: str) -> None:
        """End a host as a power cut does, with what runs on it; its disk stays."""
        space = self.layout.namespace(host)
        guests = [vm.namespace for vm in self.vms.all() if vm.host == host]
        processes.kill_all([space, *guests])
        for program in self._on(host):
            self.processes.remove(f"{program}@{host}")
        netns.delete([space])
        # The far ends of its wires go with it, but not at once.
        wait_for(lambda: not underlay.is_connected(self.layout, host), 30, f"{host} to be gone")

    def power_on(self, host: str) -> None:
        """Start a host that was powered off: its switch, then its VMs, then the agent, which Neutron does not order."""
        underlay.connect_anew(self.layout, host)
        for program in _SWITCH:
            self.start(f"{program}@{host}")
        for vm in self.vms.all():
            if vm.host == host:
                self.vms.resume(vm)
        for program in self._on(host).keys() - _SWITCH.keys():
            self.start(f"{program}@{host}", wait=False)

    def _stop(self, name: str, grace_period: float) -> None:
        self.program(name)
        record = self.processes.read(name)
        if record:
            processes.stop(record, self.processes, grace_period)

    def status(self) -> list[tuple[str, int | None, bool]]:
        """Each program's name, process id if it was started, and whether it runs."""
        rows = []
        for name in self.programs():
            record = self.processes.read(name)
            rows.append(
                (name, record.pid if record else None, bool(record and processes.alive(record)))
            )
        return rows

    def reconfigure(self, *, firewall: str = "", network_type: str = "") -> None:
        """Restart the hosts' agents with another firewall driver or another type of networks.

        The servers go on running. They still give tenants networks of the type they were started
        with; an administrator can create networks of the new type.

        :param firewall: one of ``layout.FIREWALLS``; empty keeps it.
        :param network_type: one of ``layout.NETWORK_TYPES``; empty keeps it. It needs a lab
            without VMs.
        """
        agents = [f"agent@{host}" for host in self.hosts]
        concerned = [*agents, *(OPENFLOW_SERVICES.keys() & self._central.keys())]
        before = self.layout
        self.layout = replace(
            before,
            firewall=firewall or before.firewall,
            network_type=network_type or before.network_type,
        )
        with ThreadPoolExecutor(max_workers=8) as pool:
            _finish([pool.submit(self.stop, name) for name in concerned])
            if self.layout.network_type != before.network_type:
                _finish([pool.submit(self._remove_agent_bridges, host) for host in self.hosts])
            self._write_agent_files()
            self._write_layout()
            _finish([pool.submit(self.start, name) for name in concerned])
        network = self.sdk("admin").network
        reported = partial(self._agents_reported, network)
        wait_for(reported, 240, "every agent's configuration in Neutron", interval=0.3)

    def _remove_agent_bridges(self, host: str) -> None:
        """Remove what an agent made that one with another type of networks would not use."""
        bridge = underlay.UNDERLAY_BRIDGE
        self.vsctl(
            host,
            *["--if-exists", "del-br", "br-tun", "--", "--if-exists", "del-br", "br-int"],
            *f"-- --if-exists del-port {bridge} phy-{bridge}".split(),
            *f"-- del-controller {bridge} -- del-fail-mode {bridge}".split(),
            applied=True,
        )
        self.ofctl(host, "del-flows", bridge)
        self.ofctl(host, "add-flow", bridge, "actions=normal")

    def _write_agent_files(self) -> None:
        for host in self.hosts:
            path = self.layout.host_directory(host) / "agent.conf"
            path.write_text(configs.agent(self.layout, host))
        (self.layout.directory / "controller.conf").write_text(configs.controller(self.layout))

    def _agents_reported(self, network: Any) -> bool:
        """Whether Neutron knows which types of networks the agents serve now."""
        types = [self.layout.network_type] if self.layout.has_tunnels else []
        return all(
            agent.configuration.get("tunnel_types") == types
            and bool(agent.configuration.get("bridge_mappings")) != self.layout.has_tunnels
            for agent in network.agents()
            if agent.binary == "neutron-openvswitch-agent"
        )

    # Clients and switches.

    def sdk(self, user: str = "demo") -> openstack.connection.Connection:
        """An openstacksdk connection as ``demo`` or ``admin``, usable outside the namespaces."""
        return clients.connect(self.layout, user)

    def run_client(self, program: str, *arguments: str, user: str = "demo") -> str:
        """Run a real client, ``openstack`` or ``neutron``; returns what it printed.

        :raises LabError: if it fails, with its message.
        """
        return clients.run(self.layout, user, program, *arguments)

    def openstack(self, *arguments: str, user: str = "demo") -> str:
        """Run the real ``openstack`` command; returns what it printed.

        :raises LabError: if it fails, with its message.
        """
        return self.run_client("openstack", *arguments, user=user)

    def openstack_json(self, *arguments: str, user: str = "demo") -> Any:
        """Run the real ``openstack`` command with JSON output, parsed."""
        return json.loads(self.openstack(*arguments, "-f", "json", user=user))

    def vsctl(self, host: str, *arguments: str, applied: bool = False) -> str:
        """Run ovs-vsctl on a host's switch database.

        :param applied: wait until the switch has applied the change.
        """
        database = f"unix:{self.layout.host_directory(host)}/db.sock"
        options = ["--timeout=30", *([] if applied else ["--no-wait"]), f"--db={database}"]
        return _output(["ovs-vsctl", *options, *arguments])

    def ofctl(
        self,
        host: str,
        command: str,
        bridge: str = "br-int",
        *arguments: str,
        version: str = "OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15",
    ) -> str:
        """Run ovs-ofctl on a host's bridge, such as ``lab.ofctl("h1", "dump-flows")``.

        :param version: of OpenFlow; of several, the latest that the bridge speaks.
        """
        target = f"unix:{self.layout.host_directory(host)}/{bridge}.mgmt"
        return _output(["ovs-ofctl", "-O", version, command, target, *arguments])

    def flush_mac_tables(self) -> None:
        """Have every switch forget at which port a VM was, as it does by itself after some minutes of silence."""
        for host in self.hosts:
            self.appctl(host, "fdb/flush")
        underlay.flush_mac_tables(self.layout)

    def appctl(self, host: str, *arguments: str) -> str:
        """Run ovs-appctl on a host's switch."""
        target = f"{self.layout.host_directory(host)}/vswitchd.ctl"
        return _output(["ovs-appctl", f"--target={target}", *arguments])


def _full_name(program: str, host: str) -> str:
    return f"{program}@{host}" if host else program


def _finish(jobs: Sequence[Future[None]]) -> None:
    for job in jobs:
        job.result()


def _output(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        msg = f"{' '.join(argv)}: {done.stderr.strip()}"
        raise LabError(msg)
    return done.stdout
