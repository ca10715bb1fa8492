"""What the compute service needs before its programs start, and what guests need."""

import shutil
from pathlib import Path
from typing import Any

from portchain_lab import layout
from portchain_lab.cloud import accounts, clients, configs, environments, services
from portchain_lab.cloud.nova import configuration, guest_image, programs
from portchain_lab.errors import LabError
from portchain_lab.file_lock import locked
from portchain_lab.hosts import kernel_package
from portchain_lab.hosts.tools import find
from portchain_lab.progress import Progress
from portchain_lab.waiting import wait_for

DEBIAN_COMMANDS = {"libvirtd": "libvirt-daemon-system", "qemu-img": "qemu-utils"}
BINDINGS = Path("/usr/lib/python3/dist-packages")
IMAGE, FLAVOR = "function", "function"
MEGABYTES = 96
"""Memory of a guest: it boots with 80, and not with 64."""
COMMAND_LINE = "console=ttyS0 quiet mitigations=off panic=-1"
HOSTS_DEADLINE = 240.0


def prepare(lab: layout.Layout, report: Progress) -> None:
    """Install Nova if it is not in the cache; write files, fill databases and catalogue.

    MariaDB and Keystone must run.

    :raises LabError: a step fails, or a Debian package is missing.
    """
    environment = _install(report)
    write_files(lab, environment)
    _create_identities(clients.connect(lab, "admin").identity)
    socket = services.mariadb_socket(lab)
    accounts.create_databases(socket, *configuration.DATABASES)
    filled = environment / "databases.json"
    with locked(environment.with_suffix(".lock")):
        if not filled.exists():
            report("filling the databases of Nova; only necessary once, takes a minute")
            _fill_databases(lab)
            accounts.save_databases(socket, filled, *configuration.DATABASES)
        else:
            accounts.load_databases(socket, filled)
    report("databases of Nova, Placement and Glance")


def _install(report: Progress) -> Path:
    for command, package in DEBIAN_COMMANDS.items():
        if find(command) is None:
            msg = f"there is no {command} (Debian package {package}): run tools/install nova"
            raise LabError(msg)
    environment = environments.install(programs.NAME, programs.requirements(), report)
    found = [path for path in BINDINGS.glob("libvirt*") if path.suffix in (".py", ".so")]
    if not found:
        raise LabError("Debian's package python3-libvirt is missing: run tools/install nova")
    with locked(environment.with_suffix(".lock")):
        programs.bindings().mkdir(exist_ok=True)
        for path in found:
            link = programs.bindings() / path.name
            if not link.exists():
                link.symlink_to(path)
    return environment


def write_files(lab: layout.Layout, environment: Path) -> None:
    """Write the configuration of all programs, and create their folders.

    :param environment: the virtual environment with Nova.
    """
    place = configuration.directory(lab)
    for name in ("images", "tasks", "staging", "lock", "instances", "bin"):
        (place / name).mkdir(parents=True, exist_ok=True)
    etc = environment / "etc"
    shutil.copy(etc / "glance" / "glance-api-paste.ini", place)
    shutil.copy(etc / "nova" / "api-paste.ini", place)
    files = {
        "glance-api.conf": configuration.glance(lab),
        "placement.conf": configuration.placement(lab),
        "nova.conf": configuration.nova(lab),
        "databases.conf": configuration.databases(),
        "hosts": configuration.hosts_file(lab),
        "folders.json": configuration.folders(lab),
    }
    for name, text in files.items():
        (place / name).write_text(text)
    for name in ("ssh", "scp"):
        script = programs.commands(lab) / name
        script.write_text(configuration.remote_command(lab, name))
        script.chmod(0o755)
    for host in lab.host_names:
        _write_host_files(lab, host, environment)


def _write_host_files(lab: layout.Layout, host: str, environment: Path) -> None:
    own = configuration.host_directory(lab, host)
    for folder, _ in configuration.mounts(lab, host):
        folder.mkdir(parents=True, exist_ok=True)
    text = configuration.compute(lab, host, environment)
    (own / "nova-compute.conf").write_text(text)
    (own / "etc" / "libvirt" / "libvirtd.conf").write_text(configuration.libvirtd(lab, host))
    (own / "etc" / "libvirt" / "qemu.conf").write_text(configuration.qemu())


def _create_identities(identity: Any) -> None:
    if identity.find_user("nova", domain_id="default"):
        return
    for name, kind, url in (
        ("nova", "compute", layout.NOVA_URL),
        ("placement", "placement", layout.PLACEMENT_URL),
        ("glance", "image", layout.GLANCE_URL),
    ):
        accounts.create_service_user(identity, name)
        accounts.create_endpoints(identity, name, kind, url)


def _fill_databases(lab: layout.Layout) -> None:
    place = configuration.directory(lab)
    programs.manage(lab, "glance-manage", f"--config-file={place}/glance-api.conf", "db_sync")
    programs.manage(lab, "placement-manage", f"--config-file={place}/placement.conf", "db", "sync")
    nova = programs.nova_manage(lab)
    programs.manage(lab, *nova, "api_db", "sync")
    cell0 = f"--database_connection={configs.database_url('nova_cell0')}"
    programs.manage(lab, *nova, "cell_v2", "map_cell0", cell0)
    programs.manage(lab, *nova, "cell_v2", "create_cell", "--name=cell1")
    programs.manage(lab, *nova, "db", "sync")


def finish(lab: layout.Layout, report: Progress) -> None:
    """Make Nova use all hosts, and give users an image and a flavor. All programs must run.

    :raises DeadlineError: a host does not report to Nova.
    """
    cloud = clients.connect(lab, "admin")

    def all_report() -> bool:
        found = cloud.compute.services(binary=programs.COMPUTE)
        return {one.host for one in found if one.state == "up"} >= set(lab.host_names)

    wait_for(all_report, HOSTS_DEADLINE, "every host to report to Nova", interval=0.5)
    programs.manage(lab, *programs.nova_manage(lab), "cell_v2", "discover_hosts")
    _create_image(cloud)
    if not cloud.compute.find_flavor(FLAVOR):
        cloud.compute.create_flavor(name=FLAVOR, ram=MEGABYTES, vcpus=1, disk=1)
    report("Nova uses all hosts")


def _create_image(cloud: Any) -> None:
    """Upload the image of guests: kernel, RAM disk, and an empty disk, which Nova insists on."""
    if cloud.image.find_image(IMAGE):
        return
    with locked(kernel_package.CACHE / "lock"):
        package = kernel_package.fetch()
    (binary,) = package.glob("boot/vmlinuz-*")
    ramdisk = guest_image.build(package)
    parts = {}
    for name, form, data in (("kernel", "aki", binary.read_bytes()), ("ramdisk", "ari", ramdisk)):
        parts[f"{name}_id"] = cloud.image.create_image(
            f"{IMAGE}-{name}",
            container_format=form,
            disk_format=form,
            visibility="public",
            data=data,
        ).id
    cloud.image.create_image(
        IMAGE,
        container_format="ami",
        disk_format="ami",
        visibility="public",
        data=bytes(1 << 20),
        os_command_line=COMMAND_LINE,
        **parts,
    )
