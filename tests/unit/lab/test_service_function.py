"""Service functions as programs: what they do to frames, decoded with scapy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from portchain_lab.guests import configuration, service_function
from portchain_lab.guests.vif import Nic
from portchain_lab.observe import packet_paths
from portchain_lab.observe.capture import CapturedFrame
from scapy.contrib.mpls import MPLS
from scapy.contrib.nsh import NSH
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from tests.frames import ether

HERE, THERE, OWN = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"
PACKET = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=5, dport=7) / b"data"
FRAMES = {
    "mpls": Ether(src=THERE, dst=HERE) / MPLS(label=0x11234, cos=0, s=1, ttl=254) / PACKET,
    "nsh": Ether(src=THERE, dst=HERE)
    / NSH(mdtype=1, nextproto=3, ttl=62, spi=0x11234, si=254)
    / Ether(src=OWN, dst=THERE)
    / PACKET,
}


def processed(kind: str) -> Packet:
    own = bytes.fromhex(OWN.replace(":", ""))
    return Ether(service_function.KINDS[kind].process(bytes(FRAMES[kind]), own, 0))


@pytest.mark.parametrize("kind", FRAMES)
def test_the_service_index_decreases_and_the_frame_returns_to_its_sender(kind: str) -> None:
    expected = Ether(bytes(FRAMES[kind]))
    expected.src, expected.dst = OWN, THERE
    if kind == "mpls":
        expected[MPLS].ttl = 253
    else:
        expected[NSH].si = 253
    assert bytes(processed(kind)) == bytes(expected)


@pytest.mark.parametrize("kind", FRAMES)
def test_a_packet_is_followed_behind_its_chain_header(kind: str) -> None:
    plain = bytes(Ether(src=OWN, dst=HERE) / PACKET)
    frames = (plain, bytes(FRAMES[kind]), bytes(processed(kind)))
    captured = [
        CapturedFrame(number, port, port, False, True, one)
        for number, (port, one) in enumerate(zip("abc", frames, strict=True))
    ]
    (trace,) = packet_paths.traces(packet_paths.observations(captured))
    assert trace.ports == ("a", "b", "c")


@pytest.mark.parametrize(
    "packet", [TCP(sport=5, dport=7), UDP(sport=5, dport=7)], ids=["tcp", "udp"]
)
@given(st.integers(1, 254), st.integers(1, 254), st.binary(max_size=9))
def test_nat_changes_one_address_and_nothing_else(
    packet: Packet, one: int, other: int, data: bytes
) -> None:
    sent = (
        Ether(src=OWN, dst=THERE) / IP(src=f"10.0.0.{one}", dst=f"10.0.0.{other}") / packet / data
    )
    for index, changes in (
        (0, {"src": f"10.0.0.{one ^ 0x80}"}),
        (1, {"dst": f"10.0.0.{other ^ 0x80}"}),
    ):
        expected = sent.copy()
        for name, value in changes.items():
            setattr(expected[IP], name, value)
        found = Ether(service_function.nat(bytes(sent), b"", index))
        assert [getattr(found[IP], name) for name in ("src", "dst")] == [
            getattr(expected[IP], name) for name in ("src", "dst")
        ]
        valid = found.copy()
        for layer in (IP, type(packet)):
            del valid[layer].chksum
        assert bytes(valid) == bytes(found) == bytes(expected)


def test_nat_does_not_change_other_frames() -> None:
    for other in (ether() / ARP(), ether() / IP(proto=47) / b"x"):
        assert service_function.nat(bytes(other), b"", 0) == bytes(other)


def test_a_vm_runs_a_program_if_its_kind_needs_one() -> None:
    nics = [Nic(device, "", "", "", HERE, (), "", 1450) for device in ("eth0", "eth1")]
    assert configuration.programs(nics, "l3") == configuration.programs([], "nsh") == {}
    assert configuration.programs(nics, "nsh")["function"][2:] == (
        *("portchain_lab.guests.service_function", "nsh"),
        *("eth0", "eth1"),
    )
