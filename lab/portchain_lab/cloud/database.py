"""Prepares the databases once and copies them for each lab.

Migrating Neutron's schema takes longer than starting everything else. The result depends only on
the installed versions, on the migrations of neutron-portchain and on this module; it is cached
under a hash of those.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pymysql

import portchain
from portchain_lab import layout
from portchain_lab.cloud import clients, services
from portchain_lab.errors import LabError
from portchain_lab.file_lock import locked
from portchain_lab.hosts import processes
from portchain_lab.progress import Progress

KEY_DIRECTORIES = ("fernet-keys", "credential-keys")
MAX_PREPARED = 3
DIRECTORY = layout.CACHE / "databases"
_VERSION = 1
"""Increase this when this module prepares the databases differently."""


def key(software: layout.Software) -> str:
    """Name of the prepared databases in the cache, derived from versions and migrations."""
    digest = hashlib.sha256()
    installed = sorted(path.name for path in software.site_packages.glob("*.dist-info"))
    server = subprocess.run(
        ["mariadbd", "--version"], capture_output=True, text=True, check=True
    ).stdout
    facts = [
        str(_VERSION),
        server,
        layout.KEYSTONE_URL,
        layout.NEUTRON_URL,
        layout.PASSWORD,
        *installed,
    ]
    if software.service_plugins:
        facts += software.service_plugins
    digest.update("\n".join(facts).encode())
    migrations = Path(portchain.__file__).parent / "db" / "migration"
    for path in sorted(migrations.rglob("*.py")):
        digest.update(path.relative_to(migrations).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def install(lab: layout.Layout, registry: processes.ProcessRegistry, report: Progress) -> None:
    """Copy the prepared databases and keys into a lab's directory; prepare them if necessary.

    The controller's namespace must exist, without a database server in it.

    :param report: receives a line before databases are prepared, which takes a minute or more.
    """
    source = prepared(lab.software)
    with locked(source.with_suffix(".lock")):
        if not source.exists():
            report("preparing the databases; only necessary after an upgrade, takes minutes")
            _prepare(lab, registry, source)
            _prune(source)
        else:
            os.utime(source)
        for part in ("mysql", *KEY_DIRECTORIES):
            target = lab.directory / part
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source / part, target)


def prepared(software: layout.Software) -> Path:
    """The directory of the prepared databases, which exists once they are prepared."""
    return DIRECTORY / key(software)


def _prune(newest: Path) -> None:
    """Delete all but the most recently used prepared databases."""
    sets = sorted(
        (path for path in DIRECTORY.iterdir() if path.is_dir()),
        key=lambda path: path.stat().st_mtime,
    )
    for path in sets[:-MAX_PREPARED]:
        if path != newest:
            shutil.rmtree(path, ignore_errors=True)


def _prepare(lab: layout.Layout, registry: processes.ProcessRegistry, target: Path) -> None:
    draft = target.with_suffix(".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    data = draft / "mysql"
    _run(
        "mariadb-install-db",
        "--no-defaults",
        "--user=root",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        f"--datadir={data}",
        f"--tmpdir={lab.scratch}",
    )
    server = services.mariadb(lab, data)
    record = processes.start(server.process, registry)
    try:
        processes.wait_ready(server, record)
        _create_databases(services.mariadb_socket(lab))
        with ThreadPoolExecutor() as pool:
            jobs = [pool.submit(_migrate_neutron, lab), pool.submit(_fill_keystone, lab, registry)]
            for job in jobs:
                job.result()
    finally:
        processes.stop(record, registry, server.process.stop_wait)
    for part in KEY_DIRECTORIES:
        shutil.copytree(lab.directory / part, draft / part)
    draft.rename(target)


def _create_databases(socket: Path) -> None:
    connection = pymysql.connect(unix_socket=str(socket), user="root", autocommit=True)
    with connection, connection.cursor() as cursor:
        for name in ("neutron", "keystone"):
            # No injection: the names and the password are constants of this package.
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8")
            cursor.execute(
                f"GRANT ALL ON {name}.* TO '{name}'@'127.0.0.1' IDENTIFIED BY '{layout.PASSWORD}'"
            )


def _migrate_neutron(lab: layout.Layout) -> None:
    _in_controller(
        lab,
        "neutron-db-manage",
        f"--config-file={lab.directory}/neutron.conf",
        f"--config-file={lab.directory}/ml2_conf.ini",
        "upgrade",
        "heads",
    )


def _fill_keystone(lab: layout.Layout, registry: processes.ProcessRegistry) -> None:
    def manage(*argv: str) -> None:
        _in_controller(
            lab, "keystone-manage", f"--config-file={lab.directory}/keystone.conf", *argv
        )

    for part in KEY_DIRECTORIES:
        (lab.directory / part).mkdir(mode=0o700, exist_ok=True)
    manage("db_sync")
    manage("fernet_setup", "--keystone-user", "root", "--keystone-group", "root")
    manage("credential_setup", "--keystone-user", "root", "--keystone-group", "root")
    manage(
        "bootstrap",
        f"--bootstrap-password={layout.PASSWORD}",
        f"--bootstrap-region-id={layout.REGION}",
        *(
            f"--bootstrap-{kind}-url={layout.KEYSTONE_URL}"
            for kind in ("admin", "internal", "public")
        ),
    )
    server = services.keystone(lab)
    record = processes.start(server.process, registry)
    try:
        processes.wait_ready(server, record)
        _create_identities(clients.connect(lab, "admin"))
    finally:
        processes.stop(record, registry, server.process.stop_wait)


def _create_identities(cloud: Any) -> None:
    """Create Neutron's user and catalogue entry, and the project and user ``demo``."""
    identity = cloud.identity
    roles = {role.name: role for role in identity.roles()}
    for project, user, granted in (
        ("service", "neutron", ("admin", "service")),
        ("demo", "demo", ("member", "reader")),
    ):
        project_of_user = identity.create_project(name=project, domain_id="default")
        account = identity.create_user(
            name=user,
            password=layout.PASSWORD,
            domain_id="default",
            default_project_id=project_of_user.id,
        )
        for role in granted:
            identity.assign_project_role_to_user(project_of_user, account, roles[role])
    network = identity.create_service(name="neutron", type="network")
    for interface in ("admin", "internal", "public"):
        identity.create_endpoint(
            service_id=network.id,
            interface=interface,
            url=layout.NEUTRON_URL,
            region_id=layout.REGION,
        )


def _in_controller(lab: layout.Layout, program: str, *argv: str) -> None:
    _run(
        "ip",
        "netns",
        "exec",
        lab.controller_namespace,
        lab.software.command(program),
        *argv,
        log=lab.logs / "prepare.log",
    )


def _run(*argv: str, log: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=env
    )
    if log:
        with log.open("a") as file:
            file.write(done.stdout)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-15:])
        msg = f"{' '.join(argv)} failed:\n{tail}"
        raise LabError(msg)
