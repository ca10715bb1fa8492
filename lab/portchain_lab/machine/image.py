"""What the virtual machine boots: Debian's kernel, and an image of a root file system.

The root file system has Debian packages and the virtual environment of the machine that it runs on.
Both are kept in /var/cache/portchain-lab/kernel (PORTCHAIN_LAB_CACHE). The image is made anew when
packages or the virtual environment change.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from portchain_lab.errors import LabError
from portchain_lab.file_lock import locked
from portchain_lab.hosts import kernel_package
from portchain_lab.hosts.tools import find, output
from portchain_lab.progress import Progress

CACHE = kernel_package.CACHE
INIT = Path(__file__).with_name("init")
QEMU = "qemu-system-x86_64"
# The root file system has these packages, Debian's essential ones, and those that they depend on.
PACKAGES = (
    *("conntrack", "ethtool", "iproute2", "iptables", "iputils-ping", "kmod", "mount"),
    *("netcat-openbsd", "openssl", "openvswitch-common", "openvswitch-switch", "procps"),
    *("python3", "tcpdump", "mariadb-server-core", "rabbitmq-server"),
)
NOT_NEEDED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/i18n")
ENVIRONMENT = Path(sys.prefix)
# What the lab writes into the root file system is lost with the machine.
BLOCK, SPARE_BLOCKS = 4096, 100_000
STAGE_SIZE = 3 * 2**30


def prepare(report: Progress = print) -> tuple[Path, Path]:
    """Return the kernel and the image of the root file system; make them if something changed.

    :param report: receives a line before the image is made, which takes half a minute.
    :raises LabError: something that they need is missing.
    """
    if Path(sys.base_prefix) == ENVIRONMENT or sys.base_prefix != "/usr":
        raise LabError("run it with .venv/bin/python, made of Debian's python3 by make setup")
    for command, package in ((QEMU, "qemu-system-x86"), ("mke2fs", "e2fsprogs")):
        if find(command) is None:
            raise LabError(f"there is no {command}: install the Debian package {package}")
    with locked(CACHE / "lock"):
        unpacked = kernel_package.fetch()
        packages = closure(PACKAGES)
        (kernel,) = unpacked.glob("boot/vmlinuz-*")
        remove_what_nobody_uses()
        own = CACHE / hashlib.sha256(str(ENVIRONMENT).encode()).hexdigest()[:8]
        own.mkdir(exist_ok=True)
        (own / "environment").write_text(str(ENVIRONMENT))
        image, stamp = own / "root.img", own / "stamp"
        made_from = fingerprint(unpacked, packages)
        if not image.exists() or not stamp.exists() or stamp.read_text() != made_from:
            report(f"building the root file system of the virtual machine for {kernel.name}")
            stamp.unlink(missing_ok=True)
            build_image(image, unpacked, packages)
            stamp.write_text(made_from)
    return kernel, image


def remove_what_nobody_uses() -> None:
    """Remove the images of virtual environments that are gone, and what a killed run left.

    Each image has more than a gigabyte. Call it with the lock: nobody builds one meanwhile.
    """
    for folder in (
        path for path in CACHE.iterdir() if path.is_dir() and path.name != kernel_package.LINUX
    ):
        used_by = folder / "environment"
        if not used_by.exists() or not Path(used_by.read_text()).exists():
            shutil.rmtree(folder)


def closure(names: Iterable[str]) -> list[str]:
    """Return installed packages with all installed packages that they depend on.

    Packages do not declare that they depend on essential ones, so those are always included.
    """
    fields = ("db:Status-Abbrev", "Package", "Essential", "Provides", "Pre-Depends", "Depends")
    form = "\t".join(f"${{{field}}}" for field in fields) + "\n"
    depends: dict[str, list[list[str]]] = {}
    providers: dict[str, str] = {}
    waiting = list(names)
    for line in output("dpkg-query", "-W", "-f", form).splitlines():
        state, package, essential, provided, *needed = line.split("\t")
        if state.startswith("ii"):
            depends[package] = [plain(any_of, "|") for any_of in ",".join(needed).split(",")]
            providers |= dict.fromkeys(plain(provided, ","), package)
            waiting += [package] if essential == "yes" else []
    missing = [name for name in waiting if name not in depends]
    if missing:
        raise LabError(f"install the Debian packages {' '.join(missing)}")
    found: set[str] = set()
    while waiting:
        package = waiting.pop()
        if package in found:
            continue
        found.add(package)
        for alternatives in depends[package]:
            present = [providers.get(name, name) if name not in depends else name
                       for name in alternatives]  # fmt: skip
            waiting += [name for name in present if name in depends][:1]
    return sorted(found)


def plain(text: str, separator: str) -> list[str]:
    """Return the names of packages in a list of dependencies, without versions."""
    names = (re.match(r"\s*([^\s:(]+)", part) for part in text.split(separator))
    return [name[1] for name in names if name]


def fingerprint(unpacked: Path, packages: Sequence[str]) -> str:
    """Return a text that changes with anything that the root file system is made of."""
    parts = [output("dpkg-query", "-W", *packages), str(ENVIRONMENT)]
    parts += sorted(path.name for path in ENVIRONMENT.glob("lib/python*/site-packages/*"))
    parts += sorted(path.name for path in (unpacked / "boot").iterdir())
    parts += [INIT.read_text(), *PACKAGES, *NOT_NEEDED]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def build_image(image: Path, unpacked: Path, packages: Sequence[str]) -> None:
    """Collect all files in a folder, and make a file system of it."""
    with tempfile.TemporaryDirectory(dir=_roomy_folder()) as folder:
        stage = Path(folder)
        for name in ("dev", "proc", "sys", "run", "tmp", "root", "var/log", "usr/bin", "usr/sbin"):
            (stage / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib32", "lib64"):  # as in the machine's own root
            if Path("/", name).is_symlink():
                (stage / name).symlink_to(Path("/", name).readlink())
        names = "\0".join(sorted(files_of(packages))).encode()
        archive = ("tar", "-C/", "--no-recursion", "--null", "--files-from=-", "-c")
        packed = subprocess.run(archive, input=names, stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(("tar", "-C", stage, "-x"), input=packed, check=True)
        modules = next((unpacked / "lib/modules").iterdir())
        copy_tree(modules, stage / "usr/lib/modules")
        output("depmod", "-b", stage / "usr", modules.name)
        copy_tree(ENVIRONMENT, stage / str(ENVIRONMENT.parent).lstrip("/"))
        shutil.copy(INIT, stage / "init")
        size = int(output("du", "-s", "-B", str(BLOCK), stage).split()[0])
        image.unlink(missing_ok=True)
        output(
            *("mke2fs", "-q", "-t", "ext4", "-b", str(BLOCK), "-m", "0", "-O", "^has_journal"),
            *("-d", stage, image, str(size * 5 // 4 + SPARE_BLOCKS)),
        )


def _roomy_folder() -> Path:
    """Return where to collect the files: in memory if there is room, because they are many."""
    memory = Path("/dev/shm")  # noqa: S108  # a folder with a random name is made there
    if memory.is_dir() and shutil.disk_usage(memory).free > STAGE_SIZE:
        return memory
    return CACHE


def files_of(packages: Sequence[str]) -> set[str]:
    """Return the files and links of packages, relative to the root and without links to folders.

    What the installation of packages makes is added: alternatives, accounts, compiled modules. So
    are the libraries for which uWSGI was compiled: no package asks for them.
    """
    listed = output("dpkg-query", "-L", *packages).splitlines()
    listed += ["/etc/passwd", "/etc/group", "/etc/ld.so.cache", "/etc/hosts", "/etc/nsswitch.conf"]
    listed += [str(path) for path in Path("/etc/alternatives").iterdir()]
    for folder in ("/usr/bin", "/usr/sbin"):
        listed += [
            str(path) for path in Path(folder).iterdir()
            if path.is_symlink() and str(path.readlink()).startswith("/etc/alternatives/")
        ]  # fmt: skip
    for modules in Path("/usr/lib").glob("python3*"):
        listed += [str(path) for path in modules.glob("**/__pycache__/*.pyc")]
    compiled = ENVIRONMENT / "bin" / "uwsgi"
    if compiled.exists():
        for library in re.findall(r"=> (/\S+)", output("ldd", compiled)):
            listed += [library, str(Path(library).resolve())]
    resolved = {path.parent.resolve() / path.name for path in map(Path, listed)}
    found = {str(path).lstrip("/") for path in resolved if path.is_symlink() or path.is_file()}
    return {name for name in found if not name.startswith(NOT_NEEDED)}


def copy_tree(source: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    output("cp", "-a", source, folder)
