"""Requests for traces and their answers survive the bus, and wrong ones are refused."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from portchain.dataplane.tracing.packet import Label, Packet
from portchain.dataplane.tracing.steps import Decision, Exit, HostTrace, Reach, Start, Step
from portchain.rpc import trace_codec
from portchain.rpc.fields import ContractError
from tests.plans import ident, mac

PACKET = Packet(
    *(mac("vm"), mac("dst"), "IPv4", "10.0.0.10", "10.0.0.20", 6, 23, 100),
    vlan=3,
    labels=(Label(65537, 0, 239), Label(5)),
    outer=(mac("a"), mac("b")),
    nsh=(1, 255, 63),
    tunnel_metadata=0x10002,
)
STARTS = (Start(port_id=ident("vm")), Start(peer="192.0.2.1"), Start(network="physnet1"))
TRACE = HostTrace(
    (Step(Decision.DROPPED, "because", "br-int", 150, ident("pc"), hop=1),),
    (Exit(Reach.TUNNEL, "192.0.2.2", PACKET, ident("pair")),),
)


def over_the_bus(message: Any) -> Any:
    return json.loads(json.dumps(message))


@pytest.mark.parametrize("start", STARTS)
def test_requests_survive_the_bus(start: Start) -> None:
    message = over_the_bus(trace_codec.encode_request(start, PACKET))
    assert trace_codec.decode_request(message) == (start, PACKET)


def test_answers_survive_the_bus() -> None:
    assert trace_codec.decode_trace(over_the_bus(trace_codec.encode_trace(TRACE))) == TRACE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eth_src", "fa:16:3e:00:00:01,actions=drop"),
        ("eth_dst", None),
        ("ethertype", "ARP"),
        ("source", "10.0.0.1,reg8=1"),
        ("source", "fd00::1"),
        ("destination", "fe80::1%x,reg8=1"),
        ("protocol", 256),
        ("protocol", "6"),
        ("source_port", -1),
        ("destination_port", True),
        ("vlan", 4096),
        ("tunnel_id", "0,reg8=1"),
        ("tunnel_metadata", "0,reg8=1"),
        ("tunnel_metadata", 1 << 32),
        ("labels", [{"value": 1 << 20, "traffic_class": 0, "ttl": 1}]),
        ("labels", [asdict(Label(1))] * 4),
        ("outer", ["fa:16:3e:00:00:01"]),
        ("outer", ["x", "y"]),
        ("nsh", [1, 2]),
        ("nsh", [1, 2, "3,reg8=1"]),
    ],
)
def test_wrong_packets_are_refused(name: str, value: Any) -> None:
    message = trace_codec.encode_request(STARTS[0], PACKET)
    message["packet"] |= {name: value}
    with pytest.raises(ContractError):
        trace_codec.decode_request(over_the_bus(message))


def test_packets_of_hosts_and_servers_before_1_25_have_no_metadata() -> None:
    message = over_the_bus(trace_codec.encode_request(STARTS[0], PACKET))
    del message["packet"]["tunnel_metadata"]
    assert trace_codec.decode_request(message)[1] == replace(PACKET, tunnel_metadata=0)


@pytest.mark.parametrize("start", [None, {"port_id": "--help"}, {"peer": "192.0.2.1;x"}, 5])
def test_wrong_starts_are_refused(start: Any) -> None:
    message = trace_codec.encode_request(STARTS[0], PACKET) | {"start": start}
    with pytest.raises(ContractError):
        trace_codec.decode_request(message)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": [{"decision": "EXPLODED", "reason": ""}]},
        {"steps": [{"decision": "DROPPED", "reason": 5}]},
        {"steps": [{"decision": "DROPPED", "reason": "", "table": 256}]},
        {"steps": "DROPPED"},
        {"steps": [asdict(TRACE.steps[0])] * 201},
        {"exits": [{"reach": "moon", "name": "x", "packet": asdict(PACKET)}]},
        {"exits": [{"reach": "port", "name": "x", "packet": None}]},
    ],
)
def test_wrong_answers_are_refused(change: dict[str, Any]) -> None:
    message = over_the_bus(trace_codec.encode_trace(TRACE)) | change
    with pytest.raises(ContractError):
        trace_codec.decode_trace(message)
