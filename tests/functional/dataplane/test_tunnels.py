"""Packets between hosts in real tunnels, over IPv4 and IPv6, not the other tests' plain links."""

from dataclasses import replace

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Dot1Q, Ether

from portchain.dataplane.flow import Bridge
from portchain.dataplane.pipeline import port_label
from tests.functional.dataplane.fabric import DST_MAC, VM_MAC, Fabric, returned, tcp
from tests.functional.vswitch import Vswitch
from tests.plans import HOSTS, chain, mac, target

# The userspace datapath knows the machine's own addresses, too: these are unlikely ones.
UNDERLAY = {
    4: {"h1": "198.51.100.81", "h2": "198.51.100.82"},
    6: {"h1": "fd7a:6b5c::1", "h2": "fd7a:6b5c::2"},
}
CASES = [("vxlan", 4), ("vxlan", 6), ("geneve", 6), ("gre", 4)]
SEGMENT = 1000
THERE_AND_BACK = chain([target("b", "h2", bridges=True)], [target("a", "h1")])
LONG = b"x" * 1400  # such a packet still fits, with all headers


def only_tcp(frame: Ether) -> bool:
    return TCP in frame


@pytest.mark.parametrize(("kind", "version"), CASES)
def test_packets_cross_tunnels_in_both_directions(
    vswitch: Vswitch, kind: str, version: int
) -> None:
    # Nothing else connects the hosts.
    fabric = connected(vswitch, kind, version)
    fabric.program(THERE_AND_BACK)
    check_packets_cross(vswitch)


@pytest.mark.parametrize("old", [("h1",), ("h2",), ("h1", "h2")])
def test_hosts_of_two_releases_send_each_other_what_both_know(
    vswitch: Vswitch, old: tuple[str, ...]
) -> None:
    """Hosts of the release before this one send and accept whole frames only."""
    fabric = connected(vswitch, *CASES[0])
    new = tuple(host for host in fabric.hosts if host not in old)
    for host in fabric.hosts:
        known = () if host in old else new
        wanted = fabric.desired(host, replace(THERE_AND_BACK, packet_hosts=known))
        packets = {flow for flow in wanted if host in old and "pop_mpls" in str(flow)}
        fabric.hosts[host].put(wanted - packets)
    check_packets_cross(vswitch)


@pytest.mark.parametrize("tag", [0, 5])
def test_a_tag_does_not_take_packets_into_another_network(vswitch: Vswitch, tag: int) -> None:
    """br-tun would take it for the number of a network. A priority tag ends between hosts."""
    fabric = connected(vswitch, *CASES[0])
    fabric.program(THERE_AND_BACK)
    carry_network(fabric, vlan=5)
    other_network = "priority=1,in_port=1,dl_vlan=5,actions=pop_vlan,output:11"
    fabric.hosts["h2"].add_flows(Bridge.INT, [other_network])
    plain = tcp()
    tagged = Ether(src=plain.src, dst=plain.dst) / Dot1Q(vlan=tag) / plain.payload
    vswitch.send("vm", tagged)
    assert vswitch.received("b-out", 0) == []
    got = vswitch.received("b-in", 0 if tag else 1)
    assert [bytes(frame) for frame in got] == ([] if tag else [bytes(plain)])


def labels(*stack: tuple[int, int]) -> bytes:
    """MPLS labels, each with its TTL; the last one is at the bottom of the stack."""
    words = (label << 12 | (n == len(stack)) << 8 | ttl for n, (label, ttl) in enumerate(stack, 1))
    return b"".join(word.to_bytes(4, "big") for word in words)


PATH, PORT, INTO_TUNNEL = (0x10001, 239), (port_label(mac("b-in")), 255), (2, 255)
FORGED = {
    "frame": labels(PATH) + bytes(tcp()),
    "frame of an agent before contract 1.9": labels((0x10001, 255)) + bytes(tcp()),
    "packet": labels(PATH, PORT) + bytes(tcp()[IP]),
    "packet on its way to br-tun": labels(INTO_TUNNEL, PATH, PORT) + bytes(tcp()[IP]),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("packet_hosts", [(), HOSTS], ids=["frames", "packets"])
def test_mpls_of_a_tenant_does_not_enter_a_chain(
    vswitch: Vswitch, packet_hosts: tuple[str, ...], forged: bytes
) -> None:
    """Neutron carries it as any frame of the network: with its tunnel id, and tagged on br-int."""
    fabric = connected(vswitch, *CASES[0])
    fabric.program(replace(chain([target("b", "h2")]), packet_hosts=packet_hosts))
    carry_network(fabric, vlan=1)
    vswitch.send("vm", Ether(src=VM_MAC, dst=mac("b-in"), type=0x8847) / forged)
    arrived = [bytes(frame)[12:] for frame in vswitch.received("b-in", 1)]
    assert arrived == [b"\x88\x47" + forged], "on the network, and not through the chain"


def carry_network(fabric: Fabric, vlan: int) -> None:
    """Carry the frames of a network between the hosts, as Neutron does.

    :param vlan: its local VLAN on both hosts.
    """
    outgoing = f"in_port=1,dl_vlan={vlan},actions=pop_vlan,set_field:77->tun_id,output:2"
    tag = f"push_vlan:0x8100,set_field:{0x1000 | vlan}->vlan_vid"
    incoming = f"in_port=2,tun_id=77,actions={tag},output:1"
    for host in fabric.hosts.values():
        host.add_flows(Bridge.TUN, [f"priority=1,{outgoing}", f"priority=1,{incoming}"])


def connected(vswitch: Vswitch, kind: str, version: int) -> Fabric:
    fabric = Fabric(vswitch, tunnels=(kind, UNDERLAY[version]))
    fabric.plug("h1", "vm", "dst", "a-in", "a-out")
    fabric.plug("h2", "b-in", "b-out")
    return fabric


def check_packets_cross(vswitch: Vswitch) -> None:
    vswitch.send("dst", Ether(src=DST_MAC, dst="ff:ff:ff:ff:ff:ff", type=0x88B5) / b"here")
    for number, payload in enumerate((b"short", LONG), 1):
        sent = tcp() / payload
        vswitch.send("vm", sent)
        at_b = vswitch.received("b-in", number, only_tcp)[-1]
        assert bytes(at_b) == bytes(sent)
        vswitch.send("b-out", at_b)
        at_a = vswitch.received("a-in", number, only_tcp)[-1]
        assert bytes(at_a)[6:] == bytes(sent)[6:]
        back = returned(at_a, "a")
        vswitch.send("a-out", back)
        at_dst = vswitch.received("dst", number, only_tcp)[-1]
        assert bytes(at_dst) == bytes(back)


@pytest.mark.parametrize(("kind", "version"), CASES)
def test_large_packets_are_divided_behind_the_labels(
    vswitch: Vswitch, kind: str, version: int
) -> None:
    """A virtual machine leaves it to the host to divide TCP's data (TSO).

    Linux drops what it cannot divide, at the tunnel. TCP survives that, but is slow.
    """
    connected(vswitch, kind, version).program(THERE_AND_BACK)
    data = bytes(range(256)) * 40
    large = tcp()
    large[TCP].remove_payload()
    large /= data
    # The kernel divides the first packet for ovs-vswitchd, which has no flow for it yet.
    for number in (1, 2):
        count = number * -(-len(data) // SEGMENT)
        for sender, receiver in (("vm", "b-in"), ("b-out", "a-in")):
            vswitch.send_large(sender, large, SEGMENT)
            arrived = vswitch.received(receiver, count, only_tcp)
            assert b"".join(bytes(one[TCP].payload) for one in arrived) == number * data
