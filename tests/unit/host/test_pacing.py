"""When a host calls the server."""

import pytest

from portchain.host.pacing import LONGEST_RETRY, interval_seconds, retry_seconds

HOSTS = [number / 999 for number in range(1000)]
"""What chance gives each of a thousand hosts."""


@pytest.mark.parametrize(
    ("failures", "longest"), [(1, 2), (2, 4), (3, 8), (4, 10), (5, 10), (10**6, 10)]
)
def test_each_failure_doubles_the_time_up_to_the_longest(failures: int, longest: float) -> None:
    times = [retry_seconds(failures, chance) for chance in HOSTS]
    assert max(times) == longest <= LONGEST_RETRY
    assert min(times) == longest / 2


def test_an_interval_is_never_longer_than_configured() -> None:
    times = [interval_seconds(30, chance) for chance in HOSTS]
    assert (min(times), max(times)) == (22.5, 30)


def test_no_moment_has_the_calls_of_many_hosts() -> None:
    """A thousand hosts begin together. In the same tenth of a second, few call again."""
    for times, seconds in (
        ([retry_seconds(5, chance) for chance in HOSTS], 5.0),
        ([interval_seconds(30, chance) for chance in HOSTS], 7.5),
    ):
        busiest = max(
            sum(1 for one in times if moment <= one < moment + 0.1)
            for moment in (min(times) + number / 10 for number in range(round(seconds * 10)))
        )
        assert busiest <= 1.1 * len(HOSTS) / (seconds * 10) + 1
