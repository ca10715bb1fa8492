"""Captures at interfaces that come and go."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from portchain_lab.errors import LabError
from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.hosts import netns
from portchain_lab.observe.capture import Capture

from tests.functional.lab.machine import MAC, machine, plug

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
    with machine(nics=2) as made:
        yield made


def send(namespace: str, device: str, frame: bytes = FRAME) -> None:
    with netns.open_socket(namespace, socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((device, 0))
        sock.send(frame)


@pytest.mark.parametrize("from_host", [False, True])
def test_directions_and_addressees(vm: VirtualMachine, from_host: bool) -> None:
    """The host sees what a guest of Nova does from the other side of its TAP device."""
    own, other, payload = bytes.fromhex(MAC.replace(":", "")), bytes(5) + b"\x02", FRAME[12:]
    netns.ip(f"link set eth1 address {MAC}", namespace=vm.namespace)
    sends, receives = ("eth1-peer", "eth1") if from_host else ("eth1", "eth1-peer")
    with Capture([replace(vm, from_host=from_host)]) as capture:
        send(vm.namespace, sends, other + own + payload)
        send(vm.namespace, receives, own + other + payload)
        send(vm.namespace, receives, b"\xff" * 6 + other + payload)
        send(vm.namespace, receives, other + b"\x02" + bytes(5) + payload)
    seen = [(frame.outgoing, frame.addressed_to_vm) for frame in capture.stop()]
    assert seen == [(True, True), (False, True), (False, True), (False, False)]


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
