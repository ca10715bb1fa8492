"""Virtual interfaces, plugged into a host's switch by os-vif as nova-compute does.

Unlike Nova's, an interface is a veth pair that leads into a namespace, not a hypervisor's tap.
"""

import uuid
from dataclasses import dataclass
from typing import Any

import vif_plug_ovs.ovs
from os_vif import objects
from oslo_config import cfg
from ovsdbapp.backend.ovs_idl.connection import Connection
from vif_plug_ovs import privsep
from vif_plug_ovs.ovsdb import impl_idl

from portchain_lab import layout
from portchain_lab.hosts import netns, underlay
from portchain_lab.waiting import patient

INTEGRATION_BRIDGE = "br-int"


@dataclass(frozen=True, slots=True)
class Nic:
    """A network interface of a virtual machine.

    :param device: its name inside the VM, such as ``eth0``.
    :param addresses: with prefix length, such as ``10.0.0.5/24``.
    :param gateway: gateway of the first subnet that has one; empty if none has.
    :param mtu: MTU of the network, in bytes.
    :param bridge: the bridge it is plugged into: br-int, or the trunk's bridge for a parent port.
    :param vlan: VLAN id of a trunk's subport, which uses its parent's interface; otherwise None.
    """

    device: str
    port_id: str
    port_name: str
    network_id: str
    mac_address: str
    addresses: tuple[str, ...]
    gateway: str
    mtu: int
    bridge: str = INTEGRATION_BRIDGE
    vlan: int | None = None

    @property
    def parent(self) -> str:
        """The interface that carries a subport's frames."""
        return self.device.partition(".")[0]

    @property
    def label(self) -> str:
        """The Neutron port's name, or its id if it has no name."""
        return self.port_name or self.port_id

    @property
    def ip(self) -> str:
        """The first address, without prefix length."""
        return self.addresses[0].partition("/")[0]


@dataclass(frozen=True, slots=True)
class _HostPlugin:
    """os-vif's Open vSwitch plugin for one host, and its connection to the host's database."""

    plugin: Any
    connection: Connection


_connected: dict[tuple[str, int], _HostPlugin] = {}
"""By database address and inode of the lab's directory, which differs after a new start."""


def _plugin(lab: layout.Layout, host: str) -> Any:
    """os-vif's Open vSwitch plugin, connected to a host's database."""
    key = (_database(lab, host), lab.directory.stat().st_ino)
    if key not in _connected:
        # Without isolation, a new interface receives all VLANs until Neutron's agent has wired it.
        _connected[key] = _connect(key[0], isolate=lab.driver_of(host) != "ovn")
    return _connected[key].plugin


def disconnect(lab: layout.Layout) -> None:
    """Close the connections to the databases of a lab that is being removed."""
    for host in lab.host_names:
        for key in [key for key in _connected if key[0] == _database(lab, host)]:
            _connected.pop(key).connection.stop(timeout=5)


def _database(lab: layout.Layout, host: str) -> str:
    return f"unix:{lab.host_directory(host)}/db.sock"


def _connect(database: str, *, isolate: bool) -> _HostPlugin:
    objects.register_all()
    # This process is root and needs no privilege daemon.
    privsep.vif_plug.set_client_mode(False)
    conf = cfg.ConfigOpts()
    conf.register_opts(vif_plug_ovs.ovs.OvsPlugin.CONFIG_OPTS, group="vif_plug_ovs")
    conf.set_override("ovsdb_connection", database, group="vif_plug_ovs")
    conf.set_override("isolate_vif", isolate, group="vif_plug_ovs")
    plugin = vif_plug_ovs.ovs.OvsPlugin(conf.vif_plug_ovs)
    # ovsdbapp keeps one connection per class, so each host needs a class of its own. The
    # connection's thread stays in this process's namespace.
    backend = type("HostBackend", (impl_idl.NeutronOvsdbIdl,), {"_ovsdb_connection": None})
    connection = Connection(impl_idl.idl_factory(plugin.ovsdb), timeout=patient(30))
    plugin.ovsdb._ovsdb = backend(connection)
    return _HostPlugin(plugin, connection)


def _describe(lab: layout.Layout, nic: Nic, vm: str, vm_id: str) -> tuple[Any, Any]:
    """The interface and its VM as objects of os-vif."""
    vif = objects.vif.VIFOpenVSwitch(
        id=str(uuid.UUID(nic.port_id)),
        address=nic.mac_address,
        vif_name=layout.tap_name(nic.port_id),
        bridge_name=nic.bridge,
        network=objects.network.Network(
            id=nic.network_id, bridge=nic.bridge, mtu=nic.mtu, subnets=_no_subnets()
        ),
        port_profile=objects.vif.VIFPortProfileOpenVSwitch(
            interface_id=nic.port_id, datapath_type=lab.datapath_type, create_port=True
        ),
        plugin="ovs",
        active=True,
        has_traffic_filtering=True,
    )
    return vif, objects.instance_info.InstanceInfo(uuid=vm_id, name=vm)


def _no_subnets() -> Any:
    return objects.subnet.SubnetList(objects=[])


def plug(lab: layout.Layout, host: str, vm: str, vm_id: str, nic: Nic) -> None:
    """Create the interface and plug the host's end into the integration bridge.

    :param vm: name of the VM, whose namespace exists.
    :param vm_id: its UUID, which is the ``device_id`` of the Neutron port.
    """
    if nic.vlan is not None:
        return  # its frames use the parent's interface; Neutron's agent wires it
    inside, outside = lab.namespace(layout.vm_part(vm)), lab.namespace(host)
    tap = layout.tap_name(nic.port_id)
    new = f"new{tap.removeprefix('tap')}"
    netns.ip(
        f"link add {new} mtu {nic.mtu} type veth peer name {nic.device} "
        f"address {nic.mac_address} mtu {nic.mtu} netns {inside}",
        # Without an address of its own, the host sends the VM no router solicitations.
        f"link set {new} addrgenmode none",
        # After a power failure, Open vSwitch waits for a device of this name. If it found it down,
        # it would take it down again when os-vif plugs it in anew.
        f"link set {new} name {tap} up",
        namespace=outside,
    )
    underlay.disable_offloads(outside, [tap])
    underlay.disable_offloads(inside, [nic.device])
    plugin = _plugin(lab, host)
    vif, instance = _describe(lab, nic, vm, vm_id)
    netns.call(outside, lambda: plugin.plug(vif, instance))


def unplug(lab: layout.Layout, host: str, vm: str, vm_id: str, nic: Nic) -> None:
    """Unplug the interface from the switch and delete both of its ends."""
    if nic.vlan is not None:
        return
    plugin = _plugin(lab, host)
    vif, instance = _describe(lab, nic, vm, vm_id)
    netns.call(lab.namespace(host), lambda: plugin.unplug(vif, instance))
    tap = layout.tap_name(nic.port_id)
    netns.ip(f"link del {tap}", namespace=lab.namespace(host), force=True)
