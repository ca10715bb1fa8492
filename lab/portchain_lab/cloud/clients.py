"""The real OpenStack clients, configured for a lab.

openstacksdk works from any process. The programs ``openstack`` and ``neutron`` run in the
controller's namespace.
"""

import os
import subprocess
from typing import Any

import openstack
import openstack.connection
import requests
from keystoneauth1 import identity, session
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from portchain_lab import layout
from portchain_lab.errors import LabError
from portchain_lab.hosts import netns, probes

API_TIMEOUT = 120.0


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


def environment(lab: layout.Layout, user: str) -> dict[str, str]:
    """Environment variables that log the clients in to the lab as this user."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    return {
        **plain,
        "OS_CLIENT_CONFIG_FILE": f"{lab.directory}/clouds.yaml",
        "OS_CLOUD": user,
        "PYTHONWARNINGS": "ignore",
        "PATH": f"{lab.software.bin}:{plain.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}",
    }


def argv(lab: layout.Layout, program: str, *arguments: str) -> list[str]:
    """The command line that runs a client inside the controller's namespace."""
    return netns.command(lab.controller_namespace, [lab.software.command(program), *arguments])


def run(lab: layout.Layout, user: str, program: str, *arguments: str) -> str:
    """Run a real client and return what it printed.

    :param program: ``openstack`` or ``neutron``.
    :raises LabError: it fails; the message holds its output.
    """
    done = subprocess.run(
        argv(lab, program, *arguments),
        env=environment(lab, user),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        msg = f"{program} {' '.join(arguments)}: {done.stderr.strip()}"
        raise LabError(msg)
    return done.stdout
