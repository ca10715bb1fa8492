"""Debian's cloud kernel, fetched and unpacked without being installed on this machine."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from portchain_lab import layout
from portchain_lab.errors import LabError
from portchain_lab.hosts.tools import output

CACHE = layout.CACHE / "kernel"
NAME, LINUX = "linux-image-cloud-amd64", "linux"


def fetch() -> Path:
    """Return the folder with the unpacked kernel package; fetch it if there is none.

    A kernel that is there is used even if Debian has a newer one: remove the folder to change it.
    Call it with the lock ``CACHE / "lock"``.
    """
    folder = CACHE / LINUX
    if list(folder.glob("boot/vmlinuz-*")):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as downloads:
        try:
            archive = _download(Path(downloads))
        except LabError:  # apt's lists may be missing, or older than the mirror
            output("apt-get", "-q", "update")
            archive = _download(Path(downloads))
        output("dpkg-deb", "--extract", archive, folder)
    return folder


def _download(folder: Path) -> Path:
    """Download the newest kernel's package, and return its archive.

    :raises LabError: apt knows no such package, or cannot fetch it.
    """
    names = re.findall(r"Depends: (linux-image-\d\S*)", output("apt-cache", "depends", NAME))
    if not names:
        raise LabError(f"apt knows no package {NAME}, which Debian has for amd64")
    fetch_it = ("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", names[0])
    done = subprocess.run(
        fetch_it,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    archives = list(folder.glob("*.deb"))
    if done.returncode or not archives:
        raise LabError(f"cannot fetch the package {names[0]}:\n{done.stdout.strip()}")
    return archives[0]
