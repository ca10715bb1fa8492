"""Builds the frames of probes, and recognises the answers. Pure.

``FunctionForm`` is the form of probes through a function, ``PeerForm`` that of probes to another
host. A probe has a number that grows, and a secret of this run of the agent: a function can neither
answer a probe that it has not got, nor one of another function.
"""

import functools
import struct
from dataclasses import dataclass
from ipaddress import ip_address

from os_ken.lib.packet import arp, ether_types, ethernet, icmp, icmpv6, in_proto, ipv4, ipv6, mpls
from os_ken.lib.packet.packet import Packet
from os_ken.lib.packet.packet_base import PacketBase

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

_NSH = 0x894F
_NO_MAC, _NO_ADDRESS = "00:00:00:00:00:00", "0.0.0.0"  # noqa: S104  # of nobody
_BROADCAST = "ff:ff:ff:ff:ff:ff"
_HOPS = 64
_LINK_HOPS = 255  # of neighbour discovery: it has come from no other link (RFC 4861)
_SOLICITED_AND_REPLACES = 3  # flags of a neighbour advertisement
_NUMBER = struct.Struct("!H")
_FROM_CHECKSUM_TO_DATA = 6  # bytes of an echo request, from its checksum on (RFC 792, RFC 4443)


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
        label = mpls.mpls(label=PEER_LABEL, ttl=PEER_PROBE_TTL)
        frame = ethernet.ethernet(CHAIN_MAC, CHAIN_MAC, ether_types.ETH_TYPE_MPLS)
        return _serialized(frame, label, _NUMBER.pack(number) + secret)

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
    checksum_at = 0 if probe.check is HealthCheck.L2 else number_at - _FROM_CHECKSUM_TO_DATA
    return _Template(frame, number_at, checksum_at)


def _first(probe: Probe, secret: bytes) -> bytes:
    sender = probe_mac(probe.pair_id)
    # No machine has this address: a function that bridges sends it to its other port.
    unknown = probe_mac(f"{probe.pair_id}/unknown")
    if probe.check is HealthCheck.PING:
        return _question(probe, sender)
    body = _NUMBER.pack(0) + secret
    if probe.check is HealthCheck.L2:
        return _serialized(ethernet.ethernet(unknown, sender, CONTINUITY_CHECK), body)
    ethertype, *packet = _echo_request(probe, body)
    if probe.function == MPLS_AWARE:
        family = "IPv6" if ethertype == ether_types.ETH_TYPE_IPV6 else "IPv4"
        label = mpls.mpls(label=function_label(PROBE_LABEL, family), ttl=FIRST_SERVICE_INDEX)
        frame = ethernet.ethernet(probe.ingress_mac, sender, ether_types.ETH_TYPE_MPLS)
        return _serialized(frame, label, *packet)
    if probe.function == NSH_AWARE:
        frame = ethernet.ethernet(probe.ingress_mac, sender, _NSH)
        inner = ethernet.ethernet(unknown, sender, ethertype)
        return _serialized(frame, _nsh_header() + _serialized(inner, *packet))
    receiver = unknown if probe.function.keeps_source_mac else probe.ingress_mac
    return _serialized(ethernet.ethernet(receiver, sender, ethertype), *packet)


def _resolve(probe: Probe, frame: bytes) -> bytes | None:
    if probe.check is not HealthCheck.ICMP:
        return None
    # What the function learns holds for packets of chains, too. So it must be right if somebody has
    # the address, who may have been away when the function asked.
    own = probe_mac(probe.pair_id)
    owner = probe.destination_mac or own
    layers = _layers(frame)
    asked, discovery = layers.get(arp.arp), layers.get(icmpv6.icmpv6)
    if asked is not None and asked.dst_ip == probe.destination:
        answer = arp.arp(
            opcode=arp.ARP_REPLY,
            src_mac=owner,
            src_ip=probe.destination,
            dst_mac=asked.src_mac,
            dst_ip=asked.src_ip,
        )
        header = ethernet.ethernet(layers[ethernet.ethernet].src, own, ether_types.ETH_TYPE_ARP)
        return _serialized(header, answer)
    if discovery is None or discovery.type_ != icmpv6.ND_NEIGHBOR_SOLICIT:
        return None
    asker = layers[ipv6.ipv6].src
    if discovery.data.dst != probe.destination or ip_address(asker).is_unspecified:
        return None  # it asks for another address, or checks its own
    advertisement = icmpv6.nd_neighbor(
        res=_SOLICITED_AND_REPLACES,
        dst=probe.destination,
        option=icmpv6.nd_option_tla(hw_src=owner),
    )
    header = ethernet.ethernet(layers[ethernet.ethernet].src, own, ether_types.ETH_TYPE_IPV6)
    return _serialized(
        header,
        *_discovery(probe.destination, asker, icmpv6.ND_NEIGHBOR_ADVERT, advertisement),
    )


def _answers(probe: Probe, frame: bytes) -> bool:
    """Tell whether a frame says who has the address of the ingress port."""
    layers = _layers(frame)
    reply, discovery = layers.get(arp.arp), layers.get(icmpv6.icmpv6)
    if reply is not None:
        return bool(reply.opcode == arp.ARP_REPLY and reply.src_ip == probe.destination)
    return (
        discovery is not None
        and discovery.type_ == icmpv6.ND_NEIGHBOR_ADVERT
        and bool(discovery.data.dst == probe.destination)
    )


def _question(probe: Probe, sender: str) -> bytes:
    """Ask for the MAC address of an IP address, without telling an address of one's own.

    An ARP probe (RFC 5227), or neighbour solicitation from the link-local address of the probe's
    MAC address: nobody replaces the addresses that it has learned.
    """
    address = ip_address(probe.destination)
    if address.version == 4:
        asked = arp.arp(
            src_mac=sender, src_ip=_NO_ADDRESS, dst_mac=_NO_MAC, dst_ip=probe.destination
        )
        return _serialized(ethernet.ethernet(_BROADCAST, sender, ether_types.ETH_TYPE_ARP), asked)
    raw, last = bytes.fromhex(sender.replace(":", "")), address.packed[-3:]
    group = ip_address("ff02::1:ff00:0").packed[:13] + last
    local = b"\xfe\x80" + bytes(6) + bytes([raw[0] ^ 2]) + raw[1:3] + b"\xff\xfe" + raw[3:]
    solicitation = icmpv6.nd_neighbor(
        dst=probe.destination, option=icmpv6.nd_option_sla(hw_src=sender)
    )
    receiver = "33:33:" + group[-4:].hex(":")  # RFC 2464
    header = ethernet.ethernet(receiver, sender, ether_types.ETH_TYPE_IPV6)
    ends = (str(ip_address(local)), str(ip_address(group)))
    return _serialized(header, *_discovery(*ends, icmpv6.ND_NEIGHBOR_SOLICIT, solicitation))


def _discovery(
    source: str, destination: str, kind: int, message: icmpv6.nd_neighbor
) -> tuple[PacketBase, PacketBase]:
    """Return a packet of neighbour discovery (RFC 4861)."""
    header = ipv6.ipv6(
        src=source, dst=destination, hop_limit=_LINK_HOPS, nxt=in_proto.IPPROTO_ICMPV6
    )
    return header, icmpv6.icmpv6(type_=kind, data=message)


def _echo_request(probe: Probe, data: bytes) -> tuple[int, PacketBase, PacketBase]:
    """Return the EtherType and the packet of an echo request (RFC 792, RFC 4443)."""
    ends = {"src": probe.source, "dst": probe.destination}
    identifier = int(probe.pair_id[:4], 16)
    if ":" in probe.destination:
        echo = icmpv6.echo(id_=identifier, data=data)
        request = icmpv6.icmpv6(type_=icmpv6.ICMPV6_ECHO_REQUEST, data=echo)
        header = ipv6.ipv6(nxt=in_proto.IPPROTO_ICMPV6, hop_limit=_HOPS, **ends)
        return ether_types.ETH_TYPE_IPV6, header, request
    header = ipv4.ipv4(proto=in_proto.IPPROTO_ICMP, ttl=_HOPS, **ends)
    return ether_types.ETH_TYPE_IP, header, icmp.icmp(data=icmp.echo(id_=identifier, data=data))


def _nsh_header() -> bytes:
    """Return a Network Service Header of MD type 1 in front of an Ethernet frame (RFC 8300)."""
    first = FIRST_NSH_TTL << 22 | 6 << 16 | 1 << 8 | 3
    return struct.pack("!II", first, PROBE_LABEL << 8 | FIRST_SERVICE_INDEX) + bytes(16)


def _serialized(*layers: PacketBase | bytes) -> bytes:
    """Return a frame, which the library fills up to the length that Ethernet demands."""
    packet = Packet()
    for layer in layers:
        packet.add_protocol(layer)
    packet.serialize()
    return bytes(packet.data)


def _layers(frame: bytes) -> dict[type, PacketBase]:
    """Return the headers of a frame that a function has sent, by their type."""
    return {type(layer): layer for layer in Packet(frame) if isinstance(layer, PacketBase)}
