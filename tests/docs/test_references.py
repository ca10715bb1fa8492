"""Files, tests and names of the code that the documentation mentions exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "lab").glob("*.md")])
PAGES += (ROOT / "dashboard").glob("*.md")
FOLDERS = "bench|dashboard|docs|examples|lab|portchain|tests|tools"
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
    if page.name == "CHANGELOG.md":  # names removed files and tests
        return
    assert not [path for path in PATH.findall(text) if not (ROOT / path).exists()]
    assert not [test for test in TEST.findall(text) if test not in names_of_tests]


# Names that the walk through a counter asks the reader to write.
NOT_YET_WRITTEN = {"read_counters"}


def test_names_in_the_checklists_exist():
    page = (ROOT / "docs" / "development" / "extending.md").read_text()
    named = set(re.findall(r"`(?:\w+\.)?([A-Za-z_]\w*[A-Z_]\w*)`", page)) - NOT_YET_WRITTEN
    modules = [*(ROOT / "portchain").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    code = "\n".join(module.read_text() for module in modules)
    assert not {name for name in named if not re.search(rf"\b{name}\b", code)}
    assert len(named) > 30
