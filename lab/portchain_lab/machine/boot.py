"""Boots the virtual machine with a command, and gets back what the command wrote.

The machine's drives are the root file system, an archive of source and command, and a place for an
archive of results. Module ``image`` makes the first; the machine's first process, the script
``init``, uses all of them.
"""

import contextlib
import io
import os
import shlex
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import portchain
import portchain_lab
from portchain_lab.errors import LabError
from portchain_lab.hosts import tools
from portchain_lab.machine import image

NOT_COPIED = (
    *(".git", ".venv*", "build", "dist", "docs", ".mypy_cache", ".ruff_cache", ".hypothesis"),
    *("test-results", "evidence"),
)
RESULT_SIZE, ALIGNMENT = 512 * 2**20, 2**20
MEMORY = "2500"
"""In megabytes."""
KERNEL_OPTIONS = (
    *("console=ttyS0", "quiet", "loglevel=2", "panic=-1", "mitigations=off"),
    *("root=/dev/nvme0n1", "rw", "rootwait", "init=/init"),
    "no_timer_check",  # on a busy machine, its timer seems not to work
)


def command_line(
    kernel: Path,
    root: Path,
    source: Path,
    results: Path,
    *,
    network: Sequence[str] = (),
    memory: str = MEMORY,
) -> list[str]:
    """The command line of QEMU.

    :param root: the image of the root file system, which stays as it is.
    :param source: the archive that ``pack`` wrote.
    :param results: a file that ``reserve`` made.
    :param network: QEMU's arguments for a network interface.
    :param memory: in megabytes, unless ``KERNEL_MEMORY`` says otherwise.
    """
    drives = [(root, "snapshot=on"), (source, "read-only=on"), (results, "cache=unsafe")]
    attached = [
        word
        for number, (path, options) in enumerate(drives, 1)
        for word in (
            *("-drive", f"if=none,id=d{number},format=raw,file={path},{options}"),
            *("-device", f"nvme-ns,drive=d{number},nsid={number}"),
        )
    ]
    return [
        image.QEMU, "-accel", "tcg,thread=multi", "-cpu", "max",
        "-smp", os.environ.get("KERNEL_CPUS", "2"), "-m", os.environ.get("KERNEL_MEMORY", memory),
        "-kernel", str(kernel),
        "-append", " ".join(KERNEL_OPTIONS),
        "-no-reboot", "-display", "none", "-monitor", "none", "-serial", "stdio",
        "-device", "nvme,serial=portchain,id=nvme", *attached, *(network or ("-nic", "none")),
    ]  # fmt: skip


def reserve(results: Path) -> None:
    """Make an empty place for the archive of results."""
    with results.open("wb") as file:
        file.truncate(RESULT_SIZE)


def source_folders() -> list[Path]:
    """The folders of packages that are not in the virtual environment, but used from elsewhere."""
    folders = [Path(module.__file__ or "").parent for module in (portchain, portchain_lab)]
    return [folder for folder in folders if not folder.is_relative_to(image.ENVIRONMENT)]


class Archive(tarfile.TarFile):
    """Leaves out files that disappear: other processes compile modules of this source meanwhile."""

    def add(self, *arguments: Any, **options: Any) -> None:
        with contextlib.suppress(FileNotFoundError):
            super().add(*arguments, **options)


def pack(
    archive: Path,
    argv: Sequence[str],
    *,
    folder: Path,
    copied: Iterable[Path],
    environment: dict[str, str],
) -> None:
    """Pack files and a command into an archive, with the paths that they have here.

    :param folder: the command's current directory. What it writes into the folders
        ``test-results`` and ``evidence`` there becomes the archive of results.
    :param copied: folders and files to pack; what no command needs is left out.
    :param environment: variables of the command.
    """
    environment = environment | {
        "PATH": f"{image.ENVIRONMENT}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": ":".join(dict.fromkeys(str(one.parent) for one in source_folders())),
    }
    script = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    script += [f"cd {shlex.quote(str(folder))}", shlex.join(argv)]
    with Archive.open(archive, "w") as file:
        for path in copied:
            file.add(path, _within(path), filter=partial(_wanted, path))
        for name, lines in (("command", script), ("source", [str(folder)])):
            content = "\n".join([*lines, ""]).encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    with archive.open("ab") as file:
        file.truncate(-(-archive.stat().st_size // ALIGNMENT) * ALIGNMENT)


def _within(path: Path) -> str:
    """A path relative to the root."""
    return str(path.absolute()).lstrip("/")


def _wanted(folder: Path, member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    inside = Path(member.name).relative_to(_within(folder)).parts
    unwanted = inside and any(fnmatch(inside[0], name) for name in NOT_COPIED)
    return None if unwanted else member


def unpack(results: Path, folder: Path) -> int:
    """Copy results out of the archive that the machine has written.

    :param folder: gets the folders ``test-results`` and ``evidence``.
    :returns: the command's exit status.
    :raises LabError: there is no archive: the machine has not come to its end.
    """
    with tempfile.TemporaryDirectory() as place:
        try:
            tools.output("tar", "-x", "-f", results, "-C", place, "status")
            status = int(Path(place, "status").read_text())
        except (LabError, ValueError) as error:
            raise LabError(f"the machine ended before the command did: {error}") from None
    tools.output("tar", "-x", "-f", results, "-C", folder, "test-results", "evidence")
    return status
