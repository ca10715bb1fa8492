"""What happens inside a virtual machine: addresses, and routing for service functions."""

import ipaddress
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from scapy.layers.l2 import ARP, Ether

from portchain_lab.guests import service_function, vlan_subports
from portchain_lab.guests.vif import Nic
from portchain_lab.hosts import netns

PLAIN = "plain"
L3 = "l3"
L2 = "l2"
KINDS = (PLAIN, L3, L2, *service_function.KINDS)

_SYSCTL = Path("/proc/sys/net")


def _write(values: dict[str, str]) -> None:
    """Set kernel parameters of the calling thread's namespace."""
    for name, value in values.items():
        (_SYSCTL / name).write_text(value)


def is_bump(kind: str) -> bool:
    """Whether a VM hands on everything from one interface to the next, also what it would say itself."""
    return kind == L2 or (kind in service_function.KINDS and service_function.KINDS[kind].bump)


def configure(namespace: str, nics: Sequence[Nic], kind: str) -> None:
    """Configure all interfaces of a VM; may be repeated, after one came or went.

    :param kind: ``plain`` is an ordinary end point; ``l3`` routes from each NIC to the next one; ``l2`` bridges all NICs
        and has no addresses. For those of ``function`` it is an end point, too, or has no addresses: ``programs`` do the rest.
    """
    if is_bump(kind):
        _silence(namespace, nics)
        if kind == L2:
            _bridge(namespace, nics)
        return
    for nic in nics:
        if nic.vlan is not None:
            netns.ip(f"tuntap add {nic.device} mode tap", namespace=namespace, force=True)
            netns.ip(f"link set {nic.device} address {nic.mac_address}", namespace=namespace)
    netns.call(namespace, lambda: _write(_parameters(nics, kind)))
    for nic in nics:
        netns.ip(
            f"link set {nic.device} up",
            *(f"addr replace {address} dev {nic.device}" for address in nic.addresses),
            namespace=namespace,
        )
    netns.ip("rule flush", "-6 rule flush", *_KERNEL_RULES, namespace=namespace, force=True)
    netns.ip(*default_route(nics), *routing(nics, kind), namespace=namespace)


def announce(namespace: str, nics: Sequence[Nic]) -> None:
    """Let every switch know where the interfaces are now, as a hypervisor does for a VM that has moved: by an ARP
    announcement (RFC 5227, 2.3) each.
    """
    for nic in nics:
        own = ipaddress.ip_interface(next(a for a in nic.addresses if ":" not in a)).ip
        frame = Ether(src=nic.mac_address, dst="ff:ff:ff:ff:ff:ff") / ARP(
            op="who-has", hwsrc=nic.mac_address, psrc=str(own), pdst=str(own)
        )
        with netns.open_socket(namespace, socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind((nic.device, 0))
            sock.send(bytes(frame))


def programs(nics: Sequence[Nic], kind: str) -> dict[str, tuple[str, ...]]:
    """The command lines of what has to run in a VM, by name: what plays its function, where the kernel does not, and what
    tags the frames of a trunk's subports.
    """
    found: dict[str, tuple[str, ...]] = {}
    subports = [nic for nic in nics if nic.vlan is not None]
    for parent in {nic.parent for nic in subports}:
        own = (f"{nic.device}={nic.vlan}" for nic in subports if nic.parent == parent)
        found[f"tagger-{parent}"] = (sys.executable, "-m", vlan_subports.__name__, parent, *own)
    if kind in service_function.KINDS and nics:
        devices = (nic.device for nic in nics)
        found["function"] = (sys.executable, "-m", service_function.__name__, kind, *devices)
    return found


def _silence(namespace: str, nics: Sequence[Nic]) -> None:
    """A bump in the wire says nothing itself: its words would come back in at its other end."""
    netns.call(
        namespace,
        lambda: _write({"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1"}),
    )
    netns.ip(*(f"link set {nic.device} up" for nic in nics), namespace=namespace)


def _bridge(namespace: str, nics: Sequence[Nic]) -> None:
    """Hand on every frame from each NIC to the other.

    Without learning: the same address comes in at both sides, once each way.
    """
    netns.ip("link add br0 type bridge", namespace=namespace, force=True)
    netns.ip("link set br0 up", namespace=namespace)
    for nic in nics:
        netns.ip(
            f"link set {nic.device} master br0",
            f"link set {nic.device} type bridge_slave learning off",
            namespace=namespace,
        )


# What is left of the kernel's own rules after a flush is the one for local addresses.
_KERNEL_RULES = tuple(
    f"{family}rule add lookup {table} prio {priority}"
    for family in ("", "-6 ")
    for table, priority in (("main", 32766), ("default", 32767))
)


def _parameters(nics: Sequence[Nic], kind: str) -> dict[str, str]:
    """Kernel parameters, by path below /proc/sys/net."""
    forward = "1" if kind == L3 else "0"
    values = {"ipv4/ip_forward": forward, "ipv6/conf/all/forwarding": forward}
    for device in ("all", "default", *(nic.device for nic in nics)):
        values |= {
            # Packets of others come in: their senders are not to be found behind this interface,
            # and must not be told of a shorter way.
            f"ipv4/conf/{device}/rp_filter": "0",
            f"ipv4/conf/{device}/send_redirects": "0",
            # Two interfaces in one network: each speaks for its own address only.
            f"ipv4/conf/{device}/arp_ignore": "1",
            f"ipv4/conf/{device}/arp_announce": "2",
            f"ipv6/conf/{device}/accept_dad": "0",
        }
    return values


def default_route(nics: Sequence[Nic]) -> list[str]:
    """ip(8) commands for the way to other networks, as DHCP would tell it: by the first gateway that there is."""
    for nic in nics:
        if nic.gateway and nic.gateway not in {
            address.partition("/")[0] for address in nic.addresses
        }:
            family = "-6 " if ":" in nic.gateway else ""
            return [f"{family}route replace default via {nic.gateway} dev {nic.device}"]
    return []


def routing(nics: Sequence[Nic], kind: str) -> list[str]:
    """ip(8) commands for policy routing: what a NIC takes in leaves by the next one.

    The VM's own packets leave by the NIC whose address they carry.
    """
    lines = []
    for index, nic in enumerate(nics):
        onward = nics[(index + 1) % len(nics)]
        if len(nics) > 1:
            lines += _rules(nic, nic, 100 + index, own=True)
        if kind == L3:
            lines += _rules(nic, onward, 200 + index, own=False)
    return lines


def _rules(nic: Nic, leave_by: Nic, table: int, own: bool) -> list[str]:
    lines = []
    for address in leave_by.addresses:
        interface = ipaddress.ip_interface(address)
        family = "-6 " if interface.version == 6 else ""
        lines.append(
            f"{family}route replace {interface.network} dev {leave_by.device} table {table}"
        )
        if not own:
            lines.append(f"{family}rule add iif {nic.device} lookup {table} prio {table}")
        else:
            lines.append(f"{family}rule add from {interface.ip} lookup {table} prio {table}")
        if leave_by.gateway and ipaddress.ip_address(leave_by.gateway).version == interface.version:
            via = f"default via {leave_by.gateway} dev {leave_by.device}"
            lines.append(f"{family}route replace {via} table {table}")
    return lines
