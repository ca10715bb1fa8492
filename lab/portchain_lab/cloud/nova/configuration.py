"""The configuration files of Nova, Placement, Glance and libvirt, as text. Pure."""

import json
import shlex
import uuid
from pathlib import Path

from portchain_lab import layout
from portchain_lab.cloud import configs
from portchain_lab.hosts import host_view, remote_shell
from portchain_lab.waiting import patient

DATABASES = ("nova", "nova_api", "nova_cell0", "placement", "glance")
PRIVILEGED = ("nova_sys_admin", "vif_plug_ovs_privileged", "privsep_osbrick")
"""Sections of the privilege daemons of nova-compute."""


def directory(lab: layout.Layout) -> Path:
    """The directory of the configuration and the images of the compute service."""
    return lab.directory / "nova"


def instances(lab: layout.Layout) -> Path:
    """Where each host sees the directory of its own guests' disks."""
    return directory(lab) / "instances"


def host_directory(lab: layout.Layout, host: str) -> Path:
    """The directory of a host's guests, and of its libvirt."""
    return lab.host_directory(host) / "nova"


def mounts(lab: layout.Layout, host: str) -> tuple[tuple[Path, Path], ...]:
    """What libvirt and Nova of a host see in another place: folders, and where.

    libvirt's places are compiled in. Guests' disks have the same path on all hosts, because a
    guest keeps it when it migrates.
    """
    own = host_directory(lab, host)
    return (
        (own / "instances", instances(lab)),
        *((own / path.relative_to("/"), path) for path in map(Path, host_view.LIBVIRT_FOLDERS)),
    )


def glance(lab: layout.Layout) -> str:
    """Glance's glance-api.conf. Images are files."""
    return f"""\
[DEFAULT]
use_stderr = true
enabled_backends = files:file
# Importing images needs a second service of the same kind.
enabled_import_methods = []
[database]
connection = {configs.database_url("glance")}
[glance_store]
default_backend = files
[files]
filesystem_store_datadir = {directory(lab)}/images
[os_glance_tasks_store]
filesystem_store_datadir = {directory(lab)}/tasks
[os_glance_staging_store]
filesystem_store_datadir = {directory(lab)}/staging
[paste_deploy]
flavor = keystone
[oslo_concurrency]
lock_path = {directory(lab)}/lock
{_token_checks("glance")}
"""


def placement(lab: layout.Layout) -> str:
    """Placement's placement.conf."""
    return f"""\
[DEFAULT]
use_stderr = true
[placement_database]
connection = {configs.database_url("placement")}
[oslo_policy]
policy_file = {lab.directory}/policy.yaml
{_token_checks("placement")}
"""


def nova(lab: layout.Layout) -> str:
    """nova.conf of all of Nova's programs."""
    return f"""\
[DEFAULT]
host = ctl
transport_url = {configs.RABBIT_URL}
use_stderr = true
state_path = {directory(lab)}
report_interval = 3
service_down_time = {patient(15):.0f}
rpc_response_timeout = {patient(60):.0f}
vif_plugging_timeout = {patient(120):.0f}
# Guests ignore a power button: waiting for them would be in vain.
shutdown_timeout = 1
[api]
auth_strategy = keystone
[oslo_concurrency]
lock_path = {directory(lab)}/lock
[oslo_policy]
policy_file = {lab.directory}/policy.yaml
[conductor]
workers = 1
[scheduler]
workers = 1
{configs.client_section("glance", "glance")}
[vnc]
enabled = false
{_token_checks("nova")}
{configs.client_section("placement", "nova")}
{configs.client_section("neutron", "nova")}
{configs.client_section("service_user", "nova")}
send_service_user_token = true
{configs.MESSAGING}
"""


def databases() -> str:
    """What nova.conf of Nova's servers has besides: hosts cannot reach the databases."""
    return f"""\
[api_database]
connection = {configs.database_url("nova_api")}
[database]
connection = {configs.database_url("nova")}
"""


def compute(lab: layout.Layout, host: str, environment: Path) -> str:
    """What nova.conf of a host's nova-compute has besides the others'.

    :param environment: the virtual environment with Nova.
    """
    own = host_directory(lab, host)
    isolate = lab.driver_of(host) != "ovn"
    return f"""\
[DEFAULT]
host = {host}
my_ip = {lab.management_ip(host)}
state_path = {own}
instances_path = {instances(lab)}
compute_driver = libvirt.LibvirtDriver
# All hosts report the memory and the processors of this machine.
cpu_allocation_ratio = 16
reserved_host_memory_mb = 0
[oslo_concurrency]
lock_path = {own}/lock
[libvirt]
virt_type = qemu
cpu_mode = none
# A guest boots in a third of the time that it takes with q35.
hw_machine_type = x86_64=pc
images_type = qcow2
inject_partition = -2
live_migration_scheme = tcp
live_migration_inbound_addr = {lab.management_ip(host)}
[os_vif_ovs]
ovsdb_connection = tcp:127.0.0.1:{layout.OVSDB_PORT}
isolate_vif = {str(isolate).lower()}
[compute]
# Neutron's agent wires a TAP device once it exists, which is after the guest has been copied.
live_migration_wait_for_vif_plug = false
[workarounds]
# The destination of a live migration takes the guest's kernel for a disk, and refuses it.
disable_deep_image_inspection = true
{_privileged(lab, own, environment)}
"""


def _privileged(lab: layout.Layout, own: Path, environment: Path) -> str:
    """How nova-compute starts its privilege daemons.

    :param own: the host's directory.
    :param environment: the virtual environment with Nova.
    """
    files = f"--config-file={directory(lab)}/nova.conf --config-file={own}/nova-compute.conf"
    helper = f"{environment}/bin/privsep-helper {files}"
    return "\n".join(f"[{name}]\nhelper_command = {helper}" for name in PRIVILEGED)


def libvirtd(lab: layout.Layout, host: str) -> str:
    """A host's libvirtd.conf."""
    # By it, libvirt recognises a migration to the same host.
    identity = uuid.uuid5(uuid.NAMESPACE_DNS, f"{host}.{lab.name}")
    return f"""\
listen_tls = 0
listen_tcp = 1
listen_addr = "{lab.management_ip(host)}"
auth_tcp = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "{identity}"
log_outputs = "2:stderr"
"""


def qemu() -> str:
    """A host's qemu.conf: without systemd, and without users and security labels."""
    return """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"""


def hosts_file(lab: layout.Layout) -> str:
    """The names of the hosts, as /etc/hosts."""
    names = "".join(f"{lab.management_ip(host)} {host}\n" for host in lab.host_names)
    return f"127.0.0.1 localhost\n{names}"


def folders(lab: layout.Layout) -> str:
    """The folders of the hosts' disks, for ``remote_shell``."""
    hosts = {
        lab.management_ip(host): str(host_directory(lab, host) / "instances")
        for host in lab.host_names
    }
    return json.dumps({"place": str(instances(lab)), "hosts": hosts})


def remote_command(lab: layout.Layout, name: str) -> str:
    """The script that nova-compute finds in the place of ssh or scp."""
    argv = (lab.software.command("python"), "-I", "-S", remote_shell.__file__)
    words = shlex.join((*argv, str(directory(lab) / "folders.json"), name))
    return f'#!/bin/sh\nexec {words} "$@"\n'


def _token_checks(user: str) -> str:
    return f"""\
{configs.client_section("keystone_authtoken", user)}
www_authenticate_uri = {layout.KEYSTONE_URL}
service_token_roles_required = true
service_token_roles = service"""
