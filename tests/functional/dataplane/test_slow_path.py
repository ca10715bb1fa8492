"""The check that every test of this folder ends with finds flows of the slow path."""

from scapy.layers.l2 import Ether

from portchain.dataplane.flow import Bridge
from tests.functional.dataplane.fabric import DST_MAC, VM_MAC, Fabric
from tests.functional.vswitch import running_vswitch


def test_a_flow_that_asks_the_switch_for_every_packet_is_found():
    with running_vswitch() as vswitch:
        fabric = Fabric(vswitch)
        fabric.plug("h1", "vm", "dst")
        frame = Ether(src=VM_MAC, dst=DST_MAC, type=0x88B5) / b"fast"
        vswitch.send("vm", frame)
        vswitch.received("dst", 1)
        assert vswitch.slow_flows() == []
        slow = "priority=500,dl_type=0x88b7,actions=debug_slow,output:12"
        fabric.hosts["h1"].ofctl(Bridge.INT, "add-flow", slow)
        frame.type = 0x88B7
        vswitch.send("vm", frame)
        vswitch.received("dst", 2)
        (found,) = vswitch.slow_flows()
        assert "0x88b7" in found
