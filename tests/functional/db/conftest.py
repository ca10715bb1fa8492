"""A MariaDB server for the tests, with databases that have Neutron's schema and ours."""

import shutil
from collections.abc import Iterator

import pytest

from tests.mariadb import MariaDb, migrate, running


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """Start a server for all tests."""
    if not shutil.which("mariadbd"):
        pytest.skip("mariadbd is not installed")
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def migrated(mariadb: MariaDb) -> str:
    """Return the URL of a database with all migrations of Neutron and ours."""
    return migrate(mariadb, "neutron", "utf8mb4")


@pytest.fixture(scope="class")
def migrated_url(request: pytest.FixtureRequest, migrated: str) -> None:
    """Have a test class use that database."""
    if request.cls is not None:
        request.cls.url = migrated


@pytest.fixture(scope="session")
def narrow(mariadb: MariaDb) -> str:
    """Return the URL of such a database with the character set of old deployments, utf8mb3."""
    return migrate(mariadb, "neutron_narrow", "utf8mb3")
