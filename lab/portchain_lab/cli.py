"""The command line of ``portchain-lab``. Module ``commands`` has what each command does."""

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from textwrap import dedent
from typing import Any, cast

from portchain_lab import client_dialects, layout
from portchain_lab.errors import LabError

DESCRIPTION = """\
Runs an OpenStack network with service function chaining on this machine.

Servers, agents and switches are the real programs. Compute hosts and virtual machines are
network namespaces, so a lab needs no hypervisor and disturbs no network of this machine.
"""
EXAMPLES = """\
examples:
  portchain-lab demo                     start a lab and run the specification's workflow in it
  portchain-lab shell                    a shell with the openstack client, logged in
  portchain-lab exec h1 -- ovs-ofctl -O OpenFlow13 --names dump-flows br-int
  portchain-lab exec vm1 -- tcpdump -ni eth0
  portchain-lab logs -f agent@h1
  portchain-lab up --datapath kernel     with the datapath that clouds run
  portchain-lab down

docs/lab.md describes each command.
"""
PROGRAM_HELP = "such as neutron-api or agent@h1; 'portchain-lab status' lists them"


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    top = argparse.ArgumentParser(
        prog="portchain-lab",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_lab_commands(commands)
    _add_inspection_commands(commands)
    _add_program_commands(commands)
    return top


def _add(commands: Any, name: str, summary: str, details: str = "") -> argparse.ArgumentParser:
    """Add the parser of a command.

    :param details: a paragraph for the command's own help.
    """
    command = commands.add_parser(
        name,
        help=summary,
        description=summary + ("\n\n" + dedent(details).strip() if details else ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--name", default="demo", help="the lab's name, to run several (default: %(default)s)"
    )
    return cast(argparse.ArgumentParser, command)


def _add_lab_commands(commands: Any) -> None:
    """The commands that start and stop a lab."""
    demo = _add(
        commands,
        "demo",
        "Run the specification's workflow and check every packet's path.",
        """
        Starts a lab unless one with these options is up. Creates a network, five VMs and a port
        chain with a real client, sends TCP connections, captures at every port, and fails if a
        packet took another path than the specification gives it.
        """,
    )
    demo.add_argument(
        "--client",
        choices=client_dialects.DIALECTS,
        default="openstack",
        help="the client to use; the specification shows neutron (default: %(default)s)",
    )
    up = _add(commands, "up", "Start a lab. An existing lab of the same name is removed first.")
    for command in (up, demo):
        _add_layout_options(command)
    _add(commands, "down", "Stop a lab and delete its files, also if it came up only in part.")


def _add_inspection_commands(commands: Any) -> None:
    """The commands that look into a lab."""
    _add(commands, "status", "List a lab's programs, namespaces and files.")
    _add(commands, "shell", "Open a shell next to the servers, with the clients logged in.")

    run = _add(
        commands,
        "exec",
        "Run a command in a namespace of the lab.",
        """
        On a host, ovs-vsctl, ovs-ofctl and ovs-appctl find the switch of that host.
        """,
    )
    run.add_argument(
        "part",
        metavar="NAMESPACE",
        help="ctl (the servers), net (the fabric), a host such as h1, or a VM such as vm1",
    )
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the command")

    logs = _add(commands, "logs", "Show the last lines of a program's log, or list all logs.")
    logs.add_argument("program", nargs="?", help=PROGRAM_HELP)
    logs.add_argument("-f", "--follow", action="store_true", help="keep showing new lines")


def _add_program_commands(commands: Any) -> None:
    """The commands that stop and start one program."""
    for name, summary in (
        ("start", "Start a program that was killed or stopped, and wait until it is ready."),
        ("restart", "Restart a program as a service manager would, and wait until it is ready."),
        ("kill", "Kill a program with SIGKILL, to see what its failure does."),
    ):
        _add(commands, name, summary).add_argument("program", help=PROGRAM_HELP)


def _add_layout_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--hosts",
        type=int,
        default=3,
        help=f"number of compute hosts, 1 to {layout.MAX_HOSTS} (default: %(default)s)",
    )
    command.add_argument(
        "--driver",
        choices=layout.DRIVERS,
        default="ovs",
        metavar="DRIVER",
        help="the driver that realises chains: ovs, ovn, openflow, or ovs,ovn for hosts of both "
        "(default: %(default)s)",
    )
    command.add_argument(
        "--firewall",
        choices=layout.FIREWALLS,
        default="openvswitch",
        help="the agents' firewall driver (default: %(default)s)",
    )
    command.add_argument(
        "--datapath",
        choices=layout.DATAPATHS,
        default="userspace",
        help="where switches forward packets: kernel, as clouds do, or userspace. If this "
        "machine's kernel has no openvswitch module, the lab runs in a virtual machine, some ten "
        "times slower (default: %(default)s)",
    )
    command.add_argument(
        "--network-type",
        choices=layout.NETWORK_TYPES,
        help="the type of project networks (default: vxlan; geneve if the driver includes ovn)",
    )
    command.add_argument(
        "--l2-population",
        action="store_true",
        help="enable Neutron's l2population driver: a host builds only the tunnels it needs",
    )
    command.add_argument(
        "--ipv6-underlay", action="store_true", help="run tunnels over IPv6 instead of IPv4"
    )
    command.add_argument(
        "--routers",
        action="store_true",
        help="run Neutron's L3 agents, also for distributed routers; includes --l2-population",
    )
    command.add_argument("--qos", action="store_true", help="load Neutron's QoS, for rate limits")
    command.add_argument(
        "--prometheus",
        action="store_true",
        help="run Prometheus, which reads the figures of server and hosts",
    )
    command.add_argument(
        "--dashboard",
        action="store_true",
        help="run Horizon with the panel for port chains, for a browser on this machine; the first "
        "time, it is installed",
    )
    command.add_argument(
        "--heat", action="store_true", help="run Heat; the first time, it is installed"
    )
    command.add_argument(
        "--nova",
        action="store_true",
        help="run Nova, Placement and Glance, and libvirt with QEMU on each host; the first time, "
        "they are installed",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``portchain-lab``.

    :returns: the exit status: 0, 1 after an error (which is printed), 130 after Ctrl-C; of a
        command that ran in a virtual machine, the status that it had there.
    """
    arguments = parser().parse_args(argv)
    if not sys.warnoptions:
        # Deprecation warnings of the libraries are for their developers.
        warnings.simplefilter("ignore")
    if os.geteuid() != 0:
        print(
            "portchain-lab creates network namespaces and needs root: run it with sudo",
            file=sys.stderr,
        )
        return 1
    # Importing this takes a second, which --help should not cost.
    commands = importlib.import_module("portchain_lab.commands")
    try:
        status: int = commands.run(arguments, sys.argv[1:] if argv is None else argv)
    except LabError as error:
        print(f"portchain-lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
