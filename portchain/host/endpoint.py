"""What receives the server's messages to one host, whatever program it runs in."""

from collections.abc import Callable
from typing import Any, Protocol

from portchain.host.live.service import LiveTraceService
from portchain.host.live.switch import LiveSwitch
from portchain.host.trace_service import TraceService
from portchain.host.tracer import TraceableSwitch
from portchain.host.worker import HostWorker
from portchain.rpc.agent import AgentEndpoint
from portchain.rpc.live import LiveEndpoint


class AskedSwitch(TraceableSwitch, LiveSwitch, Protocol):
    """The switch of a host that the server's questions are about."""


def endpoints_of(
    worker: HostWorker, switch: AskedSwitch, is_there: Callable[[], bool] = lambda: True
) -> list[Any]:
    """Return the endpoints of a host.

    :param switch: the one that the worker programs.
    :param is_there: as for ``AgentEndpoint``.
    """
    agent = AgentEndpoint(
        worker.receive_update,
        worker.counts_of,
        TraceService(worker, switch),
        worker.state,
        worker.receive_health,
        is_there=is_there,
    )
    return [agent, LiveEndpoint(LiveTraceService(worker, switch))]
