"""Captures at interfaces that come and go."""

import os
import socket
import threading
from collections.abc import Iterator

import pytest
from portchain_lab.errors import LabError
from portchain_lab.guests.vif import Nic
from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.hosts import netns
from portchain_lab.observe.capture import Capture
from portchain_lab.waiting import wait_for

FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)


class LateCapture(Capture):
    """A capture whose thread gets no processor until ``may_read`` is set."""

    def __init__(self, vms: list[VirtualMachine]) -> None:
        super().__init__(vms)
        self.may_read = threading.Event()

    def _read(self) -> None:
        self.may_read.wait()
        super()._read()


@pytest.fixture
def vm() -> Iterator[VirtualMachine]:
    namespace = f"pccap{os.getpid()}"
    netns.create([namespace])
    nics = tuple(Nic(f"eth{n}", f"id{n}", f"p{n}", "", "", (), "", 1500) for n in (1, 2))
    try:
        plug(namespace, "eth1")
        yield VirtualMachine("vm", "1", "h1", namespace, "plain", nics)
    finally:
        netns.delete([namespace])


def plug(namespace: str, device: str) -> None:
    netns.ip(
        f"link add {device} type veth peer name {device}-peer",
        *(f"link set {end} addrgenmode none" for end in (device, f"{device}-peer")),
        f"link set {device} up",
        f"link set {device}-peer up",
        namespace=namespace,
    )
    wait_for(
        lambda: "state UP" in netns.run(namespace, "ip", "link", "show", device), 10, "the link"
    )


def send(namespace: str, device: str) -> None:
    with netns.open_socket(namespace, socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((device, 0))
        sock.send(FRAME)


def test_frames_of_an_interface_that_has_left(vm: VirtualMachine) -> None:
    capture = LateCapture([vm]).start()
    send(vm.namespace, "eth1")
    netns.ip("link del eth1", namespace=vm.namespace)
    capture.may_read.set()
    assert [(frame.port, frame.outgoing) for frame in capture.stop()] == [("p1", True)]


def test_frames_of_an_interface_that_is_plugged_again(vm: VirtualMachine) -> None:
    capture = LateCapture([vm]).start()
    send(vm.namespace, "eth1")
    netns.ip("link del eth1", namespace=vm.namespace)
    plug(vm.namespace, "eth1")
    send(vm.namespace, "eth1")
    capture.may_read.set()
    assert [frame.port for frame in capture.stop()] == ["p1", "p1"]


def test_an_interface_that_came_and_left_unnoticed(vm: VirtualMachine) -> None:
    """Nobody can tell whether its frames were those of a port, nor those of its peer."""
    capture = LateCapture([vm]).start()
    plug(vm.namespace, "eth2")
    send(vm.namespace, "eth2")
    netns.ip("link del eth2", namespace=vm.namespace)
    capture.may_read.set()
    with pytest.raises(LabError, match="have left, of unknown ports: 2"):
        capture.stop()
