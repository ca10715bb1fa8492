"""The messages of live traces (contract 1.21): what hosts watch for, send, and have seen.

Hosts check what they are asked for, because it makes them send a packet and open sockets. The
server checks the answers, because a host is not trusted with what other projects read.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from portchain.dataplane.tracing.live import TOKEN_BYTES, Direction, Spot, why_not_sendable
from portchain.dataplane.tracing.packet import Packet
from portchain.dataplane.tracing.steps import Start
from portchain.rpc import trace_codec
from portchain.rpc.fields import (
    ContractError,
    as_address,
    as_mapping,
    read_each,
    read_list,
    read_seconds,
    read_text,
    read_uuid,
)

MOST_SPOTS = 64
"""So many spots a host watches at most in one trace."""
MOST_SECONDS = 5.0
"""So long a host waits for a packet at most, in seconds."""
_TOKEN = re.compile(rf"[0-9a-f]{{{2 * TOKEN_BYTES}}}")


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """What a host is asked to watch for.

    :param token: the last bytes of the packet.
    :param source: IP address of the packet; ``destination`` likewise. Frames that answer it have
        them the other way round and do not count.
    """

    token: bytes
    spots: frozenset[Spot]
    source: str
    destination: str


def encode_watch(request: WatchRequest) -> dict[str, Any]:
    """Return a message for ``decode_watch``."""
    return {
        "token": request.token.hex(),
        "spots": _encode_spots(request.spots),
        "source": request.source,
        "destination": request.destination,
    }


def decode_watch(message: Any) -> WatchRequest:
    """Return what to watch for.

    :raises ContractError: a value is missing or wrong, or there are too many spots.
    """
    body = as_mapping(message, "watch")
    return WatchRequest(
        decode_token(body),
        decode_spots(body),
        as_address(body.get("source"), "source"),
        as_address(body.get("destination"), "destination"),
    )


def decode_token(body: Mapping[str, Any]) -> bytes:
    """Return the token of a message.

    :raises ContractError: it is none.
    """
    text = read_text(body, "token")
    if not _TOKEN.fullmatch(text):
        raise ContractError(f"token: expected {2 * TOKEN_BYTES} hexadecimal digits")
    return bytes.fromhex(text)


def _encode_spots(spots: Collection[Spot]) -> list[dict[str, str]]:
    return [asdict(spot) for spot in sorted(spots, key=lambda one: (one.port_id, one.direction))]


def decode_spots(body: Mapping[str, Any]) -> frozenset[Spot]:
    """Return the spots in a message.

    :raises ContractError: one is wrong, or there are too many.
    """
    if len(read_list(body, "spots")) > MOST_SPOTS:
        raise ContractError(f"spots: more than {MOST_SPOTS}")
    return frozenset(read_each(body, "spots", _spot))


def _spot(item: Mapping[str, Any]) -> Spot:
    text = read_text(item, "direction")
    try:
        return Spot(read_uuid(item, "port_id"), Direction(text))
    except ValueError as exc:
        raise ContractError(f"direction: {text!r} is neither to nor from") from exc


def encode_refusals(refused: Mapping[str, str]) -> list[dict[str, str]]:
    """Return why ports cannot be watched as a message for ``decode_refusals``."""
    return [{"port_id": port_id, "reason": reason} for port_id, reason in refused.items()]


def decode_refusals(message: Any) -> dict[str, str]:
    """Return port -> why it cannot be watched.

    :raises ContractError: the message is anything else, or has too many.
    """
    if len(read_list({"refused": message}, "refused")) > MOST_SPOTS:
        raise ContractError(f"refused: more than {MOST_SPOTS}")
    pairs = read_each(
        {"refused": message},
        "refused",
        lambda item: (read_uuid(item, "port_id"), read_text(item, "reason")),
    )
    return dict(pairs)


def encode_packet(token: bytes, port_id: str, packet: Packet) -> dict[str, Any]:
    """Return a message for ``decode_packet``."""
    return {"token": token.hex(), **trace_codec.encode_request(Start(port_id=port_id), packet)}


def decode_packet(message: Any) -> tuple[bytes, str, Packet]:
    """Return a token, the port that is to send it, and the packet that carries it.

    :raises ContractError: a value is missing or wrong, or hosts send no such packet.
    """
    body = as_mapping(message, "packet")
    start, packet = trace_codec.decode_request(body)
    if not start.port_id:
        raise ContractError("start: expected a port")
    if reason := why_not_sendable(packet):
        raise ContractError(f"packet: {reason}")
    return decode_token(body), start.port_id, packet


def encode_question(token: bytes, seconds: float) -> dict[str, Any]:
    """Return a message for ``decode_question``."""
    return {"token": token.hex(), "seconds": seconds}


def decode_question(message: Any) -> tuple[bytes, float]:
    """Return a token, and how many seconds to wait for it.

    :raises ContractError: a value is missing or wrong.
    """
    body = as_mapping(message, "question")
    return decode_token(body), read_seconds(body, "seconds", 0, MOST_SECONDS)


def encode_sightings(spots: Collection[Spot]) -> dict[str, Any]:
    """Return where a packet was seen as a message for ``decode_sightings``."""
    return {"spots": _encode_spots(spots)}


def decode_sightings(message: Any) -> frozenset[Spot]:
    """Return where a packet was seen.

    :raises ContractError: the message is anything else.
    """
    return decode_spots(as_mapping(message, "sightings"))


def encode_reason(reason: str) -> dict[str, str]:
    """Return why a host has not sent a packet as a message for ``decode_reason``."""
    return {"reason": reason}


def decode_reason(message: Any) -> str:
    """Return why a host has not sent a packet; empty if it has.

    :raises ContractError: the message is anything else.
    """
    return read_text(as_mapping(message, "answer"), "reason")
