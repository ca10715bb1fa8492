"""A lab in a virtual machine: starts the machine, and passes commands on to it.

The machine is a program of the lab in a namespace of its own, connected to that namespace by one
interface. So only root reaches it, and ``down`` removes it like any other lab.
"""

import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from portchain_lab import layout
from portchain_lab.hosts import netns, probes, processes, tools
from portchain_lab.lab import Lab
from portchain_lab.machine import boot, client, image, labs, server
from portchain_lab.progress import Progress

PROGRAM = "machine"
PORT = 7000
_OUTSIDE, _INSIDE, _PREFIX = "10.103.0.1", "10.103.0.2", 24
_TAP = "machine0"
BOOT_DEADLINE = 600.0
MODULES = ("openvswitch", "mpls_gso")


def kernel_has_openvswitch() -> bool:
    """Return whether this machine's own kernel has Open vSwitch's datapath; load it if it can.

    With it comes the module that divides large packets behind MPLS labels.
    """
    if modprobe := tools.find("modprobe"):
        subprocess.run([modprobe, "-a", "-q", *MODULES], check=False)
    return Path("/sys/module", MODULES[0]).exists()


def exists(name: str) -> bool:
    """Return whether the lab of this name is in a virtual machine."""
    return netns.exists(layout.Layout(name).namespace(PROGRAM))


def start(name: str, report: Progress) -> None:
    """Start a virtual machine for the lab of this name; what is left of an earlier lab is removed.

    :raises LabError: this machine lacks what the virtual machine needs, or it does not start.
    """
    lab = Lab(layout.Layout(name))
    lab.down()
    kernel, root = image.prepare(report)
    databases = labs.prepared_databases(report)
    where, space = lab.layout.directory, lab.layout.namespace(PROGRAM)
    source, results = where / "source.tar", where / "results.tar"
    where.mkdir(parents=True)
    serve = f"exec python -m {server.__name__} {_INSIDE} {PORT}"
    interface = f"ip link set eth0 up && ip addr add {_INSIDE}/{_PREFIX} dev eth0"
    boot.pack(
        source,
        ("bash", "-c", f"{interface} && {serve}"),
        folder=Path("/root"),
        copied=[*boot.source_folders(), databases],
        environment=labs.ENVIRONMENT,
    )
    boot.reserve(results)
    netns.create([space])
    netns.ip(
        f"tuntap add {_TAP} mode tap",
        f"addr add {_OUTSIDE}/{_PREFIX} dev {_TAP}",
        f"link set {_TAP} up",
        namespace=space,
    )
    network = (
        *("-netdev", f"tap,id=n1,ifname={_TAP},script=no,downscript=no"),
        *("-device", "virtio-net-pci,netdev=n1,romfile="),
    )
    argv = boot.command_line(kernel, root, source, results, network=network, memory=labs.MEMORY)
    spec = processes.ProcessSpec(PROGRAM, space, tuple(argv), lab.layout.log_file(PROGRAM))
    record = processes.start(spec, lab.processes)
    ready = partial(probes.accepts_tcp, space, _INSIDE, PORT)
    processes.wait_ready(processes.Program(spec, ready, BOOT_DEADLINE), record)


def run(name: str, arguments: Sequence[str]) -> int:
    """Run ``portchain-lab`` in the lab's virtual machine; returns its exit status."""
    space = layout.Layout(name).namespace(PROGRAM)
    connection = probes.connect(space, _INSIDE, PORT)
    connection.settimeout(None)
    return client.run(connection, ["portchain-lab", *arguments])
