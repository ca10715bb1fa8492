"""Programs out of the folder that ``tools/ovn`` makes: OVN, and the Open vSwitch it belongs with.

The folder holds a newer system's packages, unpacked. Its programs run on this machine's kernel with
the folder's own loader and libraries, so they need no chroot and see the lab's files.
"""

import subprocess
from pathlib import Path

from portchain_lab import layout
from portchain_lab.errors import LabError

ROOT = layout.CACHE / "ovn" / "root"
SWITCH_SCHEMA = ROOT / "usr/share/openvswitch/vswitch.ovsschema"
_FOLDERS = ("usr/bin", "usr/sbin", "usr/lib/openvswitch-switch")


def command(program: str, *arguments: str) -> tuple[str, ...]:
    """The command line of one of the folder's programs.

    :raises LabError: the folder or the program is not there; says how to get it.
    """
    found = next(filter(Path.exists, (ROOT / folder / program for folder in _FOLDERS)), None)
    if found is None:
        msg = f"no {program} in {ROOT}: OVN is not there; get it with tools/ovn"
        raise LabError(msg)
    libraries = f"{ROOT}/usr/lib/x86_64-linux-gnu:{ROOT}/usr/lib"
    loader = str(ROOT / "lib64/ld-linux-x86-64.so.2")
    options = ("--library-path", libraries, "--argv0", program)
    return (loader, *options, str(found), *arguments)


def run(program: str, *arguments: str) -> str:
    """Run one of the folder's programs and return what it printed.

    :raises LabError: it fails, with its message.
    """
    done = subprocess.run(command(program, *arguments), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        msg = f"{program} {' '.join(arguments)}: {done.stderr.strip()}"
        raise LabError(msg)
    return done.stdout
