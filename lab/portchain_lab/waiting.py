"""Waits for a state instead of sleeping for a fixed time."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from portchain_lab.errors import DeadlineError

T = TypeVar("T")

_pause = threading.Event()


def wait_for(
    predicate: Callable[[], T | bool | None], deadline: float, what: str, interval: float = 0.1
) -> T:
    """Call ``predicate`` until it returns something true, and return that.

    :param deadline: seconds after which to give up.
    :param what: the awaited state, for the error message; follows the words "waiting for".
    :param interval: seconds between two calls.
    :raises DeadlineError: the result is still false at the deadline. Exceptions of the predicate
        are passed on: a predicate that expects some must catch them.
    """
    end = time.monotonic() + deadline
    while True:
        result = predicate()
        if result:
            return result  # type: ignore[return-value]  # True, from a predicate of type bool
        if time.monotonic() >= end:
            msg = f"timed out after {deadline:g} s waiting for {what}"
            raise DeadlineError(msg)
        _pause.wait(interval)
