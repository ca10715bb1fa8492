"""When a function counts as failed, and as back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portchain.core.model import HealthCheckParameters
from portchain.host.health.verdict import MAX_PENALTY, STABLE_SECONDS, Verdict

PARAMETERS = HealthCheckParameters(max_retries=2, max_retries_down=3)


def after(results: str, verdict: Verdict | None = None, now: float = 0.0) -> Verdict:
    """The verdict after answers (+) and failures (-)."""
    verdict = verdict or Verdict()
    for result in results:
        verdict = verdict.after(result == "+", PARAMETERS, now)
    return verdict


@pytest.mark.parametrize(
    ("results", "is_up"),
    [
        ("", None),
        ("+", True),
        ("--", None),
        ("---", False),
        ("+--", True),
        ("+--+--", True),
        ("+---", False),
        ("+---+", False),
        ("+---+-+", False),
        ("+---++", True),
        ("--+", True),
    ],
)
def test_results_in_a_row_count(results: str, is_up: bool | None) -> None:
    assert after(results).is_up is is_up


def test_a_function_that_fails_again_and_again_needs_more_answers() -> None:
    verdict = after("+---++")
    needed = []
    for _ in range(6):
        verdict = after("---", verdict)
        answers = 0
        while not verdict.is_up:
            verdict, answers = after("+", verdict), answers + 1
        needed.append(answers)
    assert needed == [4, 8, 16, 16, 16, 16]


def test_time_without_failure_makes_up_for_failures() -> None:
    verdict = after("+---++---++++")
    assert verdict.penalty == 2
    verdict = after("+", verdict, STABLE_SECONDS - 1)
    assert verdict.penalty == 2
    verdict = after("+", verdict, STABLE_SECONDS)
    assert verdict.penalty == 1
    verdict = after("+", verdict, STABLE_SECONDS + 1)
    assert verdict.penalty == 1
    assert after("+", verdict, 2 * STABLE_SECONDS).penalty == 0


@given(st.text("+-", max_size=200))
def test_enough_of_the_same_decides(results: str) -> None:
    verdict = after(results)
    assert after("---", verdict).is_up is False
    assert after("+" * (2 * 2**MAX_PENALTY), verdict).is_up is True
