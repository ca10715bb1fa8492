"""Alembic's environment for our tables in Neutron's database.

Neutron and other subprojects have their tables in the same database. Our migrations therefore have
a version table of their own, and autogeneration compares our tables only.
"""

from typing import Any

from alembic import context
from alembic.util import CommandError
from neutron.db.migration import autogen
from neutron.db.migration.connection import DBConnection
from neutron.db.migration.models import head  # noqa: F401 - the tables ours refer to
from neutron_lib.db import model_base

from portchain import coexistence
from portchain.db import models  # noqa: F401 - fills the metadata

VERSION_TABLE = "alembic_version_portchain"

config = context.config
neutron_config: Any = config.neutron_config  # type: ignore[attr-defined]


def include_object(
    item: Any, name: str | None, type_: str, reflected: bool, compare_to: Any
) -> bool:
    """Tell alembic which tables are ours.

    Alembic asks about columns and indexes only of tables that are included.
    """
    return type_ != "table" or (name or "").startswith("portchain_")


def run_offline() -> None:
    """Print the SQL of the migrations instead of running it."""
    database = neutron_config.database
    target = (
        {"url": database.connection} if database.connection else {"dialect_name": database.engine}
    )
    context.configure(version_table=VERSION_TABLE, include_object=include_object, **target)
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Run the migrations on the given connection, or on the configured database."""
    given = config.attributes.get("connection")
    with DBConnection(neutron_config.database.connection, given) as connection:
        context.configure(
            connection=connection,
            target_metadata=model_base.BASEV2.metadata,
            version_table=VERSION_TABLE,
            include_object=include_object,
            process_revision_directives=autogen.process_revision_directives,
        )
        with context.begin_transaction():
            context.run_migrations()


if version := coexistence.other_version():
    # neutron-db-manage knows both packages as the subproject networking-sfc, and runs either.
    raise CommandError(str(coexistence.OtherPackageInstalledError(version)))
if context.is_offline_mode():
    run_offline()
else:
    run_online()
