"""What an operator has to do before port chains work: checks for ``neutron-status upgrade check``.

Each check reads the configuration or asks one question of the database, in SQL, so that it also runs between two releases.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.script import ScriptDirectory
from neutron_lib import context as neutron_context
from neutron_lib.db import api as db_api
from neutron_lib.utils import upgrade_checks
from oslo_config import cfg
from oslo_upgradecheck.upgradecheck import Code, Result

from portchain import conf
from portchain.db import migration
from portchain.importer import legacy

SERVICE_PLUGIN = AGENT_EXTENSION = "port_chain"
LEGACY_PACKAGE = "networking-sfc"
LEGACY_PLUGINS = frozenset(
    {
        "sfc",
        "networking_sfc.services.sfc.plugin.SfcPlugin",
        "flow_classifier",
        "networking_sfc.services.flowclassifier.plugin.FlowClassifierPlugin",
    }
)
LEGACY_EXTENSION = "sfc"
VERSION_TABLE = "alembic_version_portchain"
# What users created, by the table that networking-sfc had it in.
TABLES = {
    "sfc_flow_classifiers": "portchain_flow_classifiers",
    "sfc_port_pairs": "portchain_port_pairs",
    "sfc_port_pair_groups": "portchain_port_pair_groups",
    "sfc_port_chains": "portchain_port_chains",
    "sfc_service_graphs": "portchain_service_graphs",
}
Check = Callable[[Any], Result]


class PortChainChecks(upgrade_checks.BaseChecks):
    """The checks, in the order in which they are to be seen to."""

    def __init__(self) -> None:
        super().__init__()
        conf.register_server_opts()

    def get_checks(self) -> list[tuple[str, Check]]:
        """Return the checks with their names."""
        return [
            ("Port chains: packages", check_packages),
            ("Port chains: service plugins", check_service_plugins),
            ("Port chains: drivers", check_drivers),
            ("Port chains: migrations", check_migrations),
            ("Port chains: resources of networking-sfc", check_import),
            ("Port chains: agents", check_agents),
        ]


def check_packages(checker: Any) -> Result:
    """Networking-sfc is not installed beside us."""
    try:
        version = metadata.version(LEGACY_PACKAGE)
    except metadata.PackageNotFoundError:
        return Result(Code.SUCCESS, None)
    return Result(
        Code.FAILURE,
        f"{LEGACY_PACKAGE} {version} is installed, and registers the same policies: Neutron does not "
        "start with both. Uninstall it.",
    )


def check_service_plugins(checker: Any) -> Result:
    """Networking-sfc is out of the configuration, port_chain is in it."""
    return judge_service_plugins(cfg.CONF.service_plugins)


def check_drivers(checker: Any) -> Result:
    """Every configured driver can be loaded."""
    names = list(cfg.CONF[conf.GROUP].drivers)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _LOAD_DRIVERS, *names],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return Result(Code.FAILURE, done.stderr.strip())
    return Result(Code.SUCCESS, f"loadable: {', '.join(names)}")


# Drivers bring our models with them, and other checks of Neutron ask the tables of all models in the
# process, which need not be there yet.
_LOAD_DRIVERS = """
import sys
from portchain import errors
from portchain.drivers import manager
try:
    manager.load(sys.argv[1:])
except errors.DriverNotLoaded as error:
    sys.exit(str(error))
"""


def check_migrations(checker: Any) -> Result:
    """The database is at our newest migration."""
    return _ask(lambda connection: judge_migrations(_migrations(connection), _heads()))


def check_import(checker: Any) -> Result:
    """Nothing that networking-sfc left is missing in our tables."""
    return _ask(lambda connection: judge_import(_left_behind(connection)))


def check_agents(checker: Any) -> Result:
    """Every Open vSwitch agent has the extension, if the driver that needs it is configured."""
    if "ovs" not in cfg.CONF[conf.GROUP].drivers:
        return Result(Code.SUCCESS, "the driver ovs, whose hosts need the extension, is not used")
    central = cfg.CONF[conf.GROUP].openflow_hosts  # a controller programs their switches
    return _ask(
        lambda connection: judge_agents(
            {host: loaded for host, loaded in _agents(connection).items() if host not in central}
        )
    )


# What the facts mean.


def judge_service_plugins(plugins: Iterable[str]) -> Result:
    """Judge ``service_plugins``."""
    configured = set(plugins)
    legacy_plugins = sorted(configured & LEGACY_PLUGINS)
    ours = SERVICE_PLUGIN in configured
    if legacy_plugins and ours:
        return Result(
            Code.FAILURE,
            f"networking-sfc and {SERVICE_PLUGIN} serve the same API: take {', '.join(legacy_plugins)} "
            "out of service_plugins",
        )
    if legacy_plugins:
        return Result(
            Code.WARNING,
            f"networking-sfc is still configured: put {SERVICE_PLUGIN} into service_plugins in the "
            f"place of {', '.join(legacy_plugins)} after portchain-import",
        )
    if not ours:
        return Result(Code.WARNING, f"{SERVICE_PLUGIN} is not in service_plugins: no API is served")
    return Result(Code.SUCCESS, None)


def judge_migrations(present: frozenset[str], heads: frozenset[str]) -> Result:
    """Judge the migrations that the database is at."""
    if present == heads:
        return Result(Code.SUCCESS, None)
    return Result(
        Code.FAILURE,
        f"the database is at {', '.join(sorted(present)) or 'none'} of our migrations, not at "
        f"{', '.join(sorted(heads))}: run neutron-db-manage --subproject neutron-portchain upgrade heads",
    )


def judge_import(missing: dict[str, int] | None) -> Result:
    """Judge how many rows of networking-sfc's tables have no counterpart; None: it has no tables."""
    if missing is None:
        return Result(Code.SUCCESS, "networking-sfc has no tables here")
    left = {table: count for table, count in missing.items() if count}
    if not left:
        return Result(Code.SUCCESS, "all that networking-sfc has was taken over")
    counts = ", ".join(f"{table} {count}" for table, count in left.items())
    return Result(
        Code.WARNING,
        f"resources of networking-sfc that port chains lack ({counts}): portchain-import takes them "
        "over, or drop the tables if they are not wanted any more",
    )


def judge_agents(extensions: dict[str, Sequence[str]]) -> Result:
    """Judge the extensions of the agents by host."""
    without = sorted(host for host, names in extensions.items() if AGENT_EXTENSION not in names)
    old = sorted(host for host, names in extensions.items() if LEGACY_EXTENSION in names)
    said = []
    if without:
        said.append(
            f"no port chain passes hosts whose agent lacks the extension {AGENT_EXTENSION}: {', '.join(without)}"
        )
    if old:
        said.append(f"networking-sfc's extension still runs on {', '.join(old)}")
    return Result(Code.WARNING if said else Code.SUCCESS, "; ".join(said) or None)


# The facts.


def _ask(question: Callable[[Any], Result]) -> Result:
    if not cfg.CONF.database.connection:
        return Result(
            Code.WARNING, "not checked: no database is configured, give Neutron's --config-file"
        )
    context = neutron_context.get_admin_context()
    with db_api.CONTEXT_READER.using(context):
        return question(context.session.connection())


def _heads() -> frozenset[str]:
    """Return the newest migrations as a database notes them: those that others depend on are implied."""
    scripts = Path(migration.__file__).parent / "alembic_migrations"
    directory = ScriptDirectory(
        str(scripts),
        version_locations=[str(scripts / "versions")],
        recursive_version_locations=True,
    )
    return frozenset(directory.get_heads(consider_depends_on=True))


def _migrations(connection: Any) -> frozenset[str]:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return frozenset()
    table = sa.table(VERSION_TABLE, sa.column("version_num"))
    return frozenset(connection.scalars(sa.select(table.c.version_num)))


def _left_behind(connection: Any) -> dict[str, int] | None:
    if not legacy.is_there(connection):
        return None
    return {old: _count_missing(connection, old, new) for old, new in TABLES.items()}


def _count_missing(connection: Any, old: str, new: str) -> int:
    theirs, ours = sa.table(old, sa.column("id")), sa.table(new, sa.column("id"))
    query = sa.select(sa.func.count()).select_from(theirs)
    for table in (ours, sa.table("portchain_imported", sa.column("id"))):
        # What was taken over and deleted since is not left behind.
        if sa.inspect(connection).has_table(table.name):
            query = query.where(theirs.c.id.not_in(sa.select(table.c.id)))
    return int(connection.scalar(query))


def _agents(connection: Any) -> dict[str, Sequence[str]]:
    columns = ("host", "agent_type", "configurations")
    table = sa.table("agents", *map(sa.column, columns))
    query = sa.select(table).where(table.c.agent_type == "Open vSwitch agent")
    return {
        row.host: json.loads(row.configurations or "{}").get("extensions") or ()
        for row in connection.execute(query)
    }
