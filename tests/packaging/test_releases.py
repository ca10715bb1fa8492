"""The releases of OpenStack: what is pinned, what the packages accept, what tools install."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PINNED = {
    path.stem.removeprefix("constraints-"): {
        canonicalize_name(name): Version(version)
        for name, version in (line.split("==") for line in path.read_text().split())
    }
    for path in ROOT.glob("constraints-*.txt")
}
NEWEST = max(PINNED)
OLDER = sorted(set(PINNED) - {NEWEST})


def project(folder: str) -> dict[str, object]:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]


def accepted(folder: str) -> list[Requirement]:
    """What a distribution requires, to run and to be tested."""
    read = project(folder)
    extras = read.get("optional-dependencies", {})
    return [Requirement(line) for line in (*read["dependencies"], *extras.get("test", ()))]


@pytest.mark.parametrize("folder", [".", "lab"])
@pytest.mark.parametrize("release", PINNED)
def test_what_is_pinned_is_accepted(release: str, folder: str) -> None:
    """Each requirement is pinned, and neither its bounds nor the pins are wrong."""
    for required in accepted(folder):
        if required.name != "neutron-portchain":
            version = PINNED[release][canonicalize_name(required.name)]
            assert required.specifier.contains(version), f"{required}, not {version}"


def test_neutron_is_accepted_of_the_pinned_releases_and_of_no_other() -> None:
    (neutron,) = (one for one in accepted(".") if one.name == "neutron")
    majors = {number for number in range(20, 40) if neutron.specifier.contains(f"{number}.0.99")}
    assert majors == {pinned["neutron"].major for pinned in PINNED.values()}


@pytest.mark.parametrize(
    ("file", "default"),
    [
        ("tools/install", r"^NEWEST=(.*)$"),
        ("Makefile", r"^NEWEST := (.*)$"),
        ("deploy/container/Containerfile", r"^ARG RELEASE=(.*)$"),
        ("tox.ini", r"constraints-(.*)\.txt"),
        ("bench/environments.py", r"constraints-(.*)\.txt"),
    ],
)
def test_the_newest_release_is_the_default(file: str, default: str) -> None:
    found = re.findall(default, (ROOT / file).read_text(), re.MULTILINE)
    assert found
    assert set(found) == {NEWEST}


def test_the_full_run_and_its_setup_know_the_older_release() -> None:
    (in_check,) = re.findall(r'^OLDER_RELEASE = "(.*)"$', (ROOT / "tools/check").read_text(), re.M)
    (installed,) = re.findall(r"@tools/install (20\S+)$", (ROOT / "Makefile").read_text(), re.M)
    assert [in_check] == [installed] == OLDER


def test_every_release_finds_all_migrations() -> None:
    """``neutron-db-manage`` ignores folders of releases that it does not know."""
    migrations = ROOT / "portchain/db/migration/alembic_migrations/versions"
    folders = {path.parent.parent.name for path in migrations.glob("*/*/*.py")}
    assert folders
    assert max(folders) <= min(PINNED)
