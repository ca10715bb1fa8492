"""Measures one failure of a function, and the recovery from it, with packets."""

import time

from portchain_lab.observe import packet_paths
from portchain_lab.observe.capture import Capture
from portchain_lab.observe.traffic import OpenConnections, UdpStream
from portchain_lab.waiting import wait_for

from bench.errors import BenchError
from bench.failover.cases import Plan
from bench.failover.site import CONNECTIONS, DATAGRAMS, Scene
from bench.failover.verdict import Failure, Times, judge

_ARRIVAL = 60.0
_SETTLE = 2.0
"""Seconds after a function is back until what was to move has moved."""


def measure(scene: Scene, plan: Plan) -> Failure:
    """Have the function that the datagrams visit, or its host, fail and go on.

    :raises BenchError: the datagrams do not visit one function, or the capture shows no failure.
    :raises LabError: the datagrams do not arrive.
    """
    source, destination = scene.source, scene.destination
    stream = UdpStream(source, destination, DATAGRAMS, rate=plan.rate)
    connections = OpenConnections(source, destination, CONNECTIONS, plan.connections)
    broken: list[str] = []
    with Capture([source, destination, *scene.functions.values()]) as capture, connections, stream:
        _wait_for_more(stream)
        broken += connections.exchange()
        failed, other = _visited(capture, scene)
        with scene.failing(failed):
            _wait_for_more(stream, plan.rate)
            scene.wait_status(failed, "ERROR")
            broken += connections.exchange()
            repaired = time.time()
        scene.wait_status(failed, "ONLINE")
        time.sleep(_SETTLE)
        back = time.time()
        _wait_for_more(stream)
        broken += connections.exchange()
        result = stream.stop()
        frames = capture.stop()
    return judge(
        packet_paths.observations(frames, promiscuous=scene.case.kind == "l2"),
        failed,
        other,
        scene.ends,
        Times(scene.failed_at(failed), repaired, back),
        lost=len(result.lost),
        broken=len(broken),
    )


def _visited(capture: Capture, scene: Scene) -> tuple[str, str]:
    """Return the function that the datagrams visit, and the other one."""
    found = packet_paths.observations(capture.frames, promiscuous=True)
    visited = {
        one.vm
        for one in found
        if one.vm in scene.functions
        and one.outgoing
        and one.five_tuple.destination_port == DATAGRAMS
    }
    if len(visited) != 1:
        raise BenchError(f"datagrams visit {sorted(visited)}, not one function")
    (failed,) = visited
    (other,) = scene.functions.keys() - visited
    return failed, other


def _wait_for_more(stream: UdpStream, count: float = 50) -> None:
    enough = len(stream.result.received) + count
    wait_for(lambda: len(stream.result.received) >= enough, _ARRIVAL, "datagrams to arrive", 0.05)
