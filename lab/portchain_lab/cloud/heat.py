"""Heat: installed on demand, configured, started.

It has a virtual environment of its own in the lab's cache, because its dependencies are not
Neutron's. It loads the resource plug-ins in ``examples/heat/plugins`` of the source.
"""

import os
from pathlib import Path
from typing import Any

from portchain_lab import layout
from portchain_lab.cloud import accounts, clients, configs, environments, services
from portchain_lab.hosts import netns, probes
from portchain_lab.hosts.processes import ProcessSpec, Program
from portchain_lab.progress import Progress

API, ENGINE = "heat-api", "heat-engine"
VERSIONS = Path(__file__).with_name("heat_versions.txt")
PLUGINS = Path(__file__).parents[3] / "examples" / "heat" / "plugins"
_USER = _DATABASE = "heat"
_DOMAIN_ADMIN = "heat-domain-admin"


def requirements() -> tuple[str, ...]:
    """Return Heat and all that it needs, each with its version."""
    return environments.requirements(VERSIONS)


def _environment() -> Path:
    return environments.place("heat", requirements())


def prepare(lab: layout.Layout, report: Progress) -> None:
    """Install Heat if it is not in the cache, and create its database, user and configuration.

    MariaDB and Keystone must run.

    :raises LabError: a step fails.
    """
    home = environments.install("heat", requirements(), report)
    (lab.directory / "heat.conf").write_text(_configuration(lab, home))
    accounts.create_databases(services.mariadb_socket(lab), _DATABASE)
    _create_identities(clients.connect(lab, "admin"))
    argv = [str(home / "bin" / "heat-manage"), f"--config-file={lab.directory}/heat.conf"]
    environments.run(netns.command(lab.controller_namespace, [*argv, "db_sync"]))


def _create_identities(cloud: Any) -> None:
    """Create Heat's user, the domain of the users that stacks create, and the catalogue entry."""
    identity = cloud.identity
    if identity.find_user(_USER, domain_id="default"):
        return
    accounts.create_service_user(identity, _USER)
    domain = identity.create_domain(name=_USER)
    keeper = identity.create_user(name=_DOMAIN_ADMIN, password=layout.PASSWORD, domain_id=domain.id)
    identity.assign_domain_role_to_user(domain, keeper, identity.find_role("admin"))
    identity.create_role(name="heat_stack_user")
    accounts.create_endpoints(
        identity, "heat", "orchestration", f"{layout.HEAT_URL}/v1/%(project_id)s"
    )


def _configuration(lab: layout.Layout, home: Path) -> str:
    """Return heat.conf of both programs."""
    return f"""\
[DEFAULT]
transport_url = {configs.RABBIT_URL}
num_engine_workers = 1
plugin_dirs = {PLUGINS}
stack_user_domain_name = {_USER}
stack_domain_admin = {_DOMAIN_ADMIN}
stack_domain_admin_password = {layout.PASSWORD}
use_stderr = true
[database]
connection = {configs.database_url(_DATABASE)}
[paste_deploy]
api_paste_config = {home}/etc/heat/api-paste.ini
[clients_keystone]
auth_uri = {layout.KEYSTONE_URL.removesuffix("/v3")}
[keystone_authtoken]
{_account("keystone_authtoken")}
[trustee]
{_account("trustee")}
[oslo_policy]
policy_file = {lab.directory}/policy.yaml
{configs.MESSAGING}
"""


def _account(section: str) -> str:
    project = (
        "" if section == "trustee" else "project_domain_name = Default\nproject_name = service"
    )
    return f"""\
auth_url = {layout.KEYSTONE_URL}
auth_type = password
username = {_USER}
password = {layout.PASSWORD}
user_domain_name = Default
{project}"""


def api(lab: layout.Layout) -> Program:
    """Heat's API server, run by the uWSGI of Neutron's environment."""
    argv = (
        lab.software.command("uwsgi"),
        *services.UWSGI,
        f"--virtualenv={_environment()}",
        f"--pyargv=--config-file={lab.directory}/heat.conf",
        f"--http-socket={layout.CONTROLLER_IP}:{layout.HEAT_PORT}",
        "--processes=1",
        "--module=heat.wsgi.api:application",
        f"--procname-prefix={lab.name}-{API} ",
    )
    process = ProcessSpec(API, lab.controller_namespace, argv, lab.log_file(API), _variables(lab))
    address = (layout.CONTROLLER_IP, layout.HEAT_PORT)
    return Program(
        process,
        lambda: probes.answers_http(lab.controller_namespace, *address, "/healthcheck"),
    )


def engine(lab: layout.Layout) -> Program:
    """The engine, which creates the resources of stacks."""
    command = str(_environment() / "bin" / ENGINE)
    argv = (command, f"--config-file={lab.directory}/heat.conf")
    process = ProcessSpec(
        ENGINE, lab.controller_namespace, argv, lab.log_file(ENGINE), _variables(lab)
    )
    return Program(
        process, lambda: probes.is_connected(lab.controller_namespace, layout.RABBIT_PORT, ENGINE)
    )


def _variables(lab: layout.Layout) -> dict[str, str]:
    return {
        "TMPDIR": str(lab.scratch),
        "PATH": f"{_environment()}/bin:{os.environ.get('PATH', '/usr/bin:/bin')}",
        # Python of another environment must not be found first.
        "PYTHONPATH": "",
    }
