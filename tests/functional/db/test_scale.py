"""What requests and events read does not grow with the chains and classifiers of a project."""

import shutil

import pytest

from bench.scale import server

# The database reads tables of a few rows as a whole, which costs less than an index.
FEW, MANY = 110, 550
TOLERANCE = 40
"""The numbers of rows differ as the database estimates the costs of its plans."""
PAGES, ROWS_OF_PAGE = ("list chains, limit=100", "look for drift"), 100 * 100
SORTED = "list chains, sort_key"  # an attribute without an index: the rows of the project


@pytest.mark.skipif(not shutil.which("mariadbd"), reason="mariadbd is not installed")
def test_costs_are_the_same_with_many_chains() -> None:
    for row in server.measure((FEW, MANY)):
        few, many = row.costs
        assert few.statements == many.statements, row
        if row.what.startswith(PAGES):
            assert many.rows < ROWS_OF_PAGE, row
        elif not row.what.startswith(SORTED):
            assert many.rows <= few.rows + TOLERANCE, row
