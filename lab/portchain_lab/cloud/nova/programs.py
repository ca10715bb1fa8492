"""The programs of the compute service: how each is started, and how to check that it works."""

import os
from collections.abc import Mapping
from pathlib import Path

from portchain_lab import layout
from portchain_lab.cloud import environments, services
from portchain_lab.cloud.nova import configuration
from portchain_lab.hosts import host_view, netns, probes
from portchain_lab.hosts.processes import ProcessSpec, Program

GLANCE, PLACEMENT = "glance-api", "placement-api"
API, SCHEDULER, CONDUCTOR = "nova-api", "nova-scheduler", "nova-conductor"
LIBVIRT, COMPUTE = "libvirtd", "nova-compute"
VERSIONS = Path(__file__).with_name("versions.txt")
NAME = "nova"


def requirements() -> tuple[str, ...]:
    """Return Nova, Placement, Glance and all that they need, each with its version."""
    return environments.requirements(VERSIONS)


def environment() -> Path:
    """The virtual environment with Nova, which exists once it is installed."""
    return environments.place(NAME, requirements())


def bindings() -> Path:
    """The folder with Python's bindings of libvirt."""
    return environment() / "libvirt"


def commands(lab: layout.Layout) -> Path:
    """The folder of the commands that nova-compute finds first."""
    return configuration.directory(lab) / "bin"


def glance(lab: layout.Layout) -> Program:
    """Glance, which keeps images."""
    module, port = "glance.wsgi.api:application", layout.GLANCE_PORT
    variables = {"OS_GLANCE_CONFIG_DIR": str(configuration.directory(lab))}
    return _server(lab, GLANCE, module, port, "/healthcheck", variables)


def placement(lab: layout.Layout) -> Program:
    """Placement, which counts what hosts have and guests use."""
    module, port = "placement.wsgi.api:application", layout.PLACEMENT_PORT
    variables = {"OS_PLACEMENT_CONFIG_DIR": str(configuration.directory(lab))}
    return _server(lab, PLACEMENT, module, port, "/", variables)


def api(lab: layout.Layout) -> Program:
    """Nova's API server."""
    module, port = "nova.wsgi.osapi_compute:application", layout.NOVA_PORT
    variables = {
        "OS_NOVA_CONFIG_DIR": str(configuration.directory(lab)),
        "OS_NOVA_CONFIG_FILES": "api-paste.ini;nova.conf;databases.conf",
    }
    return _server(lab, API, module, port, "/", variables)


def _server(  # noqa: PLR0917
    lab: layout.Layout,
    name: str,
    module: str,
    port: int,
    path: str,
    variables: Mapping[str, str],
) -> Program:
    """An API server, run by the uWSGI of Neutron's environment.

    :param path: what it answers without credentials.
    """
    argv = (
        lab.software.command("uwsgi"),
        *services.UWSGI,
        f"--virtualenv={environment()}",
        f"--http-socket={layout.CONTROLLER_IP}:{port}",
        "--processes=1",
        "--threads=8",
        f"--module={module}",
        f"--procname-prefix={lab.name}-{name} ",
    )
    env = {**_variables(lab), **variables}
    process = ProcessSpec(name, lab.controller_namespace, argv, lab.log_file(name), env)
    address = (layout.CONTROLLER_IP, port)
    return Program(process, lambda: probes.answers_http(lab.controller_namespace, *address, path))


def scheduler(lab: layout.Layout) -> Program:
    """Nova's scheduler, which chooses hosts."""
    return _worker(lab, SCHEDULER)


def conductor(lab: layout.Layout) -> Program:
    """Nova's conductor, through which hosts reach the database."""
    return _worker(lab, CONDUCTOR)


def _worker(lab: layout.Layout, name: str) -> Program:
    argv = (str(environment() / "bin" / name), *_files(lab))
    process = ProcessSpec(name, lab.controller_namespace, argv, lab.log_file(name), _variables(lab))
    return Program(
        process, lambda: probes.is_connected(lab.controller_namespace, layout.RABBIT_PORT, name)
    )


def libvirtd(lab: layout.Layout, host: str) -> Program:
    """A host's libvirt. Guests outlive it, as those of a real host do."""
    own = configuration.host_directory(lab, host)
    name = f"{LIBVIRT}@{host}"
    argv = (LIBVIRT, "--listen", f"--pid-file={own}/libvirtd.pid")
    env = {"TMPDIR": str(lab.scratch), "OVS_RUNDIR": str(lab.host_directory(host))}
    process = ProcessSpec(
        name, lab.namespace(host), _on_host(lab, host, argv), lab.log_file(name), env
    )
    address = (lab.management_ip(host), layout.LIBVIRT_PORT)
    return Program(process, lambda: probes.accepts_tcp(lab.namespace(host), *address))


def compute(lab: layout.Layout, host: str) -> Program:
    """A host's nova-compute."""
    name = f"{COMPUTE}@{host}"
    argv = (
        str(environment() / "bin" / COMPUTE),
        f"--config-file={configuration.directory(lab)}/nova.conf",
        f"--config-file={configuration.host_directory(lab, host)}/nova-compute.conf",
    )
    env = {**_variables(lab), "OVS_RUNDIR": str(lab.host_directory(host))}
    env["PATH"] = f"{commands(lab)}:{env['PATH']}"
    process = ProcessSpec(
        *(name, lab.namespace(host), _on_host(lab, host, argv), lab.log_file(name), env),
        stop_wait=2,
    )
    return Program(
        process, lambda: probes.is_connected(lab.namespace(host), layout.RABBIT_PORT, COMPUTE)
    )


def _on_host(lab: layout.Layout, host: str, argv: tuple[str, ...]) -> tuple[str, ...]:
    """The command line of a program that sees the host as a machine of its own."""
    names = (configuration.directory(lab) / "hosts", Path("/etc/hosts"))
    mounts = (*configuration.mounts(lab, host), names)
    return host_view.command(lab.software.command("python"), host, mounts, argv)


def _files(lab: layout.Layout) -> tuple[str, ...]:
    """The options that name the configuration of Nova's servers."""
    place = configuration.directory(lab)
    return (f"--config-file={place}/nova.conf", f"--config-file={place}/databases.conf")


def nova_manage(lab: layout.Layout) -> tuple[str, ...]:
    """The command ``nova-manage``, for ``manage``."""
    return ("nova-manage", *_files(lab))


def manage(lab: layout.Layout, program: str, *arguments: str) -> None:
    """Run a command of the environment, such as ``nova-manage``, next to the servers.

    :raises LabError: it fails; the message has the end of what it printed.
    """
    argv = [str(environment() / "bin" / program), *arguments]
    environments.run(netns.command(lab.controller_namespace, argv), _variables(lab))


def _variables(lab: layout.Layout) -> dict[str, str]:
    return {
        "TMPDIR": str(lab.scratch),
        "PATH": f"{environment()}/bin:{os.environ.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}",
        # Python of another environment must not be found first.
        "PYTHONPATH": str(bindings()),
    }
