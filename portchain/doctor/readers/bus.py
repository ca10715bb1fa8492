"""Asks the agent and the Neutron server over the message broker."""

import socket
from collections.abc import Mapping

import oslo_messaging
from neutron_lib import context as n_context
from neutron_lib import rpc as n_rpc
from oslo_config import cfg

from portchain.doctor.readers.deadline import Call
from portchain.doctor.snapshot import AgentFacts, PlanFacts
from portchain.rpc.agent import AgentClient
from portchain.rpc.contract import PlanUpdate
from portchain.rpc.server import ServerClient
from portchain.rpc.state_codec import AgentState

_PORTS = {"rabbit": 5672}
_MORE_SECONDS = 2.0  # for the library: it notices timeouts late
_UNKNOWN_METHOD = ("NoSuchMethod", "UnsupportedVersion")


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
        agent = Call(lambda: AgentClient().state(context, host, self._timeout, with_plans=True))
        server = Call(lambda: ServerClient().plans(context, host, self._timeout))
        return self._agent_facts(agent, processes), self._plan_facts(server)

    def _agent_facts(self, agent: Call[AgentState], processes: Mapping[int, str]) -> AgentFacts:
        try:
            return AgentFacts(processes, agent.result(self._timeout + _MORE_SECONDS))
        except Exception as exc:  # of any library, or what the other side has raised
            silence = self._silence(exc)
            return AgentFacts(processes, silence=silence, is_older=_is_older(exc))

    def _plan_facts(self, server: Call[PlanUpdate]) -> PlanFacts:
        try:
            update = server.result(self._timeout + _MORE_SECONDS)
        except Exception as exc:  # as above
            return PlanFacts(silence=self._silence(exc))
        if update.unreadable:
            return PlanFacts(silence=update.unreadable[0].error)
        return PlanFacts(update.chains)

    def _silence(self, error: Exception) -> str:
        if isinstance(error, oslo_messaging.MessagingTimeout | TimeoutError):
            return f"no answer within {self._timeout:g} s"
        if _is_older(error):
            return "its release is from before contract 1.19"
        return " ".join(str(error).split()) or repr(error)


def _is_older(error: object) -> bool:
    return getattr(error, "exc_type", type(error).__name__) in _UNKNOWN_METHOD
