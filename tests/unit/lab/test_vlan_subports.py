"""VLAN tags of the subports of trunks."""

import struct

from portchain_lab.guests import configuration, kinds, vlan_subports
from portchain_lab.guests.vif import Nic
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw


def test_the_tag_follows_the_addresses() -> None:
    plain = Ether(src="fa:16:3e:00:00:01", dst="fa:16:3e:00:00:02", type=0x0800) / Raw(b"payload")
    tagged = Ether(vlan_subports.with_tag(bytes(plain), 101))
    assert (tagged.src, tagged.dst, tagged[Dot1Q].vlan) == (plain.src, plain.dst, 101)
    assert bytes(tagged[Dot1Q].payload) == bytes(plain.payload)


def test_the_kernel_reports_the_tag_that_it_stripped() -> None:
    def message(status: int, tag: int) -> list[tuple[int, int, bytes]]:
        data = struct.pack("IIIHHHH", status, 0, 0, 0, 0, tag, vlan_subports.ETH_P_8021Q)
        return [(vlan_subports.SOL_PACKET, vlan_subports.PACKET_AUXDATA, data)]

    assert vlan_subports.tag_of(message(vlan_subports.TP_STATUS_VLAN_VALID, 0x2065)) == 101
    assert vlan_subports.tag_of(message(0, 101)) is None
    assert vlan_subports.tag_of([]) is None


def test_each_trunk_parent_has_a_program() -> None:
    def nic(device: str, vlan: int | None = None) -> Nic:
        address = ("10.0.0.5/24",)
        return Nic(device, device, "", "net", "fa:16:3e:00:00:01", address, "", 1500, vlan=vlan)

    nics = [nic("eth0"), nic("eth0.7", 7), nic("eth0.8", 8), nic("eth1"), nic("eth1.7", 7)]
    found = configuration.programs(nics, kinds.PLAIN)
    assert {name: argv[3:] for name, argv in found.items()} == {
        "tagger-eth0": ("eth0", "eth0.7=7", "eth0.8=8"),
        "tagger-eth1": ("eth1", "eth1.7=7"),
    }
