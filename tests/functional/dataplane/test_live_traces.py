"""Live traces on a real Open vSwitch: a marked packet enters at a port, and devices are watched.

The ports are devices of the kernel, in a network namespace of this test's own, on Open vSwitch's
userspace datapath. The test plays virtual machines and functions.
"""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether

from portchain.core import protocols
from portchain.dataplane.tracing.live import Direction, Spot
from portchain.dataplane.tracing.packet import Packet
from portchain.host.live import service
from portchain.host.live.service import LiveTraceService
from portchain.host.live.switch import Vif
from portchain.rpc.live_codec import WatchRequest
from tests.functional.kernel_vswitch import Tap
from tests.functional.vswitch import DATAPATH, DEADLINE, Vswitch, VswitchBridge, running_vswitch
from tests.plans import ident, mac

pytestmark = pytest.mark.skipif(DATAPATH != "userspace", reason="it makes its own devices")

BRIDGE = "br-live"
OFPORTS = {"src": 1, "in": 2, "out": 3, "dst": 4}
TOKEN = bytes(range(0x60, 0x70))
PACKET = Packet(
    *(mac("src"), mac("dst"), "IPv4", "10.0.0.10", "10.0.0.20"),
    *(protocols.UDP, 40000, 53),
)
EXPECTED = frozenset(
    {
        Spot(ident("in"), Direction.TO),
        Spot(ident("out"), Direction.FROM),
        Spot(ident("dst"), Direction.TO),
    }
)
ONLY_TO_FUNCTION = frozenset({Spot(ident("in"), Direction.TO)})
_NEW_NETWORK = 0x40000000


class Devices:
    """A bridge with TAP devices, as virtual machines have them; implements ``LiveSwitch``."""

    def __init__(self, vswitch: Vswitch) -> None:
        self.bridge = VswitchBridge(vswitch, BRIDGE, target=f"unix:{vswitch.folder}/{BRIDGE}.mgmt")
        self.taps = {name: Tap(name) for name in OFPORTS}
        self.types = dict.fromkeys(OFPORTS, "")
        vswitch.run(
            *("ovs-vsctl", "add-br", BRIDGE, "--", "set", "bridge", BRIDGE),
            *("datapath_type=netdev", "fail_mode=secure"),
            "protocols=OpenFlow10,OpenFlow13,OpenFlow14",
        )
        for name, number in OFPORTS.items():
            vswitch.run("ip", "link", "set", "dev", name, "up")
            vswitch.run(
                *("ovs-vsctl", "add-port", BRIDGE, name),
                *("--", "set", "interface", name, f"ofport_request={number}"),
            )
        self.set_flows("in_port=1,actions=output:2", "in_port=3,actions=output:4")

    def set_flows(self, *flows: str) -> None:
        self.bridge.ofctl("replace-flows", "-", stdin="\n".join(flows) + "\n")

    def vifs(self) -> Mapping[str, Vif]:
        return {
            ident(name): Vif(name, self.types[name], self.bridge, number)
            for name, number in OFPORTS.items()
        }

    def ask(self, question: Callable[[], Any], seconds: float) -> Any:
        """Answer as the thread that works on the switch does."""
        return question()


class Function:
    """Forwards what comes out of ``in`` to ``out`` in a thread, until it is stopped."""

    def __init__(self, devices: Devices, forward: Callable[[bytes], list[bytes]]) -> None:
        self.got: list[bytes] = []
        self._taps, self._forward = devices.taps, forward
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Function":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(DEADLINE)

    def _run(self) -> None:
        while not self._stopped.wait(0.005):
            for frame in self._taps["in"].new_frames():
                self.got.append(frame)
                for answer in self._forward(frame):
                    self._taps["out"].send(answer)


@pytest.fixture(scope="module")
def devices() -> Iterator[Devices]:
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    assert libc.unshare(_NEW_NETWORK) == 0
    try:
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
        with running_vswitch() as vswitch:
            made = Devices(vswitch)
            yield made
            for tap in made.taps.values():
                tap.close()
    finally:
        assert libc.setns(before, _NEW_NETWORK) == 0
        os.close(before)


@pytest.fixture
def live(devices: Devices) -> Iterator[LiveTraceService]:
    devices.set_flows("in_port=1,actions=output:2", "in_port=3,actions=output:4")
    devices.types = dict.fromkeys(OFPORTS, "")
    for tap in devices.taps.values():
        tap.new_frames()
    now = iter(range(0, 10**6, 10))  # ports may send again at once
    yield LiveTraceService(devices, devices, clock=lambda: float(next(now)))


def request(spots: frozenset[Spot] = EXPECTED, token: bytes = TOKEN) -> WatchRequest:
    return WatchRequest(token, spots, PACKET.source, PACKET.destination)


def trace(
    live: LiveTraceService, packet: Packet = PACKET, seconds: float = DEADLINE
) -> frozenset[Spot]:
    """Send a packet, and return where it was seen."""
    wanted = WatchRequest(TOKEN, EXPECTED, packet.source, packet.destination)
    assert live.watch(wanted) == {}
    assert live.send(TOKEN, ident("src"), packet) == ""
    return live.sightings(TOKEN, seconds)


IPV6 = replace(PACKET, ethertype="IPv6", source="fd00::10", destination="fd00::20")


@pytest.mark.parametrize(
    ("packet", "layers"),
    [
        (PACKET, (IP, UDP)),
        (replace(PACKET, protocol=protocols.TCP, destination_port=100), (IP, TCP)),
        (replace(PACKET, protocol=protocols.ICMP, source_port=8, destination_port=0), (IP, ICMP)),
        (replace(PACKET, protocol=47, source_port=0, destination_port=0), (IP,)),
        (IPV6, (IPv6, UDP)),
        (replace(IPV6, protocol=protocols.TCP), (IPv6, TCP)),
        (
            replace(IPV6, protocol=protocols.ICMPV6, source_port=128, destination_port=0),
            (IPv6, ICMPv6EchoRequest),
        ),
    ],
)
def test_a_packet_is_seen_at_every_port_of_its_way(
    devices: Devices, live: LiveTraceService, packet: Packet, layers: tuple[Any, ...]
) -> None:
    with Function(devices, lambda frame: [frame]) as function:
        assert trace(live, packet) == EXPECTED
    (frame,) = function.got
    assert frame.endswith(TOKEN)
    parsed = Ether(frame)
    assert (parsed.src, parsed.dst) == (packet.eth_src, packet.eth_dst)
    assert (parsed[layers[0]].src, parsed[layers[0]].dst) == (packet.source, packet.destination)
    for layer in layers:
        assert layer in parsed
    # Scapy computes what it does not have: the checksums of the frame are those.
    again = parsed.copy()
    for layer in again.layers():
        for name in ("chksum", "cksum"):
            if name in again[layer].fields:
                del again[layer].fields[name]
    assert bytes(again) == frame


def test_a_packet_that_a_function_keeps_is_last_seen_there(
    devices: Devices, live: LiveTraceService
) -> None:
    with Function(devices, lambda _: []):
        assert trace(live, seconds=1) == ONLY_TO_FUNCTION


def test_a_packet_that_the_switch_drops_is_seen_nowhere(
    devices: Devices, live: LiveTraceService
) -> None:
    devices.set_flows("in_port=1,actions=drop", "in_port=3,actions=output:4")
    with Function(devices, lambda frame: [frame]):
        assert trace(live, seconds=1) == frozenset()


def test_what_a_function_puts_around_a_packet_does_not_hide_it(
    devices: Devices, live: LiveTraceService
) -> None:
    with Function(devices, lambda frame: [frame[:12] + b"\x88\x47\x00\x01\x01\x40" + frame]):
        assert trace(live) == EXPECTED


def test_other_frames_and_answers_do_not_count(devices: Devices, live: LiveTraceService) -> None:
    answer = Ether(src=mac("dst"), dst=mac("src"))
    answer /= IP(src=PACKET.destination, dst=PACKET.source) / UDP(sport=53, dport=40000) / TOKEN
    request_like = Ether(dst=mac("dst")) / IP(src=PACKET.source, dst=PACKET.destination) / UDP()
    others = [
        *(bytes(answer), bytes(request_like / TOKEN[1:]), bytes(request_like / (TOKEN + b"x"))),
        *(TOKEN, bytes(14) + TOKEN[:-1] + b"\0", bytes(64)),
    ]
    assert live.watch(request()) == {}
    for frame in others:
        if len(frame) >= 14:
            devices.taps["out"].send(frame)
            devices.taps["src"].send(frame)
    assert live.sightings(TOKEN, 0.5) == frozenset()


def test_a_flood_does_not_hide_a_packet(devices: Devices, live: LiveTraceService) -> None:
    """Neither frames of others, nor marked ones that a function sends again and again."""
    noise = bytes(12) + b"\x88\xb6" + os.urandom(1200)
    assert live.watch(request()) == {}
    for _ in range(3000):
        devices.taps["out"].send(noise)
    with Function(devices, lambda frame: [frame] * 500):
        assert live.send(TOKEN, ident("src"), PACKET) == ""
        assert live.sightings(TOKEN, DEADLINE) == EXPECTED
        sent = len([frame for frame in devices.taps["dst"].new_frames() if noise[14:] in frame])
    assert sent > 0  # the flood has passed the ports that were watched


def test_devices_of_their_users_have_the_other_direction(
    devices: Devices, live: LiveTraceService
) -> None:
    """The device of an interface of type internal belongs to who is plugged in."""
    devices.types["in"] = "internal"
    with Function(devices, lambda _: []):
        assert trace(live, seconds=0.5) == frozenset()
    from_function = Spot(ident("in"), Direction.FROM)
    assert live.watch(request(frozenset({from_function}))) == {}
    assert live.send(TOKEN, ident("src"), PACKET) == ""
    assert live.sightings(TOKEN, DEADLINE) == {from_function}


def test_what_cannot_be_watched_is_said(devices: Devices, live: LiveTraceService) -> None:
    devices.types["in"] = "dpdkvhostuserclient"
    here = devices.vifs()
    gone = {**here, ident("out"): replace(here[ident("out")], name="in-a-namespace")}
    elsewhere = Spot(ident("elsewhere"), Direction.TO)

    class Moved:
        def vifs(self) -> Mapping[str, Vif]:
            return gone

    live = LiveTraceService(devices, Moved())
    refused = live.watch(request(EXPECTED | {elsewhere}))
    assert "dpdkvhostuserclient" in refused.pop(ident("in"))
    assert "network namespace" in refused.pop(ident("out"))
    assert "not plugged in" in refused.pop(ident("elsewhere"))
    assert refused == {}
    assert live.sightings(TOKEN, 0) == frozenset()
    assert "not plugged in" in live.send(TOKEN, ident("elsewhere"), PACKET)


def test_a_host_sets_limits(
    devices: Devices, live: LiveTraceService, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = [bytes([number] * 16) for number in range(5)]
    for token in tokens[:4]:
        assert live.watch(request(token=token)) == {}
    assert live.watch(request(token=tokens[4])).keys() == {spot.port_id for spot in EXPECTED}
    for token in tokens[:4]:
        live.sightings(token, 0)
    monkeypatch.setattr(service, "_MOST_SECONDS", 0.05)
    before = _packet_sockets()
    assert live.watch(request()) == {}
    ended = threading.Event()
    for _ in range(DEADLINE * 20):
        if _packet_sockets() <= before and not live._watches:
            break
        ended.wait(0.05)
    else:
        pytest.fail("the watch has not ended")
    slow = LiveTraceService(devices, devices, clock=lambda: 1.0)
    assert slow.send(TOKEN, ident("src"), PACKET) == ""
    assert "within the last second" in slow.send(TOKEN, ident("src"), PACKET)
    assert slow.send(TOKEN, ident("out"), PACKET) == ""


def _packet_sockets() -> int:
    """Return how many packet sockets there are in the namespace, those of the switch included."""
    return len(Path("/proc/thread-self/net/packet").read_text().splitlines())


def test_a_switch_that_does_not_take_a_packet_is_named(
    devices: Devices, live: LiveTraceService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices.bridge, "target", "unix:/nonexistent.mgmt")
    assert "does not take the packet" in live.send(TOKEN, ident("src"), PACKET)
