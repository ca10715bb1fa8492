"""Joins work on the same chains that several threads ask for at a time."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any


class JoinedWork:
    """Calls a function for chains, once for all requests that have come since it began before.

    A request waits until a call is complete that has begun after it: so the call has read what the
    request is about. A chain of which nobody works is worked on at once. The first of those who
    wait for a chain makes the call; if that raises, the next one tries.

    :param work: called with the context of one of those who ask, and ids of chains; never at the
        same time for the same chain.
    """

    def __init__(self, work: Callable[[Any, Sequence[str]], None]) -> None:
        self._work = work
        self._changed = threading.Condition()
        self._busy: set[str] = set()
        # Chain -> number of requests that wait, number of the last request, and of the last one
        # that is done. Only of chains for which somebody waits.
        self._waiting: Counter[str] = Counter()
        self._last: Counter[str] = Counter()
        self._done: Counter[str] = Counter()

    def do(self, context: Any, chain_ids: Iterable[str]) -> None:
        """Have chains worked on, and return when that is done.

        :raises Exception: of the function, if this thread has called it.
        """
        own = self._enter(chain_ids)
        try:
            while chosen := self._choose(own):
                self._call(context, chosen)
        finally:
            self._leave(own)

    def _enter(self, chain_ids: Iterable[str]) -> dict[str, int]:
        """Return the number of a new request for each chain."""
        with self._changed:
            wanted = set(chain_ids)
            self._waiting.update(wanted)
            self._last.update(wanted)
            return {chain_id: self._last[chain_id] for chain_id in wanted}

    def _choose(self, own: dict[str, int]) -> dict[str, int]:
        """Wait until this thread can work on some of its chains; none if all are done.

        :returns: chain -> the last request that the work will answer.
        """
        with self._changed:
            while left := {one for one, number in own.items() if self._done[one] < number}:
                if free := left - self._busy:
                    self._busy |= free
                    return {chain_id: self._last[chain_id] for chain_id in free}
                self._changed.wait()
            return {}

    def _call(self, context: Any, chosen: dict[str, int]) -> None:
        done: dict[str, int] = {}
        try:
            self._work(context, sorted(chosen))
            done = chosen
        finally:
            with self._changed:
                self._busy -= chosen.keys()
                self._done |= Counter(done)  # the larger number of each
                self._changed.notify_all()

    def _leave(self, own: dict[str, int]) -> None:
        with self._changed:
            for chain_id in own:
                self._waiting[chain_id] -= 1
                if not self._waiting[chain_id]:
                    for counter in (self._waiting, self._last, self._done):
                        del counter[chain_id]
