"""RPC messages, from the broker's trace of everything that is published.

With tracing enabled, RabbitMQ copies each published message to an exchange. The copies name the
called method, which separates periodic messages from those that a request causes.
"""

import json
import socket
import subprocess
from collections import Counter
from collections.abc import Iterable
from typing import Any

import amqp  # type: ignore[import-untyped]
from portchain_lab import layout
from portchain_lab.cloud import broker
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab

TRACE = "amq.rabbitmq.trace"
CONTROL = "/usr/lib/rabbitmq/bin/rabbitmqctl"
REPLY = ""


def method_of(body: bytes | str) -> str:
    """The method that a message of oslo.messaging calls; ``REPLY`` if it is a reply."""
    try:
        envelope = json.loads(body)
        message = json.loads(envelope["oslo.message"])
    except (ValueError, KeyError, TypeError):
        return REPLY
    return str(message.get("method", REPLY))


def caused(methods: Iterable[str], background: set[str]) -> Counter[str]:
    """Count the casts, fanouts and calls that a request caused, by method.

    :param background: methods that an idle lab calls, which are not counted. Nor are replies.
    """
    return Counter(name for name in methods if name != REPLY and name not in background)


class RpcTrace:
    """Records the messages that are published within its context."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._connection = amqp.Connection(
            host=f"{layout.CONTROLLER_IP}:{layout.RABBIT_PORT}",
            userid="openstack",
            password=layout.PASSWORD,
        )
        self._methods: list[str] = []

    def __enter__(self) -> "RpcTrace":
        self._control("trace_on")
        netns.call(self._lab.layout.controller_namespace, self._connection.connect)
        channel = self._connection.channel()
        queue = channel.queue_declare(exclusive=True).queue
        channel.queue_bind(queue, exchange=TRACE, routing_key="publish.#")
        channel.basic_consume(queue, no_ack=True, callback=self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._control("trace_off")

    def methods(self, seconds: float = 0.2) -> list[str]:
        """The methods of the messages published since the last call of this function.

        :param seconds: return once no message has arrived for so long.
        """
        try:
            while True:
                self._connection.drain_events(timeout=seconds)
        except (TimeoutError, socket.timeout):  # noqa: UP041  # amqp raises either
            pass
        methods, self._methods = self._methods, []
        return methods

    def _receive(self, message: Any) -> None:
        self._methods.append(method_of(message.body))

    def _control(self, command: str) -> None:
        service = broker.server(self._lab.layout).process
        subprocess.run(
            netns.command(service.namespace, [CONTROL, "-n", "rabbit@localhost", command]),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **service.env},
            capture_output=True,
            check=True,
        )
