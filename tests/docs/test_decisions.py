"""The form of docs/decisions: front matter, titles, sections, references, and the list of pages."""

import datetime
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"
PAGES = sorted(FOLDER.glob("[0-9]*.md"))
KEYS = ["status", "date", "supersedes", "superseded_by", "amends", "amended_by"]
INVERSE = {"supersedes": "superseded_by", "amends": "amended_by"}
INVERSE |= {other: one for one, other in INVERSE.items()}


def front_matter(page: Path) -> dict[str, Any]:
    _, matter, _ = page.read_text().split("---\n", 2)
    return yaml.safe_load(matter)


def number_of(page: Path) -> int:
    return int(page.name[:4])


def title_of(page: Path) -> str:
    """The title without its number."""
    (title,) = re.findall(r"^# (.*)$", page.read_text(), re.MULTILINE)
    number, _, words = title.partition(". ")
    assert int(number) == number_of(page)
    return words


def references(page: Path, key: str) -> set[int]:
    """The numbers that a key of the front matter names."""
    value = front_matter(page)[key]
    return set() if value == "none" else {int(number) for number in str(value).split(",")}


def test_numbers_are_used_once():
    numbers = [number_of(page) for page in PAGES]
    assert len(numbers) == len(set(numbers)) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
class TestPage:
    def test_front_matter_is_complete(self, page):
        matter = front_matter(page)
        assert list(matter) == KEYS
        assert matter["status"] in {"proposed", "accepted", "superseded", "rejected"}
        assert isinstance(matter["date"], datetime.date)

    def test_references_are_mutual(self, page):
        by_number = {number_of(other): other for other in PAGES}
        for key, inverse in INVERSE.items():
            for number in references(page, key):
                assert number_of(page) in references(by_number[number], inverse)

    def test_status_matches_references(self, page):
        is_superseded = front_matter(page)["status"] == "superseded"
        assert is_superseded == bool(references(page, "superseded_by"))

    def test_has_question_and_decision(self, page):
        sections = re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE)
        assert sections[0] == "Question"
        assert "Decision" in sections

    def test_is_listed_with_title_status_and_date(self, page):
        matter = front_matter(page)
        row = f"| {number_of(page)} | [{title_of(page)}]({page.name}) | {matter['status']} "
        assert f"{row}| {matter['date']} |" in (FOLDER / "README.md").read_text()


def test_the_list_names_no_page_that_is_not_there():
    listed = re.findall(r"^\| \d+ \| \[.*\]\((\S+)\)", (FOLDER / "README.md").read_text(), re.M)
    assert listed == [page.name for page in PAGES]


def test_missing_numbers_are_explained():
    _, _, section = (FOLDER / "README.md").read_text().partition("## Missing numbers")
    explained = {int(number) for number in re.findall(r"\b\d+\b", section.partition("```")[0])}
    numbers = {number_of(page) for page in PAGES}
    # Numbers in work are explained, too, until and after their pages appear.
    assert explained >= set(range(1, max(numbers))) - numbers
