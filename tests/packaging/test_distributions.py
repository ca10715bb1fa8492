"""What the wheels and the sdist contain, and that the product works from the wheel alone."""

import configparser
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSION = (ROOT / "VERSION").read_text().strip()
# Generated, or large and no part of the source.
NOT_SOURCE = (".*", "build", "dist", "*.egg-info", "__pycache__", "results")

LOAD_ENTRY_POINTS = """
import sys
from importlib.metadata import Distribution
from pathlib import Path

import neutron  # selects oslo.service's backend before anything else does

unpacked = sys.argv[1]
(path,) = Path(unpacked).glob("*.dist-info")
count = 0
for entry_point in Distribution.at(path).entry_points:
    if entry_point.group == "neutron.db.alembic_migrations":  # names a folder, not an object
        folder = Path(unpacked, *entry_point.module.split("."), entry_point.attr)
        assert list(folder.glob("versions/**/*.py")), folder
        count += 1
        continue
    loaded = entry_point.load()
    module = sys.modules[getattr(loaded, "__module__", None) or loaded.__name__]
    assert module.__file__.startswith(unpacked), f"{entry_point} is loaded from {module.__file__}"
    count += 1
assert "portchain_lab" not in sys.modules
print(count)
"""


def build(project: Path, out: Path, *kinds: str) -> None:
    """Build a project without network: `.venv` holds what the build needs."""
    command = [sys.executable, "-m", "build", "--no-isolation", *kinds, "--outdir", out, project]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the source, so that the build leaves nothing in the working tree."""
    copy = tmp_path_factory.mktemp("source") / "portchain"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_SOURCE), symlinks=True)
    return copy


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    """The wheel of neutron-portchain."""
    out = tmp_path_factory.mktemp("wheel")
    build(source, out, "--wheel")
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory):
    """What pip puts into site-packages."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_wheel_holds_the_product_and_nothing_else(wheel, unpacked):
    assert wheel.name == f"neutron_portchain-{VERSION}-py3-none-any.whl"
    names = {path.name for path in unpacked.iterdir()}
    assert names == {"portchain", f"neutron_portchain-{VERSION}.dist-info"}
    unwanted = {"lab", "tests", "bench", "portchain_lab"}
    assert not [path for path in unpacked.rglob("*") if path.name in unwanted]


def test_wheel_holds_every_file_of_the_package(unpacked):
    def files(top: Path) -> set[Path]:
        found = {path.relative_to(top) for path in top.rglob("*") if path.is_file()}
        return {path for path in found if "__pycache__" not in path.parts}

    assert files(unpacked / "portchain") == files(ROOT / "portchain")


def test_wheel_requires_no_package_of_lab_tests_or_benchmark(unpacked):
    (metadata,) = unpacked.glob("*.dist-info/METADATA")
    required = {
        re.split(r"[^\w.-]", line.removeprefix("Requires-Dist: "), maxsplit=1)[0].lower()
        for line in metadata.read_text().splitlines()
        if line.startswith("Requires-Dist: ") and "extra ==" not in line
    }
    assert "neutron" in required
    assert not required & {"keystone", "matplotlib", "pyroute2", "pytest", "scapy", "uwsgi"}


def test_entry_points_load_from_the_wheel(unpacked):
    entry_points = configparser.ConfigParser(delimiters=("=",))
    (path,) = unpacked.glob("*.dist-info/entry_points.txt")
    entry_points.read(path)
    expected = sum(len(entry_points[section]) for section in entry_points.sections())

    run = subprocess.run(
        [sys.executable, "-c", LOAD_ENTRY_POINTS, unpacked],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(unpacked)},
        cwd=unpacked,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert int(run.stdout) == expected > 0


def test_wheel_of_the_lab_holds_the_lab_and_nothing_else(source, tmp_path):
    build(source / "lab", tmp_path, "--wheel")
    (path,) = tmp_path.glob("*.whl")
    assert path.name == f"portchain_lab-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(path) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert tops == {"portchain_lab", f"portchain_lab-{VERSION}.dist-info"}


def test_wheel_of_the_panel_holds_all_that_horizon_needs(source, tmp_path):
    build(source / "dashboard", tmp_path)
    (path,) = tmp_path.glob("*.whl")
    assert path.name == f"neutron_portchain_dashboard-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(path) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = ROOT / "dashboard" / "portchain_dashboard"
    files = {one for one in package.rglob("*") if one.is_file()}
    files |= set((package / "drawing").glob("*.py"))  # a link to a folder
    expected = {one for one in files if "__pycache__" not in one.parts}
    assert names == {f"portchain_dashboard/{one.relative_to(package)}" for one in expected}
    assert "portchain_dashboard/drawing/svg.py" in names


def test_sdist_builds_the_same_wheel(source, wheel, tmp_path):
    build(source, tmp_path, "--sdist")
    (path,) = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(path, tmp_path)
    (unpacked,) = [entry for entry in tmp_path.iterdir() if entry.is_dir()]
    build(unpacked, tmp_path, "--wheel")

    (again,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(again) as one, zipfile.ZipFile(wheel) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())


def test_version_has_one_place():
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    for folder in ("lab", "dashboard"):
        assert (ROOT / folder / "VERSION").resolve() == ROOT / "VERSION"
    assert version("neutron-portchain") == version("portchain-lab")
