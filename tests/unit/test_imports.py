"""Every module can be imported: commands that start rarely would be the last to tell."""

import importlib
import pkgutil

import pytest

import portchain

# Alembic runs these itself, in a context of its own.
_RUN_BY_ALEMBIC = "portchain.db.migration.alembic_migrations."


def _modules() -> list[str]:
    found = pkgutil.walk_packages(portchain.__path__, "portchain.")
    return [module.name for module in found if not module.name.startswith(_RUN_BY_ALEMBIC)]


@pytest.mark.parametrize("name", _modules())
def test_module_can_be_imported(name: str) -> None:
    importlib.import_module(name)
