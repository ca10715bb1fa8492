"""The lab as one object: bringing it up and down, its programs, its clients and its switches."""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from functools import partial

import openstack.connection

from portchain_lab import layout, programs, reconfiguration, startup
from portchain_lab.cloud import clients
from portchain_lab.errors import LabError
from portchain_lab.guests import vif
from portchain_lab.guests.virtual_machines import VirtualMachines
from portchain_lab.hosts import netns, processes, switch, underlay
from portchain_lab.progress import Progress, silent
from portchain_lab.waiting import wait_for

POWER_OFF_TIMEOUT = 30.0


class Lab:
    """A running lab, or one that is about to run.

    Create one with a ``Layout`` and call ``up``, or get one that runs with ``Lab.open``.
    """

    def __init__(self, lab: layout.Layout) -> None:
        self.layout = lab
        self.processes = processes.ProcessRegistry(lab.directory / "processes")
        self.vms = VirtualMachines(lab, lambda: self.sdk("admin"))

    @classmethod
    def open(cls, name: str = "demo") -> "Lab":
        """The lab of this name that is up, perhaps brought up by another process.

        :raises LabError: there is none, or it never came up completely.
        """
        try:
            known = json.loads((layout.ROOT / name / "lab.json").read_text())
        except FileNotFoundError:
            msg = f"there is no lab {name!r}; start one with: portchain-lab up --name {name}"
            raise LabError(msg) from None
        known["software"] = layout.Software.from_json(known["software"])
        return cls(layout.Layout(**known))

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of the compute hosts."""
        return self.layout.host_names

    # Up and down.

    def up(self, report: Progress = silent) -> "Lab":
        """Bring the lab up. Removes what an earlier lab of the same name left.

        :param report: receives a line after each step.
        :raises LabError: a program does not start; what runs already stays, to be looked at.
        """
        with self._lock():
            self._remove()
            startup.write_files(self.layout)
            underlay.build(self.layout)
            report("namespaces and links")
            startup.start_all(
                self.layout, self.processes, self.start, lambda: self.sdk("admin"), report
            )
            self._write_layout()
        return self

    def down(self) -> None:
        """End all processes, delete the namespaces and files. Does nothing if there are none."""
        with self._lock():
            self._remove()

    def is_up(self) -> bool:
        """Return whether the lab came up completely and each of its programs runs."""
        complete = (self.layout.directory / "lab.json").exists()
        return complete and all(running for _, _, running in self.status())

    def _write_layout(self) -> None:
        (self.layout.directory / "lab.json").write_text(json.dumps(asdict(self.layout)))

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
                msg = (
                    f"another process is bringing lab {self.layout.name!r} up or down: wait for "
                    "it, or use another name (--name)"
                )
                raise LabError(msg) from None
            yield

    # Programs.

    def status(self) -> list[tuple[str, int | None, bool]]:
        """Each program's name, process id (None if it was never started), and whether it runs."""
        rows = []
        for name in programs.names(self.layout):
            record = self.processes.read(name)
            running = bool(record and processes.alive(record))
            rows.append((name, record.pid if record else None, running))
        return rows

    def program(self, name: str) -> processes.Program:
        """A program by its name: ``neutron-api``, or with its host: ``agent@h1``.

        :raises LabError: the lab has no such program.
        """
        return programs.find(self.layout, name)

    def start(self, name: str, wait: bool = True) -> None:
        """Start a program that does not run.

        :param wait: until it is ready.
        :raises LabError: it runs already, or it ends at once.
        :raises DeadlineError: it does not become ready.
        """
        program = self.program(name)
        record = processes.start(program.process, self.processes)
        kind, _, host = name.partition("@")
        if kind == "ovs-vswitchd":
            switch.prepare(self.layout, host, partial(processes.is_ready, program, record))
        elif wait:
            processes.wait_ready(program, record)

    def stop(self, program: str, host: str = "") -> None:
        """Stop a program as a service manager does: SIGTERM, then SIGKILL."""
        name = _full_name(program, host)
        self._stop(name, self.program(name).process.stop_wait)

    def kill(self, program: str, host: str = "") -> None:
        """Kill a program and all of its processes with SIGKILL."""
        self._stop(_full_name(program, host), grace_period=0)

    def restart(self, program: str, host: str = "", wait: bool = True) -> None:
        """Stop and start a program.

        :param wait: until it is ready.
        """
        self.stop(program, host)
        self.start(_full_name(program, host), wait)

    def _stop(self, name: str, grace_period: float) -> None:
        self.program(name)
        record = self.processes.read(name)
        if record:
            processes.stop(record, self.processes, grace_period)

    def reconfigure(self, *, firewall: str = "", network_type: str = "") -> None:
        """Restart the agents with another firewall driver or another network type.

        The servers keep running: project networks keep the type that the lab was started with,
        but an administrator can create networks of the new type.

        :param firewall: one of ``layout.FIREWALLS``; empty keeps the present one.
        :param network_type: one of ``layout.NETWORK_TYPES``; empty keeps the present one. Changing
            it requires a lab without VMs.
        """
        before = self.layout
        self.layout = replace(
            before,
            firewall=firewall or before.firewall,
            network_type=network_type or before.network_type,
        )
        self._write_layout()
        reconfiguration.restart_agents(
            self.layout,
            rebuild_bridges=self.layout.network_type != before.network_type,
            stop=self.stop,
            start=self.start,
            network=self.sdk("admin").network,
        )

    # Hosts.

    def power_off(self, host: str) -> None:
        """Kill a host and its VMs as a power failure does. Its files survive."""
        namespace = self.layout.namespace(host)
        guests = [vm.namespace for vm in self.vms.all() if vm.host == host]
        processes.kill_all([namespace, *guests])
        for program in programs.on_host(self.layout, host):
            self.processes.remove(f"{program}@{host}")
        netns.delete([namespace])
        # The kernel removes the peers of the host's interfaces a moment later.
        wait_for(
            lambda: not underlay.is_connected(self.layout, host),
            POWER_OFF_TIMEOUT,
            f"the links of {host} to disappear",
        )

    def power_on(self, host: str) -> None:
        """Start a host that was powered off: its switch, its VMs, then the agent.

        VMs start before the agent because Neutron promises no order between them.
        """
        underlay.reconnect(self.layout, host)
        for program in programs.SWITCH_PROGRAMS:
            self.start(f"{program}@{host}")
        for vm in self.vms.all():
            if vm.host == host:
                self.vms.resume(vm)
        for program in programs.on_host(self.layout, host):
            if program not in programs.SWITCH_PROGRAMS:
                # nova-compute ends without libvirt.
                self.start(f"{program}@{host}", wait=program == programs.LIBVIRT)

    # Clients.

    def sdk(self, user: str = "demo") -> openstack.connection.Connection:
        """An openstacksdk connection as ``demo`` or ``admin``, usable outside the namespaces."""
        return clients.connect(self.layout, user)

    def run_client(self, program: str, *arguments: str, user: str = "demo") -> str:
        """Run the real ``openstack``, ``neutron`` or ``nova`` client; returns what it printed.

        :raises LabError: it fails; the message holds its output.
        """
        return clients.run(self.layout, user, program, *arguments)

    def client_launcher(self) -> AbstractContextManager[None]:
        """Makes ``run_client`` and ``openstack`` take less time within this context."""
        return clients.launcher(self.layout, self.processes)

    def openstack(self, *arguments: str, user: str = "demo") -> str:
        """Run the real ``openstack`` client; returns what it printed.

        :raises LabError: it fails; the message holds its output.
        """
        return self.run_client("openstack", *arguments, user=user)

    # Switches.

    def vsctl(self, host: str, *arguments: str, applied: bool = False) -> str:
        """Run ovs-vsctl on a host's switch database.

        :param applied: wait until the switch has applied the change.
        """
        return switch.vsctl(self.layout, host, *arguments, applied=applied)

    def ofctl(
        self,
        host: str,
        command: str,
        bridge: str = "br-int",
        *arguments: str,
        version: str = switch.OPENFLOW_VERSIONS,
    ) -> str:
        """Run ovs-ofctl on a host's bridge, such as ``lab.ofctl("h1", "dump-flows")``.

        :param version: OpenFlow versions; the latest that the bridge also speaks is used.
        """
        return switch.ofctl(self.layout, host, version, command, bridge, *arguments)

    def appctl(self, host: str, *arguments: str) -> str:
        """Run ovs-appctl on a host's switch."""
        return switch.appctl(self.layout, host, *arguments)

    def flush_mac_tables(self) -> None:
        """Empty the MAC tables of all switches, as minutes without traffic would."""
        switch.flush_mac_tables(self.layout, self.hosts)


def _full_name(program: str, host: str) -> str:
    return f"{program}@{host}" if host else program
