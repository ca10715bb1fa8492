"""What tests of chains on OVN have in common."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from portchain_lab.cloud import configs, ovn
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab
from portchain_lab.layout import OVSDB_PORT
from portchain_lab.waiting import wait_for

from tests.lab.labs import OVN, Labs
from tests.lab.workflow import DEADLINE


def lab(labs: Labs) -> Lab:
    """The lab that tests of chains on OVN share."""
    return labs.get(**OVN)


def wait_for_chassis(lab: Lab) -> None:
    """Wait until every chassis has caught up with the Northbound database."""
    ovn.ctl(lab.layout, "nb", "--wait=hv", "sync")


@contextmanager
def controlled(lab: Lab) -> Iterator[Callable[[], None]]:
    """Have portchain-controller program the hosts, in the place of the agents, for a while.

    Yields a function that kills the controller, and starts it again.
    """
    hosts = {host: lab.layout.management_ip(host) for host in lab.hosts}
    log = lab.layout.directory / "log" / "portchain-controller.log"
    running = [_start_controller(lab, hosts, log)]

    def restart() -> None:
        stopped = running.pop()
        stopped.kill()
        stopped.wait()
        running.append(_start_controller(lab, hosts, log))

    for host, address in hosts.items():
        lab.kill("agent", host)
        _listen(lab, host, "add-remote", address)
    try:
        yield restart
    finally:
        running[0].terminate()
        running[0].wait()
        for host, address in hosts.items():
            _listen(lab, host, "remove-remote", address)
            lab.start(f"agent@{host}")


def _start_controller(lab: Lab, hosts: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    config = lab.layout.directory / "controller-of-ovn.conf"
    pairs = ",".join(f"{host}:{address}" for host, address in hosts.items())
    text = configs.controller(lab.layout)
    config.write_text(text.replace("[port_chain]\n", f"[port_chain]\novn_hosts = {pairs}\n"))
    program = lab.layout.software.command("portchain-controller")
    argv = netns.command(lab.layout.controller_namespace, (program, f"--config-file={config}"))
    environment = {**os.environ, "PATH": lab.layout.software.path}
    with log.open("wb") as file:
        started = subprocess.Popen(argv, stdout=file, stderr=file, env=environment)
    wait_for(lambda: "Programming the switches" in log.read_text(), DEADLINE, "the controller")
    return started


def _listen(lab: Lab, host: str, what: str, address: str) -> None:
    control = str(lab.layout.host_directory(host) / "ovsdb.ctl")
    remote = f"ptcp:{OVSDB_PORT}:{address}"
    argv = ("ovs-appctl", "-t", control, f"ovsdb-server/{what}", remote)
    subprocess.run(argv, check=True, capture_output=True)


def rows(lab: Lab) -> dict[str, list[dict[str, Any]]]:
    """The Northbound rows of ports, and groups of ports, by table."""
    columns = {
        "Logical_Switch_Port": ("name", "addresses", "port_security", "options", "external_ids"),
        "Port_Group": ("name", "ports", "acls", "external_ids"),
    }
    return {
        table: sorted(ovn.northbound(lab.layout, table, *names), key=lambda row: str(row["name"]))
        for table, names in columns.items()
    }


def neutrons_ports(lab: Lab) -> list[dict[str, Any]]:
    """The rows that ML2/OVN has written for ports, without how often it has."""
    found = []
    for row in rows(lab)["Logical_Switch_Port"]:
        _, marks = row["external_ids"]
        kept = [mark for mark in marks if mark[0] != "neutron:revision_number"]
        if not str(row["name"]).startswith("pc-"):
            found.append({**row, "external_ids": kept})
    return found
