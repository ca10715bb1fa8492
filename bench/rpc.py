"""RPC messages, from the broker's own trace of everything that is published.

RabbitMQ copies each published message to an exchange when its tracing is on. The copies say which
method is called, so the periodic ones can be told from what a request causes.
"""

import json
import socket
import subprocess
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import amqp  # type: ignore[import-untyped]
from portchain_lab import layout
from portchain_lab.cloud import services
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab

TRACE = "amq.rabbitmq.trace"
CONTROL = "/usr/lib/rabbitmq/bin/rabbitmqctl"
REPLY = ""


def method_of(body: bytes | str) -> str:
    """The method that a message of oslo.messaging calls; ``REPLY`` for the answer to a call."""
    try:
        envelope = json.loads(body)
        message = json.loads(envelope["oslo.message"])
    except (ValueError, KeyError, TypeError):
        return REPLY
    return str(message.get("method", REPLY))


def caused(methods: Iterable[str], background: set[str]) -> Counter[str]:
    """What a request caused: casts, fanouts and calls by method, neither answers nor the methods
    that are called without any request.
    """
    return Counter(name for name in methods if name != REPLY and name not in background)


class RpcTrace:
    """Counts messages while it is entered."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._connection = amqp.Connection(
            host=f"{layout.CONTROLLER_IP}:{layout.RABBIT_PORT}",
            userid="openstack",
            password=layout.PASSWORD,
        )
        self._seen: list[str] = []

    def __enter__(self) -> "RpcTrace":
        self._control("trace_on")
        netns.call(self._lab.layout.controller_namespace, self._connection.connect)
        channel = self._connection.channel()
        queue = channel.queue_declare(exclusive=True).queue
        channel.queue_bind(queue, exchange=TRACE, routing_key="publish.#")
        channel.basic_consume(queue, no_ack=True, callback=self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()
        self._control("trace_off")

    def methods(self, seconds: float = 0.2) -> list[str]:
        """Methods of the messages published since the last call.

        :param seconds: how long no message must have come.
        """
        try:
            while True:
                self._connection.drain_events(timeout=seconds)
        except (TimeoutError, socket.timeout):  # noqa: UP041  # amqp raises either
            pass
        seen, self._seen = self._seen, []
        return seen

    def _receive(self, message: Any) -> None:
        self._seen.append(method_of(message.body))

    def _control(self, command: str) -> None:
        service = services.rabbitmq(self._lab.layout).process
        subprocess.run(
            netns.command(service.namespace, [CONTROL, "-n", "rabbit@localhost", command]),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **service.env},
            capture_output=True,
            check=True,
        )
