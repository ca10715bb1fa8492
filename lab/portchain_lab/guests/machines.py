"""Virtual machines, as Nova would run them: namespaces whose interfaces are Neutron ports."""

import json
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import openstack.connection

from portchain_lab import layout
from portchain_lab.errors import LabError
from portchain_lab.guests import inside, vif
from portchain_lab.guests.vif import Nic
from portchain_lab.hosts import netns, processes
from portchain_lab.waiting import wait_for

DEVICE_OWNER = "compute:nova"
ACTIVE_DEADLINE = 240.0
PROGRAM_DEADLINE = 60.0


@dataclass(frozen=True, slots=True)
class Machine:
    """A virtual machine at one moment; attaching and moving give a new value.

    :param namespace: the network namespace that plays the machine.
    :param kind: one of ``guest.KINDS``.
    :param owner: what its ports have as ``device_owner``.
    """

    name: str
    id: str
    host: str
    namespace: str
    kind: str
    nics: tuple[Nic, ...] = ()
    owner: str = DEVICE_OWNER

    @property
    def ip(self) -> str:
        """Address of the first interface."""
        return self.nics[0].ip

    def nic(self, port: str) -> Nic:
        """The interface of a Neutron port, by the port's name or id.

        :raises LabError: if the machine has none such.
        """
        for nic in self.nics:
            if port in (nic.port_id, nic.port_name):
                return nic
        msg = f"{self.name} has no port {port}"
        raise LabError(msg)


class Machines:
    """The lab's virtual machines.

    :param connect: gives an administrator's SDK connection: Nova, too, binds ports as a service.
    """

    def __init__(
        self, lab: layout.Layout, connect: Callable[[], openstack.connection.Connection]
    ) -> None:
        self._lab = lab
        self._connect = connect
        self._directory = lab.directory / "machines"
        self._programs = processes.Ledger(lab.directory / "programs")
        self._cloud: openstack.connection.Connection | None = None

    @property
    def _network(self) -> Any:
        self._cloud = self._cloud or self._connect()
        return self._cloud.network

    def all(self) -> list[Machine]:
        """The machines there are, by name."""
        return [self.get(path.stem) for path in sorted(self._directory.glob("*.json"))]

    def get(self, name: str) -> Machine:
        """A machine by its name.

        :raises LabError: if there is none.
        """
        try:
            known = json.loads((self._directory / f"{name}.json").read_text())
        except FileNotFoundError:
            msg = f"no virtual machine {name!r}"
            raise LabError(msg) from None
        nics = tuple(
            Nic(**{**nic, "addresses": tuple(nic["addresses"])}) for nic in known.pop("nics")
        )
        return Machine(**known, nics=nics)

    def boot(
        self,
        name: str,
        host: str,
        ports: Sequence[str],
        *,
        kind: str = inside.PLAIN,
        wait: bool = True,
        owner: str = DEVICE_OWNER,
    ) -> Machine:
        """Start a machine with existing Neutron ports.

        :param ports: ids of the ports, in the order of its interfaces.
        :param kind: one of ``guest.KINDS``, such as ``l3`` for a routing service function.
        :param wait: until Neutron reports every port ACTIVE.
        :param owner: ``device_owner`` of its ports; Nova's, or e.g. ``network:router_interface``.
        """
        if kind not in inside.KINDS:
            msg = f"kind {kind!r}: one of {', '.join(inside.KINDS)}"
            raise LabError(msg)
        namespace = self._lab.namespace(layout.vm_part(name))
        machine = Machine(name, str(uuid.uuid4()), host, namespace, kind, owner=owner)
        self._save(machine)
        netns.create([namespace])
        machine = self._attach(machine, ports)
        if wait:
            self.wait_active([machine])
        return machine

    def attach(self, machine: Machine, port: str, wait: bool = True) -> Machine:
        """Add an interface to a running machine (``nova interface-attach``)."""
        machine = self._attach(machine, [port])
        if wait:
            self.wait_active([machine])
        return machine

    def attach_subport(self, machine: Machine, parent: str, port: str, vlan: int) -> Machine:
        """Let a running machine use a port of a trunk whose parent port it has.

        :param parent: name or id of the parent port. ``port``: id of the subport.
        :param vlan: the subport's segmentation id.
        """
        device = f"{machine.nic(parent).device}.{vlan}"
        nic = replace(self._describe(self._network.get_port(port), device), vlan=vlan)
        machine = replace(machine, nics=(*machine.nics, nic))
        self._save(machine)
        self._configure(machine)
        return machine

    def detach(self, machine: Machine, port: str) -> Machine:
        """Take an interface away from a running machine (``nova interface-detach``)."""
        nic = machine.nic(port)
        vif.unplug(self._lab, machine.host, machine.name, machine.id, nic)
        self._unbind(nic)
        rest = tuple(other for other in machine.nics if other != nic)
        machine = replace(machine, nics=rest)
        self._configure(machine)
        self._save(machine)
        return machine

    def move(self, machine: Machine, host: str, wait: bool = True) -> Machine:
        """Take a machine to another host: unplug, bind its ports there, plug."""
        for nic in machine.nics:
            vif.unplug(self._lab, machine.host, machine.name, machine.id, nic)
        moved = replace(machine, host=host)
        for nic in moved.nics:
            if nic.vlan is None:
                self._network.update_port(nic.port_id, binding_host_id=host)
            vif.plug(self._lab, host, moved.name, moved.id, nic)
        self._configure(moved)
        self._save(moved)
        if wait:
            self.wait_active([moved])
            self.announce(moved)
        return moved

    def resume(self, machine: Machine) -> None:
        """Let a machine go on whose host is back, as Nova does where it may (``resume_guests_state_on_host_boot``). What it had
        in memory is still there, its programs begin anew.
        """
        for nic in machine.nics:
            vif.plug(self._lab, machine.host, machine.name, machine.id, nic)
        self._configure(machine)

    @staticmethod
    def announce(machine: Machine) -> None:
        """Let switches know where a machine is that was elsewhere before; ``move`` does it if it waits.

        A bump in the wire says nothing: its broadcast would go round between its two ports without end.
        """
        if not inside.is_bump(machine.kind):
            inside.announce(machine.namespace, machine.nics)

    def delete(self, machine: Machine) -> None:
        """End a machine; its ports stay, unbound."""
        processes.kill_all([machine.namespace])
        for nic in machine.nics:
            vif.unplug(self._lab, machine.host, machine.name, machine.id, nic)
            self._unbind(nic)
        for name in inside.programs(machine.nics, machine.kind):
            self._programs.drop(_program(name, machine))
        netns.delete([machine.namespace])
        (self._directory / f"{machine.name}.json").unlink(missing_ok=True)

    def delete_all(self) -> None:
        """End every machine."""
        for machine in self.all():
            self.delete(machine)

    def wait_active(self, machines: Iterable[Machine], deadline: float = ACTIVE_DEADLINE) -> None:
        """Wait until Neutron reports every port of the machines ACTIVE.

        :param deadline: seconds.
        """
        for machine in machines:
            for nic in machine.nics:
                what = f"port {nic.label} of {machine.name} ACTIVE"
                wait_for(partial(self._is_active, nic.port_id), deadline, what, interval=0.3)

    def _is_active(self, port: str) -> bool:
        return bool(self._network.get_port(port).status == "ACTIVE")

    def ping(self, machine: Machine, address: str, count: int = 1, deadline: int = 10) -> bool:
        """Whether ``count`` echo replies come back within ``deadline`` seconds.

        Echo requests are repeated every 0.2 s until enough replies came: the first may be lost to
        address resolution.
        """
        argv = ("ping", "-n", "-q", "-i", "0.2", "-c", str(count), "-w", str(deadline), address)
        done = subprocess.run(
            netns.command(machine.namespace, argv), capture_output=True, check=False
        )
        return done.returncode == 0

    def _attach(self, machine: Machine, ports: Sequence[str]) -> Machine:
        for port_id in ports:
            port = self._network.update_port(
                port_id,
                device_id=machine.id,
                device_owner=machine.owner,
                binding_host_id=machine.host,
            )
            nic = self._describe(port, f"eth{self._free_index(machine)}")
            machine = replace(machine, nics=(*machine.nics, nic))
            # Before plugging: should this process die in between, delete() knows what to unplug.
            self._save(machine)
            vif.plug(self._lab, machine.host, machine.name, machine.id, nic)
        self._configure(machine)
        return machine

    def _configure(self, machine: Machine) -> None:
        """Set up what is inside the machine, which has new interfaces."""
        inside.configure(machine.namespace, machine.nics, machine.kind)
        for program, argv in inside.programs(machine.nics, machine.kind).items():
            self._start(_program(program, machine), machine.namespace, argv)

    def _start(self, name: str, namespace: str, argv: tuple[str, ...]) -> None:
        """Start a program of a machine anew, and wait until it is ready."""
        if known := self._programs.read(name):
            processes.stop(known, self._programs)
        log = self._lab.logs / f"{name}.log"
        record = processes.start(processes.Service(name, namespace, argv, log), self._programs)
        wait_for(partial(_is_ready, record, log), PROGRAM_DEADLINE, f"{name} ready: see {log}")

    @staticmethod
    def _free_index(machine: Machine) -> int:
        taken = {nic.device for nic in machine.nics}
        return next(index for index in range(100) if f"eth{index}" not in taken)

    def _describe(self, port: Any, device: str) -> Nic:
        addresses, gateway = [], ""
        for fixed in port.fixed_ips:
            subnet = self._network.get_subnet(fixed["subnet_id"])
            addresses.append(f"{fixed['ip_address']}/{subnet.cidr.partition('/')[2]}")
            gateway = gateway or subnet.gateway_ip or ""
        return Nic(
            device=device,
            port_id=port.id,
            port_name=port.name,
            network_id=port.network_id,
            mac_address=port.mac_address,
            addresses=tuple(addresses),
            gateway=gateway,
            mtu=self._network.get_network(port.network_id).mtu,
            bridge=(port.binding_vif_details or {}).get("bridge_name", vif.INTEGRATION_BRIDGE),
        )

    def _unbind(self, nic: Nic) -> None:
        """Give a port back, as Nova does with ports it did not make; a deleted port is no error."""
        # A trunk's subports are bound and unbound with their parent.
        if nic.vlan is None and self._network.find_port(nic.port_id):
            self._network.update_port(
                nic.port_id, device_id="", device_owner="", binding_host_id=""
            )

    def _save(self, machine: Machine) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / f"{machine.name}.json"
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(asdict(machine)))
        shutil.move(draft, path)


def _program(name: str, machine: Machine) -> str:
    return f"{name}@{machine.name}"


def _is_ready(record: processes.Record, log: Path) -> bool:
    """Whether a program in a machine says so.

    :raises LabError: it has ended.
    """
    said = processes.log_since_start(log)
    if not processes.alive(record):
        msg = f"{record.name} ended: {said}"
        raise LabError(msg)
    return processes.READY in said.split()
