"""Judges what was captured of one failure. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from portchain_lab.observe.packet_paths import Observation

from bench.errors import BenchError

_NANOSECONDS = 1e9


@dataclass(frozen=True, slots=True)
class Ends:
    """Names of VMs, and ports that the destination listens at."""

    destination: str
    datagrams: int
    connections: int


@dataclass(frozen=True, slots=True)
class Times:
    """Moments of a failure, in seconds since the epoch.

    :param noticed: when the host said that the function had failed.
    :param repaired: when the function was about to go on.
    :param back: when it was back in the path.
    """

    noticed: float
    repaired: float
    back: float


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failure did to the traffic.

    :param detection: seconds from the last datagram that the function forwarded until its host
        counted it as failed.
    :param switch_over: seconds from there until the other function forwarded the first one.
    :param lost: datagrams that did not arrive. ``around``: that arrived without any function.
    :param broken: connections that did not survive the failure or the recovery.
    :param moved: connections that changed the function when the failed one came back.
    """

    detection: float
    switch_over: float
    lost: int
    around: int
    broken: int
    moved: int


def judge(
    observed: Sequence[Observation],
    failed: str,
    other: str,
    ends: Ends,
    times: Times,
    *,
    lost: int,
    broken: int,
) -> Failure:
    """Return what a failure did to the traffic.

    :param observed: the packets at all interfaces of the functions and of both ends.
    :param failed: name of the function that failed; ``other``: of the one that took over.
    :param lost: as in ``Failure``, like ``broken``.
    :raises BenchError: the datagrams did not visit one function and then the other.
    """
    datagrams = [one for one in observed if one.five_tuple.destination_port == ends.datagrams]
    sent = [one for one in datagrams if one.outgoing]
    before = [_seconds(one) for one in sent if one.vm == failed]
    last = max((time for time in before if time < times.repaired), default=None)
    after = [_seconds(one) for one in sent if one.vm == other]
    first = min((time for time in after if last is not None and time > last), default=None)
    if last is None or first is None:
        raise BenchError(f"no datagrams at {failed} and then at {other}")
    return Failure(
        detection=times.noticed - last,
        switch_over=first - last,
        lost=lost,
        around=_around(datagrams, (failed, other), ends.destination),
        broken=broken,
        moved=_moved(observed, (failed, other), ends.connections, times),
    )


def _seconds(one: Observation) -> float:
    return one.time_ns / _NANOSECONDS


def _around(datagrams: Iterable[Observation], functions: Sequence[str], destination: str) -> int:
    """Count the datagrams that arrived without having been sent by a function."""
    arrived, visited = set(), set()
    for one in datagrams:
        if one.vm == destination and not one.outgoing:
            arrived.add(one.identity)
        elif one.vm in functions and one.outgoing:
            visited.add(one.identity)
    return len(arrived - visited)


def _moved(
    observed: Iterable[Observation], functions: Sequence[str], port: int, times: Times
) -> int:
    """Count the connections that were at one function before the recovery, and at another later."""
    before, after = defaultdict[int, set[str]](set), defaultdict[int, set[str]](set)
    for one in observed:
        five_tuple = one.five_tuple
        if one.vm not in functions or not one.outgoing or five_tuple.destination_port != port:
            continue
        if times.noticed < _seconds(one) < times.repaired:
            before[five_tuple.source_port].add(one.vm)
        elif _seconds(one) > times.back:
            after[five_tuple.source_port].add(one.vm)
    return sum(after[number] != visited for number, visited in before.items() if after[number])
