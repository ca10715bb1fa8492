"""Health checks on a real Open vSwitch: probes go through functions, and nowhere else."""

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pytest
from os_ken.ofproto import ofproto_protocol, ofproto_v1_3
from scapy.contrib.mpls import MPLS
from scapy.contrib.nsh import NSH
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from portchain.core.function_kinds import L2, L3, MPLS_AWARE, NSH_AWARE
from portchain.core.model import HealthCheck, HealthCheckParameters
from portchain.dataplane import answer_meters
from portchain.dataplane.compile import compile_frame_guard
from portchain.dataplane.compile.probes import peer_flows, probe_flows
from portchain.dataplane.flow import Bridge, Flow
from portchain.dataplane.host_switch import Firewall, LocalPort, LocalSwitch
from portchain.dataplane.pipeline import check
from portchain.dataplane.plan import Probe
from portchain.host import meters
from portchain.host.bridge import OPENFLOW
from portchain.host.health.channel import ChannelError, PacketChannel
from portchain.host.health.checks import Finding, checks_of_functions, checks_of_peers
from portchain.host.health.prober import Prober
from portchain.host.meters import Meters
from tests.functional.vswitch import DEADLINE, Host, Vswitch, VswitchBridge, running_vswitch
from tests.plans import ident, mac

INGRESS, EGRESS, OTHER = 11, 12, 13
GATEWAY = mac("gateway")
OWN, OWN6 = "10.0.0.30", "2001:db8::30"
PROBE = Probe(
    pair_id=ident("a"),
    host="h1",
    ingress_port=ident("a-in"),
    ingress_mac=mac("a-in"),
    egress_port=ident("a-out"),
    check=HealthCheck.ICMP,
    source="10.0.0.1",
    destination="10.0.0.20",
    parameters=HealthCheckParameters(delay=0.1, timeout=0.1, max_retries=2, max_retries_down=2),
)
IPV6 = replace(PROBE, source="2001:db8::1", destination="2001:db8::20")


class Function:
    """Answers, in a thread, what comes out of its ingress port.

    :param forward: returns what the function sends for a frame; None to drop it.
    """

    def __init__(
        self, vswitch: Vswitch, forward: Callable[[Packet], Packet | None], answers_at: str
    ) -> None:
        self.vswitch, self.forward, self.answers_at = vswitch, forward, answers_at
        self.works = True
        self.got: list[Packet] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(DEADLINE)

    def _run(self) -> None:
        while not self._stopped.wait(0.01):
            for raw in self.vswitch.new_frames("a-in"):
                frame = Ether(raw)
                self.got.append(frame)
                answer = self.forward(frame) if self.works else None
                if answer is not None:
                    self.vswitch.send(self.answers_at, answer)


class World:
    """A host with a function, and a port of somebody else."""

    def __init__(self, vswitch: Vswitch) -> None:
        self.vswitch = vswitch
        self.host = Host(vswitch, "h1")
        for name, ofport in (("a-in", INGRESS), ("a-out", EGRESS), ("other", OTHER)):
            vswitch.add_port("h1-int", name, ofport)
        self.local = LocalSwitch(
            "h1",
            Firewall.ELSEWHERE,
            {ident("a-in"): LocalPort(INGRESS, 1), ident("a-out"): LocalPort(EGRESS, 1)},
        )
        self.meters = Meters(VswitchBridge(vswitch, "h1-int"))
        self.local = replace(self.local, largest_meter=self.meters.largest())
        assert self.local.largest_meter > OTHER
        self.reports: list[Finding] = []
        self.target = f"unix:{vswitch.folder}/h1-int.mgmt"
        self.prober = Prober(
            *("h1", "functions"),
            lambda: PacketChannel(lambda: self.target),
            self.reports.extend,
        )
        self.functions: list[Function] = []

    def check(self, probe: Probe) -> None:
        flows = set(probe_flows([probe], self.local))
        check(flows)
        self.provide_meters(flows)
        self.host.put(flows)
        assert set(self.host.dump_entries()) == flows  # as the switch writes them
        self.prober.set_checks(checks_of_functions([[probe]], self.local))

    def provide_meters(self, flows: Iterable[Flow]) -> None:
        self.meters.add(answer_meters.used_by(flows) - self.meters.present())

    def stats(self) -> str:
        return self.vswitch.run("ovs-ofctl", "-O", OPENFLOW, "meter-stats", "h1-int")

    def run_function(
        self, forward: Callable[[Packet], Packet | None], answers_at: str = "a-out"
    ) -> Function:
        self.functions.append(Function(self.vswitch, forward, answers_at))
        return self.functions[-1]

    def wait_for(self, is_up: bool) -> Finding:
        return wait(lambda: [one for one in self.prober.findings if one.is_up is is_up])[0]

    def close(self) -> None:
        self.prober.set_checks([])
        for function in self.functions:
            function.stop()


def wait(find: Callable[[], list]) -> list:
    deadline = time.monotonic() + DEADLINE
    while not (found := find()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.fixture(autouse=True, scope="module")
def neutrons_agent() -> Iterator[None]:
    """Neutron's agent limits os-ken, in all of its process, to the version of its own flows."""
    before = set(ofproto_protocol._supported_versions)
    ofproto_protocol.set_app_supported_versions([ofproto_v1_3.OFP_VERSION])
    yield
    ofproto_protocol._supported_versions = before


@pytest.fixture
def world() -> Iterator[World]:
    with running_vswitch() as vswitch:
        made = World(vswitch)
        yield made
        made.close()


def routed(frame: Packet) -> Packet | None:
    """Forward as a router, which looks at addresses and checksums."""
    layer = IP if IP in frame else IPv6
    if frame.dst != mac("a-in") or layer not in frame or not has_right_checksums(frame):
        return None
    sent = frame.copy()
    sent.src, sent.dst = mac("a-out"), GATEWAY
    if layer is IP:
        sent[IP].ttl -= 1
        del sent[IP].chksum
    else:
        sent[IPv6].hlim -= 1
    return sent


def has_right_checksums(frame: Packet) -> bool:
    again = frame.copy()
    for layer, name in ((IP, "chksum"), (ICMP, "chksum"), (ICMPv6EchoRequest, "cksum")):
        if layer in again:
            delattr(again[layer], name)
    for layer in (ICMPv6ND_NS, ICMPv6ND_NA):
        if layer in again:
            del again[layer].cksum
    return bytes(again) == bytes(frame)


def bridged(frame: Packet) -> Packet:
    return frame


def returned_label(frame: Packet) -> Packet | None:
    if MPLS not in frame or frame.dst != mac("a-in") or frame[MPLS].s != 1:
        return None
    sent = frame.copy()
    sent.src, sent.dst = mac("a-out"), frame.src
    sent[MPLS].ttl -= 1
    return sent


def returned_nsh(frame: Packet) -> Packet | None:
    if NSH not in frame or frame.dst != mac("a-in") or frame[NSH].mdtype != 1:
        return None
    sent = frame.copy()
    sent.src, sent.dst = mac("a-out"), frame.src
    sent[NSH].si -= 1
    return sent


def resolved(frame: Packet) -> Packet | None:
    """Say who has the address of the ingress port."""
    if ARP in frame and frame[ARP].op == 1 and frame[ARP].pdst == OWN:
        assert frame[ARP].psrc == "0.0.0.0"  # nobody learns an address from it
        reply = ARP(op=2, hwsrc=mac("a-in"), psrc=OWN, hwdst=frame[ARP].hwsrc, pdst="0.0.0.0")
        return Ether(src=mac("a-in"), dst=frame.src) / reply
    if ICMPv6ND_NS in frame and frame[ICMPv6ND_NS].tgt == OWN6 and has_right_checksums(frame):
        asker = frame[IPv6].src
        answer = IPv6(src=OWN6, dst=asker, hlim=255) / ICMPv6ND_NA(tgt=OWN6, R=0, S=1)
        return Ether(src=mac("a-in"), dst=frame.src) / answer
    return None


KINDS = {
    "routes": (PROBE, routed),
    "routes IPv6": (IPV6, routed),
    "bridges": (replace(PROBE, function=L2), bridged),
    "bridges, continuity check": (
        replace(PROBE, function=L2, check=HealthCheck.L2, source="", destination=""),
        bridged,
    ),
    "understands MPLS": (replace(PROBE, function=MPLS_AWARE), returned_label),
    "understands MPLS, IPv6": (replace(IPV6, function=MPLS_AWARE), returned_label),
    "understands NSH": (replace(PROBE, function=NSH_AWARE), returned_nsh),
    "understands NSH, IPv6": (replace(IPV6, function=NSH_AWARE), returned_nsh),
    "answers for its address": (
        replace(PROBE, function=L3, check=HealthCheck.PING, source="", destination=OWN),
        resolved,
    ),
    "answers for its IPv6 address": (
        replace(PROBE, function=L3, check=HealthCheck.PING, source="", destination=OWN6),
        resolved,
    ),
}


@pytest.mark.parametrize(("probe", "forward"), KINDS.values(), ids=KINDS)
def test_a_function_fails_and_comes_back(
    world: World, probe: Probe, forward: Callable[[Packet], Packet | None]
) -> None:
    is_ping = probe.check is HealthCheck.PING
    function = world.run_function(forward, "a-in" if is_ping else "a-out")
    world.check(probe)
    world.wait_for(is_up=True)
    function.works = False
    assert world.wait_for(is_up=False) == Finding(ident("a"), is_up=False, failures=2)
    function.works = True
    world.wait_for(is_up=True)
    assert [one.is_up for one in world.reports] == [True, False, True]
    assert set(world.prober.answer_seconds) == {ident("a")}
    # Nobody else has seen a probe or an answer.
    assert world.vswitch.received("other", 0) == []
    assert world.vswitch.received("a-out", 0) == []


def test_what_a_function_returns_too_much_does_not_reach_the_host(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meters, "CONFIGURATION", "pktps,burst,bands=type=drop,rate=1,burst_size=1")
    flows = set(probe_flows([PROBE], world.local))
    world.provide_meters(flows)
    (meter,) = world.meters.present()
    assert meter == world.local.largest_meter - EGRESS
    world.host.put(flows)
    answer = IP(src=PROBE.source, dst=PROBE.destination) / ICMP() / Raw(bytes(20))
    frame = Ether(src=mac("a-out"), dst=GATEWAY) / answer
    count = 40
    world.vswitch.send("a-out", *[frame] * count)
    # The band counts what it has dropped, the meter all that has come.
    stats = wait(lambda: re.findall(rf"meter:{meter} .*packet_in_count:{count} ", world.stats()))
    assert len(stats) == 1
    (dropped,) = re.findall(r"^0: packet_count:(\d+)", world.stats(), re.MULTILINE)
    assert 0 < int(dropped) < count


def test_meters_of_ports_that_are_gone_are_removed(world: World) -> None:
    largest = world.local.largest_meter
    foreign = f"meter=1,pktps,bands=type=drop,rate={answer_meters.ANSWERS_PER_SECOND}"
    world.vswitch.run("ovs-ofctl", "-O", OPENFLOW, "add-meter", "h1-int", foreign)
    world.meters.add({largest - EGRESS, largest - OTHER})
    assert world.meters.present() == {largest - EGRESS, largest - OTHER}
    surplus = answer_meters.surplus(world.meters.present(), world.local)
    assert surplus == {largest - OTHER}
    world.meters.remove(surplus)
    assert world.meters.present() == {largest - EGRESS}


class Router:
    """A router that has to resolve the destination of what it forwards, as kernels do.

    :param patience: seconds until it asks again.
    """

    def __init__(self, world: World, probe: Probe, patience: float = 0.3) -> None:
        self.world, self.probe, self.known = world, probe, ""
        self._asked_at, self._patience = -patience, patience

    def __call__(self, frame: Packet) -> Packet | None:
        sent = routed(frame)
        for raw in self.world.vswitch.new_frames("a-out"):
            if answer := self._resolved(Ether(raw)):
                self.known = answer
        if sent is not None and self.known:
            sent.dst = self.known
            return sent
        if time.monotonic() - self._asked_at < self._patience:
            return None
        self._asked_at = time.monotonic()
        return self._question()

    def _question(self) -> Packet:
        source, wanted = mac("a-out"), self.probe.destination
        if ":" in wanted:
            solicited = IPv6(src="2001:db8::31", dst="ff02::1:ff00:20", hlim=255)
            return Ether(src=source, dst="33:33:ff:00:00:20") / solicited / ICMPv6ND_NS(tgt=wanted)
        question = ARP(op=1, hwsrc=source, psrc="10.0.0.31", pdst=wanted)
        return Ether(src=source, dst="ff:ff:ff:ff:ff:ff") / question

    def _resolved(self, frame: Packet) -> str:
        if ARP in frame and (frame[ARP].op, frame[ARP].psrc) == (2, self.probe.destination):
            assert (frame[ARP].hwdst, frame[ARP].pdst) == (mac("a-out"), "10.0.0.31")
            return str(frame[ARP].hwsrc)
        if ICMPv6ND_NA in frame and frame[ICMPv6ND_NA].tgt == self.probe.destination:
            assert has_right_checksums(frame)
            assert frame[ICMPv6ND_NA].S == 1
            return str(frame[ICMPv6NDOptDstLLAddr].lladdr)
        return ""


@pytest.mark.parametrize("probe", [PROBE, IPV6], ids=["IPv4", "IPv6"])
def test_a_function_learns_where_an_address_is_that_nobody_has(world: World, probe: Probe) -> None:
    router = Router(world, probe)
    world.run_function(router)
    world.check(probe)
    world.wait_for(is_up=True)
    # Those who could have the address were asked, too.
    questions = [ARP, ICMPv6ND_NS]
    assert world.vswitch.received("other", 2, lambda frame: any(q in frame for q in questions))


def test_the_owner_of_an_address_answers_first(world: World) -> None:
    """A function must not send packets elsewhere because of a check."""
    router = Router(world, PROBE, patience=DEADLINE)
    world.run_function(router)
    world.check(PROBE)
    owner = Ether(src=GATEWAY, dst=mac("a-out")) / ARP(
        op=2, hwsrc=GATEWAY, psrc=PROBE.destination, hwdst=mac("a-out"), pdst="10.0.0.31"
    )
    world.vswitch.received("other", 1, lambda frame: ARP in frame)
    world.vswitch.send("other", owner)
    world.wait_for(is_up=True)
    assert router.known == GATEWAY


def test_a_function_learns_where_the_owner_is_who_was_away_when_it_asked(world: World) -> None:
    """What it learns also holds for packets of chains: they would be lost."""
    router = Router(world, PROBE)
    world.run_function(router)
    world.check(replace(PROBE, destination_mac=GATEWAY))
    world.wait_for(is_up=True)
    assert router.known == GATEWAY


def test_answers_that_a_function_makes_up_do_not_count(world: World) -> None:
    """A function that forwards nothing sends what looks like an answer, by its addresses."""

    def forged(frame: Packet) -> Packet | None:
        sent = routed(frame)
        if sent is not None:
            sent[Raw].load = bytes(len(sent[Raw].load))
            del sent[ICMP].chksum
        return sent

    function = world.run_function(forged)
    world.check(PROBE)
    world.wait_for(is_up=False)
    function.forward = routed
    world.wait_for(is_up=True)


def test_an_answer_at_another_port_does_not_count(world: World) -> None:
    function = world.run_function(routed, "other")
    world.check(PROBE)
    world.wait_for(is_up=False)
    assert function.got


def test_a_function_that_floods_does_not_keep_others_from_being_checked(world: World) -> None:
    """Its packets look like answers, hundreds of times a second."""
    world.run_function(routed)
    world.check(PROBE)
    world.wait_for(is_up=True)
    seen = 0
    for frame in [one for one in world.functions[0].got if IP in one][:1]:
        world.vswitch.send("a-out", *[routed(frame)] * 1000)
        seen += 1
    assert seen
    target = f"unix:{world.vswitch.folder}/h1-int.mgmt"
    channel = PacketChannel(lambda: target)
    channel.connect()
    world.vswitch.send("a-out", *[routed(world.functions[0].got[0])] * 300)
    taken = wait(channel.take_in)
    assert len(taken) <= 2 * 50  # two seconds may have begun
    channel.close()


def test_other_packets_of_a_function_pass(world: World) -> None:
    world.run_function(routed)
    world.check(PROBE)
    world.wait_for(is_up=True)
    own = Ether(src=mac("a-out"), dst=GATEWAY) / IP(src="10.0.0.31", dst="10.0.0.20") / ICMP()
    world.vswitch.send("a-out", own)
    assert len(world.vswitch.received("other", 1)) == 1


def test_without_the_switch_nothing_fails(world: World) -> None:
    """A restart of the switch is no failure of the functions."""
    world.run_function(routed)
    world.check(PROBE)
    world.wait_for(is_up=True)
    target, world.target = world.target, f"unix:{world.vswitch.folder}/nobody"
    world.vswitch.stop_switch()
    time.sleep(1)  # many times longer than probes take to fail
    world.vswitch.start_switch()
    world.target = target
    world.host.add_flows(Bridge.INT, world.host.neutron_flows)
    world.check(PROBE)
    sent = len(world.functions[0].got)
    wait(lambda: world.functions[0].got[sent + 3 :])
    assert [one.is_up for one in world.reports] == [True]


def test_a_channel_says_that_nobody_listens(world: World) -> None:
    with pytest.raises(ChannelError, match="cannot connect"):
        PacketChannel(lambda: f"unix:{world.vswitch.folder}/nobody").connect()
    with pytest.raises(ChannelError, match="no bridge"):
        PacketChannel(lambda: "").connect()


HOSTS = {"h1": "192.0.2.1", "h2": "192.0.2.2"}


def between_hosts(vswitch: Vswitch, *, br_chain: bool) -> tuple[dict[str, Host], LocalSwitch]:
    """Two hosts with the flows that every host has; h1's state."""
    hosts = {name: Host(vswitch, name) for name in HOSTS}
    with vswitch.at_once():
        for name, peer in (("h1", "h2"), ("h2", "h1")):
            bridge = f"{name}-{'int' if br_chain else 'tun'}"
            vswitch.add_link(bridge, f"{name}-peer", 2, f"{peer}-peer")
    switches = {}
    for name, peer in (("h1", "h2"), ("h2", "h1")):
        switches[name] = LocalSwitch(
            name,
            Firewall.ELSEWHERE,
            {},
            1,
            None if br_chain else 1,
            {HOSTS[peer]: 2},
            has_br_chain=br_chain,
        )
        guard = compile_frame_guard(switches[name])
        hosts[name].put(guard)
        assert set(hosts[name].dump_entries()) == guard  # as the switch writes them
    return hosts, switches["h1"]


@pytest.mark.parametrize("br_chain", [False, True], ids=["br-tun", "br-chain"])
def test_a_host_notices_that_another_one_is_gone_and_back(br_chain: bool) -> None:
    """The other host's switch returns probes by itself: no agent runs there."""
    with running_vswitch() as vswitch:
        hosts, local = between_hosts(vswitch, br_chain=br_chain)
        bridge = "h1-int" if br_chain else "h1-tun"
        target = f"unix:{vswitch.folder}/{bridge}.mgmt"
        reports: list[Finding] = []
        prober = Prober(
            *("h1-peers", "hosts"), lambda: PacketChannel(lambda: target), reports.extend
        )
        prober.set_checks(checks_of_peers([HOSTS.values()], local))
        wait(lambda: reports)
        there = set(hosts["h2"].dump_entries())
        hosts["h2"].put(set())
        wait(lambda: reports[1:])
        hosts["h2"].put(there)
        wait(lambda: reports[2:])
        assert reports == [Finding(HOSTS["h2"], up, 3) for up in (True, False, True)]
        prober.set_checks([])


def test_probes_between_hosts_are_all_that_the_flows_return() -> None:
    local = LocalSwitch("h1", Firewall.ELSEWHERE, {}, 1, 1, {HOSTS["h2"]: 2})
    check(peer_flows(local))
    assert {flow.key.bridge for flow in peer_flows(local)} == {Bridge.TUN}
