"""What the soak of the benchmark counts as a visit of a function."""

import socket
from collections.abc import Iterator

import pytest
from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.hosts import netns
from portchain_lab.waiting import wait_for
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from bench.soak.watch import Watch
from tests.functional.lab.machine import MAC, machine

OTHER = "fa:16:3e:00:00:02"
CLIENT, SERVER = 1024, 31000


@pytest.fixture
def vm() -> Iterator[VirtualMachine]:
    with machine(nics=1) as made:
        yield made


def test_a_flooded_frame_is_no_visit(vm: VirtualMachine) -> None:
    """A switch that does not know the destination sends a frame to all machines of a network."""
    watch = Watch([SERVER])
    watch.add(vm, 0, "first")
    with watch, netns.open_socket(vm.namespace, socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind(("eth1-peer", 0))
        for mac, client in ((OTHER, CLIENT), (MAC, CLIENT + 1)):
            frame = Ether(dst=mac, src=OTHER) / IP() / TCP(sport=client, dport=SERVER)
            sock.send(bytes(frame))
        # Both frames come in order, so the second one shows that the first has been read.
        seen = wait_for(lambda: watch.take().visited, 10, "a visit")
    assert seen == {(CLIENT + 1, SERVER): {("first", "vm")}}
