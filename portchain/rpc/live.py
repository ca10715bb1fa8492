"""Calls of live traces: ``LiveClient`` sends them, ``LiveEndpoint`` receives them on a host."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import oslo_messaging
from neutron_lib import rpc as n_rpc
from oslo_log import log

from portchain.dataplane.tracing.live import Spot
from portchain.dataplane.tracing.packet import Packet
from portchain.rpc import contract, live_codec
from portchain.rpc.agent import UNKNOWN_METHOD
from portchain.rpc.fields import ContractError
from portchain.rpc.live_codec import WatchRequest

LOG = log.getLogger(__name__)

_AT_ONCE = 16
_ANSWER_SECONDS = 5.0
_Answer = TypeVar("_Answer")


class HostFailedError(Exception):
    """A host has not done what it was asked for; the text says why."""


class LiveClient:
    """Asks hosts, from the server."""

    def __init__(self) -> None:
        self._client = n_rpc.get_client(
            oslo_messaging.Target(topic=contract.AGENT_TOPIC, version=contract.VERSION)
        )

    def watch(
        self, context: Any, requests: Mapping[str, WatchRequest]
    ) -> dict[str, dict[str, str] | HostFailedError]:
        """Have hosts watch for a packet, all at the same time.

        :param requests: host -> what it is to watch for.
        :returns: host -> port -> why it cannot be watched; or why the host watches nothing.
        """

        def ask(host: str) -> dict[str, str]:
            message = live_codec.encode_watch(requests[host])
            answer = self._call(context, host, "watch_packet", message)
            return _decoded(host, live_codec.decode_refusals, answer)

        return _all(list(requests), ask)

    def send(self, context: Any, host: str, token: bytes, port_id: str, packet: Packet) -> str:
        """Have a host send a packet as if one of its ports had sent it.

        :returns: why it was not sent; empty if it was.
        """
        message = live_codec.encode_packet(token, port_id, packet)
        try:
            answer = self._call(context, host, "send_packet", message)
            return _decoded(host, live_codec.decode_reason, answer)
        except HostFailedError as failed:
            return str(failed)

    def sightings(
        self, context: Any, hosts: list[str], token: bytes, seconds: float
    ) -> dict[str, frozenset[Spot] | HostFailedError]:
        """Ask hosts where they have seen a packet; they watch for it no longer then.

        :param seconds: that hosts wait for it, at most.
        """

        def ask(host: str) -> frozenset[Spot]:
            message = live_codec.encode_question(token, seconds)
            answer = self._call(context, host, "packet_sightings", message, seconds)
            return _decoded(host, live_codec.decode_sightings, answer)

        return _all(hosts, ask)

    def _call(
        self, context: Any, host: str, method: str, request: Any, waits: float = 0
    ) -> Any:  # fmt: skip
        try:
            client = self._client.prepare(server=host, timeout=_ANSWER_SECONDS + waits)
            return client.call(context, method, request=request)
        except oslo_messaging.MessagingTimeout as exc:
            raise HostFailedError("the host does not answer; is its agent running?") from exc
        except Exception as exc:  # what a host raises arrives as any type
            if getattr(exc, "exc_type", type(exc).__name__) in UNKNOWN_METHOD:
                reason = "the agent of the host is of an earlier release, without live traces"
                raise HostFailedError(reason) from exc
            LOG.warning("Host %s cannot answer %s: %r", host, method, exc)
            raise HostFailedError("the host cannot be asked; the logs say why") from exc


def _decoded(host: str, decode: Callable[[Any], _Answer], answer: Any) -> _Answer:
    try:
        return decode(answer)
    except ContractError as exc:
        LOG.warning("Cannot read the answer of host %s: %s", host, exc)
        raise HostFailedError("the server cannot read the host's answer") from exc


def _all(hosts: list[str], ask: Callable[[str], _Answer]) -> dict[str, _Answer | HostFailedError]:
    def safely(host: str) -> _Answer | HostFailedError:
        try:
            return ask(host)
        except HostFailedError as failed:
            return failed

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="live-trace") as pool:
        return dict(zip(hosts, pool.map(safely, hosts), strict=True))


class LiveService(Protocol):
    """What a host does for live traces; ``host.live.service`` implements it."""

    def watch(self, request: WatchRequest) -> dict[str, str]:
        """Watch for a packet. Return port -> why it cannot be watched."""

    def send(self, token: bytes, port_id: str, packet: Packet) -> str:
        """Send a packet from a port. Return why it was not sent; empty if it was."""

    def sightings(self, token: bytes, seconds: float) -> frozenset[Spot]:
        """Wait for a packet, and watch no longer. Return where it was seen."""


class LiveEndpoint:
    """Receives what the server asks a host for in live traces.

    All methods raise ``ContractError`` if the request does not follow the contract.
    """

    target = oslo_messaging.Target(version=contract.VERSION)

    def __init__(self, service: LiveService) -> None:
        self._service = service

    def watch_packet(self, context: Any, request: Any) -> list[dict[str, str]]:
        """Watch for a packet."""
        refused = self._service.watch(live_codec.decode_watch(request))
        return live_codec.encode_refusals(refused)

    def send_packet(self, context: Any, request: Any) -> dict[str, str]:
        """Send a packet."""
        return live_codec.encode_reason(self._service.send(*live_codec.decode_packet(request)))

    def packet_sightings(self, context: Any, request: Any) -> dict[str, Any]:
        """Return where a packet was seen."""
        seen = self._service.sightings(*live_codec.decode_question(request))
        return live_codec.encode_sightings(seen)
