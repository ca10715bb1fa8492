"""A lock for work that is divided into slices, so that urgent work never waits for all of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST_WAIT = 5.0
"""Seconds after which other work goes on although urgent work keeps coming."""


class PriorityLock:
    """A re-entrant lock. Whoever waits urgently gets it before the next slice of other work."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._counting = threading.Lock()
        self._urgent = 0
        self._nobody_waits = threading.Event()
        self._nobody_waits.set()

    @contextmanager
    def urgently(self) -> Iterator[None]:
        """Hold the lock; get it before all other work."""
        with self._counting:
            self._urgent += 1
            self._nobody_waits.clear()
        try:
            with self._lock:
                yield
        finally:
            with self._counting:
                self._urgent -= 1
                if not self._urgent:
                    self._nobody_waits.set()

    @contextmanager
    def for_a_slice(self) -> Iterator[None]:
        """Hold the lock for one slice of work. The thread must not hold it already."""
        self._nobody_waits.wait(_LONGEST_WAIT)
        with self._lock:
            yield

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()
