"""OVN in a lab: the programs of its controller and of its hosts, and how each is started."""

import json
from pathlib import Path
from typing import Any

from portchain_lab import layout
from portchain_lab.cloud import ovn_toolchain, probes
from portchain_lab.cloud.services import Program, log_file, neutron_process
from portchain_lab.hosts.processes import ProcessSpec

DATABASES = {"nb": layout.NORTHBOUND_PORT, "sb": layout.SOUTHBOUND_PORT}


def directory(lab: layout.Layout) -> Path:
    """Where the central databases and their sockets are."""
    return lab.directory / "ovn"


def ctl(lab: layout.Layout, database: str, *arguments: str) -> str:
    """Run ovn-nbctl or ovn-sbctl.

    :param database: ``nb`` or ``sb``.
    """
    where = f"--db=unix:{directory(lab)}/{database}.sock"
    return ovn_toolchain.run(f"ovn-{database}ctl", where, "--timeout=30", *arguments)


def northbound(lab: layout.Layout, table: str, *columns: str) -> list[dict[str, Any]]:
    """Rows of a table, each with the columns asked for, as ovn-nbctl prints them."""
    options = ("--format=json", f"--columns={','.join(columns)}")
    printed = json.loads(ctl(lab, "nb", *options, "list", table))
    return [dict(zip(printed["headings"], row, strict=True)) for row in printed["data"]]


def rows_with_external_id(lab: layout.Layout, mark: str) -> list[str]:
    """Tables and names of the rows that have a mark in their ``external_ids``."""
    tables = ("Logical_Switch", "Logical_Switch_Port", "Port_Group", "Network_Function")
    return [
        f"{table} {row['name']}"
        for table in tables
        for row in northbound(lab, table, "name", "external_ids")
        if mark in str(row["external_ids"])
    ]


def create_databases(lab: layout.Layout) -> None:
    """Make the central databases, empty."""
    for name in DATABASES:
        schema = ovn_toolchain.ROOT / f"usr/share/ovn/ovn-{name}.ovsschema"
        ovn_toolchain.run("ovsdb-tool", "create", f"{directory(lab)}/{name}.db", str(schema))


def database_server(lab: layout.Layout, name: str) -> Program:
    """The Northbound or Southbound database."""
    place = directory(lab)
    argv = ovn_toolchain.command(
        "ovsdb-server",
        f"{place}/{name}.db",
        f"--remote=punix:{place}/{name}.sock",
        f"--remote=ptcp:{DATABASES[name]}:{layout.CONTROLLER_IP}",
        f"--unixctl={place}/{name}.ctl",
        "-vconsole:info",
    )
    process = ProcessSpec(
        f"ovn-{name}", lab.controller_namespace, argv, log_file(lab, f"ovn-{name}")
    )
    return Program(process, lambda: probes.control(place / f"{name}.ctl"))


def northd(lab: layout.Layout) -> Program:
    """The translator from the Northbound to the Southbound database."""
    place = directory(lab)
    argv = ovn_toolchain.command(
        "ovn-northd",
        f"--ovnnb-db=unix:{place}/nb.sock",
        f"--ovnsb-db=unix:{place}/sb.sock",
        f"--unixctl={place}/northd.ctl",
        "-vconsole:info",
    )
    process = ProcessSpec("ovn-northd", lab.controller_namespace, argv, log_file(lab, "ovn-northd"))
    return Program(process, lambda: probes.control(place / "northd.ctl"))


def maintenance(lab: layout.Layout) -> Program:
    """ML2/OVN's own repair of its rows."""
    process = neutron_process(lab, "neutron-ovn-maintenance", "neutron-ovn-maintenance-worker")
    return Program(
        process,
        lambda: probes.connected(
            lab.controller_namespace, layout.NORTHBOUND_PORT, "ovn-maintenance"
        ),
    )


def controller(lab: layout.Layout, host: str) -> Program:
    """A host's ovn-controller."""
    place = lab.host_directory(host)
    name = f"ovn-controller@{host}"
    argv = ovn_toolchain.command(
        "ovn-controller",
        f"unix:{place}/db.sock",
        f"--unixctl={place}/ovn-controller.ctl",
        "-vconsole:info",
    )
    env = {"OVS_RUNDIR": str(place), "OVN_RUNDIR": str(place)}
    process = ProcessSpec(name, lab.namespace(host), argv, log_file(lab, name), env)
    return Program(process, lambda: probes.control(place / "ovn-controller.ctl"))


def chassis_settings(lab: layout.Layout, host: str) -> tuple[str, ...]:
    """What a host's switch database tells its ovn-controller, as settings of ``external_ids``."""
    settings = {
        "hostname": host,
        "ovn-remote": f"tcp:{layout.CONTROLLER_IP}:{layout.SOUTHBOUND_PORT}",
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": lab.tunnel_ip(host),
        "ovn-bridge-datapath-type": "netdev",
    }
    return tuple(f'external_ids:{key}="{value}"' for key, value in settings.items())
