"""Files and tests that the documentation names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "lab").glob("*.md")])
FOLDERS = "bench|docs|examples|lab|portchain|tests|tools"
PATH = re.compile(rf"`((?:{FOLDERS})/[\w./-]+)`")
TEST = re.compile(r"`(test_\w+)(?:\.py)?`")


@pytest.fixture(scope="module")
def names_of_tests() -> set[str]:
    """Every test function, and every module with tests."""
    modules = list((ROOT / "tests").rglob("test_*.py"))
    functions = (re.findall(r"def (test_\w+)", module.read_text()) for module in modules)
    return {module.stem for module in modules}.union(*functions)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_and_tests_exist(page, names_of_tests):
    text = page.read_text()
    if page.name == "CHANGELOG.md":  # names what was removed
        return
    assert not [path for path in PATH.findall(text) if not (ROOT / path).exists()]
    assert not [test for test in TEST.findall(text) if test not in names_of_tests]
