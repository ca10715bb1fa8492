"""Reads the IP packets in captured frames.

A test may read tens of thousands of frames, which takes scapy a third of a millisecond each. So
this module reads what most of them hold itself: TCP, UDP and ICMP in untagged or VLAN-tagged
frames. It leaves all others to ``dissection``, and imports scapy only for them. Both give the same
result. All functions are pure.
"""

import hashlib
import importlib
import socket
import struct
from dataclasses import dataclass
from typing import Any

ETH_P_IP, ETH_P_ARP, ETH_P_RARP, ETH_P_IPV6 = 0x0800, 0x0806, 0x8035, 0x86DD
_VLAN_TAGS = (b"\x81\x00", b"\x88\xa8")
_HOP_BY_HOP, _ICMP, _IGMP, _TCP, _UDP, _ICMPV6 = 0, 1, 2, 6, 17, 58
_NAMES = {_TCP: "tcp", _UDP: "udp"}
_CHECKSUM_OFFSETS = {_TCP: 16, _UDP: 6}
"""Offset of the checksum in the header, in bytes (RFC 9293, 3.1; RFC 768)."""
_SHORTEST = {_TCP: 20, _UDP: 8, _ICMP: 8, _ICMPV6: 4, _IGMP: 8, _HOP_BY_HOP: 12}
"""Bytes of the shortest payload of an IP packet, by protocol."""
_SHORTEST_ICMP = {13: 20, 14: 20, 17: 12, 18: 12}
"""The same of ICMP messages that are longer, by type: time stamps and masks (RFC 792, RFC 950)."""
_WITH_ICMP_ID = {0, 8, 13, 14, 15, 16, 17, 18}
"""Types of ICMP messages with an identifier (RFC 792, RFC 950)."""
_REDIRECT = 137
"""The type of an ICMPv6 redirect (RFC 4861, 4.5)."""
_FRAGMENT = 0x3FFF
"""More fragments, and the fragment's offset."""
TCP_SYN, TCP_ACK = 0x02, 0x10
_IPV4, _IPV6 = struct.Struct("!xxHHHBBxx4s4s"), struct.Struct("!4xHBB16s16s")
_PORTS, _TCP_START = struct.Struct("!HH"), struct.Struct("!4xI5xB")


@dataclass(frozen=True, slots=True, order=True)
class FiveTuple:
    """The 5-tuple of a packet. For ICMP echo, both ports hold the identifier."""

    protocol: str
    source: str
    source_port: int
    destination: str
    destination_port: int

    @property
    def reverse(self) -> "FiveTuple":
        """The 5-tuple of the replies."""
        return FiveTuple(
            self.protocol,
            self.destination,
            self.destination_port,
            self.source,
            self.source_port,
        )

    def __str__(self) -> str:
        return (
            f"{self.protocol} {self.source}:{self.source_port} -> "
            f"{self.destination}:{self.destination_port}"
        )


@dataclass(frozen=True, slots=True)
class IpPacket:
    """What tells a packet apart from others, and how far it has come.

    :param identity: digest of what forwarding does not change; equal at every port of the path.
    :param opens: sequence number of a SYN that opens a TCP connection; None for other packets.
    :param ttl: TTL or hop limit, which each routing function decrements.
    """

    five_tuple: FiveTuple
    identity: bytes
    opens: int | None
    ttl: int


def read(frame: bytes) -> IpPacket | None:
    """The IP packet in an Ethernet frame, also behind MPLS and NSH headers.

    :returns: None if there is none, or if it is an ICMPv6 redirect. That concerns the link only,
        and contains the packet that caused it.
    """
    start = 12
    while frame[start : start + 2] in _VLAN_TAGS:
        start += 4
    ethertype, start = int.from_bytes(frame[start : start + 2]), start + 2
    try:
        if ethertype == ETH_P_ARP:
            return None
        if ethertype == ETH_P_IP:
            return _read_ipv4(frame, start)
        if ethertype == ETH_P_IPV6:
            return _read_ipv6(frame, start)
    except _NotReadHereError:
        pass
    return dissect(frame)


def dissect(frame: bytes) -> IpPacket | None:
    """Like ``read``, but by scapy, which knows more headers."""
    dissection: Any = importlib.import_module("portchain_lab.observe.dissection")
    found: IpPacket | None = dissection.read(frame)
    return found


class _NotReadHereError(Exception):
    """The packet has something that only ``dissection`` knows."""


def _read_ipv4(frame: bytes, start: int) -> IpPacket:
    payload = start + 4 * (frame[start] & 0xF) if len(frame) > start else start
    if payload < start + _IPV4.size or payload > len(frame) or frame[start] >> 4 != 4:
        raise _NotReadHereError
    _, number, fragment, ttl, protocol, source, destination = _IPV4.unpack_from(frame, start)
    if protocol not in (_ICMP, _IGMP, _TCP, _UDP) or fragment & _FRAGMENT:
        raise _NotReadHereError
    ends = socket.inet_ntoa(source), socket.inet_ntoa(destination)
    return _packet(*ends, frame[payload:], number=number, ttl=ttl, protocol=protocol)


def _read_ipv6(frame: bytes, start: int) -> IpPacket | None:
    if len(frame) < start + _IPV6.size or frame[start] >> 4 != 6:
        raise _NotReadHereError
    _, protocol, ttl, source, destination = _IPV6.unpack_from(frame, start)
    payload = frame[start + _IPV6.size :]
    if protocol not in (_HOP_BY_HOP, _TCP, _UDP, _ICMPV6):
        raise _NotReadHereError
    if protocol == _HOP_BY_HOP and payload[:1] != bytes([_ICMPV6]):
        raise _NotReadHereError
    if protocol == _ICMPV6 and payload[:1] == bytes([_REDIRECT]):
        return None
    ends = socket.inet_ntop(socket.AF_INET6, source), socket.inet_ntop(socket.AF_INET6, destination)
    return _packet(*ends, payload, number=0, ttl=ttl, protocol=protocol)


def _packet(
    source: str, destination: str, payload: bytes, *, number: int, ttl: int, protocol: int
) -> IpPacket:
    """:param number: the identification of an IPv4 packet."""
    shortest = _SHORTEST[protocol]
    if protocol == _ICMP and payload:
        shortest = _SHORTEST_ICMP.get(payload[0], shortest)
    if len(payload) < shortest:
        raise _NotReadHereError
    name, ports, opens = f"ip-{protocol}", (0, 0), None
    if protocol in _NAMES:
        name, ports = _NAMES[protocol], _PORTS.unpack_from(payload)
    elif protocol == _ICMP:
        echo = int.from_bytes(payload[4:6]) if payload[0] in _WITH_ICMP_ID else 0
        name, ports = "icmp", (echo, echo)
    if protocol == _TCP:
        sequence, flags = _TCP_START.unpack_from(payload)
        opens = sequence if flags & (TCP_SYN | TCP_ACK) == TCP_SYN else None
    five_tuple = FiveTuple(name, source, ports[0], destination, ports[1])
    checksum = _CHECKSUM_OFFSETS.get(protocol)
    return IpPacket(five_tuple, identity(five_tuple, number, payload, checksum), opens, ttl)


def identity(ends: FiveTuple, number: int, payload: bytes, checksum: int | None) -> bytes:
    """Digest of what routers and switches do not change: addresses, IP id and IP payload.

    A checksum of 0xffff counts as 0. Both are the same sum in one's complement; a device that
    recomputes it may write either.

    :param ends: for the addresses.
    :param number: the identification of an IPv4 packet; 0 for IPv6.
    :param payload: what follows the IP header.
    :param checksum: the offset of the checksum in the payload, in bytes; None if it has none.
    """
    if checksum is not None and payload[checksum : checksum + 2] == b"\xff\xff":
        payload = payload[:checksum] + b"\0\0" + payload[checksum + 2 :]
    return hashlib.sha256(f"{ends.source} {ends.destination} {number} ".encode() + payload).digest()
