"""Reports that wait to be sent: of each thing only the latest."""

import threading
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Outbox(Generic[_T]):
    """Keeps reports until they are sent. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, _T] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def waiting(self) -> list[_T]:
        """The reports that have not been sent."""
        with self._lock:
            return list(self._waiting.values())

    def put(self, reports: Mapping[str, _T]) -> None:
        """Add reports. Each replaces the one about the same thing that has not been sent.

        :param reports: name of the thing, such as an id -> report.
        """
        with self._lock:
            self._waiting.update(reports)

    def send(self, deliver: Callable[[list[_T]], None]) -> None:
        """Have all reports delivered, if there are any. Those that it raises for stay.

        A report that comes meanwhile stays, too, unless it is equal to the one delivered.

        :param deliver: called without a lock; may block.
        """
        with self._lock:
            sent = dict(self._waiting)
        if not sent:
            return
        deliver(list(sent.values()))
        with self._lock:
            for name, report in sent.items():
                if self._waiting.get(name) == report:
                    del self._waiting[name]
