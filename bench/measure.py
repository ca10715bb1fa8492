"""The measurements. Each runs with a given number of existing chains."""

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

    :param points: receives the points.
    """

    def __init__(self, implementation: str, points: list[Point]) -> None:
        self._implementation = implementation
        self._points = points

    def add(self, metric: str, chains: int, values: dict[str, list[float]]) -> None:
        """Record the values of a metric, by subject."""
        self._points += [
            Point(self._implementation, chains, metric, subject, tuple(some))
            for subject, some in values.items()
        ]


def latency(scene: Scene, repeat: int, progress: Callable[[], None]) -> tuple[Values, Values]:
    """Measure the response time of each request in an otherwise idle lab.

    :returns: response times, and processor time of the API workers, both in milliseconds.
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
    """Have each API worker serve each request, so that connections, caches and imports exist."""

    def observe(_: str, request: Callable[[], Any]) -> Any:
        return request()

    for _ in range(times):
        cycle.run(scene, observe)


def background(scene: Scene, seconds: float) -> set[str]:
    """The RPC methods that an idle lab calls.

    :param seconds: how long to listen; longer than the intervals of the agents' periodic tasks.
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
    """Count SQL statements and RPC messages of each request and of all that it causes later.

    :param known: the RPC methods not to count.
    :returns: numbers of statements, and of messages.
    """
    statements: Values = {}
    messages: Values = {}
    with SqlLog(scene.lab) as log, RpcTrace(scene.lab) as trace:

        def observe(subject: str, request: Callable[[], Any]) -> Any:
            wait_quiet(scene.lab)
            trace.methods()
            log.clear()
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
    """Measure how soon a new chain steers packets.

    :returns: milliseconds from the response to the creation of the chain until the first packet
        arrives at its function; negative if it arrives before the response.
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
    for resource, created in (
        ("port_pair_group", group),
        ("port_pair", pair),
        ("flow_classifier", classifier),
    ):
        api.delete(resource, created["id"])
    if not values:
        raise BenchError("the plan has no repetitions: there is no first packet")
    return {"port_chain create": values}


def resident_memory(scene: Scene) -> Values:
    """Resident memory of the programs of an idle lab, in MiB."""
    wait_quiet(scene.lab)
    return memory.measure(scene.lab)
