"""The guests' initial RAM disk: busybox, kernel modules, and the script ``guest_init``."""

import gzip
from collections.abc import Iterator
from pathlib import Path

from portchain_lab.errors import LabError

INIT = Path(__file__).with_name("guest_init")
BUSYBOX = Path("/bin/busybox")
# In the order of loading. With checksum offload, the switch would get packets of guests whose
# checksums nobody has filled in.
MODULES = (
    *("net/core/failover", "drivers/net/net_failover"),
    *("drivers/virtio/virtio_ring", "drivers/virtio/virtio"),
    *("drivers/virtio/virtio_pci_legacy_dev", "drivers/virtio/virtio_pci_modern_dev"),
    *("drivers/virtio/virtio_pci", "drivers/net/virtio_net csum=0 gso=0"),
)
_FOLDER, _FILE, _DEVICE = 0o040755, 0o100755, 0o020600
_CONSOLE = (5, 1)


def build(kernel_package: Path) -> bytes:
    """Return the RAM disk, compressed.

    :param kernel_package: the unpacked package of the kernel, with its modules.
    :raises LabError: busybox or a module is missing.
    """
    (modules,) = (kernel_package / "lib" / "modules").iterdir()
    entries = [("bin", _FOLDER, b""), ("modules", _FOLDER, b"")]
    entries += [("dev", _FOLDER, b""), ("dev/console", _DEVICE, b"")]
    entries += [("bin/busybox", _FILE, _read(BUSYBOX)), ("init", _FILE, INIT.read_bytes())]
    lines = []
    for module in MODULES:
        name, _, options = module.partition(" ")
        path = modules / "kernel" / f"{name}.ko"
        entries.append((f"modules/{path.name}", _FILE, _read(path)))
        lines.append(f"{path.name} {options}\n")
    entries.append(("modules/list", _FILE, "".join(lines).encode()))
    return gzip.compress(b"".join(_archive(entries)), compresslevel=6, mtime=0)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        msg = f"guests of Nova need {path}: run tools/install nova"
        raise LabError(msg) from None


def _archive(entries: list[tuple[str, int, bytes]]) -> Iterator[bytes]:
    """Yield the parts of a cpio archive of the format "newc", which the kernel reads."""
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        device = _CONSOLE if mode == _DEVICE else (0, 0)
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        yield _padded(header + name.encode() + b"\0")
        yield _padded(content)


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)
