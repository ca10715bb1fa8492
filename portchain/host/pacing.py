"""When a host calls the server. Pure.

A thousand hosts start at the same time after a power failure, and lose the server at the same time
when it is restarted. What they do by a clock would reach it all at once, again and again. So the
times differ from host to host, by chance.
"""

FIRST_RETRY, LONGEST_RETRY = 2.0, 10.0  # seconds


def retry_seconds(failures: int, chance: float) -> float:
    """Return how long to wait after calls have failed.

    The first retry is soon: usually the server is only restarting. Then twice as long each time.

    :param failures: number of calls in a row that have failed, at least 1.
    :param chance: a random number from 0 to 1.
    :returns: from half of the time up to the whole time.
    """
    # Nothing is computed from a large number of failures.
    whole = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(failures - 1, 10))
    return whole * (1 + chance) / 2


def interval_seconds(interval: float, chance: float) -> float:
    """Return when to ask again after an answer.

    :param interval: the longest time.
    :param chance: a random number from 0 to 1.
    :returns: from three quarters of the interval up to the whole one.
    """
    return interval * (3 + chance) / 4
