"""Virtual machines: namespaces whose interfaces are Neutron ports, plugged as Nova does."""

import json
import shutil
import subprocess
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import openstack.connection

from portchain_lab import layout
from portchain_lab.errors import DeadlineError, LabError
from portchain_lab.guests import configuration, kinds, vif
from portchain_lab.guests.vif import Nic
from portchain_lab.hosts import netns, processes
from portchain_lab.waiting import patient, wait_for

DEVICE_OWNER = "compute:nova"
ACTIVE_DEADLINE = 240.0
LEFT_OUT_AFTER = 90.0
"""Seconds after which an agent has left a new interface out."""
PROGRAM_DEADLINE = 60.0
AGENT_LINES = 6


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """The state of a virtual machine. Immutable: attaching a port or migrating returns a new value.

    :param namespace: the network namespace that acts as the VM.
    :param kind: one of ``kinds.KINDS``.
    :param device_owner: the ``device_owner`` of its ports.
    :param from_host: it is a guest of Nova. ``namespace`` is that of its host, and its interfaces
        are the host's ends of its ports.
    """

    name: str
    id: str
    host: str
    namespace: str
    kind: str
    nics: tuple[Nic, ...] = ()
    device_owner: str = DEVICE_OWNER
    from_host: bool = False

    @property
    def ip(self) -> str:
        """Address of the first interface."""
        return self.nics[0].ip

    def nic(self, port: str) -> Nic:
        """The interface of a Neutron port, by the port's name or id.

        :raises LabError: the VM has no such port.
        """
        for nic in self.nics:
            if port in (nic.port_id, nic.port_name):
                return nic
        msg = f"{self.name} has no port {port}"
        raise LabError(msg)


class VirtualMachines:
    """The lab's virtual machines.

    :param connect: opens an administrator's SDK connection, which binding a port requires.
    """

    def __init__(
        self, lab: layout.Layout, connect: Callable[[], openstack.connection.Connection]
    ) -> None:
        self._lab = lab
        self._connect = connect
        self._directory = lab.directory / "vms"
        self._programs = processes.ProcessRegistry(lab.directory / "programs")
        self._cloud: openstack.connection.Connection | None = None
        self._subnets: dict[str, Any] = {}
        self._networks: dict[str, Any] = {}

    @property
    def _network(self) -> Any:
        self._cloud = self._cloud or self._connect()
        return self._cloud.network

    def all(self) -> list[VirtualMachine]:
        """Every VM, by name."""
        return [self.get(path.stem) for path in sorted(self._directory.glob("*.json"))]

    def get(self, name: str) -> VirtualMachine:
        """A VM by its name.

        :raises LabError: there is none.
        """
        try:
            known = json.loads((self._directory / f"{name}.json").read_text())
        except FileNotFoundError:
            msg = f"the lab has no VM {name!r}"
            raise LabError(msg) from None
        nics = tuple(
            Nic(**{**nic, "addresses": tuple(nic["addresses"])}) for nic in known.pop("nics")
        )
        return VirtualMachine(**known, nics=nics)

    def of_nova(self, server: Any) -> VirtualMachine:
        """A guest of Nova as it is now, to capture what it receives and sends.

        It is not among ``all``, and Nova alone can change it.

        :param server: openstacksdk's server, as an administrator sees it.
        """
        host = server.compute_host
        nics = tuple(
            self._describe(port, layout.tap_name(port.id))
            for port in self._network.ports(device_id=server.id)
        )
        return VirtualMachine(
            *(server.name, server.id, host, self._lab.namespace(host), kinds.L3),
            nics=nics,
            from_host=True,
        )

    def create(
        self,
        name: str,
        host: str,
        ports: Sequence[str],
        *,
        kind: str = kinds.PLAIN,
        wait: bool = True,
        device_owner: str = DEVICE_OWNER,
    ) -> VirtualMachine:
        """Create and start a VM with existing Neutron ports.

        :param ports: ids of the ports, in the order of the VM's interfaces.
        :param kind: one of ``kinds.KINDS``, such as ``l3`` for a service function that routes.
        :param wait: wait until Neutron reports every port ACTIVE.
        :param device_owner: the ``device_owner`` to set on its ports.
        """
        if kind not in kinds.KINDS:
            msg = f"kind {kind!r}: use one of {', '.join(kinds.KINDS)}"
            raise LabError(msg)
        namespace = self._lab.namespace(layout.vm_part(name))
        vm = VirtualMachine(
            name, str(uuid.uuid4()), host, namespace, kind, device_owner=device_owner
        )
        self._save(vm)
        netns.create([namespace])
        vm = self._attach(vm, ports)
        if wait:
            self.wait_active([vm])
        return vm

    def attach_port(self, vm: VirtualMachine, port: str, wait: bool = True) -> VirtualMachine:
        """Add an interface to a running VM (``nova interface-attach``)."""
        vm = self._attach(vm, [port])
        if wait:
            self.wait_active([vm])
        return vm

    def attach_subport(
        self, vm: VirtualMachine, parent: str, port: str, vlan: int
    ) -> VirtualMachine:
        """Give a running VM an interface for a subport of a trunk.

        :param parent: name or id of the trunk's parent port, which the VM has.
        :param port: id of the subport.
        :param vlan: the subport's segmentation id.
        """
        device = f"{vm.nic(parent).device}.{vlan}"
        nic = replace(self._describe(self._network.get_port(port), device), vlan=vlan)
        vm = replace(vm, nics=(*vm.nics, nic))
        self._save(vm)
        self._configure(vm)
        return vm

    def detach_port(self, vm: VirtualMachine, port: str) -> VirtualMachine:
        """Remove an interface from a running VM (``nova interface-detach``)."""
        nic = vm.nic(port)
        vif.unplug(self._lab, vm.host, vm.name, vm.id, nic)
        self._unbind(nic)
        rest = tuple(other for other in vm.nics if other != nic)
        vm = replace(vm, nics=rest)
        self._configure(vm)
        self._save(vm)
        return vm

    def migrate(self, vm: VirtualMachine, host: str, wait: bool = True) -> VirtualMachine:
        """Migrate a VM to another host: unplug it, bind its ports there, plug it.

        :param wait: wait until Neutron reports every port ACTIVE, then announce the addresses.
        """
        for nic in vm.nics:
            vif.unplug(self._lab, vm.host, vm.name, vm.id, nic)
        moved = replace(vm, host=host)
        for nic in moved.nics:
            if nic.vlan is None:
                self._network.update_port(nic.port_id, binding_host_id=host)
            vif.plug(self._lab, host, moved.name, moved.id, nic)
        self._configure(moved)
        self._save(moved)
        if wait:
            self.wait_active([moved])
            self.announce_addresses(moved)
        return moved

    def live_migrate(
        self, vm: VirtualMachine, host: str, cloud: Any, paused: Callable[[], object]
    ) -> VirtualMachine:
        """Migrate a VM as Nova does while it runs: with a second binding of each port.

        The VM has one interface for each port, so it is plugged in on the new host when it has left
        the former one, before the binding there is activated.

        :param cloud: a connection of a user with the role ``service``, as Nova has.
        :param paused: called when the VM is on the new host and the binding is not active yet.
        """
        former, network = vm.host, cloud.network
        for nic in vm.nics:
            network.create_port_binding(nic.port_id, host=host)
            network.update_port(nic.port_id, binding_profile={"migrating_to": host})
        for nic in vm.nics:
            vif.unplug(self._lab, former, vm.name, vm.id, nic)
        moved = replace(vm, host=host)
        for nic in moved.nics:
            vif.plug(self._lab, host, moved.name, moved.id, nic)
        self._configure(moved)
        self._save(moved)
        paused()
        for nic in moved.nics:
            network.activate_port_binding(nic.port_id, host)
            network.delete_port_binding(nic.port_id, former)
        self.wait_active([moved])
        self.announce_addresses(moved)
        return moved

    def resume(self, vm: VirtualMachine) -> None:
        """Resume a VM after its host was powered on again.

        Nova does this with ``resume_guests_state_on_host_boot``. Namespace and addresses
        survived; the programs in the VM start again.
        """
        for nic in vm.nics:
            vif.plug(self._lab, vm.host, vm.name, vm.id, nic)
        self._configure(vm)

    @staticmethod
    @contextmanager
    def hung(vm: VirtualMachine) -> Iterator[None]:
        """Inside the context, a service function takes packets and returns none.

        Neutron does not see it, as it does not see that a program hangs in a real VM.
        """
        configuration.set_forwarding(vm.namespace, vm.nics, vm.kind, forwards=False)
        try:
            yield
        finally:
            configuration.set_forwarding(vm.namespace, vm.nics, vm.kind, forwards=True)

    @staticmethod
    def announce_addresses(vm: VirtualMachine) -> None:
        """Announce where a VM is now, so that switches learn it; ``migrate`` with ``wait`` does it.

        A bump in the wire announces nothing: its broadcast would loop between its two ports.
        """
        if not kinds.is_bump_in_the_wire(vm.kind):
            configuration.announce_addresses(vm.namespace, vm.nics)

    def delete(self, vm: VirtualMachine, *, delete_ports: bool = False) -> None:
        """Delete a VM. Its ports stay, unbound.

        :param delete_ports: delete the ports in Neutron instead, before they are unplugged: nobody
            then reports them DOWN first, which costs Neutron more than the deletion. Subports of a
            trunk stay.
        """
        processes.kill_all([vm.namespace])
        if delete_ports:
            for nic in vm.nics:
                if nic.vlan is None:
                    self._network.delete_port(nic.port_id)
        for nic in vm.nics:
            vif.unplug(self._lab, vm.host, vm.name, vm.id, nic)
            if not delete_ports:
                self._unbind(nic)
        for name in configuration.programs(vm.nics, vm.kind):
            self._programs.remove(_program(name, vm))
        netns.delete([vm.namespace])
        (self._directory / f"{vm.name}.json").unlink(missing_ok=True)

    def delete_all(self, *, delete_ports: bool = False) -> None:
        """Delete every VM; ``delete_ports`` as in ``delete``."""
        for vm in self.all():
            self.delete(vm, delete_ports=delete_ports)

    def wait_active(self, vms: Iterable[VirtualMachine], deadline: float = ACTIVE_DEADLINE) -> None:
        """Wait until Neutron reports every port of the VMs ACTIVE.

        An interface that Neutron's agent leaves out is plugged again once, with a warning. Nova
        would give the boot up, and its user would repeat it. Guests of Nova are left alone.

        :param deadline: seconds.
        """
        owners = {nic.port_id: (vm, nic) for vm in vms for nic in vm.nics}
        late = self._wait_for_ports(owners, min(deadline, LEFT_OUT_AFTER))
        is_ours = not any(owners[port][0].from_host for port in late)
        if late and is_ours and deadline > LEFT_OUT_AFTER:
            said = "\n".join(self._explain(*owners[port]) for port in late)
            warnings.warn(f"plugged again, because it stays DOWN: {said}", stacklevel=2)
            for port in late:
                self._plug_again(*owners[port])
        if late:
            late = self._wait_for_ports(owners, deadline)
        if late:
            said = "\n".join(self._explain(*owners[port]) for port in late)
            msg = f"not ACTIVE after {deadline:g} s: {said}"
            raise DeadlineError(msg)

    def _wait_for_ports(self, ports: Iterable[str], deadline: float) -> list[str]:
        """Return the ports that are not ACTIVE after ``deadline`` seconds."""
        try:
            wait_for(lambda: not self._inactive(ports), deadline, "ports to become ACTIVE", 0.4)
        except DeadlineError:
            return self._inactive(ports)
        return []

    def _plug_again(self, vm: VirtualMachine, nic: Nic) -> None:
        vif.unplug(self._lab, vm.host, vm.name, vm.id, nic)
        vif.plug(self._lab, vm.host, vm.name, vm.id, nic)
        self._configure(vm)

    def _inactive(self, ports: Iterable[str]) -> list[str]:
        """Which of the ports are not ACTIVE, asked in one request."""
        query = [("fields", "id"), ("status", "ACTIVE"), *(("id", port) for port in ports)]
        active = self._network.get("/ports", params=query).json()["ports"]
        return sorted(set(ports) - {port["id"] for port in active})

    def _explain(self, vm: VirtualMachine, nic: Nic) -> str:
        """What Neutron and the host's agent say about a port that does not become ACTIVE."""
        port = self._network.get_port(nic.port_id)
        log = self._lab.log_file(f"agent@{vm.host}")
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        said = [line for line in lines if nic.port_id in line][-AGENT_LINES:]
        return "\n  ".join(
            [
                f"{nic.label} of {vm.name}: {port.status}, bound to {port.binding_host_id} "
                f"as {port.binding_vif_type}, wanted on {vm.host}",
                *(said or [f"the agent's log says nothing about it: {log}"]),
            ]
        )

    def ping(self, vm: VirtualMachine, address: str, count: int = 1, deadline: int = 10) -> bool:
        """Return whether ``count`` echo replies arrive within ``deadline`` seconds.

        Sends a request every 0.2 s until enough replies came: address resolution may cost the
        first one.
        """
        limit = f"{patient(deadline):.0f}"
        argv = ("ping", "-n", "-q", "-i", "0.2", "-c", str(count), "-w", limit, address)
        done = subprocess.run(netns.command(vm.namespace, argv), capture_output=True, check=False)
        return done.returncode == 0

    def _attach(self, vm: VirtualMachine, ports: Sequence[str]) -> VirtualMachine:
        for port_id in ports:
            port = self._network.update_port(
                port_id,
                device_id=vm.id,
                device_owner=vm.device_owner,
                binding_host_id=vm.host,
            )
            nic = self._describe(port, f"eth{self._free_index(vm)}")
            vm = replace(vm, nics=(*vm.nics, nic))
            # Saved before it is plugged: if this process dies in between, delete() can unplug it.
            self._save(vm)
            vif.plug(self._lab, vm.host, vm.name, vm.id, nic)
        self._configure(vm)
        return vm

    def _configure(self, vm: VirtualMachine) -> None:
        """Configure the inside of a VM whose interfaces have changed."""
        configuration.configure(vm.namespace, vm.nics, vm.kind)
        for program, argv in configuration.programs(vm.nics, vm.kind).items():
            self._start(_program(program, vm), vm.namespace, argv)

    def _start(self, name: str, namespace: str, argv: tuple[str, ...]) -> None:
        """Start or restart a program in a VM, and wait until it is ready."""
        if known := self._programs.read(name):
            processes.stop(known, self._programs)
        log = self._lab.log_file(name)
        record = processes.start(processes.ProcessSpec(name, namespace, argv, log), self._programs)
        wait_for(
            partial(_is_ready, record, log),
            PROGRAM_DEADLINE,
            f"{name} to become ready (log: {log})",
        )

    @staticmethod
    def _free_index(vm: VirtualMachine) -> int:
        taken = {nic.device for nic in vm.nics}
        return next(index for index in range(100) if f"eth{index}" not in taken)

    def _describe(self, port: Any, device: str) -> Nic:
        addresses, gateway = [], ""
        for fixed in port.fixed_ips:
            subnet = _cached(self._subnets, fixed["subnet_id"], self._network.get_subnet)
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
            mtu=_cached(self._networks, port.network_id, self._network.get_network).mtu,
            bridge=(port.binding_vif_details or {}).get("bridge_name", vif.INTEGRATION_BRIDGE),
        )

    def _unbind(self, nic: Nic) -> None:
        """Unbind a port, as Nova does with ports it did not create. Ignores a deleted port."""
        # Neutron binds and unbinds a trunk's subports with their parent.
        if nic.vlan is None and self._network.find_port(nic.port_id):
            self._network.update_port(
                nic.port_id, device_id="", device_owner="", binding_host_id=""
            )

    def _save(self, vm: VirtualMachine) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / f"{vm.name}.json"
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(asdict(vm)))
        shutil.move(draft, path)


def _cached(known: dict[str, Any], key: str, get: Callable[[str], Any]) -> Any:
    """What Neutron says of a network or subnet: no caller changes one that has VMs."""
    if key not in known:
        known[key] = get(key)
    return known[key]


def _program(name: str, vm: VirtualMachine) -> str:
    return f"{name}@{vm.name}"


def _is_ready(record: processes.ProcessRecord, log: Path) -> bool:
    """Return whether a program in a VM has reported that it is ready.

    :raises LabError: it has ended.
    """
    output = processes.log_since_start(log)
    if not processes.alive(record):
        msg = f"{record.name} ended unexpectedly: {output}"
        raise LabError(msg)
    return processes.READY in output.split()
