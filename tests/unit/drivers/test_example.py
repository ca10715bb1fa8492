"""The example of docs/drivers.md: installed as a package, and loaded by its entry point."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from oslo_config import cfg
from stevedore.extension import ExtensionManager

from portchain import conf
from portchain.core.ownership import owner_of
from portchain.core.rules import Violation
from portchain.drivers import base, manager
from portchain.drivers.base import ChainStatusReporter, OwnChain
from tests.plans import ident
from tests.unit.dataplane.planning.test_planner import snapshot

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "intent-driver"
DOCUMENTATION = ROOT / "docs" / "drivers.md"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The example as ``pip install --editable`` installs it, on the path of this process."""
    target = tmp_path_factory.mktemp("example")
    for file in (EXAMPLE / "pyproject.toml", EXAMPLE / "portchain_intent.py"):
        (target / file.name).write_text(file.read_text())
    argv = [sys.executable, "-c", "import setuptools; setuptools.setup()", "--quiet", "egg_info"]
    subprocess.run(argv, check=True, cwd=target)
    sys.path.insert(0, str(target))
    # What a process has looked up once it does not look up again.
    ExtensionManager.ENTRY_POINT_CACHE.clear()
    yield target
    sys.path.remove(str(target))
    ExtensionManager.ENTRY_POINT_CACHE.clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PORTCHAIN_INTENT_FOLDER", str(tmp_path))
    conf.register_server_opts(cfg.CONF)
    return tmp_path


@pytest.fixture
def driver(installed: Path, folder: Path):
    (loaded,) = manager.load(["intent"]).values()
    # The implementation that records in the database has tests of its own.
    loaded.initialize(mock.create_autospec(ChainStatusReporter, instance=True))
    return loaded


def bound(mechanism="intent"):
    given = snapshot()
    return replace(
        given,
        ports={name: replace(port, mechanism=mechanism) for name, port in given.ports.items()},
    )


def intents(folder):
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def imported(source: str) -> set[str]:
    """The modules that a source text imports, by their full names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None and not node.level, "relative import"
            found.add(node.module)
    return found


def test_it_imports_nothing_but_what_the_driver_api_promises() -> None:
    own = {
        name
        for name in imported((EXAMPLE / "portchain_intent.py").read_text())
        if name.partition(".")[0] == "portchain"
    }
    assert "portchain.drivers.base" in own
    promised = ("portchain.drivers.base", "portchain.core")
    outside = {
        name for name in own if not any(f"{name}.".startswith(f"{good}.") for good in promised)
    }
    assert outside == set()


@pytest.mark.parametrize("page", [base.__doc__, DOCUMENTATION.read_text()], ids=["code", "docs"])
def test_the_promised_modules_are_documented(page: str) -> None:
    assert "``portchain.drivers.base``" in page or "`portchain.drivers.base`" in page
    assert "``portchain.core``" in page or "`portchain.core`" in page


def test_it_is_loaded_beside_the_other_drivers(installed: Path) -> None:
    assert list(manager.load(["intent", "ovs"])) == ["intent", "ovs"]


def test_it_owns_the_chains_whose_ports_it_claims(driver) -> None:
    drivers = {"intent": driver, **manager.load(["ovs"])}
    assert owner_of(bound(), drivers) == "intent"
    assert owner_of(bound("openvswitch"), drivers) == "ovs"


def test_create_and_delete(driver, folder) -> None:
    driver.create_port_chain(None, bound())
    ((name, intent),) = intents(folder).items()
    assert name == ident("pc1")
    assert intent["classifiers"][0]["ports"] == [ident("src")]
    assert [len(hop) for hop in intent["hops"]] == [2, 1]
    driver.status.record_plan.assert_called_once_with(None, name, 3, (), down_reason="")
    for _ in range(2):
        driver.delete_port_chain(None, bound())
        assert intents(folder) == {}


def test_a_newer_revision_is_not_overwritten(driver, folder) -> None:
    driver.status.record_plan.return_value = False
    driver.update_port_chain(None, bound())
    assert intents(folder) == {}


def test_comparison_repairs_files(driver, folder) -> None:
    (folder / "stray.json").write_text("{}")
    (task,) = driver.periodic_tasks()
    task.run(None, lambda _context, _ids: iter([OwnChain(bound())]))
    assert intents(folder).keys() == {ident("pc1")}
    (folder / f"{ident('pc1')}.json").write_text("{}")
    task.run(None, lambda _context, _ids: iter([OwnChain(bound())]))
    assert intents(folder)[ident("pc1")]["revision"] == 3


def test_a_chain_that_no_driver_can_realise_keeps_its_file(driver, folder) -> None:
    driver.create_port_chain(None, bound())
    before = intents(folder)
    (task,) = driver.periodic_tasks()
    changed = replace(bound(), sources={ident("fc1"): ()})
    task.run(None, lambda _context, _ids: iter([OwnChain(changed, "no driver can")]))
    assert intents(folder) == before


def test_it_rejects_more_groups_than_its_controller_supports(driver) -> None:
    given = bound()
    long = replace(given.chain, port_pair_groups=given.chain.port_pair_groups * 5)
    with pytest.raises(Violation, match="divide the chain"):
        driver.check_port_chain(replace(given, chain=long))
