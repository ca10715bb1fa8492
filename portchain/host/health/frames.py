"""Builds the frames of probes, and recognises the answers. Pure.

``FunctionForm`` is the form of probes through a function, ``PeerForm`` that of probes to another
host. A probe has a number that grows, and a secret of this run of the agent: a function can neither
answer a probe that it has not got, nor one of another function.
"""

import functools
import struct
from dataclasses import dataclass
from ipaddress import ip_address

from portchain.core.function_kinds import MPLS_AWARE, NSH_AWARE
from portchain.core.model import HealthCheck
from portchain.dataplane.flow_builder import CHAIN_MAC
from portchain.dataplane.pipeline import FIRST_NSH_TTL, FIRST_SERVICE_INDEX, function_label
from portchain.dataplane.plan import Probe
from portchain.dataplane.probing import (
    CONTINUITY_CHECK,
    PEER_LABEL,
    PEER_PROBE_TTL,
    PROBE_LABEL,
    probe_mac,
)

SECRET_BYTES = 8
ANY_NUMBER = -1
"""The number of an answer that answers any probe."""

_SHORTEST = 46  # bytes behind an Ethernet header

_IPV4, _IPV6, _ARP, _MPLS, _NSH = 0x0800, 0x86DD, 0x0806, 0x8847, 0x894F
_BROADCAST = "ff:ff:ff:ff:ff:ff"
_ICMP_ECHO, _ICMPV6_ECHO, _NEIGHBOUR_SOLICITATION, _NEIGHBOUR_ADVERTISEMENT = 8, 128, 135, 136
_ICMP, _ICMPV6 = 1, 58
_TTL = 64
_ARP_REPLY = 2
_NUMBER = struct.Struct("!H")
_ECHO_HEADER = struct.Struct("!BBHHH")


@dataclass(frozen=True, slots=True)
class FunctionForm:
    """The form of probes that go through a function.

    :param probe: says what the function gets; its times do not matter.
    """

    probe: Probe

    def build(self, number: int, secret: bytes) -> bytes:
        """Return the frame of a probe, as the function gets it at its ingress port.

        :param number: of the probe, 0..65535.
        :param secret: ``SECRET_BYTES`` bytes.
        """
        template = _template(self.probe, secret)
        if not template.number_at:
            return template.frame
        frame = bytearray(template.frame)
        _NUMBER.pack_into(frame, template.number_at, number)
        if template.checksum_at:
            (before,) = _NUMBER.unpack_from(frame, template.checksum_at)
            total = (~before & 0xFFFF) + number  # RFC 1624
            _NUMBER.pack_into(frame, template.checksum_at, ~(total + (total >> 16)) & 0xFFFF)
        return bytes(frame)

    def number_of(self, frame: bytes, secret: bytes) -> int | None:
        """Return the number of the probe that a frame answers; None if it answers none.

        :param frame: what the function has sent: hostile.
        :returns: ``ANY_NUMBER`` if answers have no number.
        """
        if self.probe.check is HealthCheck.PING:
            return ANY_NUMBER if _answers(self.probe, frame) else None
        return _number_before(secret, frame)

    def resolve(self, frame: bytes) -> bytes | None:
        """Return an answer to a function that asks for the MAC address of a probe's destination.

        :param frame: what the function has sent: hostile.
        :returns: None if it asks for nothing or another address.
        """
        return _resolve(self.probe, frame)


@dataclass(frozen=True, slots=True)
class PeerForm:
    """The form of probes that another host's switch returns."""

    def build(self, number: int, secret: bytes) -> bytes:
        """Return the frame of a probe. Parameters as for ``FunctionForm.build``."""
        entry = struct.pack("!I", PEER_LABEL << 12 | 1 << 8 | PEER_PROBE_TTL)
        body = (_NUMBER.pack(number) + secret).ljust(_SHORTEST - len(entry), b"\0")
        return _ethernet(_mac(CHAIN_MAC), _mac(CHAIN_MAC), _MPLS, entry + body)

    def number_of(self, frame: bytes, secret: bytes) -> int | None:
        """Return the number of the probe that a frame answers; None if it answers none."""
        return _number_before(secret, frame)

    def resolve(self, frame: bytes) -> bytes | None:
        """Return nothing: no host asks for anything."""
        return None


def _number_before(secret: bytes, frame: bytes) -> int | None:
    at = frame.rfind(secret)  # behind whatever headers the function has written
    if at < _NUMBER.size:
        return None
    return int(_NUMBER.unpack_from(frame, at - _NUMBER.size)[0])


@dataclass(frozen=True, slots=True)
class _Template:
    """The frame of a probe with the number 0.

    :param number_at: where its number is; 0 if it has none.
    :param checksum_at: where the checksum is that covers the number; 0 if there is none.
    """

    frame: bytes
    number_at: int = 0
    checksum_at: int = 0


@functools.lru_cache(maxsize=4096)
def _template(probe: Probe, secret: bytes) -> _Template:
    """Return what all probes of a function have in common: a host sends thousands a second."""
    frame = _first(probe, secret)
    at = frame.rfind(secret)
    if at < 0:
        return _Template(frame)
    number_at = at - _NUMBER.size
    checksum_at = 0 if probe.check is HealthCheck.L2 else number_at - _ECHO_HEADER.size + 2
    return _Template(frame, number_at, checksum_at)


def _first(probe: Probe, secret: bytes) -> bytes:
    sender = _mac(probe_mac(probe.pair_id))
    if probe.check is HealthCheck.PING:
        return _question(probe, sender)
    body = _NUMBER.pack(0) + secret
    if probe.check is HealthCheck.L2:
        receiver = _mac(_unknown_mac(probe))
        return _ethernet(receiver, sender, CONTINUITY_CHECK, body.ljust(_SHORTEST, b"\0"))
    ethertype, packet = _echo_request(probe, body)
    ingress = _mac(probe.ingress_mac)
    if probe.function == MPLS_AWARE:
        label = function_label(PROBE_LABEL, "IPv6" if ethertype == _IPV6 else "IPv4")
        entry = struct.pack("!I", label << 12 | 1 << 8 | FIRST_SERVICE_INDEX)
        return _ethernet(ingress, sender, _MPLS, entry + packet)
    if probe.function == NSH_AWARE:
        inner = _ethernet(_mac(_unknown_mac(probe)), sender, ethertype, packet)
        return _ethernet(ingress, sender, _NSH, _nsh_header() + inner)
    receiver = _mac(_unknown_mac(probe)) if probe.function.keeps_source_mac else ingress
    return _ethernet(receiver, sender, ethertype, packet)


def _resolve(probe: Probe, frame: bytes) -> bytes | None:
    if probe.check is not HealthCheck.ICMP:
        return None
    wanted, own = ip_address(probe.destination).packed, _mac(probe_mac(probe.pair_id))
    asker, ethertype = frame[6:12], int.from_bytes(frame[12:14], "big")
    if ethertype == _ARP and frame[38:42] == wanted:
        fixed = struct.pack("!HHBBH", 1, _IPV4, 6, 4, _ARP_REPLY)
        return _ethernet(asker, own, _ARP, fixed + own + wanted + frame[22:32])
    if ethertype == _IPV6 and frame[54:55] == bytes([_NEIGHBOUR_SOLICITATION]):
        flags = 0x60000000  # solicited, and replaces what is known
        if frame[62:78] != wanted or frame[22:38] == bytes(16):  # it checks its own address
            return None
        message = struct.pack("!BBHI", _NEIGHBOUR_ADVERTISEMENT, 0, 0, flags) + wanted
        packet = _ipv6(wanted, frame[22:38], message + b"\x02\x01" + own, hops=255)
        return _ethernet(asker, own, _IPV6, packet)
    return None


def _answers(probe: Probe, frame: bytes) -> bool:
    """Tell whether a frame says who has the address of the ingress port."""
    address = ip_address(probe.destination).packed
    ethertype = int.from_bytes(frame[12:14], "big")
    if ethertype == _ARP:
        return frame[20:22] == _ARP_REPLY.to_bytes(2, "big") and frame[28:32] == address
    is_advertisement = frame[20:21] == bytes([_ICMPV6]) and frame[54:55] == bytes(
        [_NEIGHBOUR_ADVERTISEMENT]
    )
    return ethertype == _IPV6 and is_advertisement and frame[62:78] == address


def _question(probe: Probe, sender: bytes) -> bytes:
    """Ask for the MAC address of an IP address, without telling an address of one's own.

    An ARP probe (RFC 5227), or neighbour solicitation from the link-local address of the probe's
    MAC address: nobody replaces the addresses that it has learned.
    """
    address = ip_address(probe.destination)
    if address.version == 4:
        fixed = struct.pack("!HHBBH", 1, _IPV4, 6, 4, 1)
        asked = bytes(6) + address.packed
        return _ethernet(_mac(_BROADCAST), sender, _ARP, fixed + sender + bytes(4) + asked)
    last = address.packed[-3:]
    group = ip_address("ff02::1:ff00:0").packed[:13] + last
    local = b"\xfe\x80" + bytes(6) + bytes([sender[0] ^ 2]) + sender[1:3] + b"\xff\xfe" + sender[3:]
    option = b"\x01\x01" + sender
    message = struct.pack("!BBHI", _NEIGHBOUR_SOLICITATION, 0, 0, 0) + address.packed + option
    packet = _ipv6(local, group, message, hops=255)
    return _ethernet(b"\x33\x33" + group[-4:], sender, _IPV6, packet)


def _echo_request(probe: Probe, body: bytes) -> tuple[int, bytes]:
    """Return the EtherType and the packet of an echo request (RFC 792, RFC 4443)."""
    source, destination = ip_address(probe.source), ip_address(probe.destination)
    identifier = int(probe.pair_id[:4], 16)
    if source.version == 4:
        return _IPV4, _ipv4(source.packed, destination.packed, _icmp(_ICMP_ECHO, identifier, body))
    message = _ECHO_HEADER.pack(_ICMPV6_ECHO, 0, 0, identifier, 0) + body
    return _IPV6, _ipv6(source.packed, destination.packed, message, hops=_TTL)


def _icmp(kind: int, identifier: int, body: bytes) -> bytes:
    header = _ECHO_HEADER.pack(kind, 0, 0, identifier, 0)
    checksum = _checksum(header + body)
    return header[:2] + checksum + header[4:] + body


def _ipv4(source: bytes, destination: bytes, payload: bytes) -> bytes:
    start = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(payload), 0, 0, _TTL, _ICMP)
    checksum = _checksum(start + bytes(2) + source + destination)
    return start + checksum + source + destination + payload


def _ipv6(source: bytes, destination: bytes, message: bytes, *, hops: int) -> bytes:
    """Return an ICMPv6 packet, with the checksum of its message."""
    pseudo = source + destination + struct.pack("!II", len(message), _ICMPV6)
    checksum = _checksum(pseudo + message)
    start = struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, hops)
    return start + source + destination + message[:2] + checksum + message[4:]


def _nsh_header() -> bytes:
    """Return a Network Service Header of MD type 1 in front of an Ethernet frame (RFC 8300)."""
    first = FIRST_NSH_TTL << 22 | 6 << 16 | 1 << 8 | 3
    return struct.pack("!II", first, PROBE_LABEL << 8 | FIRST_SERVICE_INDEX) + bytes(16)


def _checksum(data: bytes) -> bytes:
    """Return the Internet checksum (RFC 1071)."""
    padded = data + bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


def _ethernet(receiver: bytes, sender: bytes, ethertype: int, payload: bytes) -> bytes:
    return receiver + sender + struct.pack("!H", ethertype) + payload


def _unknown_mac(probe: Probe) -> str:
    """Return an address that no machine has: a function that bridges sends it to its other port."""
    return probe_mac(f"{probe.pair_id}/unknown")


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
