"""OVN's central programs: databases, northd, and Neutron's maintenance worker for OVN."""

import json
import shlex
from pathlib import Path
from typing import Any

from portchain_lab import layout, ovn_toolchain
from portchain_lab.cloud.services import neutron_process
from portchain_lab.hosts import probes
from portchain_lab.hosts.processes import ProcessSpec, Program
from portchain_lab.waiting import patient, wait_for

CHASSIS_DEADLINE = 60.0
DATABASES = {"nb": layout.NORTHBOUND_PORT, "sb": layout.SOUTHBOUND_PORT}


def directory(lab: layout.Layout) -> Path:
    """The directory of the central databases and their sockets."""
    return lab.directory / "ovn"


def ctl(lab: layout.Layout, database: str, *arguments: str) -> str:
    """Run ovn-nbctl or ovn-sbctl and return what it printed.

    :param database: ``nb`` or ``sb``.
    :raises LabError: it fails.
    """
    address = f"--db=unix:{directory(lab)}/{database}.sock"
    return ovn_toolchain.run(
        f"ovn-{database}ctl", address, f"--timeout={patient(30):.0f}", *arguments
    )


def write_tools(lab: layout.Layout) -> Path:
    """Write scripts that run ovn-nbctl and ovn-sbctl on the lab's databases.

    :returns: their directory, for a ``PATH``.
    """
    tools = directory(lab) / "bin"
    tools.mkdir(exist_ok=True)
    for database in DATABASES:
        name, address = f"ovn-{database}ctl", f"--db=unix:{directory(lab)}/{database}.sock"
        script = tools / name
        script.write_text(
            f'#!/bin/sh\nexec {shlex.join(ovn_toolchain.command(name, address))} "$@"\n'
        )
        script.chmod(0o755)
    return tools


def northbound(lab: layout.Layout, table: str, *columns: str) -> list[dict[str, Any]]:
    """The rows of a Northbound table, each with the given columns, as ovn-nbctl prints them."""
    options = ("--format=json", f"--columns={','.join(columns)}")
    printed = json.loads(ctl(lab, "nb", *options, "list", table))
    return [dict(zip(printed["headings"], row, strict=True)) for row in printed["data"]]


def wait_for_chassis(lab: layout.Layout, host: str) -> None:
    """Wait until a host's ovn-controller has registered the host.

    :raises DeadlineError: it does not.
    """
    options = ("--bare", "--columns=name", "find", "Chassis_Private", f"name={host}")
    wait_for(lambda: ctl(lab, "sb", *options).strip(), CHASSIS_DEADLINE, f"the chassis {host}")


def rows_with_external_id(lab: layout.Layout, text: str) -> list[str]:
    """Table and name of each Northbound row whose ``external_ids`` contain a text."""
    tables = ("Logical_Switch", "Logical_Switch_Port", "Port_Group")
    return [
        f"{table} {row['name']}"
        for table in tables
        for row in northbound(lab, table, "name", "external_ids")
        if text in str(row["external_ids"])
    ]


def create_databases(lab: layout.Layout) -> None:
    """Create the central databases, empty."""
    for name in DATABASES:
        schema = ovn_toolchain.OVN_ROOT / f"usr/share/ovn/ovn-{name}.ovsschema"
        ovn_toolchain.run("ovsdb-tool", "create", f"{directory(lab)}/{name}.db", str(schema))


def database_server(lab: layout.Layout, name: str) -> Program:
    """The server of the Northbound or the Southbound database.

    :param name: ``nb`` or ``sb``.
    """
    run_directory = directory(lab)
    argv = ovn_toolchain.command(
        "ovsdb-server",
        f"{run_directory}/{name}.db",
        f"--remote=punix:{run_directory}/{name}.sock",
        f"--remote=ptcp:{DATABASES[name]}:{layout.CONTROLLER_IP}",
        f"--unixctl={run_directory}/{name}.ctl",
        "-vconsole:info",
    )
    process = ProcessSpec(
        f"ovn-{name}", lab.controller_namespace, argv, lab.log_file(f"ovn-{name}")
    )
    return Program(process, lambda: probes.answers_unixctl(run_directory / f"{name}.ctl"))


def northd(lab: layout.Layout) -> Program:
    """ovn-northd, which translates the Northbound into the Southbound database."""
    run_directory = directory(lab)
    argv = ovn_toolchain.command(
        "ovn-northd",
        f"--ovnnb-db=unix:{run_directory}/nb.sock",
        f"--ovnsb-db=unix:{run_directory}/sb.sock",
        f"--unixctl={run_directory}/northd.ctl",
        "-vconsole:info",
    )
    process = ProcessSpec("ovn-northd", lab.controller_namespace, argv, lab.log_file("ovn-northd"))
    return Program(process, lambda: probes.answers_unixctl(run_directory / "northd.ctl"))


def maintenance(lab: layout.Layout) -> Program:
    """Neutron's maintenance worker, which repairs ML2/OVN's rows."""
    process = neutron_process(lab, "neutron-ovn-maintenance", "neutron-ovn-maintenance-worker")
    return Program(
        process,
        lambda: probes.is_connected(
            lab.controller_namespace, layout.NORTHBOUND_PORT, "ovn-maintenance"
        ),
    )
