"""Where everything of a lab is: names, directories, addresses. Nothing here acts.

Every lab uses the same addresses: they live in the lab's own namespaces, where no other lab sees
them.
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
TENANT_MTU = 1500
PHYSICAL_NETWORK = "physnet1"

KEYSTONE_PORT = 5000
NEUTRON_PORT = 9696
RABBIT_PORT = 5672
OVSDB_PORT = 6640
OPENFLOW_PORT = 6654
NORTHBOUND_PORT = 6641
SOUTHBOUND_PORT = 6642
KEYSTONE_URL = f"http://{CONTROLLER_IP}:{KEYSTONE_PORT}/v3"
NEUTRON_URL = f"http://{CONTROLLER_IP}:{NEUTRON_PORT}"
REGION = "RegionOne"
# Nothing outside the lab's namespaces can reach what these protect.
PASSWORD = "portchain"  # noqa: S105
MAX_HOSTS = 50

DRIVERS = ("ovs", "ovn", "ovs,ovn", "openflow")
FIREWALLS = ("openvswitch", "noop")
# What carries tenants' networks, with the bytes that Neutron takes off for it over IPv4.
NETWORK_TYPES = {"vxlan": 50, "gre": 42, "geneve": 50, "vlan": 0, "flat": 0}
IPV6_OVERHEAD = 20
OVN_OPTIONS = 8  # more of a Geneve header, in which OVN carries its logical ports


@dataclass(frozen=True, slots=True)
class Software:
    """What the lab runs: a virtual environment, and what Neutron loads from it.

    :param bin: directory with ``neutron-rpc-server``, ``uwsgi`` and the other commands.
    :param service_plugins: values of Neutron's ``service_plugins``.
    :param agent_extensions: values of the agent's ``extensions``.
    :param neutron_options: more text for neutron.conf.
    :param agent_options: more text for the agent's configuration.
    """

    bin: str
    service_plugins: tuple[str, ...] = ()
    agent_extensions: tuple[str, ...] = ()
    neutron_options: str = ""
    agent_options: str = ""

    @classmethod
    def installed(cls) -> "Software":
        """This very Python environment, with port chains."""
        return cls(str(Path(sys.executable).parent), ("trunk", "port_chain"), ("port_chain",))

    @classmethod
    def from_json(cls, known: dict[str, Any]) -> "Software":
        """The value that was written as JSON."""
        lists = ("service_plugins", "agent_extensions")
        return cls(**{**known, **{name: tuple(known[name]) for name in lists}})

    @property
    def site_packages(self) -> Path:
        """Where the environment's distributions are."""
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
    """One lab, as a value.

    :param name: up to 10 lower-case letters and digits.
    :param hosts: number of compute hosts.
    :param firewall: the agents' firewall driver, one of ``FIREWALLS``.
    :param network_type: what carries tenants' networks between hosts, one of ``NETWORK_TYPES``.
    :param l2_population: hosts learn from Neutron where addresses are, and make only the tunnels that they need.
    :param ipv6_underlay: tunnels run over IPv6.
    :param driver: who realises chains, one of ``DRIVERS``. With both, hosts are dealt to them in turn.
    """

    name: str = "demo"
    hosts: int = 3
    firewall: str = "openvswitch"
    network_type: str = "vxlan"
    l2_population: bool = False
    ipv6_underlay: bool = False
    driver: str = "ovs"
    software: Software = field(default_factory=Software.installed)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]{1,10}", self.name):
            msg = f"lab name {self.name!r}: 1 to 10 lower-case letters and digits, please"
            raise LabError(msg)
        if not 1 <= self.hosts <= MAX_HOSTS:
            msg = f"{self.hosts} hosts: 1 to {MAX_HOSTS}, please"
            raise LabError(msg)
        if self.firewall not in FIREWALLS:
            msg = f"firewall {self.firewall!r}: one of {', '.join(FIREWALLS)}, please"
            raise LabError(msg)
        if self.network_type not in NETWORK_TYPES:
            msg = f"network type {self.network_type!r}: one of {', '.join(NETWORK_TYPES)}, please"
            raise LabError(msg)
        if not self.has_tunnels and (self.l2_population or self.ipv6_underlay):
            msg = (
                f"network type {self.network_type!r} has no tunnels, for l2 population or over IPv6"
            )
            raise LabError(msg)

        if self.driver not in DRIVERS:
            msg = f"driver {self.driver!r}: one of {' '.join(DRIVERS)}, please"
            raise LabError(msg)
        if self.has_ovn and (self.network_type != "geneve" or self.l2_population):
            msg = f"driver {self.driver!r}: OVN's hosts need network type 'geneve', without l2 population"
            raise LabError(msg)

    @property
    def drivers(self) -> tuple[str, ...]:
        """The drivers of port chains that the server loads."""
        return tuple(self.driver.split(","))

    def driver_of(self, host: str) -> str:
        """Which of the drivers a host is for: ``ovs`` and ``openflow`` run Neutron's agent there, ``ovn`` ovn-controller."""
        return self.drivers[(int(host[1:]) - 1) % len(self.drivers)]

    @property
    def has_ovn(self) -> bool:
        """Whether any of the hosts is OVN's."""
        return "ovn" in self.drivers

    @property
    def openflow_hosts(self) -> dict[str, str]:
        """The hosts whose switches our controller programs, with the addresses at which it reaches them."""
        hosts = (host for host in self.host_names if self.driver_of(host) == "openflow")
        return {host: self.management_ip(host) for host in hosts}

    @property
    def directory(self) -> Path:
        """Everything the lab writes, logs included."""
        return ROOT / self.name

    @property
    def logs(self) -> Path:
        """One file per server and agent."""
        return self.directory / "log"

    def log_file(self, program: str) -> Path:
        """Where a program's output goes."""
        return self.logs / f"{program}.log"

    @property
    def scratch(self) -> Path:
        """Temporary files of the servers."""
        return self.directory / "scratch"

    @property
    def prefix(self) -> str:
        """What the names of all of the lab's namespaces begin with."""
        return f"pc-{self.name}-"

    def namespace(self, part: str) -> str:
        """Name of one of the lab's namespaces: ``ctl``, ``net``, a host, or ``vm-...``."""
        return self.prefix + part

    @property
    def controller_namespace(self) -> str:
        """Namespace of the servers."""
        return self.namespace("ctl")

    @property
    def fabric_namespace(self) -> str:
        """Namespace of the two physical switches: management and underlay."""
        return self.namespace("net")

    @property
    def host_names(self) -> tuple[str, ...]:
        """The compute hosts, as Neutron names them."""
        return tuple(f"h{number}" for number in range(1, self.hosts + 1))

    def host_directory(self, host: str) -> Path:
        """A host's switch database, sockets and agent configuration."""
        return self.directory / host

    def management_ip(self, host: str) -> str:
        """A host's address towards the servers."""
        return f"10.101.0.{10 + int(host[1:])}"

    def tunnel_ip(self, host: str) -> str:
        """A host's tunnel end point."""
        number = 10 + int(host[1:])
        return f"fd00:102::{number:x}" if self.ipv6_underlay else f"10.102.0.{number}"

    @property
    def has_tunnels(self) -> bool:
        """Whether tunnels carry tenants' networks; else the wire between the hosts does."""
        return self.network_type not in ("vlan", "flat")

    @property
    def global_physnet_mtu(self) -> int:
        """What Neutron is told of the underlay: just enough for ``TENANT_MTU``. The wire has room for more."""
        overhead = NETWORK_TYPES[self.network_type] + (IPV6_OVERHEAD if self.ipv6_underlay else 0)
        return TENANT_MTU + overhead + (OVN_OPTIONS if self.has_ovn else 0)


def default_network_type(driver: str) -> str:
    """The type of project networks for a driver, if nobody chose one."""
    return "geneve" if "ovn" in driver.split(",") else "vxlan"


def tap_name(port_id: str) -> str:
    """Name of the host's end of a virtual interface, as Nova forms it."""
    return f"tap{port_id}"[:14]


def vm_part(name: str) -> str:
    """What follows the lab's prefix in the name of a virtual machine's namespace.

    A hash replaces names that are long or have unusual characters.
    """
    plain = f"vm-{name}"
    if re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", name):
        return plain
    return "vm-" + hashlib.sha256(name.encode()).hexdigest()[:16]
