"""Names, directories, addresses and options of a lab. Pure.

All labs use the same addresses: each has namespaces of its own, which no other lab can reach.
"""

import hashlib
import os
import re
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portchain_lab.errors import LabError

ROOT = Path(os.environ.get("PORTCHAIN_LAB_ROOT", "/var/lib/portchain-lab"))
CACHE = Path(os.environ.get("PORTCHAIN_LAB_CACHE", "/var/cache/portchain-lab"))

CONTROLLER_IP = "10.101.0.2"
MANAGEMENT_PREFIX = 24
UNDERLAY_MTU = 9000
PROJECT_MTU = 1500
PHYSICAL_NETWORK = "physnet1"

KEYSTONE_PORT = 5000
NEUTRON_PORT = 9696
RABBIT_PORT = 5672
OVSDB_PORT = 6640
OPENFLOW_PORT = 6654
NORTHBOUND_PORT = 6641
SOUTHBOUND_PORT = 6642
METRICS_PORT = 9105
CONTROLLER_METRICS_PORT = 9106
PROMETHEUS_PORT = 9090
HEAT_PORT = 8004
NOVA_PORT = 8774
PLACEMENT_PORT = 8778
GLANCE_PORT = 9292
LIBVIRT_PORT = 16509
KEYSTONE_URL = f"http://{CONTROLLER_IP}:{KEYSTONE_PORT}/v3"
NEUTRON_URL = f"http://{CONTROLLER_IP}:{NEUTRON_PORT}"
PROMETHEUS_URL = f"http://{CONTROLLER_IP}:{PROMETHEUS_PORT}"
HEAT_URL = f"http://{CONTROLLER_IP}:{HEAT_PORT}"
NOVA_URL = f"http://{CONTROLLER_IP}:{NOVA_PORT}/v2.1"
PLACEMENT_URL = f"http://{CONTROLLER_IP}:{PLACEMENT_PORT}"
GLANCE_URL = f"http://{CONTROLLER_IP}:{GLANCE_PORT}"
REGION = "RegionOne"
# Nothing outside the lab's namespaces can reach what this protects.
PASSWORD = "portchain"  # noqa: S105
MAX_HOSTS = 50

OVN_NETWORK_TYPES = ("geneve", "vlan", "flat")
"""The types of project networks on hosts of OVN; the first one is that of tunnels."""
DRIVERS = ("ovs", "ovn", "ovs,ovn", "openflow")
FIREWALLS = ("openvswitch", "noop")
DATAPATHS = {"userspace": "netdev", "kernel": "system"}
"""Where switches forward packets, each with Open vSwitch's name for it."""
NETWORK_TYPES = {"vxlan": 50, "gre": 42, "geneve": 50, "vlan": 0, "flat": 0}
"""Types of project networks, each with the overhead that Neutron subtracts over IPv4, in bytes."""
UNTUNNELLED_TYPES = ("vlan", "flat")
"""Those that the underlay carries without tunnels."""
IPV6_OVERHEAD = 20
OVN_OPTIONS = 8
"""Bytes of the Geneve option in which OVN carries logical port numbers."""


@dataclass(frozen=True, slots=True)
class Software:
    """A virtual environment with OpenStack, and what Neutron loads from it.

    :param bin: its directory with ``neutron-rpc-server``, ``uwsgi`` and the other commands.
    :param service_plugins: Neutron's ``service_plugins``.
    :param agent_extensions: the agent's ``extensions``.
    :param neutron_options: text to append to neutron.conf.
    :param agent_options: text to append to the configuration of agents and controller.
    """

    bin: str
    service_plugins: tuple[str, ...] = ()
    agent_extensions: tuple[str, ...] = ()
    neutron_options: str = ""
    agent_options: str = ""

    @classmethod
    def installed(cls) -> "Software":
        """The environment of the running Python, with port chains enabled."""
        return cls(str(Path(sys.executable).parent), ("trunk", "port_chain"), ("port_chain",))

    @classmethod
    def from_json(cls, known: dict[str, Any]) -> "Software":
        """The value that was saved as JSON."""
        lists = ("service_plugins", "agent_extensions")
        return cls(**{**known, **{name: tuple(known[name]) for name in lists}})

    @property
    def site_packages(self) -> Path:
        """The directory with the environment's distributions."""
        if Path(sys.executable).parent == Path(self.bin):
            return Path(sysconfig.get_path("purelib"))
        return next((Path(self.bin).parent / "lib").glob("python3*/site-packages"))

    @property
    def path(self) -> str:
        """PATH with the environment's commands first."""
        return f"{self.bin}:{os.environ.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}"

    def command(self, name: str) -> str:
        """Path of one of the environment's commands."""
        return str(Path(self.bin) / name)


@dataclass(frozen=True, slots=True)
class Layout:
    """The options of one lab.

    :param name: up to 10 lower-case letters and digits.
    :param hosts: number of compute hosts.
    :param firewall: the agents' firewall driver, one of ``FIREWALLS``.
    :param network_type: type of project networks, one of ``NETWORK_TYPES``.
    :param l2_population: use Neutron's l2population driver: hosts build only the tunnels they need.
    :param ipv6_underlay: run tunnels over IPv6.
    :param driver: the driver that realises chains, one of ``DRIVERS``. With ``ovs,ovn``, odd hosts
        belong to the first and even hosts to the second.
    :param routers: run Neutron's L3 agents. Every host can build distributed routers, which need
        ``l2_population``; the last host also runs the other routers and source NAT.
    :param qos: load Neutron's QoS, which limits the rates of ports with hosts of Neutron's Open
        vSwitch agents.
    :param prometheus: run Prometheus, which reads figures of the server and the hosts.
    :param dashboard: run Horizon with the panel for port chains, at this machine's loopback
        interface.
    :param heat: run Heat, which creates chains from templates.
    :param nova: run Nova, Placement and Glance, and libvirt with QEMU on each host.
    :param datapath: where switches forward packets, one of ``DATAPATHS``.
    """

    name: str = "demo"
    hosts: int = 3
    firewall: str = "openvswitch"
    network_type: str = "vxlan"
    l2_population: bool = False
    ipv6_underlay: bool = False
    driver: str = "ovs"
    routers: bool = False
    qos: bool = False
    prometheus: bool = False
    dashboard: bool = False
    heat: bool = False
    nova: bool = False
    datapath: str = "userspace"
    software: Software = field(default_factory=Software.installed)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]{1,10}", self.name):
            msg = f"lab name {self.name!r}: use 1 to 10 lower-case letters and digits"
            raise LabError(msg)
        if not 1 <= self.hosts <= MAX_HOSTS:
            msg = f"{self.hosts} hosts: use 1 to {MAX_HOSTS}"
            raise LabError(msg)
        if self.firewall not in FIREWALLS:
            msg = f"firewall {self.firewall!r}: use one of {', '.join(FIREWALLS)}"
            raise LabError(msg)
        if self.datapath not in DATAPATHS:
            msg = f"datapath {self.datapath!r}: use one of {', '.join(DATAPATHS)}"
            raise LabError(msg)
        if self.network_type not in NETWORK_TYPES:
            msg = f"network type {self.network_type!r}: use one of {', '.join(NETWORK_TYPES)}"
            raise LabError(msg)
        if not self.has_tunnels and (self.l2_population or self.ipv6_underlay):
            msg = (
                f"network type {self.network_type!r} uses no tunnels, "
                "which l2 population and an IPv6 underlay require"
            )
            raise LabError(msg)

        if self.driver not in DRIVERS:
            msg = f"driver {self.driver!r}: use one of {' '.join(DRIVERS)}"
            raise LabError(msg)
        on_ovn = OVN_NETWORK_TYPES if self.driver == "ovn" else OVN_NETWORK_TYPES[:1]
        if self.has_ovn and (self.network_type not in on_ovn or self.l2_population):
            msg = (
                f"driver {self.driver!r}: hosts of OVN require network type {' or '.join(on_ovn)} "
                "and no l2 population"
            )
            raise LabError(msg)

        if self.routers and (self.has_ovn or not self.l2_population):
            raise LabError("routers require Neutron's Open vSwitch agents and l2 population")

    @property
    def drivers(self) -> tuple[str, ...]:
        """The chain drivers that the Neutron server loads."""
        return tuple(self.driver.split(","))

    def driver_of(self, host: str) -> str:
        """The driver that realises chains on a host.

        Hosts of ``ovs`` and ``openflow`` run Neutron's agent, hosts of ``ovn`` ovn-controller.
        """
        return self.drivers[(int(host[1:]) - 1) % len(self.drivers)]

    def chain_bridge(self, host: str) -> str:
        """The bridge with the flows of chains on a host."""
        return "br-chain" if self.driver_of(host) == "ovn" else "br-int"

    @property
    def has_ovn(self) -> bool:
        """Whether any host belongs to the driver ``ovn``."""
        return "ovn" in self.drivers

    @property
    def openflow_hosts(self) -> dict[str, str]:
        """The hosts that portchain-controller programs, with their management addresses."""
        hosts = (host for host in self.host_names if self.driver_of(host) == "openflow")
        return {host: self.management_ip(host) for host in hosts}

    @property
    def directory(self) -> Path:
        """The directory of everything that the lab writes."""
        return ROOT / self.name

    @property
    def logs(self) -> Path:
        """The directory with one log per program."""
        return self.directory / "log"

    def log_file(self, program: str) -> Path:
        """Where a program's output goes."""
        return self.logs / f"{program}.log"

    @property
    def scratch(self) -> Path:
        """The directory of the servers' temporary files."""
        return self.directory / "scratch"

    @property
    def launcher_socket(self) -> Path:
        """Where the launcher takes requests to start Neutron's programs."""
        return self.directory / "launcher.sock"

    def host_launcher_socket(self, host: str) -> Path:
        """Where a host's agent has a launcher for its privilege daemons."""
        return self.host_directory(host) / "launcher.sock"

    @property
    def router_host(self) -> str:
        """The host of routers that are not distributed, and of source NAT for the others."""
        return self.host_names[-1]

    @property
    def prefix(self) -> str:
        """The prefix of the names of all of the lab's namespaces."""
        return f"pc-{self.name}-"

    def namespace(self, part: str) -> str:
        """The full name of one of the lab's namespaces: ``ctl``, ``net``, a host, or ``vm-...``."""
        return self.prefix + part

    @property
    def controller_namespace(self) -> str:
        """The namespace of the servers."""
        return self.namespace("ctl")

    @property
    def fabric_namespace(self) -> str:
        """The namespace of the two bridges that connect controller and hosts."""
        return self.namespace("net")

    @property
    def host_names(self) -> tuple[str, ...]:
        """The compute hosts, as Neutron names them."""
        return tuple(f"h{number}" for number in range(1, self.hosts + 1))

    def host_directory(self, host: str) -> Path:
        """The directory of a host's switch database, sockets and agent configuration."""
        return self.directory / host

    def management_ip(self, host: str) -> str:
        """A host's address in the management network."""
        return f"10.101.0.{10 + int(host[1:])}"

    def tunnel_ip(self, host: str) -> str:
        """A host's tunnel endpoint address."""
        number = 10 + int(host[1:])
        return f"fd00:102::{number:x}" if self.ipv6_underlay else f"10.102.0.{number}"

    @property
    def has_tunnels(self) -> bool:
        """Whether tunnels carry project networks; otherwise the underlay carries them directly."""
        return self.network_type not in UNTUNNELLED_TYPES

    @property
    def in_kernel(self) -> bool:
        """Whether the kernel forwards packets."""
        return self.datapath == "kernel"

    @property
    def datapath_type(self) -> str:
        """The ``datapath_type`` of bridges."""
        return DATAPATHS[self.datapath]

    @property
    def global_physnet_mtu(self) -> int:
        """The underlay MTU in Neutron's configuration: just enough for ``PROJECT_MTU``.

        The underlay itself accepts frames of ``UNDERLAY_MTU``.
        """
        overhead = NETWORK_TYPES[self.network_type] + (IPV6_OVERHEAD if self.ipv6_underlay else 0)
        return PROJECT_MTU + overhead + (OVN_OPTIONS if self.has_ovn else 0)


def default_network_type(driver: str) -> str:
    """The type of project networks for a driver, if nobody chose one."""
    return "geneve" if "ovn" in driver.split(",") else "vxlan"


def tap_name(port_id: str) -> str:
    """Name of the host's end of a VM's interface, formed as Nova does."""
    return f"tap{port_id}"[:14]


def vm_part(name: str) -> str:
    """The part of a VM's namespace name after the lab's prefix.

    A hash replaces names that are long or have characters that ip(8) rejects.
    """
    plain = f"vm-{name}"
    if re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", name):
        return plain
    return "vm-" + hashlib.sha256(name.encode()).hexdigest()[:16]
