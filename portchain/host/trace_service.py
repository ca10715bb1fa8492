"""Answers the server's requests for traces on a host."""

import threading
from typing import Any

from oslo_log import log

from portchain.dataplane.tracing.packet import Packet
from portchain.dataplane.tracing.steps import Decision, HostTrace, Start, Step
from portchain.host.bridge import UnreachableSwitchError
from portchain.host.tracer import HostTracer, TraceableSwitch
from portchain.host.worker import HostWorker
from portchain.rpc import trace_codec

LOG = log.getLogger(__name__)

_MOST_AT_ONCE = 4
"""Traces at the same time: each of them starts processes."""

_BUSY_SECONDS = 5.0
"""How long the thread that works on the switch may take to say what ports there are."""


class TraceService:
    """Traces packets, for the server.

    :param worker: that of the host.
    """

    def __init__(self, worker: HostWorker, switch: TraceableSwitch) -> None:
        self._worker = worker
        self._switch = switch
        self._free = threading.BoundedSemaphore(_MOST_AT_ONCE)

    def __call__(self, request: Any) -> dict[str, Any]:
        """Return the answer to a request.

        :raises ContractError: the request does not follow the contract.
        """
        start, packet = trace_codec.decode_request(request)
        if not self._free.acquire(blocking=False):
            return _answer(f"this host traces {_MOST_AT_ONCE} other packets at the moment")
        try:
            return trace_codec.encode_trace(self._trace(start, packet))
        except UnreachableSwitchError as exc:
            return _answer(str(exc))
        except TimeoutError:
            return _answer("this host is busy with its flows; try again")
        except Exception as exc:
            LOG.warning("Could not trace a packet on host %s: %s", self._worker.host, exc)
            return _answer("Open vSwitch or its database does not answer; see the host's log")
        finally:
            self._free.release()

    def _trace(self, start: Start, packet: Packet) -> HostTrace:
        plans = self._worker.reconciler.plans
        view = self._worker.ask(lambda: self._switch.view(plans), _BUSY_SECONDS)
        with self._switch.tracing() as tracing:
            return HostTracer(tracing).trace(view, start, packet)


def _answer(reason: str) -> dict[str, Any]:
    return trace_codec.encode_trace(HostTrace((Step(Decision.LOST, reason),), ()))
