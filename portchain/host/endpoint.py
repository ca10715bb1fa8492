"""What receives the server's messages to one host, whatever program it runs in."""

from portchain.host.trace_service import TraceService
from portchain.host.tracer import TraceableSwitch
from portchain.host.worker import HostWorker
from portchain.rpc.agent import AgentEndpoint


def endpoint_of(worker: HostWorker, switch: TraceableSwitch) -> AgentEndpoint:
    """Return the endpoint of a host.

    :param switch: the one that the worker programs.
    """
    return AgentEndpoint(
        worker.receive_update,
        worker.counts_of,
        TraceService(worker, switch),
        worker.state,
        worker.receive_health,
    )
