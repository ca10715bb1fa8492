"""Joins work on the same chains that several threads ask for at a time."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

_Result = TypeVar("_Result")


class JoinedWork(Generic[_Result]):
    """Calls a function for chains, once for all requests that have come since it began before.

    A request waits until a call is complete that has begun after it: so the call has read what the
    request is about. A chain of which nobody works is worked on at once. The first of those who
    wait for a chain makes the call; if that raises, the next one tries.

    :param work: called with the context of one of those who ask, and ids of chains; never at the
        same time for the same chain. Returns chain id -> result, of chains that have one. A result
        is kept as long as somebody waits for the chain.
    """

    def __init__(self, work: Callable[[Any, Sequence[str]], Mapping[str, _Result]]) -> None:
        self._work = work
        self._changed = threading.Condition()
        self._busy: set[str] = set()
        # Chain -> number of requests that wait, number of the last request, and of the last one
        # that is done. Only of chains for which somebody waits.
        self._waiting: Counter[str] = Counter()
        self._last: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._results: dict[str, _Result] = {}

    def do(self, context: Any, chain_ids: Iterable[str]) -> dict[str, _Result]:
        """Have chains worked on, and return when that is done.

        :returns: chain id -> result, of chains that have one.
        :raises Exception: of the function, if this thread has called it.
        """
        own = self._enter(chain_ids)
        try:
            while chosen := self._choose(own):
                self._call(context, chosen)
            with self._changed:
                return {one: self._results[one] for one in own if one in self._results}
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
        results: Mapping[str, _Result] = {}
        try:
            results = self._work(context, sorted(chosen))
            done = chosen
        finally:
            with self._changed:
                self._busy -= chosen.keys()
                for chain_id in done:
                    self._results.pop(chain_id, None)
                self._results.update(results)
                self._done |= Counter(done)  # the larger number of each
                self._changed.notify_all()

    def _leave(self, own: dict[str, int]) -> None:
        with self._changed:
            for chain_id in own:
                self._waiting[chain_id] -= 1
                if not self._waiting[chain_id]:
                    for counter in (self._waiting, self._last, self._done):
                        del counter[chain_id]
                    self._results.pop(chain_id, None)
