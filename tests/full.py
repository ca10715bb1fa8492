"""Distinguishes the two test runs: ``make test``, and ``make test-full`` with its repetitions."""

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

FULL = os.environ.get("PORTCHAIN_FULL") == "1"
"""Whether to run what only repeats: more seeds, more combinations, more restarts."""


def in_full(cases: Sequence[T], otherwise: Sequence[T]) -> Sequence[T]:
    """All cases in the full run, and the ones that cover each kind of case otherwise."""
    return cases if FULL else otherwise


def examples(number: int) -> int:
    """How many examples a property test tries: the number in the full run, half of it otherwise."""
    return number if FULL else number // 2
