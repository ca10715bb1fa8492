"""Hosts for a controller: each is a real Open vSwitch, with a database of its own, and no traffic.

Their ports have the type "dummy". All listen in the caller's network namespace, each at an address
of its own.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.scale.plans import Cloud, switch_ports, tunnel_addresses
from portchain.dataplane.plan import ChainPlan

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
DATABASE_PORT = 6640
_AT_ONCE = 4


def address(number: int) -> str:
    """Return the address of a host."""
    return f"127.1.{number // 250}.{number % 250 + 1}"


@contextlib.contextmanager
def running(
    folder: Path, count: int, cloud: Cloud, plans: Iterable[ChainPlan]
) -> Iterator[dict[str, str]]:
    """Have switches run, with the ports that plans have on the host ``plans.HERE``.

    :param folder: for their files. Must have a short path.
    :returns: host -> address.
    """
    known = list(plans)
    hosts = {f"host{number}": address(number) for number in range(count)}
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(lambda name: _start(folder / name, hosts[name], cloud, known), hosts):
                pass
        yield hosts
    finally:
        for name in hosts:
            _kill(folder / name)


def _start(folder: Path, place: str, cloud: Cloud, plans: list[ChainPlan]) -> None:
    folder.mkdir(parents=True)
    env = {**os.environ, **{f"OVS_{kind}DIR": str(folder) for kind in ("RUN", "LOG", "DB")}}
    socket = f"unix:{folder}/db.sock"

    def run(*argv: str) -> None:
        subprocess.run(argv, env=env, check=True, capture_output=True)

    def daemon(name: str, *argv: str) -> None:
        run(name, *argv, "--detach", f"--pidfile={folder}/{name}.pid", "--log-file", "--no-chdir")

    run("ovsdb-tool", "create", f"{folder}/conf.db", SCHEMA)
    remotes = (f"--remote=p{socket}", f"--remote=ptcp:{DATABASE_PORT}:{place}")
    daemon("ovsdb-server", f"{folder}/conf.db", *remotes)
    run("ovs-vsctl", f"--db={socket}", "--no-wait", "init")
    daemon("ovs-vswitchd", socket, "--enable-dummy")
    run("ovs-vsctl", f"--db={socket}", *_bridges(), *_ports(plans), *_tunnels(cloud))


def _bridges() -> Iterator[str]:
    for name, patch, number, peer in (
        ("br-int", "patch-tun", 1, "patch-int"),
        ("br-tun", "patch-int", 1, "patch-tun"),
    ):
        yield from ("--", "add-br", name, "--", "set", "bridge", name, "datapath_type=dummy")
        yield from ("fail_mode=secure", "protocols=OpenFlow10,OpenFlow13,OpenFlow14")
        yield from ("--", "add-port", name, patch, "--", "set", "interface", patch, "type=patch")
        yield from (f"ofport_request={number}", f"options:peer={peer}")


def _ports(plans: Iterable[ChainPlan]) -> Iterator[str]:
    for port_id, port in switch_ports(plans).items():
        name = f"tap{port.ofport}"
        yield from ("--", "add-port", "br-int", name, f"tag={port.vlan}")
        yield from (f"other_config:tag={port.vlan}", "--", "set", "interface", name, "type=dummy")
        yield from (f"ofport_request={port.ofport}", f"external_ids:iface-id={port_id}")


def _tunnels(cloud: Cloud) -> Iterator[str]:
    for number, remote in tunnel_addresses(cloud).items():
        name = f"vxlan{number}"
        yield from ("--", "add-port", "br-tun", name, "--", "set", "interface", name, "type=vxlan")
        yield from (f"ofport_request={number}", "options:key=flow", f"options:remote_ip={remote}")


def _kill(folder: Path) -> None:
    for name in ("ovs-vswitchd", "ovsdb-server"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((folder / f"{name}.pid").read_text()), signal.SIGKILL)
