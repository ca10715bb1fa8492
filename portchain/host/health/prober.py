"""Sends probes at their times, and reports what answers and what does not."""

import contextlib
import heapq
import math
import os
import secrets
import select
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from oslo_log import log

from portchain.host.health.channel import ChannelError, Received
from portchain.host.health.checks import Check, Finding
from portchain.host.health.frames import ANY_NUMBER, SECRET_BYTES
from portchain.host.health.verdict import Verdict

LOG = log.getLogger(__name__)

_RETRY_SECONDS = 1.0
_IDLE_SECONDS = 60.0
_ASKS_AGAIN_SECONDS = 3.0
_TICK = 0.02
"""Probes are sent at multiples of this time, in seconds: what is due together costs less."""
_NUMBERS = 1 << 16
_RANDOM = secrets.SystemRandom()


class Channel(Protocol):
    """How the prober exchanges frames with the switch; ``PacketChannel`` is the implementation.

    All methods but ``close`` raise ``ChannelError`` if the switch is not there.
    """

    def connect(self) -> None:
        """Connect, unless connected."""

    def close(self) -> None:
        """Disconnect."""

    def fileno(self) -> int:
        """Return what ``select`` waits for."""

    def put_out(self, frames: Iterable[tuple[int, bytes]]) -> None:
        """Put frames out at OpenFlow ports."""

    def take_in(self) -> list[Received]:
        """Return the frames that have come since the last call."""


@dataclass
class _Subject:
    """What is known of something that is checked."""

    check: Check
    secret: bytes = field(default_factory=lambda: os.urandom(SECRET_BYTES))
    verdict: Verdict = field(default_factory=Verdict)
    number: int = 0
    sent_at: float | None = None  # of the probe that has no answer yet
    seconds: float | None = None  # that the last answer took
    asked_at: float | None = None  # when it asked for the address of the probes' destination

    @property
    def finding(self) -> Finding:
        return Finding(self.check.name, bool(self.verdict.is_up), self.check.times.max_retries_down)


class _Event(NamedTuple):
    """Something to do at a time: to stop waiting for a probe or, after that, to send the next one.

    :param is_next: whether to send one.
    :param number: of the probe to stop waiting for.
    """

    time: float
    is_next: bool
    name: str
    secret: bytes
    number: int = 0


class Prober:
    """Makes checks, in a thread of its own that starts with the first one.

    :param name: of the thread.
    :param what: is checked, for the log.
    :param open_channel: returns a channel to the bridge that probes enter and leave.
    :param report: called with what has changed; must not block.
    :param clock: returns seconds of a monotonic clock.
    """

    def __init__(
        self,
        name: str,
        what: str,
        open_channel: Callable[[], Channel],
        report: Callable[[list[Finding]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._what = name, what
        self._open_channel = open_channel
        self._report = report
        self._clock = clock
        self._lock = threading.Lock()
        self._subjects: dict[str, _Subject] = {}
        self._at_port: dict[int, list[_Subject]] = {}
        self._events: list[_Event] = []
        self._thread: threading.Thread | None = None
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._last_failure = ""

    @property
    def findings(self) -> list[Finding]:
        """All that is known."""
        with self._lock:
            known = (one for one in self._subjects.values() if one.verdict.is_up is not None)
            return [one.finding for one in known]

    @property
    def answer_seconds(self) -> Mapping[str, float]:
        """Name of a check -> how long the last answer took."""
        with self._lock:
            return {
                name: one.seconds for name, one in self._subjects.items() if one.seconds is not None
            }

    def set_checks(self, checks: Iterable[Check]) -> None:
        """Make these checks and no others. What is known from them stays."""
        wanted = {check.name: check for check in checks}
        with self._lock:
            for name in self._subjects.keys() - wanted.keys():
                del self._subjects[name]
            for check in wanted.values():
                self._set_check(check)
            at_port = defaultdict(list)
            for subject in self._subjects.values():
                at_port[subject.check.returns_at].append(subject)
            self._at_port = dict(at_port)
            if wanted and self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        self._wake()

    def _set_check(self, check: Check) -> None:
        known = self._subjects.get(check.name)
        if known is not None and known.check.is_same_as(check):
            known.check = check
            return
        subject = self._subjects[check.name] = _Subject(check)
        # Not all at once: a host has hundreds of functions.
        first = _tick(self._clock() + _RANDOM.uniform(0, check.times.delay))
        heapq.heappush(self._events, _Event(first, True, check.name, subject.secret))

    # The thread.

    def _run(self) -> None:
        channel: Channel | None = None
        while True:
            try:
                channel = channel or self._open_channel()
                channel.connect()
                self._last_failure = ""
                self._work_once(channel)
            except ChannelError as exc:
                self._note_no_switch(str(exc))
                self._wait(_RETRY_SECONDS)
            except Exception:
                LOG.exception("Checks of %s failed; trying again", self._what)
                if channel:
                    channel.close()
                self._wait(_RETRY_SECONDS)

    def _work_once(self, channel: Channel) -> None:
        """Wait for answers or a time, and act. Answers count before times that have passed."""
        with self._lock:
            seconds = self._seconds_until_due()
        self._wait(seconds, channel.fileno())
        received = channel.take_in()
        answers: list[tuple[int, bytes]] = []
        with self._lock:
            now = self._clock()
            changed = [one for each in received if (one := self._note(each, now, answers))]
            probes, failed = self._take_due(now)
            findings = [one.finding for one in (*changed, *failed)]
        channel.put_out([*answers, *probes])
        if findings:
            self._report(findings)

    def _seconds_until_due(self) -> float:
        while self._events and not self._matters(self._events[0]):
            heapq.heappop(self._events)
        if not self._events:
            return _IDLE_SECONDS
        return max(0.0, self._events[0].time - self._clock())

    def _matters(self, event: _Event) -> bool:
        """Tell whether an event is about a present check, and a probe that has no answer yet."""
        subject = self._subjects.get(event.name)
        if subject is None or subject.secret != event.secret:
            return False
        return event.is_next or (event.number == subject.number and subject.sent_at is not None)

    def _take_due(self, now: float) -> tuple[list[tuple[int, bytes]], list[_Subject]]:
        """Return the probes to send now, and what counts as failed now."""
        probes: list[tuple[int, bytes]] = []
        failed: list[_Subject] = []
        while self._events and self._events[0].time <= now:
            event = heapq.heappop(self._events)
            if not self._matters(event):
                continue
            subject = self._subjects[event.name]
            if event.is_next:
                probes.append(self._next_probe(event, subject, now))
            else:
                subject.sent_at = None
                if self._note_result(subject, False, now):
                    failed.append(subject)
        return probes, failed

    def _next_probe(self, event: _Event, subject: _Subject, now: float) -> tuple[int, bytes]:
        check, times = subject.check, subject.check.times
        subject.number = (subject.number + 1) % _NUMBERS
        subject.sent_at = now
        ends = now + times.timeout
        waiting = event._replace(time=ends, is_next=False, number=subject.number)
        heapq.heappush(self._events, waiting)
        # Whatever the delay of this one, so that probes stay spread; but never two at once.
        periods = max(1, math.ceil((ends - event.time) / times.delay))
        following = _tick(event.time + periods * times.delay)
        heapq.heappush(self._events, event._replace(time=following))
        return check.enters_at, check.form.build(subject.number, subject.secret)

    def _note(
        self, received: Received, now: float, answers: list[tuple[int, bytes]]
    ) -> _Subject | None:
        """Note an answer; return what it concerns if that changes its verdict.

        :param answers: frames to put out; those that answer questions are added.
        """
        for subject in self._at_port.get(received.port, ()):
            number = subject.check.form.number_of(received.frame, subject.secret)
            if number is None:
                if (answer := self._resolve(subject, received.frame, now)) is not None:
                    answers.append((received.port, answer))
                continue
            if subject.sent_at is None or number not in (ANY_NUMBER, subject.number):
                return None  # late, or a copy
            subject.seconds, subject.sent_at = now - subject.sent_at, None
            return subject if self._note_result(subject, True, now) else None
        return None

    @staticmethod
    def _resolve(subject: _Subject, frame: bytes, now: float) -> bytes | None:
        """Answer a function that asks for the address of the probes' destination.

        Only if it asks again: the machine that has the address, if there is one, answers the first
        time, and the function must not send that machine's packets elsewhere.
        """
        answer = subject.check.form.resolve(frame)
        if answer is None:
            return None
        before, subject.asked_at = subject.asked_at, now
        return answer if before is not None and now - before < _ASKS_AGAIN_SECONDS else None

    @staticmethod
    def _note_result(subject: _Subject, answered: bool, now: float) -> bool:
        """Return whether the verdict changes."""
        before = subject.verdict
        subject.verdict = before.after(answered, subject.check.times, now)
        return subject.verdict.is_up != before.is_up

    def _note_no_switch(self, failure: str) -> None:
        """Without the switch nothing is known: probes that were under way do not count."""
        with self._lock:
            for subject in self._subjects.values():
                subject.sent_at = None
        if failure != self._last_failure:
            LOG.warning(
                "There are no checks of %s: %s. Trying again every %s s",
                *(self._what, failure, _RETRY_SECONDS),
            )
        self._last_failure = failure

    def _wait(self, seconds: float, *readable: int) -> None:
        """Wait for a time, for something to read, or for ``_wake``."""
        poll = select.poll()  # takes any number of files, unlike select.select
        for one in (self._wake_reader, *readable):
            poll.register(one, select.POLLIN)
        woken = any(one == self._wake_reader for one, _ in poll.poll(math.ceil(seconds * 1000)))
        if woken:
            os.read(self._wake_reader, 1 << 10)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it is full, so the thread will wake
            os.write(self._wake_writer, b"\0")


def _tick(moment: float) -> float:
    """Return the first multiple of ``_TICK`` that is not before a time."""
    return math.ceil(round(moment / _TICK, 3)) * _TICK
