"""The messages of the call ``trace`` (contract 1.18): a packet for a host, and its answer.

A host checks the packet, because it becomes an argument of a command. The server checks the answer,
because a host is not trusted with what other projects read.
"""

from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, TypeVar

from portchain.dataplane.tracing.packet import Label, Packet
from portchain.dataplane.tracing.steps import Decision, Exit, HostTrace, Reach, Start, Step
from portchain.rpc.fields import (
    ContractError,
    as_address,
    as_mapping,
    read_each,
    read_int,
    read_list,
    read_mac,
    read_text,
    read_uuid,
)

_FAMILIES = {"IPv4": 4, "IPv6": 6}
_BYTE, _PORT, _VLAN, _LABEL = 0xFF, 0xFFFF, 0xFFF, 0xFFFFF
_WORD, _PATH = 0xFFFFFFFF, 0xFFFFFF
_MOST_LABELS = 3
_MOST_ENTRIES = 200
_MOST_TABLES = 255
_MOST_HOPS = 255
_NAME_SIZE = 255
_ENDS = 2
_E = TypeVar("_E", bound=StrEnum)


def encode_request(start: Start, packet: Packet) -> dict[str, Any]:
    """Return a message for ``decode_request``."""
    return {"start": asdict(start), "packet": asdict(packet)}


def decode_request(message: Any) -> tuple[Start, Packet]:
    """Return where a packet comes from, and the packet.

    :raises ContractError: a value is missing, has a wrong type, or is out of range.
    """
    body = as_mapping(message, "trace")
    start = as_mapping(body.get("start"), "start")
    return (
        Start(
            port_id=read_uuid(start, "port_id") if start.get("port_id") else "",
            peer=as_address(start["peer"], "peer") if start.get("peer") else "",
            network=read_text(start, "network")[:_NAME_SIZE],
        ),
        _packet(as_mapping(body.get("packet"), "packet")),
    )


def _packet(item: Mapping[str, Any]) -> Packet:
    ethertype = read_text(item, "ethertype")
    if ethertype not in _FAMILIES:
        raise ContractError(f"ethertype: {ethertype!r} is neither IPv4 nor IPv6")
    vlan, outer, nsh = item.get("vlan"), item.get("outer"), item.get("nsh")
    labels = read_each(item, "labels", _label)
    if len(labels) > _MOST_LABELS:
        raise ContractError(f"labels: more than {_MOST_LABELS}")
    return Packet(
        eth_src=read_mac(item, "eth_src"),
        eth_dst=read_mac(item, "eth_dst"),
        ethertype=ethertype,
        source=_address(item, "source", _FAMILIES[ethertype]),
        destination=_address(item, "destination", _FAMILIES[ethertype]),
        protocol=read_int(item, "protocol", 0, _BYTE),
        source_port=read_int(item, "source_port", 0, _PORT),
        destination_port=read_int(item, "destination_port", 0, _PORT),
        is_established=bool(item.get("is_established", False)),
        vlan=None if vlan is None else read_int(item, "vlan", 0, _VLAN),
        tunnel_id=read_int(item, "tunnel_id", 0, _WORD),
        labels=labels,
        outer=None if outer is None else _ends(item),
        nsh=None if nsh is None else _nsh(item),
        # Hosts and servers before 1.25 leave it out.
        tunnel_metadata=read_int({"tunnel_metadata": 0, **item}, "tunnel_metadata", 0, _WORD),
    )


def _address(item: Mapping[str, Any], name: str, family: int) -> str:
    address = as_address(item.get(name), name)
    if ip_address(address).version != family:
        raise ContractError(f"{name}: {address} is not an IPv{family} address")
    return address


def _label(item: Mapping[str, Any]) -> Label:
    return Label(
        value=read_int(item, "value", 0, _LABEL),
        traffic_class=read_int(item, "traffic_class", 0, 7),
        ttl=read_int(item, "ttl", 0, _BYTE),
    )


def _ends(item: Mapping[str, Any]) -> tuple[str, str]:
    ends = read_list(item, "outer")
    if len(ends) != _ENDS:
        raise ContractError("outer: expected two MAC addresses")
    source, destination = (read_mac({"outer": end}, "outer") for end in ends)
    return source, destination


def _nsh(item: Mapping[str, Any]) -> tuple[int, int, int]:
    limits = (_PATH, _BYTE, _BYTE)
    values = read_list(item, "nsh")
    if len(values) != len(limits):
        raise ContractError("nsh: expected a path, an index and a TTL")
    path, index, ttl = (
        read_int({"nsh": value}, "nsh", 0, limit)
        for value, limit in zip(values, limits, strict=True)
    )
    return path, index, ttl


def encode_trace(trace: HostTrace) -> dict[str, Any]:
    """Return a message for ``decode_trace``."""
    return asdict(trace)


def decode_trace(message: Any) -> HostTrace:
    """Return what a host says of a packet.

    :raises ContractError: a value is missing, has a wrong type, or there are too many.
    """
    body = as_mapping(message, "trace")
    for name in ("steps", "exits"):
        if len(read_list(body, name)) > _MOST_ENTRIES:
            raise ContractError(f"{name}: more than {_MOST_ENTRIES}")
    return HostTrace(read_each(body, "steps", _step), read_each(body, "exits", _exit))


def _step(item: Mapping[str, Any]) -> Step:
    table, hop = item.get("table"), item.get("hop")
    return Step(
        decision=_member(item, "decision", Decision),
        reason=read_text(item, "reason"),
        bridge=read_text(item, "bridge")[:_NAME_SIZE],
        table=None if table is None else read_int(item, "table", 0, _MOST_TABLES),
        chain_id=_uuid(item, "chain_id"),
        reverse=bool(item.get("reverse", False)),
        hop=None if hop is None else read_int(item, "hop", 0, _MOST_HOPS),
        pair_id=_uuid(item, "pair_id"),
        port_id=_uuid(item, "port_id"),
        peer=read_text(item, "peer")[:_NAME_SIZE],
    )


def _exit(item: Mapping[str, Any]) -> Exit:
    return Exit(
        reach=_member(item, "reach", Reach),
        name=read_text(item, "name")[:_NAME_SIZE],
        packet=_packet(as_mapping(item.get("packet"), "packet")),
        pair_id=_uuid(item, "pair_id"),
    )


def _uuid(item: Mapping[str, Any], name: str) -> str:
    """Return a UUID; empty if there is none, or only the beginning of one is known."""
    try:
        return read_uuid(item, name)
    except ContractError:
        return ""


def _member(item: Mapping[str, Any], name: str, kind: type[_E]) -> _E:
    text = read_text(item, name)
    try:
        return kind(text)
    except ValueError as exc:
        raise ContractError(f"{name}: {text!r} is not a known value") from exc
