"""The command ``portchain-lab``: its command line. ``commands`` carries it out."""

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence

from portchain_lab import client_dialects, layout
from portchain_lab.errors import LabError


def parser() -> argparse.ArgumentParser:
    """The command line, described."""
    top = argparse.ArgumentParser(
        prog="portchain-lab",
        description="An OpenStack network with port chains on this machine: real servers, "
        "with namespaces as hosts and as virtual machines.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument("--name", default="demo", help="which lab (default: %(default)s)")
        return made

    demo = add("demo", "Run the specification's workflow in the lab, bringing it up if need be.")
    demo.add_argument(
        "--client",
        choices=client_dialects.DIALECTS,
        default="openstack",
        help="whose commands are run; neutron: as the specification writes them (default: %(default)s)",
    )
    for made in (add("up", "Bring a lab up; one of the same name is removed first."), demo):
        made.add_argument(
            "--hosts", type=int, default=3, help="compute hosts (default: %(default)s)"
        )
        made.add_argument(
            "--firewall",
            choices=layout.FIREWALLS,
            default="openvswitch",
            help="the agents' firewall driver (default: %(default)s)",
        )
        made.add_argument(
            "--network-type",
            choices=layout.NETWORK_TYPES,
            help="what carries tenants' networks between the hosts (default: vxlan, with OVN geneve)",
        )
        made.add_argument(
            "--driver",
            choices=layout.DRIVERS,
            default="ovs",
            help="who realises chains; with both, hosts are dealt to them in turn (default: %(default)s)",
        )
        made.add_argument(
            "--l2-population",
            action="store_true",
            help="Neutron tells the hosts where addresses are, and they make only the tunnels they need",
        )
        made.add_argument(
            "--ipv6-underlay", action="store_true", help="tunnels run over IPv6 instead of IPv4"
        )
    add("down", "End and remove a lab, half-built ones included.")
    add("status", "Show what runs.")
    add("shell", "Open a shell beside the servers, with openstack ready to use.")
    run = add("exec", "Run a command in a part of the lab.")
    run.add_argument("part", help="ctl, net, a host such as h1, or a virtual machine")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="what to run")
    logs = add("logs", "Show the end of a program's log, or list the logs.")
    logs.add_argument("program", nargs="?", help="such as neutron-api or agent@h1")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    for program in ("restart", "kill", "start"):
        add(program, f"{program.capitalize()} one program of the lab.").add_argument(
            "program", help="such as neutron-api or agent@h1"
        )
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``portchain-lab``.

    :returns: 0, or 1 after an error that is printed.
    """
    arguments = parser().parse_args(argv)
    if not sys.warnoptions:
        # What the libraries want to tell their own developers.
        warnings.simplefilter("ignore")
    if os.geteuid() != 0:
        print("portchain-lab makes network namespaces: run it as root", file=sys.stderr)
        return 1
    # The libraries behind it take a second to load: not for --help.
    commands = importlib.import_module("portchain_lab.commands")
    try:
        commands.COMMANDS[arguments.command](arguments)
    except LabError as error:
        print(f"portchain-lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
