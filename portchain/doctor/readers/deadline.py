"""Calls of libraries that may wait longer than they are told, or without an end."""

import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


class Call(Generic[_T]):
    """A call in a thread of its own, which the program leaves behind if it does not end.

    :param function: is called at once.
    """

    def __init__(self, function: Callable[[], _T]) -> None:
        self._results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._run, args=(function,), daemon=True).start()

    def _run(self, function: Callable[[], _T]) -> None:
        try:
            self._results.put((function(), None))
        except Exception as exc:
            self._results.put((None, exc))

    def result(self, seconds: float) -> _T:
        """Return what the function has returned.

        :param seconds: how long to wait at most.
        :raises TimeoutError: it has not ended by then.
        :raises Exception: what it has raised.
        """
        try:
            result, error = self._results.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(f"no answer within {seconds:g} s") from None
        if error is not None:
            raise error
        return result
