"""Configures the inside of a virtual machine: interfaces, addresses, forwarding, programs."""

import ipaddress
import os
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from portchain_lab.guests import kinds, routing, service_function, vlan_subports
from portchain_lab.guests.vif import Nic
from portchain_lab.hosts import netns

_SYSCTL = Path("/proc/sys/net")
_ETH_P_IP, _ETH_P_ARP = b"\x08\x00", b"\x08\x06"


def configure(namespace: str, nics: Sequence[Nic], kind: str) -> None:
    """Configure all interfaces of a VM. Call it again after one was added or removed.

    :param kind: one of ``kinds.KINDS``. The kernel plays ``plain``, ``l3`` and ``l2``; the others
        also need the ``programs``.
    """
    if kinds.is_bump_in_the_wire(kind):
        _disable_own_traffic(namespace, nics)
        if kind == kinds.L2:
            _bridge(namespace, nics)
        return
    for nic in nics:
        if nic.vlan is not None:
            netns.ip(f"tuntap add {nic.device} mode tap", namespace=namespace, force=True)
            netns.ip(f"link set {nic.device} address {nic.mac_address}", namespace=namespace)
    netns.call(namespace, lambda: _write_sysctls(_sysctls(nics, kind)))
    for nic in nics:
        netns.ip(
            f"link set {nic.device} up",
            *(f"addr replace {address} dev {nic.device}" for address in nic.addresses),
            namespace=namespace,
        )
    netns.ip("rule flush", "-6 rule flush", *routing.KERNEL_RULES, namespace=namespace, force=True)
    netns.ip(*routing.default_route(nics), *routing.policy_routing(nics, kind), namespace=namespace)


def set_forwarding(namespace: str, nics: Sequence[Nic], kind: str, *, forwards: bool) -> None:
    """Have a service function stop forwarding, or go on. Its interfaces stay up.

    Without forwarding it is like a program that hangs: it takes packets and returns none.

    :param kind: one of ``kinds.KINDS``, but not ``plain``.
    """
    if kind == kinds.L2:
        netns.ip(f"link set br0 {'up' if forwards else 'down'}", namespace=namespace)
    elif kind == kinds.L3:
        values = {
            name: value if forwards else "0"
            for name, value in _sysctls(nics, kind).items()
            if "forward" in name
        }
        netns.call(namespace, lambda: _write_sysctls(values))
    else:
        for pid in netns.pids(namespace):
            os.kill(pid, signal.SIGCONT if forwards else signal.SIGSTOP)


def announce_addresses(namespace: str, nics: Sequence[Nic]) -> None:
    """Send an ARP announcement (RFC 5227, 2.3) from each interface.

    Switches then learn where a migrated VM is; a hypervisor does the same.
    """
    for nic in nics:
        own = ipaddress.ip_interface(next(a for a in nic.addresses if ":" not in a)).ip
        with netns.open_socket(namespace, socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind((nic.device, 0))
            sock.send(arp_announcement(nic.mac_address, own.packed))


def arp_announcement(mac: str, address: bytes) -> bytes:
    """The frame of an ARP request for one's own address."""
    own = bytes.fromhex(mac.replace(":", ""))
    ethernet = b"\xff" * 6 + own + _ETH_P_ARP
    request = struct.pack("!H2sBBH", 1, _ETH_P_IP, len(own), len(address), 1)
    return ethernet + request + own + address + bytes(6) + address


def programs(nics: Sequence[Nic], kind: str) -> dict[str, tuple[str, ...]]:
    """The programs that have to run in a VM.

    One per trunk parent adds and removes the VLAN tags of its subports. One plays the service
    function, for kinds that the kernel cannot play.

    :returns: the name of each program and its command line.
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


def _write_sysctls(values: dict[str, str]) -> None:
    """Set kernel parameters of the calling thread's namespace."""
    for name, value in values.items():
        (_SYSCTL / name).write_text(value)


def _disable_own_traffic(namespace: str, nics: Sequence[Nic]) -> None:
    """Bring the interfaces up without IPv6, so that the VM sends no frames of its own.

    A frame that a bump in the wire sends by itself would come back in at its other interface.
    """
    netns.call(
        namespace,
        lambda: _write_sysctls(
            {"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1"}
        ),
    )
    netns.ip(*(f"link set {nic.device} up" for nic in nics), namespace=namespace)


def _bridge(namespace: str, nics: Sequence[Nic]) -> None:
    """Forward every frame from each interface to the other.

    The bridge does not learn: the same source address arrives at both sides, once per direction.
    """
    netns.ip("link add br0 type bridge", namespace=namespace, force=True)
    netns.ip("link set br0 up", namespace=namespace)
    for nic in nics:
        netns.ip(
            f"link set {nic.device} master br0",
            f"link set {nic.device} type bridge_slave learning off",
            namespace=namespace,
        )


def _sysctls(nics: Sequence[Nic], kind: str) -> dict[str, str]:
    """Kernel parameters, by path below /proc/sys/net."""
    forward = "1" if kind == kinds.L3 else "0"
    values = {"ipv4/ip_forward": forward, "ipv6/conf/all/forwarding": forward}
    for device in ("all", "default", *(nic.device for nic in nics)):
        values |= {
            # A function receives packets whose sender is not reachable through this interface,
            # and it must not redirect the sender to a shorter path.
            f"ipv4/conf/{device}/rp_filter": "0",
            f"ipv4/conf/{device}/send_redirects": "0",
            # Two interfaces in one network: each answers ARP for its own address only.
            f"ipv4/conf/{device}/arp_ignore": "1",
            f"ipv4/conf/{device}/arp_announce": "2",
            f"ipv6/conf/{device}/accept_dad": "0",
        }
    return values
