"""From captured frames to paths, with frames built by scapy."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from portchain_lab.observe import packet_paths
from portchain_lab.observe.capture import CapturedFrame
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from tests.frames import ether

CLIENT, SERVER = "10.0.0.1", "10.0.0.2"
CHAIN = ("src", "p1", "p2", "dst")


def frame(inner: Packet, hop: int) -> bytes:
    """The packet as it looks after some hops: other MAC addresses, lower TTL."""
    copy = inner.copy()
    copy.ttl = 64 - hop
    return bytes(Ether(src=f"02:00:00:00:00:{hop:02x}", dst=f"02:00:00:00:01:{hop:02x}") / copy)


def along(
    inner: Packet, path: tuple[str, ...], start: int, hops: bool = True
) -> list[CapturedFrame]:
    """The captured frames of a packet that passes these ports, one microsecond apart.

    :param hops: whether the VMs on the path are routers.
    """
    return [
        CapturedFrame(
            *(start + 1000 * step, f"machine {(step + 1) // 2}", port, step % 2 == 0, True),
            frame=frame(inner, step if hops else 0),
        )
        for step, port in enumerate(path)
    ]


def tcp(flags: str, seq: int, ident: int, sport: int = 23, back: bool = False) -> Packet:
    ends = {"src": SERVER, "dst": CLIENT} if back else {"src": CLIENT, "dst": SERVER}
    ports = {"sport": 100, "dport": sport} if back else {"sport": sport, "dport": 100}
    return IP(id=ident, **ends) / TCP(flags=flags, seq=seq, **ports)


def test_each_use_of_a_five_tuple_is_a_connection_of_its_own() -> None:
    frames = []
    for number, pair in enumerate((("p1", "p2"), ("p3", "p4"))):
        start = number * 1_000_000
        path = ("src", *pair, "dst")
        frames += along(tcp("S", 1000 * number, 10 + number), path, start)
        frames += along(tcp("SA", 5000, 20 + number, back=True), ("dst", "src"), start + 100_000)
        frames += along(tcp("A", 1000 * number + 1, 30 + number), path, start + 200_000)

    first, second = packet_paths.connections(packet_paths.observations(frames))

    assert first.path == ("src", "p1", "p2", "dst")
    assert second.path == ("src", "p3", "p4", "dst")
    assert (first.number, second.number) == (0, 1)
    assert first.paths == Counter({("src", "p1", "p2", "dst"): 2})
    assert first.replies == second.replies == Counter({("dst", "src"): 1})


def test_a_connection_whose_packets_take_two_paths_has_no_single_path() -> None:
    frames = along(tcp("S", 1, 1), CHAIN, 0) + along(tcp("A", 2, 2), ("src", "dst"), 1_000_000)

    (connection,) = packet_paths.connections(packet_paths.observations(frames))

    assert connection.path is None
    assert connection.paths == Counter({CHAIN: 1, ("src", "dst"): 1})


def test_a_clock_that_is_set_back_does_not_reverse_a_path() -> None:
    frames = along(tcp("S", 1, 1), ("src", "p1", "p1", "dst"), 1_000_000)
    frames[-1] = replace(frames[-1], time_ns=999_000)

    (connection,) = packet_paths.connections(packet_paths.observations(frames))

    assert connection.path == ("src", "p1", "p1", "dst")


def test_a_clock_that_is_set_back_does_not_move_the_end_before_a_bump_in_the_wire() -> None:
    frames = along(tcp("S", 1, 1), CHAIN, 1_000_000, hops=False)
    frames[-1] = replace(frames[-1], time_ns=1_001_500)

    (connection,) = packet_paths.connections(packet_paths.observations(frames))

    assert connection.path == CHAIN


def test_a_packet_that_arrives_twice_is_traced_twice() -> None:
    once = tcp("S", 1, 1)
    frames = along(once, CHAIN, 0)
    frames.append(replace(frames[-1], time_ns=50_000))

    (trace,) = packet_paths.traces(packet_paths.observations(frames))

    assert trace.ports == (*CHAIN, "dst")


def test_a_retransmitted_syn_opens_no_second_connection() -> None:
    first = tcp("S", 1, 1)
    again = tcp("S", 1, 2)  # the kernel gives it an IP id of its own
    frames = along(first, CHAIN, 0) + along(again, CHAIN, 1_000_000)

    (connection,) = packet_paths.connections(packet_paths.observations(frames))

    assert connection.paths == Counter({CHAIN: 2})


def test_a_clock_that_is_set_back_does_not_make_the_server_the_client() -> None:
    frames = along(tcp("S", 1, 1), CHAIN, 1_000_000)
    frames += along(tcp("SA", 1, 1, back=True), ("dst", "src"), 900_000)

    (connection,) = packet_paths.connections(packet_paths.observations(frames))

    assert connection.five_tuple.destination == SERVER
    assert (connection.paths, connection.replies) == (Counter([CHAIN]), Counter([("dst", "src")]))


def test_frames_for_other_macs_are_skipped_unless_promiscuous() -> None:
    flooded = [CapturedFrame(0, "sf9", "p9", False, False, frame(tcp("S", 1, 1), 0))]

    assert packet_paths.observations(flooded) == []
    assert [one.port for one in packet_paths.observations(flooded, promiscuous=True)] == ["p9"]


def test_a_leaked_chain_header_is_unexpected() -> None:
    inside = bytes(tcp("S", 1, 1))
    leaked = CapturedFrame(
        0, "sf1", "p1", False, True, bytes(ether(type=0x8847) / Raw(bytes(4) + inside))
    )
    frames = [
        leaked,
        *along(tcp("S", 1, 1), CHAIN, 0),
        CapturedFrame(0, "sf1", "p1", True, True, bytes(ether() / ARP())),
    ]

    assert packet_paths.unexpected_frames(frames) == [leaked]


def test_checksums_of_zero_and_of_all_ones_are_equal() -> None:
    """Linux writes one, Open vSwitch the other; both are valid."""
    sent, arrived = tcp("S", 1, 1), tcp("S", 1, 1)
    sent[TCP].chksum, arrived[TCP].chksum = 0xFFFF, 0
    other = tcp("S", 1, 1)
    other[TCP].chksum = 1
    for packet, paths in ((arrived, 1), (other, 2)):
        frames = along(sent, CHAIN[:1], 0) + along(packet, CHAIN[1:], 1000)
        assert len(packet_paths.traces(packet_paths.observations(frames))) == paths


def test_other_protocols_have_five_tuples_too() -> None:
    packets = {
        "udp": IP(src=CLIENT, dst=SERVER) / UDP(sport=5, dport=6) / Raw(b"x"),
        "icmp": IP(src=CLIENT, dst=SERVER) / ICMP(id=7),
        "ip-47": IP(src=CLIENT, dst=SERVER, proto=47) / Raw(b"x"),
    }
    arp = CapturedFrame(0, "src", "src", True, True, bytes(ether() / ARP()))
    for protocol, packet in packets.items():
        (observation,) = packet_paths.observations([arp, *along(packet, ("src",), 0)])
        assert observation.five_tuple.protocol == protocol
        assert (observation.five_tuple.source, observation.five_tuple.destination) == (
            CLIENT,
            SERVER,
        )


def test_selection_by_protocol_prefix_and_port() -> None:
    frames = along(tcp("S", 1, 1), CHAIN, 0)
    frames += along(IP(src=CLIENT, dst=SERVER) / UDP(sport=5, dport=6), ("src", "dst"), 1)
    found = packet_paths.connections(packet_paths.observations(frames))

    assert len(packet_paths.select(found)) == 2
    (only,) = packet_paths.select(found, "tcp", "10.0.0.0/24", SERVER, 100)
    assert only.path == CHAIN
    assert packet_paths.select(found, source="10.9.0.0/24") == []


@given(st.lists(st.sampled_from(["p1", "p2", "p3", "p4"]), max_size=6), st.randoms())
def test_the_order_of_captured_frames_does_not_matter(ports: list[str], random: object) -> None:
    path = ("src", *ports, "dst")
    frames = along(tcp("S", 1, 1), path, 0)
    random.shuffle(frames)  # type: ignore[attr-defined]

    (trace,) = packet_paths.traces(packet_paths.observations(frames))

    assert trace.ports == path
