"""Waiting for a state instead of for some time."""

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
    """Ask ``predicate`` until it answers with something true, and return that.

    :param deadline: seconds after which to give up.
    :param what: names the state waited for in the error message.
    :param interval: seconds between two questions.
    :raises DeadlineError: if the answer is still false at the deadline. Exceptions of the predicate
        are not swallowed: a predicate that expects some has to catch them.
    """
    end = time.monotonic() + deadline
    while True:
        answer = predicate()
        if answer:
            return answer  # type: ignore[return-value]  # True for a predicate that only says yes
        if time.monotonic() >= end:
            msg = f"not within {deadline:g} s: {what}"
            raise DeadlineError(msg)
        _pause.wait(interval)
