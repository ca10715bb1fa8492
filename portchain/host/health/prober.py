"""Sends probes to the functions of a host, at their times, and reports which have failed."""

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

from portchain.core.model import HealthCheck, PairHealth
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.plan import Probe
from portchain.host.health import frames
from portchain.host.health.channel import ChannelError, Received
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


class Check(NamedTuple):
    """A probe, and where its function is plugged in at the moment.

    :param enters_at: OpenFlow port at which probes go out.
    :param returns_at: OpenFlow port at which answers come in.
    """

    probe: Probe
    enters_at: int
    returns_at: int


def checks_of(probes: Iterable[Iterable[Probe]], local: LocalSwitch) -> list[Check]:
    """Return the checks of the functions that are plugged in on a host.

    :param probes: of each chain. Chains that share a function mean the same one by a pair's id.
    """
    wanted = {probe.pair_id: probe for each in probes for probe in each if probe.host == local.host}
    checks = []
    for probe in wanted.values():
        ingress, egress = map(local.ports.get, (probe.ingress_port, probe.egress_port))
        if ingress and egress:
            back = ingress if probe.check is HealthCheck.PING else egress
            checks.append(Check(probe, ingress.ofport, back.ofport))
    return checks


@dataclass
class _Function:
    """The state of one check."""

    check: Check
    secret: bytes = field(default_factory=lambda: os.urandom(frames.SECRET_BYTES))
    verdict: Verdict = field(default_factory=Verdict)
    number: int = 0
    sent_at: float | None = None  # of the probe that has no answer yet
    seconds: float | None = None  # that the last answer took
    asked_at: float | None = None  # when it asked for the address of the probes' destination


class _Event(NamedTuple):
    """Something to do at a time: to stop waiting for a probe or, after that, to send the next one.

    :param is_next: whether to send one.
    :param number: of the probe to stop waiting for.
    """

    time: float
    is_next: bool
    pair_id: str
    secret: bytes
    number: int = 0


class Prober:
    """Checks the functions of one host, in a thread of its own that starts with the first check.

    :param open_channel: returns a channel to the bridge that the functions are plugged into.
    :param report: called with what has changed; must not block.
    :param clock: returns seconds of a monotonic clock.
    """

    def __init__(
        self,
        name: str,
        open_channel: Callable[[], Channel],
        report: Callable[[list[PairHealth]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._open_channel = open_channel
        self._report = report
        self._clock = clock
        self._lock = threading.Lock()
        self._functions: dict[str, _Function] = {}
        self._at_port: dict[int, list[_Function]] = {}
        self._events: list[_Event] = []
        self._thread: threading.Thread | None = None
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._last_failure = ""

    @property
    def health(self) -> list[PairHealth]:
        """What is known of all functions, but those of which nothing is known yet."""
        with self._lock:
            return [
                _health(one) for one in self._functions.values() if one.verdict.is_up is not None
            ]

    @property
    def answer_seconds(self) -> Mapping[str, float]:
        """Pair id -> how long the last answer took."""
        with self._lock:
            return {
                pair_id: one.seconds
                for pair_id, one in self._functions.items()
                if one.seconds is not None
            }

    def set_checks(self, checks: Iterable[Check]) -> None:
        """Check these functions and no others. Known ones keep their verdicts."""
        wanted = {check.probe.pair_id: check for check in checks}
        with self._lock:
            for pair_id in self._functions.keys() - wanted.keys():
                del self._functions[pair_id]
            for pair_id, check in wanted.items():
                self._set_check(pair_id, check)
            at_port = defaultdict(list)
            for function in self._functions.values():
                at_port[function.check.returns_at].append(function)
            self._at_port = dict(at_port)
            is_first = bool(wanted) and self._thread is None
            if is_first:
                self._thread = threading.Thread(
                    target=self._run, name=f"{self._name}-health", daemon=True
                )
                self._thread.start()
        self._wake()

    def _set_check(self, pair_id: str, check: Check) -> None:
        known = self._functions.get(pair_id)
        if known is not None and _is_same_function(known.check, check):
            known.check = check
            return
        function = self._functions[pair_id] = _Function(check)
        # Not all at once: a host has hundreds of functions.
        first = _tick(self._clock() + _RANDOM.uniform(0, check.probe.parameters.delay))
        heapq.heappush(self._events, _Event(first, True, pair_id, function.secret))

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
                LOG.exception("The health checks of host %s failed; trying again", self._name)
                if channel:
                    channel.close()
                self._wait(_RETRY_SECONDS)

    def _work_once(self, channel: Channel) -> None:
        """Wait for answers or a time, and act. Answers count before times that have passed."""
        with self._lock:
            seconds = self._seconds_until_due()
        self._wait(seconds, channel.fileno())
        received = channel.take_in()
        frames_out: list[tuple[int, bytes]] = []
        with self._lock:
            now = self._clock()
            changed = [one for each in received if (one := self._note(each, now, frames_out))]
            probes, failed = self._take_due(now)
        channel.put_out([*frames_out, *probes])
        if reported := [*changed, *failed]:
            self._report([_health(one) for one in reported])

    def _seconds_until_due(self) -> float:
        while self._events and not self._matters(self._events[0]):
            heapq.heappop(self._events)
        if not self._events:
            return _IDLE_SECONDS
        return max(0.0, self._events[0].time - self._clock())

    def _matters(self, event: _Event) -> bool:
        """Tell whether an event is about a function that is still checked, and not answered yet."""
        function = self._functions.get(event.pair_id)
        if function is None or function.secret != event.secret:
            return False
        return event.is_next or (event.number == function.number and function.sent_at is not None)

    def _take_due(self, now: float) -> tuple[list[tuple[int, bytes]], list[_Function]]:
        """Return the probes to send now, and the functions that count as failed now."""
        probes: list[tuple[int, bytes]] = []
        failed: list[_Function] = []
        while self._events and self._events[0].time <= now:
            event = heapq.heappop(self._events)
            if not self._matters(event):
                continue
            function = self._functions[event.pair_id]
            if event.is_next:
                probes.append(self._next_probe(event, function, now))
            else:
                function.sent_at = None
                if self._note_result(function, False, now):
                    failed.append(function)
        return probes, failed

    def _next_probe(self, event: _Event, function: _Function, now: float) -> tuple[int, bytes]:
        check, parameters = function.check, function.check.probe.parameters
        function.number = (function.number + 1) % _NUMBERS
        function.sent_at = now
        ends = now + parameters.timeout
        waiting = event._replace(time=ends, is_next=False, number=function.number)
        heapq.heappush(self._events, waiting)
        # Whatever the delay of this one, so that probes stay spread; but never two at once.
        periods = max(1, math.ceil((ends - event.time) / parameters.delay))
        following = _tick(event.time + periods * parameters.delay)
        heapq.heappush(self._events, event._replace(time=following))
        return check.enters_at, frames.build(check.probe, function.number, function.secret)

    def _note(
        self, received: Received, now: float, frames_out: list[tuple[int, bytes]]
    ) -> _Function | None:
        """Note an answer; return its function if its verdict changes.

        :param frames_out: frames that are to be put out; answers to questions are added.
        """
        for function in self._at_port.get(received.port, ()):
            number = frames.number_of(function.check.probe, received.frame, function.secret)
            if number is None:
                if (answer := self._resolve(function, received.frame, now)) is not None:
                    frames_out.append((received.port, answer))
                continue
            is_ping = function.check.probe.check is HealthCheck.PING
            if function.sent_at is None or not (is_ping or number == function.number):
                return None  # late, or a copy
            function.seconds, function.sent_at = now - function.sent_at, None
            return function if self._note_result(function, True, now) else None
        return None

    @staticmethod
    def _resolve(function: _Function, frame: bytes, now: float) -> bytes | None:
        """Answer a function that asks for the address of the probes' destination.

        Only if it asks again: the machine that has the address, if there is one, answers the first
        time, and the function must not send that machine's packets elsewhere.
        """
        answer = frames.resolve(function.check.probe, frame)
        if answer is None:
            return None
        before, function.asked_at = function.asked_at, now
        return answer if before is not None and now - before < _ASKS_AGAIN_SECONDS else None

    def _note_result(self, function: _Function, answered: bool, now: float) -> bool:
        """Return whether the verdict changes."""
        before = function.verdict
        function.verdict = before.after(answered, function.check.probe.parameters, now)
        return function.verdict.is_up != before.is_up

    def _note_no_switch(self, failure: str) -> None:
        """Without the switch nothing is known: probes that were under way do not count."""
        with self._lock:
            for function in self._functions.values():
                function.sent_at = None
        if failure != self._last_failure:
            LOG.warning(
                "The functions of host %s are not checked: %s. Trying again every %s s",
                self._name,
                failure,
                _RETRY_SECONDS,
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


def _is_same_function(known: Check, check: Check) -> bool:
    """Tell whether what is known of a function stays true: only its times have changed."""
    return known == check._replace(probe=known.probe) and _without_times(
        known.probe
    ) == _without_times(check.probe)


def _without_times(probe: Probe) -> tuple[object, ...]:
    return (
        *(probe.host, probe.ingress_port, probe.ingress_mac, probe.egress_port),
        *(probe.check, probe.function, probe.source, probe.destination),
    )


def _health(function: _Function) -> PairHealth:
    probe, is_up = function.check.probe, bool(function.verdict.is_up)
    failures = probe.parameters.max_retries_down
    reason = "" if is_up else f"it has not answered {failures} probes in a row"
    return PairHealth(probe.pair_id, is_up, reason)
