"""What each command of ``portchain-lab`` does."""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from portchain.dataplane.flow import COOKIE
from portchain_lab import layout
from portchain_lab.cloud import clients, horizon, ovn
from portchain_lab.demo import Demo
from portchain_lab.errors import LabError
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab
from portchain_lab.machine import live

console = Console(highlight=False, soft_wrap=True)

LOG_LINES = 60

BASHRC = """\
[ -f /etc/bash.bashrc ] && . /etc/bash.bashrc
PS1='(lab {name}, $OS_CLOUD) \\w\\$ '
as-admin() {{ OS_CLOUD=admin; }}
as-demo() {{ OS_CLOUD=demo; }}
nova() {{ (. "{directory}/openrc-$OS_CLOUD"; command nova "$@"); }}
echo 'You are the user "demo". Try:   openstack network list'
echo 'as-admin becomes the administrator, as-demo returns, exit leaves the shell.'
"""


def _layout(arguments: argparse.Namespace) -> layout.Layout:
    return layout.Layout(
        name=arguments.name,
        hosts=arguments.hosts,
        firewall=arguments.firewall,
        network_type=arguments.network_type or layout.default_network_type(arguments.driver),
        l2_population=arguments.l2_population or arguments.routers,
        ipv6_underlay=arguments.ipv6_underlay,
        driver=arguments.driver,
        routers=arguments.routers,
        qos=arguments.qos,
        prometheus=arguments.prometheus,
        dashboard=arguments.dashboard,
        heat=arguments.heat,
        nova=arguments.nova,
        datapath=arguments.datapath,
    )


def _command_line(lab: str, *arguments: str) -> str:
    """A command line of this program that a reader can copy, for this lab."""
    command, *rest = arguments
    name = [] if lab == "demo" else ["--name", lab]
    return " ".join([sys.argv[0], command, *name, *rest])


def start_lab(lab: Lab) -> None:
    """Bring a lab up and show its progress."""
    name, began = lab.layout.name, time.monotonic()
    hosts = f"{len(lab.hosts)} {'host' if len(lab.hosts) == 1 else 'hosts'}"
    console.print(f"Starting lab {name!r}: {hosts}, driver {lab.layout.driver}")
    with console.status("this takes up to a minute, the first time a few"):
        lab.up(lambda step: console.print(f"  [green]✓[/] {step}"))
    console.print(f"[bold]Lab {name!r} is up[/] after {time.monotonic() - began:.0f} s")
    _print_dashboard(lab.layout)


def _print_dashboard(lab: layout.Layout) -> None:
    """Say where Horizon is, and how to log in."""
    if lab.dashboard and horizon.port_file(lab).exists():
        console.print(
            f"  Horizon:  {horizon.url(lab)} (user demo or admin, password {layout.PASSWORD})"
        )


def _up(arguments: argparse.Namespace) -> None:
    start_lab(Lab(_layout(arguments)))
    console.print(f"  use it:   {_command_line(arguments.name, 'shell')}")
    console.print(f"  stop it:  {_command_line(arguments.name, 'down')}")


def _down(arguments: argparse.Namespace) -> None:
    with console.status(f"stopping lab {arguments.name!r}"):
        Lab(layout.Layout(arguments.name)).down()
    console.print(f"Lab {arguments.name!r} is down; its files are deleted")


def _status(arguments: argparse.Namespace) -> None:
    lab = Lab.open(arguments.name)
    table = Table("program", "process", "state", title=f"lab {arguments.name}")
    for name, pid, running in lab.status():
        state = "[green]running[/]" if running else "[red]not running[/]"
        table.add_row(name, str(pid or "-"), state)
    console.print(table)
    prefix = lab.layout.prefix
    parts = [name.removeprefix(prefix) for name in netns.with_prefix(prefix)]
    console.print(f"namespaces: {' '.join(parts)}   (names for 'exec'; ip(8) adds {prefix})")
    console.print(f"files:      {lab.layout.directory}")
    _print_dashboard(lab.layout)


def _shell(arguments: argparse.Namespace) -> None:
    lab = Lab.open(arguments.name)
    bashrc = lab.layout.directory / "bashrc"
    bashrc.write_text(BASHRC.format(name=arguments.name, directory=lab.layout.directory))
    _replace_process(lab, "ctl", ["bash", "--rcfile", str(bashrc), "-i"])


def _exec(arguments: argparse.Namespace) -> None:
    lab = Lab.open(arguments.name)
    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not argv:
        example = _command_line(arguments.name, "exec", arguments.part, "--", "ip", "addr")
        raise LabError(f"no command to run; for example: {example}")
    _replace_process(lab, arguments.part, argv)


def _replace_process(lab: Lab, part: str, argv: Sequence[str]) -> None:
    """Replace this process by a command in a namespace, with the clients' environment.

    :param part: ``ctl``, ``net``, a host or a VM.
    """
    candidates = map(lab.layout.namespace, (part, layout.vm_part(part)))
    namespace = next(filter(netns.exists, candidates), None)
    if namespace is None:
        status = _command_line(lab.layout.name, "status")
        raise LabError(f"the lab has no namespace {part!r}; this lists them: {status}")
    environment = clients.environment(lab.layout, "demo", argv[0])
    if part in lab.hosts:
        environment["OVS_RUNDIR"] = str(lab.layout.host_directory(part))
        environment["OVS_DB_SOCK"] = f"{lab.layout.host_directory(part)}/db.sock"
    if lab.layout.has_ovn:
        environment["PATH"] = f"{ovn.write_tools(lab.layout)}:{environment['PATH']}"
    whole = netns.command(namespace, argv)
    os.execvpe(whole[0], whole, environment)  # noqa: S606  # that is the purpose


def _logs(arguments: argparse.Namespace) -> None:
    lab = Lab.open(arguments.name)
    if not arguments.program:
        for path in sorted(lab.layout.logs.glob("*.log")):
            console.print(str(path))
        return
    path = lab.program(arguments.program).process.log
    follow = ["-F"] if arguments.follow else []
    os.execvp("tail", ["tail", "-n", str(LOG_LINES), *follow, str(path)])  # noqa: S606


def _restart(arguments: argparse.Namespace) -> None:
    with console.status(f"restarting {arguments.program}"):
        Lab.open(arguments.name).restart(arguments.program)
    console.print(f"{arguments.program} is ready")


def _start(arguments: argparse.Namespace) -> None:
    with console.status(f"starting {arguments.program}"):
        Lab.open(arguments.name).start(arguments.program)
    console.print(f"{arguments.program} is ready")


def _kill(arguments: argparse.Namespace) -> None:
    Lab.open(arguments.name).kill(arguments.program)
    start = _command_line(arguments.name, "start", shlex.quote(arguments.program))
    console.print(f"{arguments.program} is killed; start it again with: {start}")


def _demo(arguments: argparse.Namespace) -> None:
    wanted = _layout(arguments)
    lab = Lab(wanted)
    if not _is_usable(lab):
        start_lab(lab)
    if not Demo(lab, console, arguments.client).run():
        raise LabError(
            "some packets did not take the path that the specification gives them: see above"
        )
    _print_next_steps(lab.layout)


def _is_usable(lab: Lab) -> bool:
    """Return whether a lab with this layout is up and no interrupted run left resources in it."""
    return (
        lab.is_up()
        and Lab.open(lab.layout.name).layout == lab.layout
        and not Demo(lab, console).was_interrupted
    )


def _print_next_steps(lab: layout.Layout) -> None:
    name, bridge = lab.name, lab.chain_bridge("h1")
    own_flows = f"cookie={COOKIE:#x}/-1"
    flows = ["ovs-ofctl", "-O", "OpenFlow13", "--names", "dump-flows", bridge, own_flows]
    suggestions = (
        ("open a shell with the openstack client", ("shell",)),
        (
            "show the chain",
            ("exec", "ctl", "--", *["openstack", "sfc", "port", "chain", "show", "PC1"]),
        ),
        ("read the chain's flows on a host", ("exec", "h1", "--", *flows)),
        *(
            [("show the rows of OVN", ("exec", "ctl", "--", "ovn-nbctl", "show"))]
            if lab.has_ovn
            else []
        ),
        ("capture at a function's port", ("exec", "vm1", "--", "tcpdump", "-ni", "eth0")),
        ("see which programs run, and where their files are", ("status",)),
        ("stop the lab", ("down",)),
    )
    console.print("\n[bold green]Every packet took the path that the specification gives it.[/]")
    console.print("\nThe lab stays up. You can now")
    for purpose, command in suggestions:
        console.print(f"  {purpose}:")
        console.print(f"      {escape(_command_line(name, *command))}")


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

STARTING, STOPPING = ("up", "demo"), "down"


def run(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    """Run a command here, or in the lab's virtual machine if it has one.

    :param arguments: what ``argv`` means.
    :returns: the exit status.
    """
    if _is_in_machine(arguments):
        return live.run(arguments.name, argv)
    COMMANDS[arguments.command](arguments)
    return 0


def _is_in_machine(arguments: argparse.Namespace) -> bool:
    """Return whether a command concerns a lab in a virtual machine; start the machine for it."""
    name, command = arguments.name, arguments.command
    if command == STOPPING:
        return False
    if command not in STARTING:
        return live.exists(name)
    if arguments.datapath != "kernel" or live.kernel_has_openvswitch():
        return False
    if arguments.dashboard:
        raise LabError(
            "--dashboard: no browser reaches a lab in a virtual machine, which --datapath kernel "
            "needs here, because this machine's kernel has no Open vSwitch"
        )
    if command == "up" or not live.exists(name):
        console.print("This machine's kernel has no Open vSwitch: starting a virtual machine")
        with console.status("this takes a minute, the first time a few"):
            live.start(name, lambda step: console.print(f"  [green]✓[/] {step}"))
    return True
