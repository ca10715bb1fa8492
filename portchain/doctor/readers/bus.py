"""Asks the agent and the Neutron server over the message broker."""

import queue
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import oslo_messaging
from neutron_lib import context as n_context
from neutron_lib import rpc as n_rpc
from oslo_config import cfg

from portchain.doctor.snapshot import AgentFacts, PlanFacts
from portchain.rpc.agent import AgentClient
from portchain.rpc.server import ServerClient
from portchain.rpc.state_codec import AgentState

_PORTS = {"rabbit": 5672}
_MORE_SECONDS = 2.0  # for the library: it notices timeouts late
_UNKNOWN_METHOD = ("NoSuchMethod", "UnsupportedVersion")

_Answer = TypeVar("_Answer")


def why_unreachable(timeout: float) -> str:
    """Return why no message broker accepts connections; empty if one does.

    oslo.messaging would try again without an end.

    :param timeout: seconds to wait for each broker.
    """
    try:
        url = oslo_messaging.TransportURL.parse(cfg.CONF)
    except Exception as exc:  # the library raises many types
        return f"transport_url cannot be read: {exc}"
    port = _PORTS.get(url.transport.partition("+")[0])
    if port is None:
        return ""  # another kind of broker: the calls themselves will show it
    brokers = [(one.hostname, one.port or port) for one in url.hosts if one.hostname]
    reasons = []
    for broker in brokers:
        try:
            socket.create_connection(broker, timeout).close()
        except OSError as exc:
            reasons.append(f"{broker[0]}:{broker[1]} ({exc.strerror or exc})")
        else:
            return ""
    if not brokers:
        return "the agent's configuration names no message broker (transport_url)"
    return f"the message broker does not answer at {', '.join(reasons)}"


def connect() -> None:
    """Prepare this process for calls; once."""
    oslo_messaging.set_transport_defaults(control_exchange="neutron")
    n_rpc.init(cfg.CONF)


class Bus:
    """The message broker, which answered a moment before.

    :param timeout: seconds that each answer may take.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    def ask(self, host: str, processes: Mapping[int, str]) -> tuple[AgentFacts, PlanFacts]:
        """Ask agent and server at the same time.

        :param processes: as in ``AgentFacts``.
        """
        context = n_context.get_admin_context_without_session()
        agent = _Question(
            lambda: AgentClient().state(context, host, self._timeout, with_plans=True)
        )
        server = _Question(lambda: ServerClient().plans(context, host, self._timeout))
        seconds = self._timeout + _MORE_SECONDS
        state, plans = agent.wait(seconds), server.wait(seconds)
        return self._agent_facts(state, processes), self._plan_facts(plans)

    def _agent_facts(
        self, answer: AgentState | Exception, processes: Mapping[int, str]
    ) -> AgentFacts:
        if isinstance(answer, AgentState):
            return AgentFacts(processes, answer)
        silence, is_older = self._silence(answer), _is_older(answer)
        return AgentFacts(processes, silence=silence, is_older=is_older)

    def _plan_facts(self, answer: Any) -> PlanFacts:
        if isinstance(answer, Exception):
            return PlanFacts(silence=self._silence(answer))
        if answer.unreadable:
            return PlanFacts(silence=answer.unreadable[0].error)
        return PlanFacts(answer.chains)

    def _silence(self, error: Exception) -> str:
        if isinstance(error, oslo_messaging.MessagingTimeout | queue.Empty):
            return f"no answer within {self._timeout:g} s"
        if _is_older(error):
            return "its release is from before contract 1.19"
        return " ".join(str(error).split()) or repr(error)


def _is_older(error: object) -> bool:
    return getattr(error, "exc_type", type(error).__name__) in _UNKNOWN_METHOD


class _Question:
    """A call in a thread of its own, because libraries may wait longer than they are told."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._run, args=(call,), daemon=True).start()

    def _run(self, call: Callable[[], Any]) -> None:
        try:
            self._answers.put(call())
        except Exception as exc:  # of any library, or what the other side has raised
            self._answers.put(exc)

    def wait(self, seconds: float) -> Any:
        """Return the answer, or the exception in its place."""
        try:
            return self._answers.get(timeout=seconds)
        except queue.Empty as exc:
            return exc
