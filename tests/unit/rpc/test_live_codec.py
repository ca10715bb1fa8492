"""The messages of live traces survive the bus, and wrong ones are refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from portchain.dataplane.tracing.live import Direction, Spot
from portchain.dataplane.tracing.packet import Label, Packet
from portchain.rpc import live_codec
from portchain.rpc.fields import ContractError
from portchain.rpc.live_codec import WatchRequest
from tests.plans import ident, mac

TOKEN = bytes(range(16))
SPOTS = frozenset({Spot(ident("a"), Direction.TO), Spot(ident("a"), Direction.FROM)})
REQUEST = WatchRequest(TOKEN, SPOTS, "10.0.0.1", "10.0.0.2")
PACKET = Packet(*(mac("a"), mac("b"), "IPv4", "10.0.0.1", "10.0.0.2"), *(17, 1, 2))


def over_the_bus(message: Any) -> Any:
    return json.loads(json.dumps(message))


def test_messages_survive_the_bus() -> None:
    codec = live_codec
    assert codec.decode_watch(over_the_bus(codec.encode_watch(REQUEST))) == REQUEST
    packet = over_the_bus(codec.encode_packet(TOKEN, ident("a"), PACKET))
    assert codec.decode_packet(packet) == (TOKEN, ident("a"), PACKET)
    assert codec.decode_question(over_the_bus(codec.encode_question(TOKEN, 3.0))) == (TOKEN, 3.0)
    assert codec.decode_sightings(over_the_bus(codec.encode_sightings(SPOTS))) == SPOTS
    refused = {ident("a"): "why"}
    assert codec.decode_refusals(over_the_bus(codec.encode_refusals(refused))) == refused
    assert codec.decode_reason(over_the_bus(codec.encode_reason("why"))) == "why"


SPOT = {"port_id": ident("a"), "direction": "to"}


@pytest.mark.parametrize(
    ("decode", "message", "change"),
    [
        (decode, message, change)
        for decode, message, changes in (
            (
                live_codec.decode_watch,
                live_codec.encode_watch(REQUEST),
                (
                    {"token": "00" * 15},
                    {"token": "00" * 17},
                    {"token": "G" * 32},
                    {"token": None},
                    {"spots": [SPOT] * 65},
                    {"spots": [SPOT | {"port_id": "eth0"}]},
                    {"spots": [SPOT | {"direction": "both"}]},
                    {"spots": [SPOT | {"direction": ["to"]}]},
                    {"spots": "eth0"},
                    {"source": "any"},
                    {"destination": None},
                ),
            ),
            (
                live_codec.decode_packet,
                live_codec.encode_packet(TOKEN, ident("a"), PACKET),
                (
                    {"token": "00"},
                    {"start": {"peer": "192.0.2.1"}},
                    {"start": {"port_id": "eth0"}},
                    {"packet": None},
                ),
            ),
            (
                live_codec.decode_question,
                live_codec.encode_question(TOKEN, 1),
                ({"token": 5}, {"seconds": 5.1}, {"seconds": -1}, {"seconds": float("nan")}),
            ),
            (
                live_codec.decode_sightings,
                live_codec.encode_sightings(SPOTS),
                ({"spots": [SPOT] * 65}, {"spots": [5]}),
            ),
        )
        for change in changes
    ],
)
def test_wrong_messages_are_refused(
    decode: Callable[[Any], Any], message: dict[str, Any], change: dict[str, Any]
) -> None:
    decode(message)
    with pytest.raises(ContractError):
        decode(message | change)


@pytest.mark.parametrize(
    "packet",
    [
        replace(PACKET, labels=(Label(1),)),
        replace(PACKET, protocol=1, source_port=5, destination_port=0),
        replace(PACKET, is_established=True),
    ],
)
def test_hosts_refuse_to_send_other_packets(packet: Packet) -> None:
    with pytest.raises(ContractError, match="packet: "):
        live_codec.decode_packet(live_codec.encode_packet(TOKEN, ident("a"), packet))


def test_wrong_answers_are_refused() -> None:
    for message in ([{"port_id": "x", "reason": ""}], [{"port_id": ident("a"), "reason": 5}], "x"):
        with pytest.raises(ContractError):
            live_codec.decode_refusals(message)
    with pytest.raises(ContractError):
        live_codec.decode_refusals([{"port_id": ident("a"), "reason": ""}] * 65)
    with pytest.raises(ContractError):
        live_codec.decode_reason("sent")
