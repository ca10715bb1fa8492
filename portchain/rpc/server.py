"""Calls from a host to the server: ``ServerClient`` makes them, ``ServerEndpoint`` answers them."""

from collections.abc import Callable, Sequence
from typing import Any

import oslo_messaging
from neutron_lib import rpc as n_rpc

from portchain.core.model import HostReport, PairHealth, PeerHealth
from portchain.rpc import contract


class ServerClient:
    """Calls the server, from a host."""

    def __init__(self) -> None:
        self._client = n_rpc.get_client(
            oslo_messaging.Target(topic=contract.SERVER_TOPIC, version=contract.VERSION)
        )

    def sync(self, context: Any, host: str, known: contract.HostKnowledge) -> contract.PlanUpdate:
        """Ask for all changes that this host does not know.

        :raises Exception: of oslo.messaging, if no server answers.
        :raises ContractError: the answer cannot be read.
        """
        said = contract.encode_known(known)
        answer = self._client.prepare().call(context, "sync", host=host, known=said)
        return contract.decode_update(answer)

    def plans(self, context: Any, host: str, seconds: float) -> contract.PlanUpdate:
        """Ask for all plans that a host should have. Unlike ``sync``, this records nothing.

        :param seconds: how long to wait for the answer.
        :raises Exception: of oslo.messaging, if no server answers, or one older than contract 1.19.
        :raises ContractError: the answer cannot be read.
        """
        answer = self._client.prepare(timeout=seconds).call(context, "plans", host=host)
        return contract.decode_update(answer)

    def report(self, context: Any, host: str, reports: Sequence[HostReport]) -> None:
        """Report the state of chains on this host. Returns when the server has stored it.

        :raises Exception: of oslo.messaging, if no server answers.
        """
        self._client.prepare().call(
            context, "report", host=host, reports=contract.encode_reports(reports)
        )

    def report_health(self, context: Any, host: str, health: Sequence[PairHealth]) -> None:
        """Report which functions of this host answer. Returns when the server has stored it.

        :raises Exception: of oslo.messaging, if no server answers, or one older than contract 1.16.
        """
        self._client.prepare().call(
            context, "report_health", host=host, health=contract.encode_health(health)
        )

    def report_peers(self, context: Any, host: str, peers: Sequence[PeerHealth]) -> None:
        """Report which hosts this one reaches. Returns when the server has looked at it.

        :raises Exception: of oslo.messaging, if no server answers, or one older than contract 1.16.
        """
        self._client.prepare().call(
            context, "report_peers", host=host, peers=contract.encode_peers(peers)
        )


class ServerEndpoint:
    """Answers the hosts, on the server.

    :param sync: called with context, host and what the host says of itself; returns what the host
        must change.
    :param report: called with context, host and reports; stores them.
    :param report_health: called with context, host and what it says of functions; stores it.
    :param report_peers: called with context, host and which other hosts it reaches.
    :param plans: called with context and host; returns all plans that the host should have.
    """

    target = oslo_messaging.Target(version=contract.VERSION)

    def __init__(
        self,
        sync: Callable[[Any, str, contract.HostKnowledge], contract.PlanUpdate],
        report: Callable[[Any, str, Sequence[HostReport]], None],
        report_health: Callable[[Any, str, Sequence[PairHealth]], None],
        report_peers: Callable[[Any, str, Sequence[PeerHealth]], None],
        plans: Callable[[Any, str], contract.PlanUpdate],
    ) -> None:
        self._sync = sync
        self._report = report
        self._report_health = report_health
        self._report_peers = report_peers
        self._plans = plans

    def sync(self, context: Any, host: str, known: Any) -> dict[str, Any]:
        """Return what a host must change.

        :raises ContractError: the message does not follow the contract.
        """
        return contract.encode_update(self._sync(context, host, contract.decode_known(known)))

    def plans(self, context: Any, host: str) -> dict[str, Any]:
        """Return all plans that a host should have; records nothing."""
        return contract.encode_update(self._plans(context, host))

    def report(self, context: Any, host: str, reports: Any) -> None:
        """Store the state of chains on a host.

        :raises ContractError: the message does not follow the contract.
        """
        self._report(context, host, contract.decode_reports(reports))

    def report_health(self, context: Any, host: str, health: Any) -> None:
        """Store which functions of a host answer.

        :raises ContractError: the message does not follow the contract.
        """
        self._report_health(context, host, contract.decode_health(health))

    def report_peers(self, context: Any, host: str, peers: Any) -> None:
        """Look at which other hosts a host reaches.

        :raises ContractError: the message does not follow the contract.
        """
        self._report_peers(context, host, contract.decode_peers(peers))
