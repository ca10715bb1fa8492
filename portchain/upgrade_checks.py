"""Checks for ``neutron-status upgrade check``: what an operator still has to do.

Each check reads the configuration or runs plain SQL, so that it works before, during and after an
upgrade of the database.
"""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.script import ScriptDirectory
from alembic.util import to_tuple
from neutron_lib import context as neutron_context
from neutron_lib.db import api as db_api
from neutron_lib.utils import upgrade_checks
from oslo_config import cfg
from oslo_upgradecheck.upgradecheck import Code, Result

from portchain import coexistence, conf
from portchain.db import migration
from portchain.importer import legacy

SERVICE_PLUGIN = AGENT_EXTENSION = "port_chain"
LEGACY_PLUGINS = frozenset(
    {
        "networking_sfc.services.sfc.plugin.SfcPlugin",
        "networking_sfc.services.flowclassifier.plugin.FlowClassifierPlugin",
    }
)
# Names that both packages have, for service plugins and for the agent extension.
PLUGIN_ALIASES = frozenset({"sfc", "flow_classifier"})
EXTENSION_ALIAS = "sfc"
VERSION_TABLE = "alembic_version_portchain"
# Tables of users' resources: networking-sfc's -> ours.
TABLES = {
    "sfc_flow_classifiers": "portchain_flow_classifiers",
    "sfc_port_pairs": "portchain_port_pairs",
    "sfc_port_pair_groups": "portchain_port_pair_groups",
    "sfc_port_chains": "portchain_port_chains",
    "sfc_service_graphs": "portchain_service_graphs",
}
Check = Callable[[Any], Result]


class PortChainChecks(upgrade_checks.BaseChecks):
    """The checks, in the order in which an operator should work on them."""

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
            ("Port chains: hosts of OVN", check_ovn_hosts),
            ("Port chains: datapaths", check_datapaths),
        ]


def check_packages(checker: Any) -> Result:
    """Check that networking-sfc is not installed in the same environment."""
    version = coexistence.other_version()
    if version is None:
        return Result(Code.SUCCESS, None)
    return Result(
        Code.FAILURE,
        f"{coexistence.OtherPackageInstalledError(version)}. Neutron does not start with both",
    )


def check_service_plugins(checker: Any) -> Result:
    """Check that ``service_plugins`` names our plugin, and no class of networking-sfc."""
    return judge_service_plugins(cfg.CONF.service_plugins)


def check_drivers(checker: Any) -> Result:
    """Check that every configured driver can be loaded."""
    names = list(cfg.CONF[conf.GROUP].drivers)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _LOAD_DRIVERS, *names],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return Result(Code.FAILURE, done.stderr.strip())
    return Result(Code.SUCCESS, f"these drivers can be loaded: {', '.join(names)}")


# Drivers are loaded in a process of their own: they import our models, and some of Neutron's checks
# query the table of every model in the process. Our tables may not exist yet.
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
    """Check that the database has our newest migrations."""
    return _query_database(lambda connection: judge_migrations(_migrations(connection), _heads()))


def check_import(checker: Any) -> Result:
    """Check that every resource of networking-sfc has been imported."""
    return _query_database(lambda connection: judge_import(_not_imported(connection)))


def check_agents(checker: Any) -> Result:
    """Check that every Open vSwitch agent has the extension that the driver ``ovs`` needs."""
    if "ovs" not in cfg.CONF[conf.GROUP].drivers:
        return Result(
            Code.SUCCESS, "the driver ovs is not configured, so no agent needs the extension"
        )
    # A controller programs the switches of these hosts.
    central = cfg.CONF[conf.GROUP].openflow_hosts
    return _query_database(
        lambda connection: judge_agents(
            {host: loaded for host, loaded in _agents(connection).items() if host not in central},
            _hosts_with_plans(connection),
        )
    )


def check_ovn_hosts(checker: Any) -> Result:
    """Check that the hosts of OVN have the agent that the driver ``ovn`` needs.

    Neutron does not know which extensions agents of OVN have loaded. But ours asks for plans.
    """
    if "ovn" not in cfg.CONF[conf.GROUP].drivers:
        return Result(Code.SUCCESS, "the driver ovn is not configured")
    return _query_database(lambda connection: judge_ovn_hosts(_silent_ovn_hosts(connection)))


def check_datapaths(checker: Any) -> Result:
    """Check that the datapath of every host carries its chains, and carries them fast."""
    return _query_database(lambda connection: judge_datapaths(_host_warnings(connection)))


def judge_service_plugins(plugins: Iterable[str]) -> Result:
    """Judge the value of ``service_plugins``."""
    configured = set(plugins)
    legacy_plugins = sorted(configured & LEGACY_PLUGINS)
    aliases = sorted(configured & PLUGIN_ALIASES)
    ours = sorted(configured & {SERVICE_PLUGIN, *PLUGIN_ALIASES})
    if legacy_plugins:
        return Result(
            Code.FAILURE if ours else Code.WARNING,
            "networking-sfc is still configured: after portchain-import, replace "
            f"{', '.join(legacy_plugins)} with {SERVICE_PLUGIN} in service_plugins",
        )
    if aliases:
        return Result(
            Code.SUCCESS,
            f"{', '.join(aliases)} in service_plugins: networking-sfc's names for "
            f"{SERVICE_PLUGIN}, which mean this package where networking-sfc is not installed",
        )
    if not ours:
        return Result(
            Code.WARNING,
            f"{SERVICE_PLUGIN} is not in service_plugins: add it, or Neutron serves no chains",
        )
    return Result(Code.SUCCESS, None)


def judge_migrations(present: frozenset[str], heads: frozenset[str]) -> Result:
    """Judge the migrations of the database.

    :param present: the migrations that the database is at.
    :param heads: our newest migrations.
    """
    if present == heads:
        return Result(Code.SUCCESS, None)
    return Result(
        Code.FAILURE,
        f"the database is at migration {', '.join(sorted(present)) or 'none'}, not at "
        f"{', '.join(sorted(heads))}: run "
        "neutron-db-manage --subproject neutron-portchain upgrade heads",
    )


def judge_import(missing: dict[str, int] | None) -> Result:
    """Judge how many resources of networking-sfc have not been imported.

    :param missing: table of networking-sfc -> number of rows that our table lacks; None if
        networking-sfc has no tables.
    """
    if missing is None:
        return Result(Code.SUCCESS, "networking-sfc has no tables in this database")
    left = {table: count for table, count in missing.items() if count}
    if not left:
        return Result(Code.SUCCESS, "all resources of networking-sfc have been imported")
    counts = ", ".join(f"{table} {count}" for table, count in left.items())
    return Result(
        Code.WARNING,
        f"resources of networking-sfc have not been imported ({counts}): run portchain-import, or "
        "drop networking-sfc's tables if they are no longer needed",
    )


def judge_agents(extensions: dict[str, Sequence[str]], known: Container[str]) -> Result:
    """Judge the extensions of the Open vSwitch agents.

    :param extensions: host -> extensions that its agent has loaded.
    :param known: the hosts that have ever asked for plans, which networking-sfc's extension does
        not do.
    """
    names_of_ours = {AGENT_EXTENSION, EXTENSION_ALIAS}
    without = [host for host, names in extensions.items() if not names_of_ours & set(names)]
    unclear = [
        host
        for host, names in extensions.items()
        if EXTENSION_ALIAS in names and AGENT_EXTENSION not in names and host not in known
    ]
    problems = []
    if without:
        problems.append(
            f"port chains do not work on hosts whose agent lacks the extension {AGENT_EXTENSION}: "
            f"{', '.join(sorted(without))}"
        )
    if unclear:
        problems.append(
            f"the agent extension {EXTENSION_ALIAS} has never asked for plans on "
            f"{', '.join(sorted(unclear))}: it is networking-sfc's, or cannot reach the server"
        )
    return Result(Code.WARNING if problems else Code.SUCCESS, "; ".join(problems) or None)


def judge_ovn_hosts(silent: Iterable[str]) -> Result:
    """Judge the hosts of OVN.

    :param silent: hosts with bound ports that have never asked for plans.
    """
    hosts = ", ".join(sorted(silent))
    if not hosts:
        return Result(Code.SUCCESS, None)
    return Result(
        Code.WARNING,
        "port chains do not work on hosts of OVN without neutron-ovn-agent and its extension "
        f"{AGENT_EXTENSION}; these have never asked for plans: {hosts}",
    )


def judge_datapaths(warnings: dict[str, dict[str, int]]) -> Result:
    """Judge what hosts report of their datapaths.

    :param warnings: host -> warning, as in ``HostReport`` -> number of chains that have it.
    """
    problems = [
        f"host {host}, {count} port chain{'s' * (count > 1)}: {warning}"
        for host, counts in sorted(warnings.items())
        for warning, count in sorted(counts.items())
    ]
    return Result(Code.WARNING if problems else Code.SUCCESS, ". ".join(problems) or None)


def _query_database(question: Callable[[Any], Result]) -> Result:
    if not cfg.CONF.database.connection:
        return Result(
            Code.WARNING,
            "not checked, because no database is configured: pass Neutron's --config-file",
        )
    context = neutron_context.get_admin_context()
    with db_api.CONTEXT_READER.using(context):
        return question(context.session.connection())


def _heads() -> frozenset[str]:
    """Return our newest migrations, without those on which others depend.

    That is how alembic records them in a database.
    """
    scripts = Path(migration.__file__).parent / "alembic_migrations"
    directory = ScriptDirectory(
        str(scripts),
        version_locations=[str(scripts / "versions")],
        recursive_version_locations=True,
    )
    # Alembic 1.18, of Neutron 28, does not say which heads others depend on.
    depended_on = {
        one
        for revision in directory.walk_revisions()
        for one in to_tuple(revision.dependencies, ())
    }
    return frozenset(directory.get_heads()) - depended_on


def _migrations(connection: Any) -> frozenset[str]:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return frozenset()
    table = sa.table(VERSION_TABLE, sa.column("version_num"))
    return frozenset(connection.scalars(sa.select(table.c.version_num)))


def _not_imported(connection: Any) -> dict[str, int] | None:
    if not legacy.has_tables(connection):
        return None
    return {old: _count_missing(connection, old, new) for old, new in TABLES.items()}


def _count_missing(connection: Any, old: str, new: str) -> int:
    old_table, new_table = sa.table(old, sa.column("id")), sa.table(new, sa.column("id"))
    query = sa.select(sa.func.count()).select_from(old_table)
    for table in (new_table, sa.table("portchain_imported", sa.column("id"))):
        # A resource that was imported and then deleted does not count as missing.
        if sa.inspect(connection).has_table(table.name):
            query = query.where(old_table.c.id.not_in(sa.select(table.c.id)))
    return int(connection.scalar(query))


def _host_warnings(connection: Any) -> dict[str, dict[str, int]]:
    """Return host -> warning -> number of chains; none before the migration that adds warnings."""
    inspector = sa.inspect(connection)
    name, found = "portchain_chain_hosts", defaultdict[str, dict[str, int]](dict)
    known = inspector.get_columns(name) if inspector.has_table(name) else ()
    if any(column["name"] == "warning" for column in known):
        table = sa.table(name, sa.column("host"), sa.column("warning"))
        columns = (table.c.host, table.c.warning)
        query = sa.select(*columns, sa.func.count()).where(table.c.warning != "").group_by(*columns)
        for host, warning, count in connection.execute(query):
            found[host][warning] = count
    return found


def _silent_ovn_hosts(connection: Any) -> set[str]:
    """Return the hosts on which ML2/OVN has bound ports, and which have never asked for plans."""
    level = sa.table("ml2_port_binding_levels", sa.column("host"), sa.column("driver"))
    hosts = set(connection.scalars(sa.select(level.c.host).where(level.c.driver == "ovn")))
    return hosts - _hosts_with_plans(connection)


def _hosts_with_plans(connection: Any) -> set[str]:
    """Return the hosts that have ever asked for plans."""
    if not sa.inspect(connection).has_table("portchain_hosts"):
        return set()
    known = sa.table("portchain_hosts", sa.column("host"))
    return set(connection.scalars(sa.select(known.c.host)))


def _agents(connection: Any) -> dict[str, Sequence[str]]:
    columns = ("host", "agent_type", "configurations")
    table = sa.table("agents", *map(sa.column, columns))
    query = sa.select(table).where(table.c.agent_type == "Open vSwitch agent")
    return {
        row.host: json.loads(row.configurations or "{}").get("extensions") or ()
        for row in connection.execute(query)
    }
