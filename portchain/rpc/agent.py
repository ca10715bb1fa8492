"""Calls from the server to a host: ``AgentClient`` sends them, ``AgentEndpoint`` receives them."""

from collections.abc import Callable, Mapping
from typing import Any

import oslo_messaging
from neutron_lib import rpc as n_rpc
from oslo_log import log

from portchain.rpc import contract
from portchain.rpc.fields import ContractError

LOG = log.getLogger(__name__)


class AgentClient:
    """Notifies hosts of changes, from the server."""

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


class AgentEndpoint:
    """Receives the server's notifications on a host.

    :param host: the host's name in Neutron.
    :param receive: called with each update; must not block.
    """

    target = oslo_messaging.Target(version=contract.VERSION)

    def __init__(self, host: str, receive: Callable[[contract.PlanUpdate], None]) -> None:
        self._host = host
        self._receive = receive

    def apply(self, context: Any, update: Any) -> None:
        """Receive an update. One that does not follow the contract is logged and ignored."""
        try:
            decoded = contract.decode_update(update)
        except ContractError as exc:
            LOG.error(
                "Ignoring an update of host %s that does not follow the wire contract: %s. The "
                "next sync asks for the plans again. If this repeats, check that server and host "
                "have releases that work together",
                self._host,
                exc,
            )
            return
        self._receive(decoded)
