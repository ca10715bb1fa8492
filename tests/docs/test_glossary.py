"""Every name that docs/glossary.md gives for a term exists in the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"


def names() -> Iterator[str]:
    """The names in the last column of the tables."""
    for line in GLOSSARY.read_text().splitlines():
        if line.startswith("| ") and not line.startswith(("| term", "| ---")):
            cells = line.strip("|").split("|")
            assert len(cells) == 3, line
            yield from re.findall(r"`([^`]+)`", cells[-1])


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something that one defines.

    Names of the lab begin with ``portchain_lab``, all others are below ``portchain``.
    """
    parts = name.split(".")
    folder = ROOT / "lab" if parts[0] == "portchain_lab" else ROOT / "portchain"
    for length in range(len(parts), 0, -1):
        path = folder.joinpath(*parts[:length])
        module = path.with_suffix(".py") if not path.is_dir() else path / "__init__.py"
        if module.is_file():
            return _defines(ast.parse(module.read_text()), parts[length:])
    return False


def _defines(node: ast.AST, path: list[str]) -> bool:
    if not path:
        return True
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef) and child.name == path[0]:
            return _defines(child, path[1:])
        targets = (
            child.targets if isinstance(child, ast.Assign) else [getattr(child, "target", None)]
        )
        if any(isinstance(target, ast.Name) and target.id == path[0] for target in targets):
            return len(path) == 1
    return False


@pytest.mark.parametrize("name", sorted(set(names())))
def test_name_exists(name):
    assert exists(name)


def test_readme_links_to_it():
    assert "(docs/glossary.md)" in (ROOT / "README.md").read_text()
