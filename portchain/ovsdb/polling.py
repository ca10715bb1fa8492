"""Lets a program have more than a thousand connections to databases."""

import select
from typing import Any

from ovs import poller


class Poll:
    """What Open vSwitch's library waits with, without the limit of ``select.select``.

    That function takes no descriptor above 1023, and the library uses it for the sake of Eventlet,
    which this package's own programs do not use. Unlike ``select.poll``, this adds events to those
    that a descriptor was registered for.
    """

    def __init__(self) -> None:
        self._events: dict[int, int] = {}

    def register(self, fd: Any, events: int) -> None:
        """Wait for events of a descriptor, or of an object that has one."""
        number = fd if isinstance(fd, int) else fd.fileno()
        self._events[number] = self._events.get(number, 0) | events

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        """Return descriptors and their events.

        :param timeout: milliseconds to wait; -1 waits without an end.
        """
        waiting = select.poll()
        for number, events in self._events.items():
            waiting.register(number, events)
        return waiting.poll(timeout)


def allow_many_connections() -> None:
    """Have the library wait without a limit, from now on."""
    poller.SelectPoll = Poll
