"""Calls to a host: ``AgentClient`` makes those of the server, ``HostClient`` those of other hosts.

``AgentEndpoint`` receives both.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import oslo_messaging
from neutron_lib import rpc as n_rpc
from oslo_log import log

from portchain.core.counters import Count, Counter, HostCounts
from portchain.core.model import PairHealth
from portchain.dataplane.tracing.packet import Packet
from portchain.dataplane.tracing.steps import HostTrace, Start
from portchain.rpc import contract, state_codec, trace_codec
from portchain.rpc.fields import ContractError, read_text

LOG = log.getLogger(__name__)

_AT_ONCE, _PINGED_AT_ONCE = 16, 64
"""So many hosts are asked at the same time."""

_Answer = TypeVar("_Answer")


class AgentClient:
    """Notifies hosts of changes, and asks them, from the server."""

    def __init__(self) -> None:
        self._client = n_rpc.get_client(
            oslo_messaging.Target(topic=contract.AGENT_TOPIC, version=contract.VERSION)
        )

    def apply(self, context: Any, updates: Mapping[str, contract.PlanUpdate]) -> None:
        """Send each host its update, in one message a host, without waiting for an answer.

        If a message is lost, the host's next sync makes up for it.

        :param updates: host -> update.
        """
        for host, update in updates.items():
            self._client.prepare(server=host).cast(
                context, "apply", update=contract.encode_update(update)
            )

    def silent(self, context: Any, hosts: Collection[str], seconds: float) -> set[str]:
        """Return those of some hosts on which the program that receives messages does not answer.

        A portchain-controller, which runs elsewhere, says whether they are there. All are asked at
        the same time: a whole rack may have lost its power.

        :param seconds: to wait for the answers.
        """

        def answers(host: str) -> bool:
            try:
                said = self._client.prepare(server=host, timeout=seconds).call(context, "ping")
            except oslo_messaging.MessagingTimeout:
                return False
            except Exception as error:  # one older than contract 1.16 has no such method
                LOG.debug("Host %s has answered: %r", host, error)
                return True
            return said is not False

        found = _ask_all(answers, hosts, _PINGED_AT_ONCE)
        return {host for host, has_answered in found.items() if not has_answered}

    def counters(
        self, context: Any, hosts: Collection[str], chain_id: str, timeout: float
    ) -> HostCounts:
        """Ask hosts what they have counted of a chain.

        :param timeout: seconds to wait for each of them.
        """
        answers, failures = self._ask(
            context,
            hosts,
            "counters",
            lambda answer: contract.decode_counts(answer, {chain_id}),
            timeout,
            chain_ids=[chain_id],
        )
        return HostCounts(answers, failures)

    def _ask(
        self,
        context: Any,
        hosts: Collection[str],
        method: str,
        decode: Callable[[Any], _Answer],
        timeout: float,
        **arguments: Any,
    ) -> tuple[dict[str, _Answer], dict[str, str]]:
        """Call a method of hosts, of many at the same time.

        :param decode: reads an answer; raises ``ContractError`` if that is not possible.
        :param timeout: seconds to wait for each of them.
        :returns: host -> answer, and host -> why there is none.
        """

        def ask(host: str) -> _Answer | str:
            try:
                client = self._client.prepare(server=host, timeout=timeout)
                return decode(client.call(context, method, **arguments))
            except oslo_messaging.MessagingTimeout:
                return f"no answer within {timeout:g} s"
            except ContractError as error:
                LOG.error("Host %s has answered %s with what is no answer: %s", host, method, error)
                return "its answer cannot be read"
            except Exception as error:  # what a host raises arrives as any type
                LOG.warning("Host %s cannot answer %s: %r", host, method, error)
                kind = getattr(error, "exc_type", type(error).__name__)
                if kind in UNKNOWN_METHOD:
                    return "its release is older and cannot answer"
                return "it failed, or cannot be reached; the logs say why"

        found = _ask_all(ask, hosts, _AT_ONCE)
        failures = {host: answer for host, answer in found.items() if isinstance(answer, str)}
        answers = {host: one for host, one in found.items() if not isinstance(one, str)}
        return answers, failures

    def trace(
        self, context: Any, host: str, start: Start, packet: Packet, seconds: float
    ) -> HostTrace:
        """Ask a host what it would do with a packet.

        :param seconds: how long to wait for the answer.
        :raises Exception: of oslo.messaging, if the host does not answer in time or is older than
            contract 1.18.
        :raises ContractError: the answer cannot be read.
        """
        answer = self._client.prepare(server=host, timeout=seconds).call(
            context, "trace", request=trace_codec.encode_request(start, packet)
        )
        return trace_codec.decode_trace(answer)

    def state(
        self, context: Any, host: str, seconds: float, *, with_plans: bool
    ) -> state_codec.AgentState:
        """Ask what programs a host's switch how it is.

        :param seconds: how long to wait for the answer.
        :param with_plans: whether it also sends its plans.
        :raises Exception: of oslo.messaging, if it does not answer in time or is older than
            contract 1.19.
        :raises ContractError: the answer cannot be read.
        """
        client = self._client.prepare(server=host, timeout=seconds)
        return state_codec.decode_state(client.call(context, "state", with_plans=with_plans))


class HostClient:
    """Tells other hosts, from a host."""

    def __init__(self) -> None:
        self._client = n_rpc.get_client(
            oslo_messaging.Target(topic=contract.AGENT_TOPIC, version=contract.VERSION)
        )

    def tell_health(
        self, context: Any, host: str, said: Mapping[str, Sequence[PairHealth]]
    ) -> None:
        """Tell other hosts which functions of this one answer, without waiting for an answer.

        :param said: host -> what it is told.
        :raises Exception: of oslo.messaging, if the message broker does not answer.
        """
        for other, health in said.items():
            self._client.prepare(server=other).cast(
                context, "pair_health", host=host, health=contract.encode_health(health)
            )


UNKNOWN_METHOD = ("NoSuchMethod", "UnsupportedVersion")
"""Names of the errors by which a host says that it does not know a call."""


class AgentEndpoint:
    """Receives the server's notifications and questions on a host.

    :param receive: called with each message, as it was sent; must not block.
    :param count: called with ids of chains; returns what the host has counted of them.
    :param trace: called with each request for a trace, as it was sent; returns the answer.
    :param state: called with whether plans are wanted; returns the state of this program.
    :param note_health: called with another host, and what it says of its functions; must not block.
    :param is_there: tells whether the host answers, for a program that runs elsewhere.
    """

    target = oslo_messaging.Target(version=contract.VERSION)

    def __init__(
        self,
        receive: Callable[[Any], None],
        count: Callable[[Collection[str]], Mapping[Counter, Count]],
        trace: Callable[[Any], dict[str, Any]],
        state: Callable[[bool], state_codec.AgentState],
        note_health: Callable[[str, Sequence[PairHealth]], None],
        *,
        is_there: Callable[[], bool] = lambda: True,
    ) -> None:
        self._is_there = is_there
        self._receive = receive
        self._count = count
        self._trace = trace
        self._state = state
        self._note_health = note_health

    def pair_health(self, context: Any, host: Any, health: Any) -> None:
        """Hear from another host which of its functions answer.

        :raises ContractError: the message does not follow the contract.
        """
        self._note_health(read_text({"host": host}, "host"), contract.decode_health(health))

    def ping(self, context: Any) -> bool:
        """Answer, and say whether the host does."""
        return self._is_there()

    def apply(self, context: Any, update: Any) -> None:
        """Receive an update."""
        self._receive(update)

    def counters(self, context: Any, chain_ids: Any) -> list[dict[str, Any]]:
        """Return what this host has counted of chains.

        :raises ContractError: the message does not follow the contract.
        :raises Exception: the switch does not answer.
        """
        return contract.encode_counts(self._count(contract.decode_chain_ids(chain_ids)))

    def trace(self, context: Any, request: Any) -> dict[str, Any]:
        """Return what this host would do with a packet.

        :raises ContractError: the request does not follow the contract.
        """
        return self._trace(request)

    def state(self, context: Any, with_plans: Any = False) -> dict[str, Any]:
        """Return the state of this program."""
        return state_codec.encode_state(self._state(bool(with_plans)))


def _ask_all(
    ask: Callable[[str], _Answer], hosts: Collection[str], at_once: int
) -> dict[str, _Answer]:
    """Call a function with each host, with some of them at the same time.

    :param at_once: how many at most.
    :returns: host -> what the function returned.
    """
    names = sorted(hosts)
    if not names:
        return {}
    with ThreadPoolExecutor(min(len(names), at_once), thread_name_prefix="ask-hosts") as pool:
        return dict(zip(names, pool.map(ask, names), strict=True))
