"""To the agents: the server's side sends (``AgentClient``), the agent's side receives (``AgentEndpoint``)."""

from collections.abc import Callable, Mapping
from typing import Any

import oslo_messaging
from neutron_lib import rpc as n_rpc
from oslo_log import log

from portchain.rpc import contract

LOG = log.getLogger(__name__)


class AgentClient:
    """Tells hosts what changed."""

    def __init__(self) -> None:
        self._client = n_rpc.get_client(
            oslo_messaging.Target(topic=contract.AGENT_TOPIC, version=contract.VERSION)
        )

    def apply(self, context: Any, updates: Mapping[str, contract.PlanUpdate]) -> None:
        """Send each host its update, one message a host. A message that is lost is made up for by the host's next sync.

        :param updates: host -> update.
        """
        for host, update in updates.items():
            self._client.prepare(server=host).cast(
                context, "apply", update=contract.encode_update(update)
            )


class AgentEndpoint:
    """Receives what the server sends to this host.

    :param receive: called with each update.
    """

    target = oslo_messaging.Target(version=contract.VERSION)

    def __init__(self, host: str, receive: Callable[[contract.PlanUpdate], None]) -> None:
        self._host = host
        self._receive = receive

    def apply(self, context: Any, update: Any) -> None:
        """Take an update; one that does not follow the contract is logged and dropped."""
        try:
            decoded = contract.decode_update(update)
        except contract.ContractError as exc:
            LOG.error("Update from the server refused: %s", exc)
            return
        self._receive(decoded)
