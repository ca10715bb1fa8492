"""The real OpenStack clients, configured for a lab.

openstacksdk works from any process. The programs ``openstack`` and ``neutron`` run in the
controller's namespace.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import openstack
import openstack.connection
import requests
from keystoneauth1 import identity, session
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from portchain_lab import layout
from portchain_lab.cloud import configs
from portchain_lab.errors import LabError
from portchain_lab.hosts import launcher as hosts_launcher
from portchain_lab.hosts import launcher_client, netns, probes, processes
from portchain_lab.waiting import patient

API_TIMEOUT = patient(120.0)
NOVA = "nova"
CLIENT_MODULES = (
    *("openstackclient.shell", "openstackclient.network.client", "openstack.connection"),
    *("openstackclient.network.v2.network", "openstackclient.network.v2.port"),
    *("cmd2", "neutronclient.osc.plugin", "keystoneauth1.identity", "keystoneclient.v2_0"),
    *("neutronclient.osc.v2.sfc.sfc_port_pair", "keystoneauth1.loading"),
)
"""What the launcher imports for the clients."""


def _connection_class(namespace: str) -> type[HTTPConnection]:
    class NamespaceConnection(HTTPConnection):
        """An HTTP connection whose socket is in the namespace."""

        def _new_conn(self) -> Any:
            return probes.connect(namespace, self.host, self.port or 80, API_TIMEOUT)

    return NamespaceConnection


class NamespaceAdapter(HTTPAdapter):
    """Lets the library requests reach servers in a network namespace from outside."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Called by requests: create the pool, whose connections open in the namespace."""
        super().init_poolmanager(*args, **kwargs)

        class NamespacePool(HTTPConnectionPool):
            ConnectionCls = _connection_class(self._namespace)

        self.poolmanager.pool_classes_by_scheme = {"http": NamespacePool}


def http_session(lab: layout.Layout) -> requests.Session:
    """A requests session that reaches the lab's servers from outside the namespaces."""
    http = requests.Session()
    http.trust_env = False  # a proxy could not reach the namespace
    http.mount("http://", NamespaceAdapter(lab.controller_namespace))
    return http


def connect(lab: layout.Layout, user: str, project: str = "") -> openstack.connection.Connection:
    """An openstacksdk connection that works from outside the lab's namespaces.

    :param user: ``demo``, ``admin``, or another user with the lab's password.
    :param project: the name of the user's project; the user's own name if it is empty.
    """
    auth = identity.V3Password(
        auth_url=layout.KEYSTONE_URL,
        username=user,
        password=layout.PASSWORD,
        project_name=project or user,
        user_domain_name="Default",
        project_domain_name="Default",
    )
    keystone = session.Session(auth=auth, session=http_session(lab), timeout=API_TIMEOUT)
    return openstack.connection.Connection(session=keystone, region_name=layout.REGION)


def environment(lab: layout.Layout, user: str, program: str = "") -> dict[str, str]:
    """Environment variables that log the clients in to the lab as this user.

    :param program: the client that gets them.
    """
    plain = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    return {
        **plain,
        "OS_CLIENT_CONFIG_FILE": f"{lab.directory}/clouds.yaml",
        "OS_CLOUD": user,
        "PYTHONWARNINGS": "ignore",
        "PATH": f"{lab.software.bin}:{plain.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}",
        # The client nova does not read clouds.yaml.
        **(configs.login_variables(user) if program == NOVA else {}),
    }


def argv(lab: layout.Layout, program: str, *arguments: str) -> list[str]:
    """The command line that runs a client inside the controller's namespace."""
    return netns.command(lab.controller_namespace, [lab.software.command(program), *arguments])


def run(lab: layout.Layout, user: str, program: str, *arguments: str) -> str:
    """Run a real client and return what it printed.

    :param program: ``openstack``, ``neutron`` or ``nova``.
    :raises LabError: it fails; the message holds its output.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        status = _launch(lab, user, (program, *arguments), output, errors)
        if status is None:
            status = subprocess.run(
                argv(lab, program, *arguments),
                env=environment(lab, user, program),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                check=False,
            ).returncode
        for file in (output, errors):
            file.seek(0)
        if status != 0:
            msg = f"{program} {' '.join(arguments)}: {errors.read().strip()}"
            raise LabError(msg)
        return output.read()


def _launch(
    lab: layout.Layout, user: str, words: Sequence[str], output: IO[str], errors: IO[str]
) -> int | None:
    """Let the clients' launcher run a client; returns its exit status, None without a launcher."""
    program, *arguments = words
    connection = launcher_client.request(
        str(_socket(lab)),
        output.fileno(),
        errors.fileno(),
        argv=[lab.software.command(program), *arguments],
        env=environment(lab, user, program),
    )
    if connection is None:
        return None
    with connection:
        return launcher_client.exit_status(connection)


@contextmanager
def launcher(lab: layout.Layout, registry: processes.ProcessRegistry) -> Iterator[None]:
    """Let ``run`` take less time within this context: a client mostly imports modules."""
    name, socket = "client-launcher", _socket(lab)
    if known := registry.read(name):  # of a run that was killed
        processes.stop(known, registry, 0)
    command = (lab.software.command("python"), "-P", hosts_launcher.__file__, str(socket))
    spec = processes.ProcessSpec(
        name,
        lab.controller_namespace,
        (*command, *CLIENT_MODULES),
        lab.log_file(name),
        environment(lab, "demo"),
    )
    record = processes.start(spec, registry)
    try:
        ready = partial(probes.launches_programs, socket)
        processes.wait_ready(processes.Program(spec, ready), record)
        yield
    finally:
        processes.stop(record, registry, 0)


def _socket(lab: layout.Layout) -> Path:
    return lab.directory / "clients.sock"
