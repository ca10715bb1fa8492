"""Chain frames in real tunnels, over IPv4 and IPv6, instead of the other tests' plain links."""

import pytest
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether

from tests.functional.dataplane.fabric import DST_MAC, Fabric, returned, tcp
from tests.functional.vswitch import Vswitch
from tests.plans import chain, target

# The userspace datapath knows the machine's own addresses, too: these are unlikely ones.
UNDERLAY = {
    4: {"h1": "198.51.100.81", "h2": "198.51.100.82"},
    6: {"h1": "fd7a:6b5c::1", "h2": "fd7a:6b5c::2"},
}
CASES = [("vxlan", 4), ("vxlan", 6), ("geneve", 6), ("gre", 4)]
LONG = b"x" * 1400  # such a packet still fits, with all headers


def only_tcp(frame: Ether) -> bool:
    return TCP in frame


@pytest.mark.parametrize(("kind", "version"), CASES)
def test_packets_cross_tunnels_in_both_directions(
    vswitch: Vswitch, kind: str, version: int
) -> None:
    # Nothing else connects the hosts.
    fabric = Fabric(vswitch, tunnels=(kind, UNDERLAY[version]))
    fabric.plug("h1", "vm", "dst", "a-in", "a-out")
    fabric.plug("h2", "b-in", "b-out")
    fabric.program(chain([target("b", "h2", bridges=True)], [target("a", "h1")]))
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
