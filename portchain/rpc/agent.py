"""Calls from the server to a host: ``AgentClient`` sends them, ``AgentEndpoint`` receives them."""

from collections.abc import Callable, Mapping
from typing import Any

import oslo_messaging
from neutron_lib import rpc as n_rpc

from portchain.rpc import contract


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

    def answers(self, context: Any, host: str, seconds: float) -> bool:
        """Tell whether the program that receives a host's messages answers.

        :param seconds: to wait for the answer.
        """
        try:
            self._client.prepare(server=host, timeout=seconds).call(context, "ping")
        except oslo_messaging.MessagingTimeout:
            return False
        except oslo_messaging.RemoteError:
            return True  # it is older than contract 1.16
        return True


class AgentEndpoint:
    """Receives the server's notifications on a host.

    :param receive: called with each message, as it was sent; must not block.
    """

    target = oslo_messaging.Target(version=contract.VERSION)

    def __init__(self, receive: Callable[[Any], None]) -> None:
        self._receive = receive

    def ping(self, context: Any) -> None:
        """Answer."""

    def apply(self, context: Any, update: Any) -> None:
        """Receive an update."""
        self._receive(update)
