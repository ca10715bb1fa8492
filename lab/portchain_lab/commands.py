"""What the sub-commands of ``portchain-lab`` do."""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from portchain_lab import layout
from portchain_lab.cloud import clients
from portchain_lab.demo import Demo
from portchain_lab.errors import LabError
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab

console = Console(highlight=False, soft_wrap=True)

_RC = """\
[ -f /etc/bash.bashrc ] && . /etc/bash.bashrc
PS1='(lab {name}, $OS_CLOUD) \\w\\$ '
as-admin() {{ OS_CLOUD=admin; }}
as-demo() {{ OS_CLOUD=demo; }}
echo 'openstack and neutron are ready: you are the user "demo"; as-admin and as-demo switch, exit leaves.'
"""


def _layout(arguments: argparse.Namespace) -> layout.Layout:
    return layout.Layout(
        arguments.name,
        arguments.hosts,
        arguments.firewall,
        arguments.network_type or ("geneve" if "ovn" in arguments.driver else "vxlan"),
        arguments.l2_population,
        arguments.ipv6_underlay,
        arguments.driver,
    )


def up(arguments: argparse.Namespace) -> Lab:
    """Bring a lab up and show progress."""
    lab = Lab(_layout(arguments))
    began = time.monotonic()
    with console.status(f"bringing up lab {arguments.name!r}"):
        lab.up(lambda step: console.print(f"  [green]✓[/] {step}"))
    console.print(f"[bold]lab {arguments.name!r} is up[/] after {time.monotonic() - began:.0f} s")
    return lab


def _up(arguments: argparse.Namespace) -> None:
    name = "" if arguments.name == "demo" else f" --name {arguments.name}"
    up(arguments)
    console.print(f"use it: portchain-lab shell{name}    stop it: portchain-lab down{name}")


def _down(arguments: argparse.Namespace) -> None:
    Lab(layout.Layout(arguments.name)).down()
    console.print(f"lab {arguments.name!r} is down")


def _status(arguments: argparse.Namespace) -> None:
    lab = Lab.open(arguments.name)
    table = Table("program", "process", "state", title=f"lab {arguments.name}")
    for name, pid, running in lab.status():
        state = "[green]runs[/]" if running else "[red]does not run[/]"
        table.add_row(name, str(pid or "-"), state)
    console.print(table)
    prefix = lab.layout.prefix
    spaces = [name.removeprefix(prefix) for name in netns.with_prefix(prefix)]
    console.print("parts:", " ".join(spaces))
    console.print("files:", str(lab.layout.directory))


def _shell(arguments: argparse.Namespace) -> None:
    lab = Lab.open(arguments.name)
    rc = lab.layout.directory / "bashrc"
    rc.write_text(_RC.format(name=arguments.name))
    _become(lab, lab.layout.controller_namespace, ["bash", "--rcfile", str(rc), "-i"])


def _exec(arguments: argparse.Namespace) -> None:
    lab = Lab.open(arguments.name)
    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    parts = (arguments.part, layout.vm_part(arguments.part))
    namespace = next(filter(netns.exists, map(lab.layout.namespace, parts)), "")
    if not namespace or not argv:
        msg = f"no part {arguments.part!r}, or no command: portchain-lab status shows the parts"
        raise LabError(msg)
    _become(lab, namespace, argv, arguments.part)


def _become(lab: Lab, namespace: str, argv: Sequence[str], part: str = "ctl") -> None:
    """Replace this program by a command in a namespace, with the clients' environment."""
    environment = clients.environment(lab.layout, "demo")
    if part in lab.hosts:
        environment["OVS_RUNDIR"] = str(lab.layout.host_directory(part))
        environment["OVS_DB_SOCK"] = f"{lab.layout.host_directory(part)}/db.sock"
    whole = netns.command(namespace, argv)
    os.execvpe(whole[0], whole, environment)  # noqa: S606  # that is the purpose


def _logs(arguments: argparse.Namespace) -> None:
    lab = Lab.open(arguments.name)
    if not arguments.program:
        for path in sorted(lab.layout.logs.glob("*.log")):
            console.print(str(path))
        return
    path = lab.program(arguments.program).process.log
    argv = ["tail", "-n", "60", *(["-F"] if arguments.follow else []), str(path)]
    os.execvp("tail", argv)  # noqa: S606


def _restart(arguments: argparse.Namespace) -> None:
    Lab.open(arguments.name).restart(arguments.program)
    console.print(f"{arguments.program} is ready")


def _start(arguments: argparse.Namespace) -> None:
    Lab.open(arguments.name).start(arguments.program)
    console.print(f"{arguments.program} is ready")


def _kill(arguments: argparse.Namespace) -> None:
    Lab.open(arguments.name).kill(arguments.program)
    console.print(
        f"{arguments.program} is dead; portchain-lab start {shlex.quote(arguments.program)}"
    )


def _demo(arguments: argparse.Namespace) -> None:
    wanted = _layout(arguments)
    lab = Lab(wanted)
    if (
        not lab.is_up()
        or Lab.open(arguments.name).layout != wanted
        or Demo(lab, console).was_interrupted
    ):
        lab = up(arguments)
    if not Demo(lab, console, arguments.client).run():
        raise LabError("some packets went where the specification does not send them: see above")
    option = "" if arguments.name == "demo" else f" --name {arguments.name}"
    command = f"{sys.argv[0]} {{}}{option}".format
    console.print(
        f"""
[bold green]Every packet took the path that the specification gives it.[/]

The lab goes on running. Next you can try:
  {command("shell")}                then  openstack sfc port chain show PC1
  {command("exec")} vm1 -- tcpdump -ni eth0      what the first function sees
  {command("exec")} h1 -- ovs-ofctl -O OpenFlow13 --names dump-flows br-int
  {command("status")}               which servers run, and where their files are
Stop it with:
  {command("down")}"""
    )


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "up": _up,
    "down": _down,
    "status": _status,
    "shell": _shell,
    "exec": _exec,
    "logs": _logs,
    "restart": _restart,
    "start": _start,
    "kill": _kill,
    "demo": _demo,
}
