"""The measurements, each with a number of chains present."""

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from bench import cpu, cycle, memory
from bench.errors import BenchError
from bench.packets import Watch, sending
from bench.points import Point
from bench.quiet import wait_quiet
from bench.rpc import RpcTrace, caused
from bench.scene import PACKET_PORT, Scene
from bench.sql import SqlLog

Values = dict[str, list[float]]


class Recorder:
    """Turns values into points.

    :param points: they are added here.
    """

    def __init__(self, implementation: str, points: list[Point]) -> None:
        self._implementation = implementation
        self._points = points

    def add(self, metric: str, chains: int, values: dict[str, list[float]]) -> None:
        """Write down all values of a metric, by subject."""
        self._points += [
            Point(self._implementation, chains, metric, subject, tuple(some))
            for subject, some in values.items()
        ]


def latency(scene: Scene, repeat: int, progress: Callable[[], None]) -> tuple[Values, Values]:
    """Milliseconds from each request to its answer, with nothing else going on; and how many of
    them the API workers were busy.
    """
    elapsed: Values = {}
    busy: Values = {}
    workers = cpu.Meter(scene.lab, "neutron-api")

    def observe(subject: str, request: Callable[[], Any]) -> Any:
        wait_quiet(scene.lab)
        before = workers.seconds()
        result = request()
        busy.setdefault(subject, []).append((workers.seconds() - before) * 1000)
        elapsed.setdefault(subject, []).append(scene.api.seconds * 1000)
        return result

    for _ in range(repeat):
        cycle.run(scene, observe)
        progress()
    return elapsed, busy


def warm_up(scene: Scene, times: int) -> None:
    """Have every worker answer every request once: connections, caches, imports."""

    def observe(_: str, request: Callable[[], Any]) -> Any:
        return request()

    for _ in range(times):
        cycle.run(scene, observe)


def background(scene: Scene, seconds: float) -> set[str]:
    """The RPC methods that are called without any request.

    :param seconds: how long to listen; longer than the agents' intervals.
    """
    wait_quiet(scene.lab)
    with RpcTrace(scene.lab) as trace:
        end = time.monotonic() + seconds
        found: set[str] = set()
        while time.monotonic() < end:
            found |= set(trace.methods())
    return found


def counts(
    scene: Scene, repeat: int, known: set[str], progress: Callable[[], None]
) -> tuple[Values, Values]:
    """SQL statements and RPC messages of each request, all that it causes later included.

    :param known: RPC methods not to count.
    """
    statements: Values = {}
    messages: Values = {}
    with SqlLog(scene.lab) as log, RpcTrace(scene.lab) as trace:

        def observe(subject: str, request: Callable[[], Any]) -> Any:
            wait_quiet(scene.lab)
            trace.methods()
            log.forget()
            result = request()
            wait_quiet(scene.lab)
            statements.setdefault(subject, []).append(float(len(log.statements())))
            sent = caused(trace.methods(), known)
            messages.setdefault(subject, []).append(float(sent.total()))
            return result

        for _ in range(repeat):
            cycle.run(scene, observe)
            progress()
    return statements, messages


def first_packet(scene: Scene, repeat: int, progress: Callable[[], None]) -> Values:
    """Milliseconds from the answer to the creation of a chain until the first packet arrives at its
    function; below zero if it arrives before the answer.
    """
    function = scene.spare[0]
    api, source, destination = scene.api, scene.source, scene.destination
    classifier = scene.classifier(PACKET_PORT)
    pair = scene.pair(function)
    group = scene.group([pair["id"]])
    values = []
    with (
        closing(Watch(function.vm, function.ingress, PACKET_PORT)) as steered,
        closing(Watch(destination, destination.nics[0].port_id, PACKET_PORT)) as direct,
        sending(source, destination.ip, PACKET_PORT),
    ):
        direct.first()
        for _ in range(repeat):
            steered.wait_silence()
            chain = scene.chain([group["id"]], [classifier["id"]])
            values.append((steered.first() - api.answered_at) * 1000)
            api.delete("port_chain", chain["id"])
            progress()
    for resource, made in (
        ("port_pair_group", group),
        ("port_pair", pair),
        ("flow_classifier", classifier),
    ):
        api.delete(resource, made["id"])
    if not values:
        raise BenchError("no first packet was waited for")
    return {"port_chain create": values}


def resident_memory(scene: Scene) -> Values:
    """MiB of the programs, at rest."""
    wait_quiet(scene.lab)
    return memory.measure(scene.lab)
