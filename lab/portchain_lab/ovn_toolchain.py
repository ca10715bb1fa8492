"""Runs OVN and a newer Open vSwitch from the directories that ``tools/ovn`` fills.

A directory holds unpacked packages of a Debian suite. Its programs run on this machine's kernel
with the directory's own loader and libraries: they need no chroot and see the lab's files.

``PORTCHAIN_OVN_SUITE`` selects another suite's OVN, such as that of Debian 12. Open vSwitch stays
the newest one: the userspace datapath of 3.1 ends at connections that OVN tracks. With
``PORTCHAIN_OPEN_VSWITCH=newest``, hosts without OVN run that one, too, instead of the system's.
"""

import os
import subprocess
from pathlib import Path

from portchain_lab import layout
from portchain_lab.errors import LabError

SUITE = os.environ.get("PORTCHAIN_OVN_SUITE", "sid")
SWITCH_ROOT = layout.CACHE / "ovn" / "root"
OVN_ROOT = SWITCH_ROOT if SUITE == "sid" else layout.CACHE / f"ovn-{SUITE}" / "root"
IS_SWITCH_FOR_ALL = os.environ.get("PORTCHAIN_OPEN_VSWITCH") == "newest"
SWITCH_SCHEMA = SWITCH_ROOT / "usr/share/openvswitch/vswitch.ovsschema"
_DIRECTORIES = ("usr/bin", "usr/sbin", "usr/lib/openvswitch-switch")


def command(program: str, *arguments: str) -> tuple[str, ...]:
    """The command line of one of these programs.

    :raises LabError: the program is not installed; the message says how to install it.
    """
    root = OVN_ROOT if program.startswith("ovn-") else SWITCH_ROOT
    found = next(
        filter(Path.exists, (root / directory / program for directory in _DIRECTORIES)), None
    )
    if found is None:
        msg = f"{program} is not in {root}: run tools/ovn to install OVN"
        raise LabError(msg)
    libraries = f"{root}/usr/lib/x86_64-linux-gnu:{root}/usr/lib"
    loader = str(root / "lib64/ld-linux-x86-64.so.2")
    options = ("--library-path", libraries, "--argv0", program)
    return (loader, *options, str(found), *arguments)


def has_newest_switch(lab: layout.Layout, host: str) -> bool:
    """Tell whether a host runs the Open vSwitch of these directories, and not the system's."""
    return IS_SWITCH_FOR_ALL or lab.driver_of(host) == "ovn"


def switch_version() -> str:
    """Return which Open vSwitch hosts without OVN run, as it calls itself."""
    argv: tuple[str, ...] = ("ovs-vswitchd", "--version")
    argv = command(*argv) if IS_SWITCH_FOR_ALL else argv
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return done.stdout.partition("\n")[0]


def run(program: str, *arguments: str) -> str:
    """Run one of these programs and return what it printed.

    :raises LabError: it fails; the message holds its output.
    """
    done = subprocess.run(command(program, *arguments), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        msg = f"{program} {' '.join(arguments)}: {done.stderr.strip()}"
        raise LabError(msg)
    return done.stdout
