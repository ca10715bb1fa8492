"""A host's Open vSwitch: creating and preparing it, and running its command line tools."""

import re
import subprocess
from collections.abc import Callable, Iterable

from portchain_lab import layout, ovn_toolchain
from portchain_lab.errors import LabError
from portchain_lab.hosts import underlay
from portchain_lab.waiting import patient, wait_for

OPENFLOW_VERSIONS = "OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15"
NEIGHBOUR_TIMEOUT = 3600
"""Seconds for which a switch keeps the MAC address of a tunnel endpoint: the longest it allows."""
READY_TIMEOUT = 30.0

_TUNNELS, _LEARNING_TABLE = "br-tun", 20
_LEARNED = re.compile(r"hard_timeout=\d+, (?:\w+_age=\d+, )*(priority=\S+) actions=")
"""What a learned flow of that table matches. Flows that Neutron writes there have no timeout."""


def create_database(lab: layout.Layout, host: str) -> None:
    """Create a host's empty switch database."""
    path = str(lab.host_directory(host) / "conf.db")
    if ovn_toolchain.has_newest_switch(lab, host):
        ovn_toolchain.run("ovsdb-tool", "create", path, str(ovn_toolchain.SWITCH_SCHEMA))
    else:
        _run(["ovsdb-tool", "create", path, "/usr/share/openvswitch/vswitch.ovsschema"])


def vsctl(lab: layout.Layout, host: str, *arguments: str, applied: bool = False) -> str:
    """Run ovs-vsctl on a host's switch database.

    :param applied: wait until the switch has applied the change.
    """
    database = f"unix:{lab.host_directory(host)}/db.sock"
    options = [
        f"--timeout={patient(30):.0f}",
        *([] if applied else ["--no-wait"]),
        f"--db={database}",
    ]
    return _run(["ovs-vsctl", *options, *arguments])


def ofctl(
    lab: layout.Layout, host: str, version: str, command: str, bridge: str, *more: str
) -> str:
    """Run ovs-ofctl on a bridge of a host.

    It knows ports and tables by their numbers only: looking up names takes longer than most
    commands.

    :param version: OpenFlow versions; the latest that the bridge also speaks is used.
    """
    target = f"unix:{lab.host_directory(host)}/{bridge}.mgmt"
    return _run(["ovs-ofctl", "--no-names", "-O", version, command, target, *more])


def appctl(lab: layout.Layout, host: str, *arguments: str) -> str:
    """Run ovs-appctl on a host's switch."""
    return _run(["env", f"OVS_RUNDIR={lab.host_directory(host)}", "ovs-appctl", *arguments])


def prepare(lab: layout.Layout, host: str, ready: Callable[[], bool]) -> None:
    """Connect a switch that was just started to the underlay, as a distribution's scripts would.

    :param ready: whether the switch has applied what its database holds.
    """
    leg, bridge, kind = underlay.UNDERLAY_LEG, underlay.UNDERLAY_BRIDGE, lab.datapath_type
    vsctl(
        lab,
        host,
        *f"--may-exist add-br {bridge} -- set bridge {bridge} datapath_type={kind}".split(),
        *f"-- --may-exist add-port {bridge} {leg}".split(),
        *f"-- set interface {bridge} mtu_request={layout.UNDERLAY_MTU}".split(),
        *f"-- set open_vswitch . external_ids:system-id={host}".split(),
        *(_chassis_settings(lab, host) if lab.driver_of(host) == "ovn" else ()),
        applied=True,
    )
    wait_for(
        lambda: ready() and underlay.has_tunnel_endpoint(lab, host),
        READY_TIMEOUT,
        f"ovs-vswitchd@{host} to become ready (log: {lab.log_file(f'ovs-vswitchd@{host}')})",
    )
    underlay.configure_tunnel_endpoint(lab, host)
    if not lab.in_kernel:
        _set_tunnel_neighbours(lab, host)


def flush_mac_tables(lab: layout.Layout, hosts: Iterable[str]) -> None:
    """Empty the MAC tables of the hosts' switches and of the underlay.

    A table of Neutron's br-tun counts as one. It learns which tunnel leads to an address, also from
    what a bridging function forwards before its ports are secured, and keeps that for minutes.
    """
    for host in hosts:
        appctl(lab, host, "fdb/flush")
        if lab.has_tunnels and lab.driver_of(host) != "ovn":
            _forget_tunnels(lab, host)
    underlay.flush_mac_table(lab)


def _forget_tunnels(lab: layout.Layout, host: str) -> None:
    """Delete what br-tun has learned; other flows of the table say what Neutron knows."""
    flows = ofctl(lab, host, OPENFLOW_VERSIONS, "dump-flows", _TUNNELS, f"table={_LEARNING_TABLE}")
    for match in _LEARNED.findall(flows):
        flow = f"table={_LEARNING_TABLE},{match}"
        ofctl(lab, host, OPENFLOW_VERSIONS, "del-flows", _TUNNELS, flow, "--strict")


def _chassis_settings(lab: layout.Layout, host: str) -> tuple[str, ...]:
    """What ovn-controller reads from the switch database, as settings of ``external_ids``."""
    settings = {
        "hostname": host,
        "ovn-remote": f"tcp:{layout.CONTROLLER_IP}:{layout.SOUTHBOUND_PORT}",
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": lab.tunnel_ip(host),
        "ovn-bridge-datapath-type": lab.datapath_type,
        "ovn-bridge-mappings": f"{layout.PHYSICAL_NETWORK}:{underlay.UNDERLAY_BRIDGE}",
    }
    return tuple(f'external_ids:{key}="{value}"' for key, value in settings.items())


def _set_tunnel_neighbours(lab: layout.Layout, host: str) -> None:
    """Write the MAC addresses of the other tunnel endpoints into a switch, and its own into theirs.

    The userspace datapath drops the packet for which it has to resolve an address
    (ovs-vswitchd(8), tnl/neigh). Tests that count packets must not lose that one.
    """
    appctl(lab, host, "tnl/neigh/aging", str(NEIGHBOUR_TIMEOUT))
    macs = {one: underlay.tunnel_mac(lab, one) for one in lab.host_names}
    others = [one for one, mac in macs.items() if mac and one != host]
    for switch, peer in [(host, one) for one in others] + [(one, host) for one in others]:
        address = lab.tunnel_ip(peer)
        appctl(lab, switch, "tnl/neigh/set", underlay.UNDERLAY_BRIDGE, address, macs[peer])


def _run(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        msg = f"{' '.join(argv)}: {done.stderr.strip()}"
        raise LabError(msg)
    return done.stdout
