"""Waits for a state instead of sleeping for a fixed time."""

import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from portchain_lab.errors import DeadlineError

T = TypeVar("T")

LONGEST_PAUSE = 1.0
"""Seconds between two calls of a predicate that takes long, if no longer interval is asked for."""
PATIENCE = float(os.environ.get("PORTCHAIN_LAB_PATIENCE", "1"))
"""Factor for all deadlines of the lab. A machine without KVM is ten times slower, for example."""

_pause = threading.Event()


def patient(seconds: float) -> float:
    """Return a time limit as this machine needs it.

    :param seconds: what is enough on a usual machine.
    """
    return seconds * PATIENCE


def wait_for(
    predicate: Callable[[], T | bool | None], deadline: float, what: str, interval: float = 0.1
) -> T:
    """Call ``predicate`` until it returns something true, and return that.

    :param deadline: seconds after which to give up, on a usual machine.
    :param what: the awaited state, for the error message; follows the words "waiting for".
    :param interval: seconds between two calls. If the predicate takes long, three times as long as
        it took: else asking would take processor time away from what is awaited.
    :raises DeadlineError: the result is still false at the deadline. Exceptions of the predicate
        are passed on: a predicate that expects some must catch them.
    """
    deadline = patient(deadline)
    end = time.monotonic() + deadline
    while True:
        asked = time.monotonic()
        result = predicate()
        if result:
            return result  # type: ignore[return-value]  # True, from a predicate of type bool
        now = time.monotonic()
        if now >= end:
            msg = f"timed out after {deadline:g} s waiting for {what}"
            raise DeadlineError(msg)
        _pause.wait(max(interval, min(3 * (now - asked), LONGEST_PAUSE)))
