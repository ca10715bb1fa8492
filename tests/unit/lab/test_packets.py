"""Packets are read as scapy reads them, whether scapy does it or not."""

from functools import partial
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from portchain_lab.observe import packets
from scapy.contrib.nsh import NSH
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    ICMPv6ND_Redirect,
    IPv6,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import ARP, LLC, Dot1AD, Dot1Q, Dot3, Ether
from scapy.packet import Packet, Raw

from tests.frames import DESTINATION, SOURCE, ether

numbers, ports = st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1)
ttls = st.integers(1, 255)
checksums = st.sampled_from([None, 0, 0xFFFF, 0x1234])
flags = st.sampled_from(["S", "SA", "A", "SE", "FA", "R"])
payloads = st.binary(max_size=40).map(Raw)
transports = st.one_of(
    st.builds(
        TCP, sport=ports, dport=ports, seq=st.integers(0, 2**32 - 1), flags=flags, chksum=checksums
    ),
    st.builds(partial(UDP, chksum=0xFFFF), sport=st.just(1), dport=st.just(7000)),
    st.builds(UDP, sport=ports, dport=st.integers(7000, 7100), chksum=checksums),
)
messages = st.builds(ICMP, type=st.sampled_from([0, 3, 5, 8, 11, 13, 14, 17, 18]), id=numbers)
echoes = st.builds(ICMPv6EchoRequest, id=numbers)
ipv4 = st.builds(
    IP,
    src=st.ip_addresses(v=4).map(str),
    dst=st.ip_addresses(v=4).map(str),
    id=numbers,
    ttl=ttls,
    options=st.sampled_from([[], [IPOption_Router_Alert()]]),
)
ipv6 = st.builds(
    IPv6, src=st.ip_addresses(v=6).map(str), dst=st.ip_addresses(v=6).map(str), hlim=ttls
)
tags = st.sampled_from([None, Dot1Q(vlan=5), Dot1Q(vlan=5) / Dot1Q(vlan=6), Dot1AD() / Dot1Q()])
inner = st.one_of(
    st.tuples(ipv4, st.one_of(transports, messages)), st.tuples(ipv6, st.one_of(transports, echoes))
)


def framed(tag: Packet | None, *layers: Packet) -> bytes:
    packet = ether() / tag if tag else ether()
    for layer in layers:
        packet /= layer
    return bytes(packet)


@given(tags, inner, payloads)
def test_plain_packets_are_read_as_by_scapy(
    tag: Packet | None, inner: tuple[Packet, Packet], payload: Raw
) -> None:
    frame = framed(tag, *inner, payload)
    with mock.patch.object(packets, "dissect", side_effect=AssertionError("left to scapy")):
        found = packets.read(frame)
    assert found == packets.dissect(frame)
    assert found is not None


@given(inner, payloads, st.integers(0, 100))
@example((IP(), ICMP(type=13)), Raw(), 42)
def test_a_frame_that_was_cut_off_is_read_as_by_scapy(
    inner: tuple[Packet, Packet], payload: Raw, length: int
) -> None:
    frame = framed(None, *inner, payload)[:length]
    assert outcome(packets.read, frame) == outcome(packets.dissect, frame)


def outcome(read: Any, frame: bytes) -> Any:
    """What a function returns or raises."""
    try:
        return read(frame)
    except Exception as error:
        return type(error)


TCP_PACKET = IP(src="10.0.0.1", dst="10.0.0.2", id=7) / TCP(sport=1, dport=2, flags="S", seq=9)
REDIRECT = ICMPv6ND_Redirect(tgt="fe80::3", dst="fd00::2") / Raw(bytes(IPv6() / TCP()))


@pytest.mark.parametrize(
    ("packet", "protocol"),
    [
        (IP(frag=5) / UDP() / Raw(bytes(20)), "ip-17"),
        (IP(flags="MF") / UDP() / Raw(bytes(20)), "udp"),
        (IP(proto=2) / Raw(bytes(8)), "ip-2"),
        (IP(proto=132) / Raw(bytes(16)), "ip-132"),
        (IPv6() / IPv6ExtHdrFragment(id=3) / UDP(dport=7000), "udp"),
        (IPv6() / IPv6ExtHdrHopByHop() / ICMPv6ND_NS(), "ip-0"),
        (IPv6() / IPv6ExtHdrHopByHop() / TCP(), "tcp"),
        (IPv6() / ICMPv6ND_NS(), "ip-58"),
        (IPv6() / REDIRECT, None),
        (ARP(), None),
        (Raw(bytes(40)), None),
        (ether(type=0x8847) / Raw(bytes([0, 0, 0x11, 64]) + bytes(TCP_PACKET)), "tcp"),
        (NSH(nextproto=1) / TCP_PACKET, "tcp"),
        (NSH(nextproto=3) / ether() / TCP_PACKET, "tcp"),
    ],
)
def test_other_packets_are_read_as_by_scapy(packet: Packet, protocol: str | None) -> None:
    frame = bytes(packet if isinstance(packet, Ether) else ether() / packet)
    found = packets.read(frame)
    assert found == packets.dissect(frame)
    assert (found.five_tuple.protocol if found else None) == protocol


def test_a_frame_with_a_length_in_the_place_of_its_type_has_no_ip_packet() -> None:
    assert packets.read(bytes(Dot3(src=SOURCE, dst=DESTINATION) / LLC() / Raw(bytes(40)))) is None
