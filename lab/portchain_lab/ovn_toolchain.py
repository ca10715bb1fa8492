"""Runs OVN, and the Open vSwitch it was built with, from the directory that ``tools/ovn`` fills.

The directory holds unpacked packages of a newer Debian suite. Its programs run on this machine's
kernel with the directory's own loader and libraries: they need no chroot and see the lab's files.
"""

import subprocess
from pathlib import Path

from portchain_lab import layout
from portchain_lab.errors import LabError

ROOT = layout.CACHE / "ovn" / "root"
SWITCH_SCHEMA = ROOT / "usr/share/openvswitch/vswitch.ovsschema"
_DIRECTORIES = ("usr/bin", "usr/sbin", "usr/lib/openvswitch-switch")


def command(program: str, *arguments: str) -> tuple[str, ...]:
    """The command line of one of the directory's programs.

    :raises LabError: the program is not installed; the message says how to install it.
    """
    found = next(
        filter(Path.exists, (ROOT / directory / program for directory in _DIRECTORIES)), None
    )
    if found is None:
        msg = f"{program} is not in {ROOT}: run tools/ovn to install OVN"
        raise LabError(msg)
    libraries = f"{ROOT}/usr/lib/x86_64-linux-gnu:{ROOT}/usr/lib"
    loader = str(ROOT / "lib64/ld-linux-x86-64.so.2")
    options = ("--library-path", libraries, "--argv0", program)
    return (loader, *options, str(found), *arguments)


def run(program: str, *arguments: str) -> str:
    """Run one of the directory's programs and return what it printed.

    :raises LabError: it fails; the message holds its output.
    """
    done = subprocess.run(command(program, *arguments), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        msg = f"{program} {' '.join(arguments)}: {done.stderr.strip()}"
        raise LabError(msg)
    return done.stdout
